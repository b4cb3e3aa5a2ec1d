"""Engines by name. Built-ins and third parties enter by the same door: a thunk that imports inside.

A package adds an engine with an entry point in the group `shoestring.engines`, whose object is a
callable that returns an `Engine`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from shoestring.engines.base import Engine
from shoestring.errors import EngineError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

ENTRY_POINT_GROUP = "shoestring.engines"


def _llama_cpp() -> Engine:
    from shoestring.engines.llama_cpp import LlamaCppEngine

    return LlamaCppEngine()


def _fake() -> Engine:
    from shoestring.engines.fake import FakeEngine

    return FakeEngine()


def _transformers() -> Engine:
    from shoestring.engines.transformers.engine import TransformersEngine

    return TransformersEngine()


_BUILT_IN: dict[str, Callable[[], Engine]] = {
    "llama_cpp": _llama_cpp,
    "transformers": _transformers,
    "fake": _fake,
}


def _third_party() -> dict[str, Callable[[], Engine]]:
    from importlib.metadata import entry_points

    return {point.name: partial(_from_entry_point, point) for point in entry_points(group=ENTRY_POINT_GROUP)}


def _from_entry_point(point: EntryPoint) -> Engine:
    engine: Engine = point.load()()
    return engine


def engine_names() -> tuple[str, ...]:
    """All engines that can be asked for, sorted. A built-in's name cannot be taken over."""
    return tuple(sorted({*_third_party(), *_BUILT_IN}))


def has_engine(name: str) -> bool:
    """Whether there is an engine of this name; its libraries may be missing all the same."""
    return name in _BUILT_IN or name in _third_party()


def get_engine(name: str) -> Engine:
    """The engine of this name.

    Raises:
        EngineError: there is none.
    """
    thunk = _BUILT_IN.get(name) or _third_party().get(name)
    if thunk is None:
        raise EngineError(f"There is no engine {name!r}.", f"Engines here: {', '.join(engine_names())}.")
    return thunk()
