"""`tokenizer.json` without reading all of it: its head exactly, of its tables a few samples.

A plan needs how many tokens and merges there are and how long their texts are, which rule some megabytes of memory;
the file has 3 to 33 MB. The library writes settings and added tokens first, then the model: the vocabulary in the order
of its ids, then the merges (`tokenizers/src/tokenizer/serialization.rs`). So a token met at some place tells how many
lie before it, and between samples lengths change slowly.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from shoestring.models.source import Source

INLINE_BYTES = 15  # that a C++ std::string keeps without the heap
_HEAD_BYTES, _LONGER_HEAD_BYTES = 64 * 1024, 2 * 2**20
_SAMPLES, _SAMPLE_BYTES, _FEWEST = 6, 16 * 1024, 8
_MODEL = re.compile(rb'"model"\s*:\s*\{')
_VOCABULARY = re.compile(rb'"vocab"\s*:\s*([{\[])')
_TEXT = rb'"((?:[^"\\]|\\.)*)"'
_NUMBERED = re.compile(_TEXT + rb"\s*:\s*(\d{1,9})\s*[,}]")
_SCORED = re.compile(rb"\[\s*" + _TEXT + rb"\s*,\s*-?\d[\d.eE+-]*\s*\]\s*,")
_PAIR = re.compile(rb"\[\s*" + _TEXT + rb"\s*,\s*" + _TEXT + rb"\s*\]\s*,")
_JOINED = re.compile(_TEXT + rb"\s*,")
_MERGES = re.compile(rb'\}\s*,\s*"merges"\s*:\s*\[')


@dataclass(frozen=True)
class Counts:
    """How many entries the tables have, and bytes of their texts; `long` are those over `INLINE_BYTES`."""

    tokens: int
    tokens_bytes: int
    long_tokens: int
    long_tokens_bytes: int
    merges: int
    merges_bytes: int


@dataclass(frozen=True)
class Sampled:
    """A tokenizer file of which parts were read.

    Attributes:
        head: the JSON up to the vocabulary, closed as if that were empty.
        counts: of the tables, extrapolated.
    """

    head: bytes
    counts: Counts


@dataclass(frozen=True)
class _Sample:
    """What lies around one place of a table: the ids met (of a numbered vocabulary), bytes of an entry as written, of
    its text, share and length of long texts."""

    at: float
    first_id: int | None
    entry: float
    text: float
    long_share: float
    long_text: float


def sample(source: Source, name: str, vocab_size: int | None) -> Sampled | None:
    """Read the head and a few samples, all at once; None where the file is not laid out as the library does.

    Args:
        vocab_size: of the config: about where the vocabulary ends, where no sample shows it.

    Raises:
        As `source` does.
    """
    with source.open(name) as file:
        size = file.size_bytes
    if size < _SAMPLES * _SAMPLE_BYTES:
        return None
    spans = {size * i // _SAMPLES - _SAMPLE_BYTES: _SAMPLE_BYTES for i in range(1, _SAMPLES + 1)}
    parts = source.parts(name, {**spans, 0: _HEAD_BYTES})
    head = parts.pop(0)
    match = _vocabulary(head)
    if match is None:  # thousands of added tokens
        head += source.parts(name, {len(head): _LONGER_HEAD_BYTES})[len(head)]
        match = _vocabulary(head)
    if (
        match is None
        or b'"added_tokens"' not in head[: match.start()]
        or b'"merges"' in head[: match.start()]
    ):
        return None
    start, opening = match.start(1), match[1]
    closed = head[:start] + (b"{}" if opening == b"{" else b"[]") + b"}}"
    samples = {at: data for at, data in sorted(parts.items()) if at > start}
    samples = {start: head[start : start + _SAMPLE_BYTES], **samples}
    counts = _scored(samples, start, size) if opening == b"[" else _numbered(samples, size, vocab_size)
    return None if counts is None else Sampled(closed, counts)


def _vocabulary(head: bytes) -> re.Match[bytes] | None:
    model = _MODEL.search(head)
    return None if model is None else _VOCABULARY.search(head, model.end())


def _numbered(samples: dict[int, bytes], size: int, vocab_size: int | None) -> Counts | None:
    """Of a vocabulary that maps texts to ids, and of the merges behind it."""
    tokens: list[_Sample] = []
    merges: list[_Sample] = []
    end: float | None = None
    for at, data in samples.items():
        boundary = _MERGES.search(data)
        before = data if boundary is None else data[: boundary.start() + 1]
        found = None if merges or end is not None else _sampled(_NUMBERED, before, at)
        if found is not None:
            tokens.append(found)
        if boundary is not None:
            end = at + boundary.start()
        if boundary is not None or found is None:
            after = data if boundary is None else data[boundary.end() :]
            pairs = _sampled(_PAIR, after, at) or _sampled(_JOINED, after, at)
            merges += [pairs] if pairs is not None else []
    if not tokens or any(sample.first_id is None for sample in tokens):
        return None
    last = tokens[-1]
    n = _vocabulary_end(last, end, merges[0].at if merges else size, vocab_size if merges else None)
    end = end if end is not None else last.at + (n - (last.first_id or 0)) * last.entry
    knots = [sample.first_id or 0 for sample in tokens]
    n_merges = _over(merges, [s.at for s in merges], [1 / s.entry for s in merges], end, size)
    merged = _over(merges, [s.at for s in merges], [s.text / s.entry for s in merges], end, size)
    return _counts(tokens, knots, n, round(n_merges), round(merged))


def _vocabulary_end(last: _Sample, end: float | None, at_most: float, vocab_size: int | None) -> int:
    """How many tokens there are: those before the last sample, and those that have room behind it."""
    stop = end if end is not None else at_most
    room = (last.first_id or 0) + round(max(stop - last.at, 0) / last.entry)
    return room if end is not None or vocab_size is None else min(room, max(vocab_size, last.first_id or 0))


def _scored(samples: dict[int, bytes], start: int, size: int) -> Counts | None:
    """Of a vocabulary that lists texts with their scores."""
    tokens = [found for at, data in samples.items() if (found := _sampled(_SCORED, data, at)) is not None]
    if not tokens:
        return None
    places = [sample.at for sample in tokens]
    knots, n = [], 0.0
    for i in range(len(tokens)):
        before = start if i == 0 else places[i - 1]
        n += _over(tokens, places, [1 / sample.entry for sample in tokens], before, places[i])
        knots.append(round(n))
    n += _over(tokens, places, [1 / sample.entry for sample in tokens], places[-1], size)
    return _counts(tokens, knots, round(n), 0, 0)


def _counts(tokens: list[_Sample], knots: list[int], n: int, merges: int, merges_bytes: int) -> Counts:
    def total(values: list[float]) -> int:
        return round(_over(tokens, knots, values, 0, n))

    return Counts(
        tokens=n,
        tokens_bytes=total([sample.text for sample in tokens]),
        long_tokens=total([sample.long_share for sample in tokens]),
        long_tokens_bytes=total([sample.long_share * sample.long_text for sample in tokens]),
        merges=merges,
        merges_bytes=merges_bytes,
    )


def _sampled(pattern: re.Pattern[bytes], data: bytes, at: int) -> _Sample | None:
    """The entries in a piece of a table; the first may be cut, so it is left out. None: there are hardly any."""
    found = list(pattern.finditer(data))[1:]
    if len(found) < _FEWEST:
        return None
    texts = [" ".join(_text(group) for group in _groups(match)) for match in found]
    lengths = [len(text.encode(errors="surrogatepass")) for text in texts]
    long = [n for n in lengths if n > INLINE_BYTES]
    return _Sample(
        at=at + found[0].start(),
        first_id=int(found[0][2]) if pattern is _NUMBERED else None,
        entry=(found[-1].start() - found[0].start()) / (len(found) - 1),
        text=sum(lengths) / len(lengths),
        long_share=len(long) / len(lengths),
        long_text=sum(long) / len(long) if long else 0.0,
    )


def _groups(match: re.Match[bytes]) -> Sequence[bytes]:
    return match.groups() if match.re is _PAIR else (match[1],)


def _text(raw: bytes) -> str:
    """What a JSON string stands for; one that stands for nothing counts as it is written."""
    try:
        return str(json.loads(b'"' + raw + b'"'))
    except ValueError:
        return raw.decode(errors="replace")


def _over(
    samples: list[_Sample], knots: Sequence[float], values: list[float], start: float, end: float
) -> float:
    """The integral of a quantity known at some places: linear between them, constant beyond the outer ones."""
    if not samples or end <= start:
        return 0.0
    places = sorted({start, end, *(knot for knot in knots if start < knot < end)})
    return sum((b - a) * (_at(knots, values, a) + _at(knots, values, b)) / 2 for a, b in pairwise(places))


def _at(knots: Sequence[float], values: list[float], x: float) -> float:
    i = bisect_left(knots, x)
    if i == 0:
        return values[0]
    if i == len(knots):
        return values[-1]
    before, after = knots[i - 1], knots[i]
    share = (x - before) / (after - before) if after > before else 0.0
    return values[i - 1] + share * (values[i] - values[i - 1])
