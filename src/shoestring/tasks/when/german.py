"""German words for days, times and recurrences."""

from __future__ import annotations

from shoestring.tasks.when import clocks, days, repeats
from shoestring.tasks.when.base import Language, Lead, Pattern, words
from shoestring.tasks.when.numeric import FIGURES

_WEEKDAYS = {
    "montag": 0, "dienstag": 1, "mittwoch": 2, "donnerstag": 3, "freitag": 4, "samstag": 5, "sonnabend": 5,
    "sonntag": 6,
}  # fmt: skip
_MONTHS = {
    "januar": 1, "jänner": 1, "februar": 2, "märz": 3, "maerz": 3, "april": 4, "mai": 5, "juni": 6, "juli": 7,
    "august": 8, "september": 9, "oktober": 10, "november": 11, "dezember": 12,
}  # fmt: skip
_NUMBERS = {
    "ein": 1, "eine": 1, "einem": 1, "einer": 1, "einen": 1, "zwei": 2, "drei": 3, "vier": 4, "fünf": 5, "sechs": 6,
    "sieben": 7, "acht": 8, "neun": 9, "zehn": 10, "elf": 11, "zwölf": 12,
}  # fmt: skip
_ORDINALS = {
    f"{stem}{ending}": number
    for stem, number in {"letzte": -1, "erste": 1, "zweite": 2, "dritte": 3, "vierte": 4}.items()
    for ending in ("", "n", "r")
}
_UNITS = {
    "minute": "minute", "minuten": "minute", "stunde": "hour", "stunden": "hour", "tag": "day", "tage": "day",
    "tagen": "day", "woche": "week", "wochen": "week", "monat": "month", "monate": "month", "monaten": "month",
    "quartal": "quarter", "quartale": "quarter", "quartalen": "quarter", "jahr": "year", "jahre": "year",
    "jahren": "year",
}  # fmt: skip
_NEXT = "(?:der |des |die |den |dem )?nächste[nrsm]?"
_EACH = "(?:an )?(?:jede[nrsm]?)"
_OF_EACH_MONTH = "(?:im Monat|jeden Monat|jedes Monats|eines jeden Monats)"

GERMAN = Language(
    name="German",
    words={
        "weekday": _WEEKDAYS,
        "short": {"mo.": 0},  # Mo, Di, Do and So are other words, too
        "plural": {f"{name}s": day for name, day in _WEEKDAYS.items()},
        "month": _MONTHS,
        "number": _NUMBERS,
        "ordinal": _ORDINALS,
        "unit": _UNITS,
        "period": {
            "woche": "week",
            "monat": "month",
            "monats": "month",
            "quartal": "quarter",
            "quartals": "quarter",
            "jahr": "year",
            "jahres": "year",
        },
        "relative": {"heute": 0, "morgen": 1, "übermorgen": 2, "gestern": -1, "vorgestern": -2},
        "today": {"heute abend": "evening", "heute nachmittag": "afternoon", "heute früh": "morning"},
        "daypart": {
            "früh": "morning",
            "vormittag": "morning",
            "am vormittag": "morning",
            "vormittags": "morning",
            "morgens": "morning",
            "morgen": "morning",
            "am morgen": "morning",
            "nachmittag": "afternoon",
            "am nachmittag": "afternoon",
            "nachmittags": "afternoon",
            "abend": "evening",
            "am abend": "evening",
            "abends": "evening",
            "nachts": "night",
        },
        "adverb": {
            "täglich": "day",
            "wöchentlich": "week",
            "monatlich": "month",
            "vierteljährlich": "quarter",
            "jährlich": "year",
        },
    },
    leads={
        Lead.BY: "spätestens bis zum|spätestens bis|bis spätestens|bis zum|bis zur|bis",
        Lead.PLAIN: "spätestens am|spätestens|am|an|zum|im|in|für|gegen|um",
        Lead.BEFORE: "vor dem|vor",
        Lead.START: "beginnend am|beginnend|ab dem|ab",
        Lead.AFTER: "nach dem|nach|seit dem|seit|außer am|außer|nicht vor|nicht am|zwischen",
    },
    fragments={"after_lead": " ", "suffix": r"\.", "joiner": r"(?:~,~| und | & )(?:am )?"},
    blocked=frozenset({"schwarzer", "karfreitag"}),
    common=words("der die das und den dem ein eine bitte mit für zum zur bis am im an nicht mich anrufen"),
    repeating="jede[nrsm]?|alle",
    shifting=r"in einer Woche|in \w+ Wochen|oder später|oder früher|oder übermorgen|und eine halbe|und \w+ "
    r"(?:Minuten?|Stunden?|Tagen?|Wochen?)|dreißig|dreissig|fünfzehn|zwanzig|zehn|fünf|fünfundvierzig|vierzig",
    preceding="halb|viertel|dreiviertel|viertel vor|viertel nach|kurz vor|kurz nach",
    unhandled="bis|außer|ausser|ab|beginnend|nicht",
    patterns=(
        *FIGURES,
        Pattern(r"(?P<first>\d{1,2})\.~(?P<second>\d{1,2})\.", days.figures, needs_lead=True),
        Pattern("{relative}", days.relative),
        Pattern("{today}", days.today_part, leads=False),
        Pattern("(?:diese[nrsm]? ){weekday}", days.this_weekday),
        Pattern(f"{_NEXT} {{weekday}}", days.next_weekday),
        Pattern("(?:der |den |dem )?kommende[nrm]? {weekday}", days.coming_weekday),
        Pattern("(?:letzte[nrm]?|vergangene[nrm]?|vorige[nrm]?) {weekday}", days.last_weekday),
        Pattern("{weekday} (?:in der )?nächste[rn]? Woche", days.weekday_next_week),
        Pattern("nächste Woche (?:am )?{weekday}", days.weekday_next_week),
        Pattern("{weekday} (?:in )?diese[r]? Woche", days.this_weekday),
        Pattern("{weekday}", days.weekday),
        Pattern("(?:in|innerhalb von|binnen) {number} {unit}", days.distance, leads=False),
        Pattern("heute in {number} {unit}", days.distance, leads=False),
        Pattern("vor {number} {unit}", days.ago, leads=False),
        Pattern("in einer halben Stunde", days.half_hour, leads=False),
        Pattern("(?:Ende (?:der |des |dieser |dieses )?{period})", days.end_of_this, needs_lead=True),
        Pattern("(?:Ende (?:der |des |dieser |dieses )?{period})", days.end_of_this, weak=True),
        Pattern("(?P<period>Monat)sende", days.end_of_this, needs_lead=True),
        Pattern("(?P<period>Monat)sende", days.end_of_this, weak=True),
        Pattern("(?P<period>Jahr)esende", days.end_of_this, needs_lead=True),
        Pattern("(?P<period>Jahr)esende", days.end_of_this, weak=True),
        Pattern("Ende (?:der |des )?nächste[nrs]? {period}", days.end_of_next),
        Pattern("Anfang (?:der |des )?nächste[nrs]? {period}", days.start_of_next),
        Pattern("Ende {month}(?: {year})?", days.end_of_month),
        Pattern(r"(?P<day>\d{1,2})\.", days.day_of_month, needs_lead=True, weak=True, native=True),
        # A verb follows in small letters, a noun (`am 3. Platz`) in a capital.
        Pattern(r"(?P<day>\d{1,2})\.(?-i:(?=\s[a-zäöü]))", days.day_of_month, needs_lead=True, native=True),
        Pattern(
            r"{weekday},?(?: der| den| dem)? (?P<day>\d{1,2})\.(?!~{month})", days.weekday_and_day, weak=True
        ),
        Pattern(r"(?:der |den |dem )?{day}~{month}(?: {year})?", days.day_and_month),
        Pattern(
            "(?:der |den |dem )?{ordinal} {weekday} (?:im nächsten Monat|im {month})", days.weekday_of_month
        ),
        Pattern("{month}(?: {year})?", days.vague, needs_lead=True, native=True),
        Pattern(f"(?:{_NEXT}|diese[rnsm]?) {{period}}", days.vague),
        Pattern("(?:dieses |nächstes |am )?Wochenende", days.vague),
        Pattern("(?:Anfang|Mitte) (?:der |des |dieser |dieses )?{period}", days.vague),
        Pattern("(?:Anfang|Mitte) {month}", days.vague),
        Pattern(r"{hour}(?:[:.]{minute})?~Uhr", clocks.hour_and_minute),
        Pattern(r"{hour}~Uhr~(?P<minute>[0-5]\d)", clocks.hour_and_minute),
        Pattern(r"{hour}(?:[:.]{minute})?(?:~Uhr)? {daypart}", clocks.hour_of_part),
        Pattern("{hourword} Uhr(?: {daypart})", clocks.hour_of_part),
        Pattern("um {hourword}", clocks.hour, leads=False, weak=True, native=True),
        Pattern("mittags|zu mittag|12 Uhr mittags", clocks.noon),
        Pattern("mitternacht", clocks.midnight),
        Pattern("{daypart}", clocks.part, leads=False, weak=True),
        Pattern(f"{_EACH} {{weekdays}}", repeats.on_weekdays, leads=False),
        Pattern("{plurals}", repeats.on_plural, leads=False),
        Pattern(f"{_EACH} {{weekday}} bis {{lastday}}", repeats.weekday_range, leads=False),
        Pattern("(?:immer )?wochentags", repeats.working_days, leads=False),
        Pattern("(?:werktags|an werktagen|jeden werktag)", repeats.unclear, leads=False),  # Saturday, too?
        Pattern("(?:an )?jeden zweiten {weekday}", repeats.every_other_weekday, leads=False),
        Pattern("alle {number} {unit}", repeats.every_n_units, leads=False),
        Pattern("jede[nrsm]? zweite[nrsm]? {unit}", repeats.every_other_unit, leads=False),
        Pattern("jede[nrsm]? {unit}", repeats.every_unit, leads=False),
        Pattern("jede[nr]? (?P<daypart>abend|nachmittag|vormittag|morgen)", repeats.every_part, leads=False),
        Pattern("einmal (?:pro|die|im|in der) {unit}", repeats.every_unit, leads=False),
        Pattern("{adverb}", repeats.adverb, leads=False, weak=True),
        Pattern(
            f"(?:an |am )?(?:jede[nrm]? |de[rnm] )?{{ordinal}} {{weekday}} {_OF_EACH_MONTH}",
            repeats.monthly_weekday,
            leads=False,
        ),
        Pattern(r"(?:am |zum |jeden )(?P<day>\d{1,2})\. " + _OF_EACH_MONTH, repeats.monthly_day, leads=False),
        Pattern(r"jeden (?P<day>\d{1,2})\. (?:im Monat|des Monats)", repeats.monthly_day, leads=False),
        Pattern(f"(?:am |zum )?letzten Tag {_OF_EACH_MONTH}", repeats.last_day, leads=False),
        Pattern("jede[ns] {day}~{month}", repeats.yearly_day, leads=False),
        Pattern("jedes Wochenende|am Wochenende immer", repeats.unclear, leads=False),
        Pattern(
            "(?:zweimal|dreimal|{number} ?mal) (?:pro|die|im|in der) {unit}", repeats.unclear, leads=False
        ),
        Pattern("{number}~mal", repeats.times, leads=False, weak=True),
        Pattern("(?:für |die nächsten ){number} {unit}(?: lang)?", repeats.lasting, leads=False, weak=True),
    ),
)
