"""Bytes and durations, in and out of text. Bytes are ints, durations floats in seconds."""

from __future__ import annotations

import re

KiB, MiB, GiB = 1024, 1024**2, 1024**3

_BYTES = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?)(i?)b?\s*", re.IGNORECASE)


def format_bytes(n_bytes: int) -> str:
    """Bytes in decimal units with three significant digits, as disks and GPUs are sold: 98_362_432 → '98.4 MB'."""
    sign, value = ("-", -n_bytes) if n_bytes < 0 else ("", n_bytes)
    if value < 1000:
        return f"{sign}{value} B"
    scaled = float(value)
    for unit in ("kB", "MB", "GB", "TB", "PB"):
        scaled /= 1000
        if scaled < 999.5 or unit == "PB":
            digits = 2 if scaled < 9.995 else 1 if scaled < 99.95 else 0
            return f"{sign}{scaled:.{digits}f} {unit}"
    raise AssertionError("unreachable")


def parse_bytes(text: str) -> int:
    """'12GB' → 12_000_000_000, '512MiB' → 536_870_912, '4096' → 4096.

    Raises:
        ValueError: when the text is not a size.
    """
    match = _BYTES.fullmatch(text)
    if not match:
        raise ValueError(f"{text!r} is not a size; write it like 12GB or 512MiB")
    number, prefix, binary = match.groups()
    base = 1024.0 if binary else 1000.0
    return round(float(number) * base ** " kmgt".index(prefix.lower() or " "))


def format_seconds(seconds: float) -> str:
    """0.0123 → '12 ms', 3.21 → '3.2 s', 95 → '1 min 35 s'."""
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min"


def format_count(n: int) -> str:
    """134_515_008 → '134.5M', 8_030_261_248 → '8.03B': parameters and tokens as the field writes them."""
    for limit, suffix in ((10**12, "T"), (10**9, "B"), (10**6, "M"), (10**3, "k")):
        if n >= limit:
            scaled = n / limit
            return f"{scaled:.2f}{suffix}" if scaled < 10 else f"{scaled:.1f}{suffix}"
    return str(n)
