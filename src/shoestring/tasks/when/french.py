"""French words for days, times and recurrences."""

from __future__ import annotations

from shoestring.tasks.when import clocks, days, repeats
from shoestring.tasks.when.base import Language, Lead, Pattern, words
from shoestring.tasks.when.numeric import FIGURES

_WEEKDAYS = ("lundi", "mardi", "mercredi", "jeudi", "vendredi", "samedi", "dimanche")
_MONTHS = {
    "janvier": 1, "février": 2, "fevrier": 2, "mars": 3, "avril": 4, "mai": 5, "juin": 6, "juillet": 7, "août": 8,
    "aout": 8, "septembre": 9, "octobre": 10, "novembre": 11, "décembre": 12, "decembre": 12,
}  # fmt: skip
_NUMBERS = (
    "un", "deux", "trois", "quatre", "cinq", "six", "sept", "huit", "neuf", "dix", "onze", "douze",
)  # fmt: skip
_UNITS = {
    "minute": "minute", "minutes": "minute", "heure": "hour", "heures": "hour", "jour": "day", "jours": "day",
    "semaine": "week", "semaines": "week", "mois": "month", "trimestre": "quarter", "trimestres": "quarter",
    "an": "year", "ans": "year", "année": "year", "années": "year",
}  # fmt: skip
_OF_EACH_MONTH = "(?:de chaque mois|du mois|tous les mois)"

FRENCH = Language(
    name="French",
    words={
        "weekday": {name: day for day, name in enumerate(_WEEKDAYS)},
        "short": {"lun.": 0},  # the others are other words, too
        "plural": {f"{name}s": day for day, name in enumerate(_WEEKDAYS)},
        "month": _MONTHS,
        "number": {"une": 1, **{name: number for number, name in enumerate(_NUMBERS, 1)}},
        "ordinal": {
            "dernier": -1,
            "premier": 1,
            "1er": 1,
            "deuxième": 2,
            "second": 2,
            "troisième": 3,
            "quatrième": 4,
        },
        "unit": _UNITS,
        "period": {
            "semaine": "week",
            "mois": "month",
            "trimestre": "quarter",
            "année": "year",
            "an": "year",
        },
        "relative": {
            "aujourd'hui": 0,
            "demain": 1,
            "après-demain": 2,
            "après demain": 2,
            "hier": -1,
            "avant-hier": -2,
        },
        "today": {"ce soir": "evening", "cet après-midi": "afternoon", "ce matin": "morning"},
        "daypart": {
            "matin": "morning",
            "du matin": "morning",
            "le matin": "morning",
            "après-midi": "afternoon",
            "de l'après-midi": "afternoon",
            "l'après-midi": "afternoon",
            "soir": "evening",
            "du soir": "evening",
            "le soir": "evening",
        },
        "adverb": {
            "quotidiennement": "day",
            "hebdomadairement": "week",
            "mensuellement": "month",
            "annuellement": "year",
        },
    },
    leads={
        Lead.PLAIN: "d['’]ici au|d['’]ici le|d['’]ici à|d['’]ici|au plus tard le|au plus tard|pour le|pour|vers|le|à|au|ce|en",
        Lead.BEFORE: "avant le|avant",
        Lead.UNTIL: "jusqu['’]au|jusqu['’]à|jusqu['’]en",
        Lead.START: "à partir du|à partir de|à compter du|dès le|dès",
        Lead.AFTER: "après le|après|depuis le|depuis|sauf le|sauf|pas avant|pas le|pas|entre",
    },
    fragments={"after_lead": " ", "suffix": "er", "joiner": "(?:~,~| et )(?:le |les )?"},
    common=words("le la les des et pour une un du de avec appeler envoyer ce chaque tous toutes avant"),
    repeating="chaque|tous les|toutes les",
    shifting=r"en huit|en quinze|d['’]après|ou plus tard|ou avant|et demie?|et quart|moins|et \w+ "
    r"(?:minutes?|heures?|jours?|semaines?)",
    preceding="quinze|huit",
    unhandled="jusqu['’]\\w*|sauf|excepté|à partir|dès",
    patterns=(
        *FIGURES,
        Pattern("{relative}", days.relative),
        Pattern("{today}", days.today_part, leads=False),
        Pattern("(?:ce ){weekday}", days.this_weekday),
        Pattern("{weekday} prochain", days.next_weekday),
        Pattern("{weekday} (?:dernier|passé)", days.last_weekday),
        Pattern("{weekday} (?:de )?la semaine prochaine", days.weekday_next_week),
        Pattern("la semaine prochaine,? {weekday}", days.weekday_next_week),
        Pattern("{weekday} (?:de )?cette semaine", days.this_weekday),
        Pattern("le {weekday}", days.vague, leads=False),  # this Monday, or every Monday
        Pattern("{weekday}", days.weekday),
        Pattern("(?:dans|d['’]ici|sous) {number} {unit}", days.distance, leads=False),
        Pattern("il y a {number} {unit}", days.ago, leads=False),
        Pattern("dans une demi-heure", days.half_hour, leads=False),
        Pattern(
            "(?:la |à la )?fin (?:du|de la|de l['’]|de ce|de cette|de cet)~{period}",
            days.end_of_this,
            needs_lead=True,
        ),
        Pattern(
            "(?:la |à la )?fin (?:du|de la|de l['’]|de ce|de cette|de cet)~{period}",
            days.end_of_this,
            weak=True,
        ),
        Pattern("(?:la |à la )?fin (?:du |de la |de l['’])?{period} prochaine?", days.end_of_next),
        Pattern("(?:le |au )?début (?:du |de la |de l['’])?{period} prochaine?", days.start_of_next),
        Pattern("(?:la )?fin {month}(?: {year})?", days.end_of_month),
        Pattern(
            r"(?:le|pour le|d['’]ici le|avant le) (?P<day>\d{1,2}|1er)",
            days.day_of_month,
            leads=False,
            weak=True,
            native=True,
        ),
        Pattern(r"(?:le )?{weekday} (?P<day>\d{1,2}|1er)(?! {month})", days.weekday_and_day, weak=True),
        Pattern(r"(?:le )?{day} {month}(?: {year})?", days.day_and_month),
        Pattern("(?:le )?{ordinal} {weekday} (?:du mois prochain|de {month})", days.weekday_of_month),
        Pattern("{month}(?: {year})?", days.vague, needs_lead=True, native=True),
        Pattern("(?:la |le |l['’])?{period} prochaine?", days.vague),
        Pattern("(?:ce|cette|cet) {period}", days.vague),
        Pattern("(?:ce |le )?week-?end(?: prochain)?", days.vague),
        Pattern("{hour}~h(?:eures?)?(?:~{minute})?", clocks.hour_and_minute, weak=True),
        Pattern("(?:à|vers|avant) {hour}~h(?:eures?)?(?:~{minute})?", clocks.hour_and_minute, leads=False),
        Pattern("(?:à |vers )?{hour}~h(?:eures?)?(?:~{minute})? {daypart}", clocks.hour_of_part, leads=False),
        Pattern("midi", clocks.noon),
        Pattern("minuit", clocks.midnight),
        Pattern("{daypart}", clocks.part, leads=False, weak=True),
        Pattern("(?:chaque|tous les) {weekdays}", repeats.on_weekdays, leads=False),
        Pattern("(?:tous les|les) {plurals}", repeats.on_plural, leads=False),
        Pattern("du {anyday} au {lastday}", repeats.unclear, leads=False),
        Pattern("(?:tous les|les) jours (?:ouvrés|de semaine)|en semaine", repeats.working_days, leads=False),
        Pattern("un {weekday} sur deux", repeats.every_other_weekday, leads=False),
        Pattern("(?:tous|toutes) les {number} {unit}", repeats.every_n_units, leads=False),
        Pattern("une? {unit} sur deux", repeats.every_other_unit, leads=False),
        Pattern("(?:chaque|tous les|toutes les) {unit}", repeats.every_unit, leads=False),
        Pattern("(?:chaque|tous les) (?P<daypart>matin|soir)s?", repeats.every_part, leads=False),
        Pattern("une fois par {unit}", repeats.every_unit, leads=False),
        Pattern("{adverb}", repeats.adverb, leads=False, weak=True),
        Pattern(
            "(?:le |chaque |tous les )?{ordinal}s? {weekday}s? (?:de chaque mois|tous les mois|chaque mois)",
            repeats.monthly_weekday,
            leads=False,
        ),
        Pattern("(?:le )?{ordinal} {weekday} (?:du|de ce) mois", days.vague),
        Pattern(
            r"(?:le )?(?P<day>\d{1,2}|1er) (?:de chaque mois|tous les mois|chaque mois)",
            repeats.monthly_day,
            leads=False,
        ),
        Pattern("(?:le )?dernier jour de chaque mois", repeats.last_day, leads=False),
        Pattern("(?:chaque|tous les) {day} {month}", repeats.yearly_day, leads=False),
        Pattern("(?:tous les|chaque) week-?ends?", repeats.unclear, leads=False),
        Pattern("{number} fois par {unit}", repeats.unclear, leads=False),
        Pattern("{number} fois", repeats.times, leads=False, weak=True),
        Pattern("pendant {number} {unit}", repeats.lasting, leads=False, weak=True),
    ),
)
