"""Words for days in languages that are not understood: noticed, so that it is asked and never guessed."""

from __future__ import annotations

import re

from shoestring.tasks.when.base import When

_WORDS = {
    "Chinese": "今天 明天 后天 後天 星期一 星期二 星期三 星期四 星期五 星期六 星期日 星期天 周一 周二 周三 周四 周五 下周",
    "Czech": "dnes zítra pozítří pondělí úterý čtvrtek pátek sobotu neděli",
    "Danish": "mandag tirsdag onsdag torsdag fredag lørdag søndag overmorgen",
    "Dutch": "vandaag overmorgen maandag dinsdag woensdag donderdag vrijdag zaterdag zondag",
    "Finnish": "tänään huomenna ylihuomenna maanantaina tiistaina keskiviikkona torstaina perjantaina",
    "Italian": "oggi domani dopodomani lunedì martedì mercoledì giovedì venerdì sabato domenica",
    "Japanese": "今日 明日 明後日 来週 月曜日 火曜日 水曜日 木曜日 金曜日 土曜日 日曜日",
    "Korean": "오늘 내일 모레 다음주 월요일 화요일 수요일 목요일 금요일 토요일 일요일",
    "Polish": "dziś dzisiaj jutro pojutrze poniedziałek wtorek środę czwartek piątek sobotę niedzielę piątku",
    "Portuguese": "hoje amanhã segunda-feira terça-feira quarta-feira quinta-feira sexta-feira sábado domingo",
    "Russian": (
        "сегодня завтра послезавтра понедельник вторник среду четверг пятницу пятницы субботу воскресенье понедельникам"
    ),
    "Swedish": "idag imorgon övermorgon måndag tisdag onsdag torsdag fredag lördag söndag",
    "Turkish": "bugün yarın pazartesi salı çarşamba perşembe",
    "Ukrainian": "сьогодні завтра післязавтра понеділок вівторок середу четвер п'ятницю суботу неділю",
}
_UNSPACED = {"Chinese", "Japanese", "Korean"}
_UNDERSTOOD = {"sábado", "domingo"}  # Spanish has them, too, with the same meaning


def notice(message: str) -> list[When]:
    """A question about the first word that names a day in another language; empty where there is none."""
    found = re.search(_pattern(), message, re.IGNORECASE)
    if found is None:
        return []
    question = f"{found[0]!r} may name a day in a language that is not understood. When is it due?"
    return [When(None, None, found.start(), found.end(), found[0], question)]


def _pattern() -> str:
    spaced = {word for name, words in _WORDS.items() if name not in _UNSPACED for word in words.split()}
    unspaced = {word for name in _UNSPACED for word in _WORDS[name].split()}
    return rf"\b(?:{'|'.join(sorted(spaced - _UNDERSTOOD))})\b|{'|'.join(sorted(unspaced, key=len, reverse=True))}"
