"""From what a user passes to a `Request`: types and names are checked here, once; values are the solver's to judge."""

from __future__ import annotations

from typing import TypeVar, get_args

from shoestring.errors import UsageError
from shoestring.planning import precision as precisions
from shoestring.planning.base import KvPrecision, Purpose, Request
from shoestring.units import MiB, parse_bytes

T = TypeVar("T", bound=str)

DEFAULT_TRAINING_BATCH = 16
"""Examples a step where none are asked for: what QLoRA was tuned with up to 13B (arXiv:2305.14314, table 9)."""

_KV_ALIASES = {"fp16": "f16", "fp32": "f32", "q8": "q8_0", "q4": "q4_0", "int8": "q8_0"}


def request(
    *,
    context: int | None = None,
    batch: int | None = None,
    ram: int | str | None = None,
    vram: int | str | None = None,
    precision: str | None = None,
    kv_precision: str | None = None,
    engine: str | None = None,
    purpose: str = "inference",
    quality_floor: str | None = None,
) -> Request:
    """A request of the right types and known names.

    Raises:
        UsageError: a value is of the wrong type, or a name is not known; the hint has the nearest one.
    """
    aim = _one_of(_text(purpose, "purpose"), get_args(Purpose), "purpose")
    cache = None
    if kv_precision is not None:
        spelled = _text(kv_precision, "kv_precision").casefold()
        cache = _one_of(_KV_ALIASES.get(spelled, spelled), get_args(KvPrecision), "precision of the cache")
    default_batch = 1 if aim == "inference" else DEFAULT_TRAINING_BATCH
    return Request(
        context=None if context is None else whole(context, "context", "tokens"),
        batch=default_batch if batch is None else whole(batch, "batch", "sequences"),
        budget_bytes=size(ram, "ram"),
        vram_bytes=size(vram, "vram"),
        precision=None if precision is None else precisions.known(_text(precision, "precision")),
        kv_precision=cache,
        engine=None if engine is None else _text(engine, "engine"),
        purpose=aim,
        quality_floor=None
        if quality_floor is None
        else precisions.known(_text(quality_floor, "quality_floor")),
    )


def whole(value: object, name: str, unit: str) -> int:
    """The value, if it is a whole number.

    Raises:
        UsageError: it is not.
    """
    if not isinstance(value, int) or isinstance(value, bool):
        raise UsageError(f"{name} is {value!r}, but it must be a whole number of {unit}.")
    return value


def size(value: int | str | None, name: str) -> int | None:
    """Bytes from a number of them, or from text such as `12GB`.

    Raises:
        UsageError: it is neither.
    """
    if value is None or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    if not isinstance(value, str):
        raise UsageError(f"{name} is {value!r}, but it must be whole bytes, or text such as '2GB'.")
    try:
        n_bytes = parse_bytes(value)
    except ValueError as error:
        raise UsageError(f"{error}.") from error
    if 0 < n_bytes < MiB and value.strip().isdecimal():
        raise UsageError(f"{value.strip()} bytes hold nothing.", f"Did you mean {value.strip()}GB?")
    return n_bytes


def _text(value: object, name: str) -> str:
    if not isinstance(value, str):
        raise UsageError(f"{name} is {value!r}, but it must be a name.")
    return value


def _one_of(value: str, allowed: tuple[T, ...], what: str) -> T:
    for name in allowed:
        if name == value:
            return name
    import difflib  # 5 ms, and only for who mistyped

    near = difflib.get_close_matches(value, allowed, n=1)
    hint = f"Did you mean {near[0]}? " if near else ""
    raise UsageError(
        f"There is no {what} {value!r}.", f"{hint}Choose {', '.join(allowed[:-1])} or {allowed[-1]}."
    )
