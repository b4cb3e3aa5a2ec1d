"""Spanish words for days, times and recurrences."""

from __future__ import annotations

from shoestring.tasks.when import clocks, days, repeats
from shoestring.tasks.when.base import Language, Lead, Pattern, words
from shoestring.tasks.when.numeric import FIGURES

_WEEKDAYS = {
    "lunes": 0, "martes": 1, "miércoles": 2, "miercoles": 2, "jueves": 3, "viernes": 4, "sábado": 5, "sabado": 5,
    "domingo": 6,
}  # fmt: skip
_MONTHS = {
    "enero": 1, "febrero": 2, "marzo": 3, "abril": 4, "mayo": 5, "junio": 6, "julio": 7, "agosto": 8,
    "septiembre": 9, "setiembre": 9, "octubre": 10, "noviembre": 11, "diciembre": 12,
}  # fmt: skip
_NUMBERS = {
    "un": 1, "una": 1, "uno": 1, "dos": 2, "tres": 3, "cuatro": 4, "cinco": 5, "seis": 6, "siete": 7, "ocho": 8,
    "nueve": 9, "diez": 10, "once": 11, "doce": 12,
}  # fmt: skip
_UNITS = {
    "minuto": "minute", "minutos": "minute", "hora": "hour", "horas": "hour", "día": "day", "días": "day",
    "dia": "day", "dias": "day", "semana": "week", "semanas": "week", "mes": "month", "meses": "month",
    "trimestre": "quarter", "trimestres": "quarter", "año": "year", "años": "year",
}  # fmt: skip
_EACH_MONTH = "(?:de cada mes|de todos los meses|cada mes)"

SPANISH = Language(
    name="Spanish",
    twelve_hours=True,
    words={
        "weekday": _WEEKDAYS,
        "short": {"lun.": 0},  # the others are other words, too
        "plural": {**_WEEKDAYS, "sábados": 5, "sabados": 5, "domingos": 6},
        "month": _MONTHS,
        "number": _NUMBERS,
        "ordinal": {
            "último": -1,
            "ultimo": -1,
            "primer": 1,
            "primero": 1,
            "segundo": 2,
            "tercer": 3,
            "tercero": 3,
            "cuarto": 4,
        },
        "unit": _UNITS,
        "period": {
            "semana": "week",
            "mes": "month",
            "trimestre": "quarter",
            "año": "year",
        },
        "relative": {
            "hoy": 0,
            "mañana": 1,
            "manana": 1,
            "pasado mañana": 2,
            "ayer": -1,
            "anteayer": -2,
        },
        "today": {"esta noche": "night", "esta tarde": "afternoon", "esta mañana": "morning"},
        "daypart": {
            "por la mañana": "morning",
            "de la mañana": "morning",
            "por la tarde": "afternoon",
            "de la tarde": "afternoon",
            "por la noche": "night",
            "de la noche": "night",
            "de la madrugada": "morning",
            "en la mañana": "morning",
            "en la tarde": "afternoon",
            "en la noche": "night",
        },
        "adverb": {
            "diariamente": "day",
            "semanalmente": "week",
            "mensualmente": "month",
            "anualmente": "year",
        },
    },
    leads={
        Lead.PLAIN: "a más tardar el|para el|para|el|a las|a la|al|en|hacia las|sobre las|este|a",
        Lead.BEFORE: "antes del|antes de las|antes de la|antes de",
        Lead.UNTIL: "hasta el|hasta",
        Lead.START: "a partir del|a partir de|desde el|desde|empezando el",
        Lead.AFTER: "después del|después de|salvo el|salvo|excepto el|excepto|menos el|entre",
    },
    fragments={"after_lead": " ", "suffix": "º|°", "joiner": "(?:~,~| y )(?:los |el )?"},
    common=words("el la los las para y una un con del de que llamar enviar cada todos antes por favor"),
    blocked=words("la"),  # la mañana is the morning
    repeating="cada|todos los|todas las",
    shifting=r"siguiente|o después|o antes|en ocho|y media|y cuarto|menos|y \w+ (?:minutos?|horas?|días?|semanas?)",
    preceding="ocho días del?|quince días del?",
    unhandled="hasta|salvo|excepto|menos|a partir|desde",
    patterns=(
        *FIGURES,
        Pattern("(?:el |este )?fin de semana", days.vague),
        Pattern("{relative}", days.relative),
        Pattern("{today}", days.today_part, leads=False),
        Pattern("este {weekday}", days.this_weekday),
        Pattern("(?:el )?próximo {weekday}", days.next_weekday),
        Pattern("(?:el )?{weekday} próximo", days.next_weekday),
        Pattern("(?:el )?{weekday} que viene", days.coming_weekday),
        Pattern("(?:el )?{weekday} pasado", days.last_weekday),
        Pattern(
            "(?:el )?{weekday} de la (?:semana que viene|próxima semana|semana próxima)",
            days.weekday_next_week,
        ),
        Pattern("la (?:semana que viene|próxima semana),? el {weekday}", days.weekday_next_week),
        Pattern("(?:el )?{weekday} de esta semana", days.this_weekday),
        Pattern("{weekday}", days.weekday),
        Pattern("(?:en|dentro de) {number} {unit}", days.distance, leads=False),
        Pattern("hace {number} {unit}", days.ago, leads=False),
        Pattern("(?:en|dentro de) media hora", days.half_hour, leads=False),
        Pattern(
            "(?:a |el )?(?:fin|final|finales) (?:de la |del |de este |de esta |de ){period}",
            days.end_of_this,
            needs_lead=True,
        ),
        Pattern(
            "(?:a |el )?(?:fin|final|finales) (?:de la |del |de este |de esta |de ){period}",
            days.end_of_this,
            weak=True,
        ),
        Pattern("(?:a |el )?(?:fin|final|finales) de la próxima {period}", days.end_of_next),
        Pattern("(?:a |el )?(?:fin|final|finales) del próximo {period}", days.end_of_next),
        Pattern("(?:a )?(?:principios|comienzo) (?:del próximo|de la próxima) {period}", days.start_of_next),
        Pattern("(?:a )?(?:finales|final|fin) de {month}(?: (?:de )?{year})?", days.end_of_month),
        Pattern(
            r"(?:el|para el) (?:día )?(?P<day>\d{1,2})",
            days.day_of_month,
            leads=False,
            weak=True,
            native=True,
        ),
        Pattern(r"{weekday},? (?P<day>\d{1,2})(?! de {month})", days.weekday_and_day, weak=True),
        Pattern("(?:día )?{day} de {month}(?: (?:de |del )?{year})?", days.day_and_month),
        Pattern(
            "(?:el )?{ordinal} {weekday} (?:del próximo mes|del mes que viene|de {month})",
            days.weekday_of_month,
        ),
        Pattern("{month}(?: (?:de )?{year})?", days.vague, needs_lead=True),
        Pattern("(?:la |el )?(?:próximo|próxima) {period}", days.vague),
        Pattern("(?:la |el )?{period} (?:que viene|próximo|próxima)", days.vague),
        Pattern("(?:esta|este) {period}", days.vague),
        Pattern("{hourword}(?::{minute})? {daypart}", clocks.hour_of_part),
        Pattern(
            "(?:a las|a la|antes de las|hacia las|sobre las) {hourword}(?: horas)?",
            clocks.hour,
            leads=False,
            weak=True,
        ),
        Pattern("(?:al )?mediodía", clocks.noon, leads=False),
        Pattern("(?:a )?medianoche", clocks.midnight, leads=False),
        Pattern("{daypart}", clocks.part, leads=False, weak=True),
        Pattern("(?:cada|todos los) {weekdays}", repeats.on_weekdays, leads=False),
        Pattern("(?:todos )?los {plurals}", repeats.on_plural, leads=False),
        Pattern("de {anyday} a {lastday}", repeats.unclear, leads=False),
        Pattern("(?:todos )?los días (?:laborables|hábiles)|entre semana", repeats.working_days, leads=False),
        Pattern("cada {number} {weekday}", repeats.every_n_weekdays, leads=False),
        Pattern("cada {number} {unit}", repeats.every_n_units, leads=False),
        Pattern("(?:cada|todos los|todas las) {unit}", repeats.every_unit, leads=False),
        Pattern("(?:todas las|cada) (?P<daypart>noche|mañana|tarde)s?", repeats.unclear, leads=False),
        Pattern("una vez (?:a la|al|por) {unit}", repeats.every_unit, leads=False),
        Pattern("{adverb}", repeats.adverb, leads=False, weak=True),
        Pattern(f"(?:el |cada )?{{ordinal}} {{weekday}} {_EACH_MONTH}", repeats.monthly_weekday, leads=False),
        Pattern("(?:el )?{ordinal} {weekday} del mes", days.vague),
        Pattern(rf"(?:el )?(?:día )?(?P<day>\d{{1,2}}) {_EACH_MONTH}", repeats.monthly_day, leads=False),
        Pattern("(?:el )?último día de cada mes", repeats.last_day, leads=False),
        Pattern("(?:cada|todos los) {day} de {month}", repeats.yearly_day, leads=False),
        Pattern("(?:todos los|cada) (?:fines?) de semana", repeats.unclear, leads=False),
        Pattern("{number} veces (?:a la|al|por) {unit}", repeats.unclear, leads=False),
        Pattern("{number} veces", repeats.times, leads=False, weak=True),
        Pattern("durante {number} {unit}", repeats.lasting, leads=False, weak=True),
    ),
)
