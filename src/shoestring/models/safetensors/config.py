"""`config.json`, read as what it is: a file from a stranger. Every value is typed and bounded before it is used.

Where the file is silent, transformers takes the default of the model's config class (Gemma 3's own config states
neither heads nor head_dim), so a section carries those of its family.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import TypeAlias

from shoestring.errors import InvalidModelFileError

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"

MAX_CONFIG_BYTES = 4 * 2**20
MAX_LAYERS = 4096
MAX_WIDTH = 2**24
"""Of anything that is a dimension: the largest vocabularies have 2**18 entries, the widest layers 2**17."""
MAX_CONTEXT = 2**31 - 1
_AGAIN = "Download the model's config.json again from where it is published."
_NAME = re.compile(r"[\w.-]{1,100}")


def parse_object(data: bytes, name: str) -> dict[str, Json]:
    """A JSON object.

    Raises:
        InvalidModelFileError: it is none, nests too deep, or a key stands twice.
    """
    try:
        value = json.loads(data.decode("utf-8-sig"), object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise InvalidModelFileError(f"{name} is malformed: {str(error)[:200]}.", _AGAIN) from error
    if not isinstance(value, dict):
        raise InvalidModelFileError(f"{name} is no JSON object.", _AGAIN)
    return value


def _once(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return found


class Section:
    """One config object, with the defaults of its class.

    Args:
        values: as the file has them; null counts as not stated.
        defaults: what the class assumes where the file is silent.
        where: what messages call it.
    """

    def __init__(
        self,
        values: Mapping[str, Json],
        defaults: Mapping[str, Json] | None = None,
        where: str = "config.json",
    ) -> None:
        self.values = values
        self.defaults: Mapping[str, Json] = defaults or {}
        self.where = where

    def value(self, *keys: str) -> Json:
        """The first of these keys that the file states, else the first that has a default, else None.

        Raises:
            InvalidModelFileError: two of them are stated and differ.
        """
        stated = [self.values[key] for key in keys if self.values.get(key) is not None]
        if any(value != stated[0] for value in stated[1:]):
            raise self.wrong(f"states {' and '.join(keys)} differently")
        if stated:
            return stated[0]
        # A key that is null in the file is null to the class, too: its default is for keys that are absent.
        usable = [key for key in keys if key not in self.values]
        return next((self.defaults[key] for key in usable if self.defaults.get(key) is not None), None)

    def integer(self, *keys: str, least: int = 1, most: int = MAX_WIDTH) -> int | None:
        """A whole number within bounds; None where nothing states it."""
        value = self.value(*keys)
        if value is None:
            return None
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            raise self.wrong(f"has a {type(value).__name__} for {keys[0]}, which is a whole number")
        if not least <= value <= most:
            raise self.wrong(f"has {_shown(value)} for {keys[0]}: not between {least:,} and {most:,}")
        return value

    def number(self, key: str, *, least: float, most: float) -> float | None:
        """A number within bounds; None where nothing states it."""
        value = self.value(key)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
            raise self.wrong(f"has no number between {least:g} and {most:g} for {key}")
        return float(value)

    def required(self, *keys: str, least: int = 1, most: int = MAX_WIDTH) -> int:
        """A whole number that has to be there."""
        value = self.integer(*keys, least=least, most=most)
        if value is None:
            raise self.wrong(f"does not state {keys[0]}")
        return value

    def per_layer(
        self, key: str, layers: int, *, least: int = 0, most: int = MAX_WIDTH
    ) -> tuple[int, ...] | None:
        """A whole number for every layer, stated as a list or as one for all."""
        value = self.value(key)
        if not isinstance(value, list):
            one = self.integer(key, least=least, most=most)
            return None if one is None else (one,) * layers
        return tuple(self.integers(key, least=least, most=most, length=layers) or ())

    def integers(
        self, key: str, *, least: int = 0, most: int = MAX_WIDTH, length: int | None = None
    ) -> tuple[int, ...] | None:
        """A list of whole numbers."""
        value = self.value(key)
        if value is None:
            return None
        if (
            not isinstance(value, list)
            or len(value) > MAX_LAYERS
            or (length is not None and len(value) != length)
        ):
            raise self.wrong(f"has no list of {length or 'whole'} numbers for {key}")
        return tuple(
            Section({key: item}, where=self.where).required(key, least=least, most=most) for item in value
        )

    def names(self, key: str, length: int) -> tuple[str, ...] | None:
        """A list of short names, one for every layer."""
        value = self.value(key)
        if value is None:
            return None
        if not isinstance(value, list) or len(value) != length:
            raise self.wrong(f"has no list of {length:,} names for {key}, one a layer")
        return tuple(self._name(key, item) for item in value)

    def name(self, key: str) -> str | None:
        """A short name: an identifier, a class or a type."""
        value = self.value(key)
        return None if value is None else self._name(key, value)

    def flag(self, *keys: str) -> bool | None:
        """True or false; None where nothing states it."""
        value = self.value(*keys)
        if value is not None and not isinstance(value, bool):
            raise self.wrong(f"has a {type(value).__name__} for {keys[0]}, which is true or false")
        return value

    def section(self, key: str) -> Section | None:
        """A nested object, without defaults."""
        value = self.value(key)
        if value is None:
            return None
        if not isinstance(value, dict):
            raise self.wrong(f"has a {type(value).__name__} for {key}, which is an object")
        return Section(value, where=f"{self.where} ({key})")

    def with_defaults(self, defaults: Mapping[str, Json]) -> Section:
        """The same with what its class assumes."""
        return Section(self.values, defaults, self.where)

    def changed(self, values: Mapping[str, Json]) -> Section:
        """The same with some values replaced."""
        return Section({**self.values, **values}, self.defaults, self.where)

    def wrong(self, what: str) -> InvalidModelFileError:
        """The error that says what is wrong here."""
        return InvalidModelFileError(f"{self.where} {what}.", _AGAIN)

    def _name(self, key: str, value: Json) -> str:
        if not isinstance(value, str) or not _NAME.fullmatch(value):
            raise self.wrong(f"has no plausible name for {key}")
        return value


def _shown(value: int) -> str:
    return f"{value:,}" if abs(value) < 10**30 else "a number of absurd size"
