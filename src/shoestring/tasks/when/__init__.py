"""The words for a time, resolved by code: a date, a time or a recurrence, or the question that they leave open."""

from __future__ import annotations

from shoestring.tasks.when.base import When
from shoestring.tasks.when.find import find, find_all
from shoestring.tasks.when.rules import checked, next_occurrence

__all__ = ["When", "checked", "find", "find_all", "next_occurrence"]
