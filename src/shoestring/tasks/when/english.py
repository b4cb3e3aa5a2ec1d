"""English words for days, times and recurrences."""

from __future__ import annotations

from shoestring.tasks.when import clocks, days, repeats
from shoestring.tasks.when.base import Language, Lead, Pattern, words
from shoestring.tasks.when.numeric import FIGURES

_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_SHORT = {
    "mon": 0, "tue": 1, "tues": 1, "wed": 2, "weds": 2, "thu": 3, "thur": 3, "thurs": 3, "fri": 4, "sat": 5, "sun": 6,
}  # fmt: skip
_MONTHS = (
    "january", "february", "march", "april", "may", "june",
    "july", "august", "september", "october", "november", "december",
)  # fmt: skip
_SHORT_MONTHS = {
    "jan": 1, "feb": 2, "mar": 3, "apr": 4, "jun": 6, "jul": 7, "aug": 8, "sep": 9, "sept": 9, "oct": 10, "nov": 11,
    "dec": 12,
}  # fmt: skip
_NUMBERS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
_ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")
_UNITS = ("minute", "hour", "day", "week", "month", "quarter", "year")
# `may` and `march` are verbs, too, unless a capital says that they are months.
_CAPITAL_MONTH = (
    "(?P<month>(?-i:March|MARCH|May|MAY)|january|february|april|june|july|august|september|october|november|december|"
    "jan|feb|mar|apr|jun|jul|aug|sept|sep|oct|nov|dec)"
)

ENGLISH = Language(
    name="English",
    twelve_hours=True,
    weeks_from_sunday=True,
    month_first=True,
    words={
        "weekday": {name: day for day, name in enumerate(_WEEKDAYS)},
        "short": _SHORT,
        "plural": {f"{name}s": day for day, name in enumerate(_WEEKDAYS)},
        "month": {**{name: number for number, name in enumerate(_MONTHS, 1)}, **_SHORT_MONTHS},
        "number": {"a": 1, "an": 1, **{name: number for number, name in enumerate(_NUMBERS, 1)}},
        "ordinal": {"last": -1, **{name: number for number, name in enumerate(_ORDINALS, 1)}},
        "unit": {form: unit for unit in _UNITS for form in (unit, f"{unit}s")}
        | {"min": "minute", "mins": "minute", "hrs": "hour"},
        "period": {"week": "week", "month": "month", "quarter": "quarter", "year": "year"},
        "relative": {
            "today": 0,
            "tomorrow": 1,
            "tmrw": 1,
            "day after tomorrow": 2,
            "the day after tomorrow": 2,
            "yesterday": -1,
            "end of day": 0,
            "eod": 0,
            "the end of the day": 0,
            "end of the day": 0,
            "end of today": 0,
        },
        "today": {
            "tonight": "evening",
            "this evening": "evening",
            "this afternoon": "afternoon",
            "this morning": "morning",
        },
        "daypart": {
            "morning": "morning",
            "in the morning": "morning",
            "afternoon": "afternoon",
            "in the afternoon": "afternoon",
            "evening": "evening",
            "in the evening": "evening",
            "night": "night",
            "at night": "night",
        },
        "adverb": {
            "daily": "day",
            "weekly": "week",
            "monthly": "month",
            "quarterly": "quarter",
            "yearly": "year",
            "annually": "year",
        },
    },
    leads={
        Lead.PLAIN: "due on|due by|due at|due|no later than|not later than|by|on|at|in|for|during|around|about|@",
        Lead.BEFORE: "before|prior to|ahead of",
        Lead.UNTIL: "until|till|til|through|thru",
        Lead.START: "starting on|starting from|starting|beginning on|beginning|from|as of",
        Lead.AFTER: "not before|not on|not by|after|since|except on|except|other than|unless on|between",
    },
    fragments={
        "after_lead": " ",
        "suffix": "st|nd|rd|th",
        "joiner": "(?:~,~and |~,~| and | & |~/~)(?:on )?",
        "Month": _CAPITAL_MONTH,
    },
    blocked=frozenset(
        {
            "black",
            "good",
            "casual",
            "cyber",
            "easter",
            "ash",
            "shrove",
            "palm",
            "fat",
            "happy",
            "super",
            "some",
            "any",
        }
    ),
    common=words("the to and of my for with is call buy send please a at by on every this next"),
    repeating="every|each",
    shifting=r"after next|after that|week|fortnight|or so|or later|or earlier|or the day after|and a half|and \w+ "
    r"(?:minutes?|mins?|hours?|days?|weeks?|months?)",
    preceding="half past|half|quarter past|quarter to|past|weeks|a week|one week|fortnight",
    unhandled=r"until|till|through|thru|except|unless|excluding|but not|starting|beginning",
    patterns=(
        *FIGURES,
        Pattern("{relative}", days.relative),
        Pattern("{today}", days.today_part, leads=False),
        Pattern("(?:on )?this {anyday}", days.this_weekday),
        Pattern("next {anyday}", days.next_weekday),
        Pattern("(?:the )?(?:coming|upcoming) {anyday}", days.coming_weekday),
        Pattern("(?:last|past) {anyday}", days.last_weekday),
        Pattern("{anyday},? (?:of )?next week", days.weekday_next_week),
        Pattern("next week,? (?:on )?{anyday}", days.weekday_next_week),
        Pattern("{anyday},? (?:of )?this week", days.this_weekday),
        Pattern("{weekday}", days.weekday),
        Pattern("{short}", days.weekday, needs_lead=True),
        Pattern("(?:in|within) {number} {unit}(?:['’]? time)?", days.distance, leads=False),
        Pattern("{number} {unit} from (?:now|today)", days.distance),
        Pattern("{number} {unit} ago", days.ago, leads=False),
        Pattern("(?:in|within) half an hour", days.half_hour, leads=False),
        Pattern("(?:the )?end of (?:the |this )?{period}", days.end_of_this, needs_lead=True),
        Pattern("(?:the )?end of (?:the |this )?{period}", days.end_of_this, weak=True),
        Pattern("(?:the )?end of next {period}", days.end_of_next),
        Pattern("(?:the )?(?:start|beginning) of next {period}", days.start_of_next),
        Pattern("(?:the )?end of {month}(?:,? {year})?", days.end_of_month),
        Pattern("the {nth}", days.day_of_month, needs_lead=True, weak=True),
        Pattern("{anyday},? (?:the )?{nth}(?! (?:of )?{Month})", days.weekday_and_day, weak=True),
        Pattern("the {nth} of (?:the|this) month", days.day_of_month),
        Pattern("the {nth} of next month", days.day_of_next_month),
        Pattern(r"(?:the )?{day} (?:of )?{Month}\.?(?:,? {year})?", days.day_and_month),
        Pattern(r"(?:the )?{nth} (?:of )?{Month}\.?(?:,? {year})?", days.day_and_month),
        Pattern(r"{month}\.? (?:the )?{day}(?:,? {year})?", days.day_and_month),
        Pattern("(?:the )?{ordinal} {anyday} (?:of|in) (?:next month|{month})", days.weekday_of_month),
        Pattern("(?:the )?{ordinal} {anyday} (?:of|in) (?:the|this) month", days.vague),
        Pattern("{Month}(?: {year})?", days.vague, needs_lead=True),
        Pattern("(?:next|this) {period}", days.vague),
        Pattern("(?:the |this |next )weekend", days.vague),
        Pattern("next (?:business|working|work) day", days.vague),
        Pattern("(?:the )?(?:start|beginning|middle) of (?:the |this )?{period}", days.vague),
        Pattern("{hour}(?::{minute})?~(?P<half>[ap]\\.?~m\\b\\.?)", clocks.am_pm),
        Pattern("{hourword}(?::{minute})?(?: o['’]clock)? {daypart}", clocks.hour_of_part),
        Pattern("(?:at|around|by|before) {hourword}", clocks.hour, leads=False, weak=True),
        Pattern("@{hour}", clocks.hour, leads=False, weak=True),
        Pattern("{hourword} o['’]clock", clocks.hour),
        Pattern("noon|midday", clocks.noon),
        Pattern("midnight", clocks.midnight),
        Pattern("{daypart}", clocks.part, leads=False, weak=True),
        Pattern("(?:on )?(?:every|each) {weekdays}", repeats.on_weekdays, leads=False),
        Pattern("(?:on )?{plurals}", repeats.on_plural, leads=False),
        Pattern(
            "(?:every |each )?{anyday}(?:~[-–]~| to | through ){lastday} every week", repeats.weekday_range
        ),
        Pattern("(?:on )?(?:every|each) {anyday}(?:~[-–]~| to | through ){lastday}", repeats.weekday_range),
        Pattern(
            "(?:on )?(?:every|each) (?:week|work|working |business )day", repeats.working_days, leads=False
        ),
        Pattern("(?:on )?(?:weekdays|workdays|working days)", repeats.working_days, leads=False),
        Pattern(
            "(?:on )?every (?:other|second|2nd|alternate) {anyday}", repeats.every_other_weekday, leads=False
        ),
        Pattern("every {number} {unit}", repeats.every_n_units, leads=False),
        Pattern("every (?:other|second|2nd) {unit}", repeats.every_other_unit, leads=False),
        Pattern("(?:every|each) (?:single )?{unit}", repeats.every_unit, leads=False),
        Pattern("(?:every|each) {daypart}", repeats.every_part, leads=False),
        Pattern("(?:once a|once per|once every) {unit}", repeats.every_unit, leads=False),
        Pattern("{adverb}", repeats.adverb, leads=False, weak=True),
        Pattern(
            "(?:on )?(?:the |every )?{ordinal} {anyday} (?:of|in) (?:each|every|a) month",
            repeats.monthly_weekday,
            leads=False,
        ),
        Pattern("(?:on )?every {ordinal} {anyday} (?:of|in) the month", repeats.monthly_weekday, leads=False),
        Pattern("(?:on )?(?:the )?{nth}(?: day)? of (?:each|every) month", repeats.monthly_day, leads=False),
        Pattern("(?:on )?every {nth} of the month", repeats.monthly_day, leads=False),
        Pattern(
            "(?:on |at |by )?(?:the )?(?:last day|end) of (?:each|every) month", repeats.last_day, leads=False
        ),
        Pattern("(?:on )?every last day of the month", repeats.last_day, leads=False),
        Pattern("(?:on )?every {day} (?:of )?{month}", repeats.yearly_day, leads=False),
        Pattern("(?:on )?every {month} (?:the )?{day}", repeats.yearly_day, leads=False),
        Pattern("every weekend|(?:on )?weekends", repeats.unclear, leads=False),
        Pattern("(?:bi-?weekly|bi-?monthly|fortnightly)", repeats.unclear, leads=False, weak=True),
        Pattern("(?:twice|{number} times) (?:a|per|every|each) {unit}", repeats.unclear, leads=False),
        Pattern("(?:twice|{number} times) {adverb}", repeats.unclear, leads=False),
        Pattern("{number} times", repeats.times, leads=False, weak=True),
        Pattern("for (?:the next )?{number} {unit}", repeats.lasting, leads=False, weak=True),
    ),
)
