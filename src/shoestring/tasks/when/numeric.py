"""Dates and times in figures, which every language shares."""

from __future__ import annotations

from shoestring.tasks.when import clocks, days
from shoestring.tasks.when.base import Pattern

FIGURES = (
    Pattern(
        r"(?P<moment>\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(?::\d{2})?(?:Z|[+-]\d{2}:\d{2})?)", days.iso_moment
    ),
    Pattern(r"(?P<year>\d{4})(?P<separator>[-/])(?P<month>\d{2})(?P=separator)(?P<day>\d{2})", days.iso_day),
    Pattern(
        r"(?P<first>\d{1,2})(?P<separator>[/.-])(?P<second>\d{1,2})(?P=separator)(?P<year>\d{4}|\d{2})",
        days.figures,
    ),
    Pattern(r"(?P<first>\d{1,2})/(?P<second>\d{1,2})", days.figures, needs_lead=True, weak=True),
    Pattern(r"(?P<hour>\d{1,2}):(?P<minute>\d{2})", clocks.hour_and_minute, weak=True),
)
