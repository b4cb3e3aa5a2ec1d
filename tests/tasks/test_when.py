"""The words for a time, resolved on Thursday 12 November 2026 at 10:00 in Berlin."""

from __future__ import annotations

from datetime import date, datetime
from zoneinfo import ZoneInfo

import pytest

from shoestring.errors import UsageError
from shoestring.tasks.when import find, find_all

BERLIN = ZoneInfo("Europe/Berlin")
NOW = datetime(2026, 11, 12, 10, 0, tzinfo=BERLIN)

ONCE = """
Send the report by Friday | 2026-11-13
this Friday | 2026-11-13
the coming Friday | 2026-11-13
next Monday | 2026-11-16
Friday next week | 2026-11-20
tomorrow | 2026-11-13
the day after tomorrow | 2026-11-14
tomorrow at noon | 2026-11-13 12:00
tomorrow morning at 8 | 2026-11-13 08:00
Saturday morning at 10 | 2026-11-14 10:00
tonight | 2026-11-12
tonight at 8 | 2026-11-12 20:00
this evening at 7 | 2026-11-12 19:00
by EOD | 2026-11-12
Order 12 eggs and 5 apples by tomorrow 6pm | 2026-11-13 18:00
Pick up 2 kids at 3:30pm today | 2026-11-12 15:30
5pm | 2026-11-12 17:00
at 15:00 | 2026-11-12 15:00
in two weeks | 2026-11-26
in two weeks' time | 2026-11-26
in 3 hours | 2026-11-12 13:00
in half an hour | 2026-11-12 10:30
within 24 hours | 2026-11-13 10:00
Renew passport in 6 months | 2027-05-12
end of the month | 2026-11-30
by the end of next month | 2026-12-31
by the end of June | 2027-06-30
end of the quarter | 2026-12-31
the beginning of next month | 2026-12-01
Pay on the 3rd | 2026-12-03
on the 31st | 2026-12-31
the 3rd of next month | 2026-12-03
by 5 May | 2027-05-05
by May 5 | 2027-05-05
April 15th, 2027 at 11:59 pm | 2027-04-15 23:59
Friday, 20 November at 14:30 | 2026-11-20 14:30
Friday the 13th | 2026-11-13
Tuesday May 4 | 2027-05-04
second Tuesday in December | 2026-12-08
2026-12-24 | 2026-12-24
2026-12-24T15:00Z | 2026-12-24 16:00
on 2026/12/31 | 2026-12-31
12/25/2026 | 2026-12-25
25.12.2026 | 2026-12-25
due 13/04 | 2027-04-13
send last week's numbers by Monday | 2026-11-16
Look at 10 houses tomorrow | 2026-11-13
call Sam on Sat | 2026-11-14
Bis Freitag den Bericht abgeben | 2026-11-13
am nächsten Montag | 2026-11-16
übermorgen um 8 Uhr | 2026-11-14 08:00
morgen früh um 8 | 2026-11-13 08:00
heute Abend um 8 Uhr | 2026-11-12 20:00
in zwei Wochen | 2026-11-26
am 3. März | 2027-03-03
bis 03.04. | 2027-04-03
bis Monatsende | 2026-11-30
Miete am 1. überweisen | 2026-12-01
vendredi 20 novembre | 2026-11-20
d'ici la fin de l'année | 2026-12-31
viernes 20 de noviembre | 2026-11-20
Friday 20th November | 2026-11-20
Bis Monatsende die Steuer abgeben | 2026-11-30
By the end of the month send the invoices | 2026-11-30
Freitag nächster Woche | 2026-11-20
am Freitag, 20. November 2026 um 14.30 Uhr | 2026-11-20 14:30
Envoyer le rapport d'ici vendredi | 2026-11-13
demain à midi | 2026-11-13 12:00
après-demain à 8h | 2026-11-14 08:00
dans deux semaines | 2026-11-26
à la fin du mois | 2026-11-30
payer le loyer le 3 | 2026-12-03
le 1er janvier 2027 | 2027-01-01
ce soir à 8h | 2026-11-12 20:00
appeler Marie mardi à 14 h 30 | 2026-11-17 14:30
le 03/04/2027 | 2027-04-03
para el viernes | 2026-11-13
el viernes que viene | 2026-11-13
pasado mañana a las 5 de la tarde | 2026-11-14 17:00
mañana por la mañana | 2026-11-13
a fin de mes | 2026-11-30
el 3 de marzo | 2027-03-03
pagar el alquiler el 3 | 2026-12-03
el lunes a las 14:30 | 2026-11-16 14:30
"""

REPEATED = """
every Monday at 9am | 2026-11-16 09:00 | FREQ=WEEKLY;BYDAY=MO
On Mondays | 2026-11-16 | FREQ=WEEKLY;BYDAY=MO
weekly on Mondays | 2026-11-16 | FREQ=WEEKLY;BYDAY=MO
every other Tuesday | 2026-11-17 | FREQ=WEEKLY;INTERVAL=2;BYDAY=TU
weekdays at 8am | 2026-11-13 08:00 | FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR
every mon, wed and fri at 18:00 | 2026-11-13 18:00 | FREQ=WEEKLY;BYDAY=MO,WE,FR
every Monday to Thursday | 2026-11-12 | FREQ=WEEKLY;BYDAY=MO,TU,WE,TH
first Monday of each month | 2026-12-07 | FREQ=MONTHLY;BYDAY=1MO
every last Friday of the month | 2026-11-27 | FREQ=MONTHLY;BYDAY=-1FR
monthly on the 15th until 30 June 2027 | 2026-11-15 | FREQ=MONTHLY;BYMONTHDAY=15;UNTIL=20270630
the last day of every month | 2026-11-30 | FREQ=MONTHLY;BYMONTHDAY=-1
quarterly on the 1st | 2026-12-01 | FREQ=MONTHLY;INTERVAL=3;BYMONTHDAY=1
every six months starting January 10 | 2027-01-10 | FREQ=MONTHLY;INTERVAL=6;BYMONTHDAY=10
every year on March 3 | 2027-03-03 | FREQ=YEARLY;BYMONTH=3;BYMONTHDAY=3
every March 3rd | 2027-03-03 | FREQ=YEARLY;BYMONTH=3;BYMONTHDAY=3
Take pills daily | 2026-11-12 | FREQ=DAILY
every day at 9am | 2026-11-13 09:00 | FREQ=DAILY
every 3 days | 2026-11-12 | FREQ=DAILY;INTERVAL=3
every night at 11pm | 2026-11-12 23:00 | FREQ=DAILY
every 2 weeks on Friday | 2026-11-13 | FREQ=WEEKLY;INTERVAL=2;BYDAY=FR
every 2 weeks starting tomorrow at 8pm | 2026-11-13 20:00 | FREQ=WEEKLY;INTERVAL=2;BYDAY=FR
every Friday for 3 weeks | 2026-11-13 | FREQ=WEEKLY;BYDAY=FR;UNTIL=20261203
every Friday 3 times | 2026-11-13 | FREQ=WEEKLY;BYDAY=FR;COUNT=3
every Monday at 6:30 pm until December 18 | 2026-11-16 18:30 | FREQ=WEEKLY;BYDAY=MO;UNTIL=20261218T225959Z
jeden Montag um 9 Uhr | 2026-11-16 09:00 | FREQ=WEEKLY;BYDAY=MO
montags und donnerstags um 18:30 Uhr | 2026-11-12 18:30 | FREQ=WEEKLY;BYDAY=MO,TH
alle zwei Wochen am Freitag | 2026-11-13 | FREQ=WEEKLY;INTERVAL=2;BYDAY=FR
am ersten Montag im Monat | 2026-12-07 | FREQ=MONTHLY;BYDAY=1MO
monatlich am 15. bis 30. Juni 2027 | 2026-11-15 | FREQ=MONTHLY;BYMONTHDAY=15;UNTIL=20270630
jeden 1. des Monats Miete überweisen | 2026-12-01 | FREQ=MONTHLY;BYMONTHDAY=1
jeden Morgen um 7 Uhr | 2026-11-13 07:00 | FREQ=DAILY
tous les lundis à 9h | 2026-11-16 09:00 | FREQ=WEEKLY;BYDAY=MO
un mardi sur deux | 2026-11-17 | FREQ=WEEKLY;INTERVAL=2;BYDAY=TU
le premier lundi de chaque mois | 2026-12-07 | FREQ=MONTHLY;BYDAY=1MO
tous les soirs à 22h | 2026-11-12 22:00 | FREQ=DAILY
todos los lunes a las 9 de la mañana | 2026-11-16 09:00 | FREQ=WEEKLY;BYDAY=MO
cada dos martes | 2026-11-17 | FREQ=WEEKLY;INTERVAL=2;BYDAY=TU
el primer lunes de cada mes | 2026-12-07 | FREQ=MONTHLY;BYDAY=1MO
los lunes y jueves a las 18:30 | 2026-11-12 18:30 | FREQ=WEEKLY;BYDAY=MO,TH
"""

OPEN = """
next Friday
Thursday
due 03/04
03/04/2027
next week
this weekend
next quarter
in May
end of the week
before Friday
after Friday
until Friday
not on Friday
a week from Friday
the Friday after next
Friday in two weeks
on Monday or Tuesday
by Friday or Saturday
Monday - Wednesday
at 5
Buy milk at 9
Feb 29
Feb 30
by 2027-02-30
on November 10
Call Bob tomorrow and Anna on Saturday
two hours before noon
trip from 3 to 5 December
vom 3. bis 5. Dezember
du 3 au 5 décembre
del 3 al 5 de diciembre
este fin de semana
pas lundi
3rd to 5th of December
on 3 and 4 December
8 to 10 pm tomorrow
tomorrow or the day after
in an hour and a half
in 2 hours and 30 minutes
half past 8 pm
quarter to 8 pm on Friday
a week on Friday
twice daily
halb 9 Uhr
um 8 Uhr dreißig
demain à 8h et demie
demain à 9h moins le quart
mañana a las 8 y media de la tarde
at 8am
in 9999 years
every 2 weeks
every weekend
twice a week
every hour
every Monday except the 23rd
every Friday in May
on the 1st and 15th of every month
nächsten Freitag
werktags um 8 Uhr
vor Freitag
vendredi prochain
le lundi
avant vendredi
el próximo viernes
antes del viernes
a las 5
Купить молоко завтра
Comprare il latte domani
明日までにレポート
"""

ASKED_BESIDE = """
weekdays at 8 | 2026-11-12 | 08:00 or 20:00
Dinner at 7 on Friday | 2026-11-13 | 07:00 or 19:00
mañana a las 8 | 2026-11-13 | 08:00 or 20:00
Meet on Friday at 14 Main Street | 2026-11-13 | 14:00
monthly on the 15th until June | 2026-11-15 | Until which day
each Friday until Christmas | 2026-11-13 | until when
every month on the 31st | 2026-12-31 | Some months have no day 31
tomorrow 3pm UTC | 2026-11-13 | time zone
midnight on Friday | 2026-11-13 | midnight
last Friday | 2026-11-06 | has passed
yesterday | 2026-11-11 | has passed
2020-01-05 | 2020-01-05 | has passed
"""

SILENT = """
I may call May
some Monday
en la mañana
the 5 may be late
Sit on the second chair
wait a second
sat on a bench
Read about Black Friday
Prepare Friday's report
write the daily report
Desk on the 3rd floor
page 12/15
John 3:16
open 24/7
version 3.10.2
call 10.0.0.1
Pay invoice 2026-118
Monday.com account
e-mail friday@example.com
see https://x.org/2026/11/20/post
Run 5 times
Ich bin am 3. Platz
"""


def rows(table: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.split("|")] for line in table.strip().splitlines()]


def moment(text: str) -> date | datetime:
    if len(text) == len("2026-11-12"):
        return date.fromisoformat(text)
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN)


@pytest.mark.parametrize(("phrase", "due"), rows(ONCE))
def test_a_day_or_time_that_can_be_read_in_one_way(phrase: str, due: str) -> None:
    when = find(phrase, NOW)

    assert when is not None
    assert (when.due, when.recurrence, when.question) == (moment(due), None, None)


@pytest.mark.parametrize(("phrase", "due", "rule"), rows(REPEATED))
def test_a_recurrence_and_its_first_occurrence(phrase: str, due: str, rule: str) -> None:
    when = find(phrase, NOW)

    assert when is not None
    assert (when.due, when.recurrence, when.question) == (moment(due), rule, None)


@pytest.mark.parametrize("phrase", [row[0] for row in rows(OPEN)])
def test_what_can_be_read_in_two_ways_is_asked(phrase: str) -> None:
    when = find(phrase, NOW)

    assert when is not None
    assert when.due is None
    assert when.question


@pytest.mark.parametrize(("phrase", "due", "asked"), rows(ASKED_BESIDE))
def test_what_is_certain_is_kept_beside_the_question(phrase: str, due: str, asked: str) -> None:
    when = find(phrase, NOW)

    assert when is not None
    assert when.due == moment(due)
    assert when.question is not None
    assert asked in when.question


@pytest.mark.parametrize("phrase", [row[0] for row in rows(SILENT)])
def test_words_that_only_look_like_a_time_say_nothing(phrase: str) -> None:
    assert find(phrase, NOW) is None


def test_the_words_are_found_where_they_stand() -> None:
    message = "Call the dentist on Friday at 3 pm, it is urgent"

    when = find(message, NOW)

    assert when is not None
    assert when.phrase == message[when.start : when.end] == "on Friday at 3 pm"


def test_several_times_in_one_message_come_in_its_order() -> None:
    found = find_all("Call Bob tomorrow, please, and write to Anna on Monday", NOW)

    assert [when.due for when in found] == [date(2026, 11, 13), date(2026, 11, 16)]


def test_the_readings_of_an_open_day_are_offered() -> None:
    when = find("next Friday", NOW)

    assert when is not None
    assert when.choices == (date(2026, 11, 13), date(2026, 11, 20))


def test_a_time_that_the_clock_leaves_out_is_asked() -> None:
    when = find("28 March 2027 at 2:30 am", NOW)  # Berlin goes from 01:59 to 03:00

    assert when is not None
    assert when.due == date(2027, 3, 28)
    assert "set forward" in (when.question or "")


def test_a_time_that_comes_twice_is_asked() -> None:
    when = find("31 October 2027 at 2:30 am", NOW)

    assert when is not None
    assert "comes twice" in (when.question or "")


def test_hours_from_now_elapse_across_a_change_of_the_clock() -> None:
    when = find("in 3 hours", datetime(2027, 3, 28, 0, 30, tzinfo=BERLIN))

    assert when is not None
    assert when.due == datetime(2027, 3, 28, 4, 30, tzinfo=BERLIN)


def test_a_leap_day_may_be_named_in_a_leap_year() -> None:
    when = find("on 29 February 2028", NOW)

    assert when is not None
    assert when.due == date(2028, 2, 29)


def test_a_present_moment_without_a_zone_is_refused() -> None:
    with pytest.raises(UsageError, match="no time zone"):
        find("tomorrow", datetime(2026, 11, 12, 10, 0))
