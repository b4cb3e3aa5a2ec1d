"""The tokenizer's facts and checks: its arrays must agree, its ids exist, its strings differ."""

from __future__ import annotations

import re

from shoestring.errors import InvalidModelFileError
from shoestring.models.facts import TokenizerFacts
from shoestring.models.gguf.arrays import NumberArray, StringArray
from shoestring.models.gguf.reader import GgufHeader
from shoestring.models.gguf.types import ValueType

_SPECIAL = re.compile(rb"[\x02\x03\x04]")  # UNKNOWN, CONTROL, USER_DEFINED
_ADDS_BOS = frozenset(
    {
        "llama3",
        "llama-v3",
        "llama-bpe",
        "falcon3",
        "falcon-h1",
        "pixtral",
        "midm-2.0",
        "lfm2",
        "tekken",
        "chameleon",
    }
)
"""BPE pre-tokenizers that put BOS in front where the header does not say (llama.cpp, src/llama-vocab.cpp)."""


def read_tokenizer(header: GgufHeader) -> TokenizerFacts:
    """The tokenizer of a model; `vocab_size` is 0 where the file holds none (a projector, an encoder).

    Raises:
        InvalidModelFileError: its arrays do not agree, an id is not in the vocabulary or a string occurs twice
            (llama.cpp asserts that they differ, src/llama-vocab.cpp).
    """
    model = header.metadata.get("tokenizer.ggml.model")
    tokens = header.metadata.get("tokenizer.ggml.tokens")
    if not isinstance(model, str) or not isinstance(tokens, StringArray):
        if model is None and tokens is None:
            return _no_tokenizer()
        if model in ("no_vocab", "none"):
            return _no_tokenizer()
        raise _invalid(header, "its tokenizer has no name or no list of tokens")
    if tokens.count == 0:
        raise _invalid(header, "its vocabulary is empty")
    types = _array(header, "token_type", (ValueType.INT32,), tokens.count)
    scores = _array(header, "scores", (ValueType.FLOAT32, ValueType.INT32), tokens.count)
    merges = header.metadata.get("tokenizer.ggml.merges")
    if merges is not None and not isinstance(merges, StringArray):
        raise _invalid(header, "its tokenizer's merges are no list of strings")
    _check_distinct(header, tokens)
    bos, eos = (_token_id(header, name, tokens.count) for name in ("bos", "eos"))
    for name in ("unknown", "padding", "seperator", "mask", "eot", "eom"):  # the misspelling is GGUF's
        _token_id(header, name, tokens.count)
    return TokenizerFacts(
        model=model,
        vocab_size=tokens.count,
        tokens_bytes=tokens.n_bytes,
        long_tokens=tokens.long_count,
        long_tokens_bytes=tokens.long_bytes,
        merges=merges.count if merges else 0,
        merges_bytes=merges.n_bytes if merges else 0,
        has_scores=scores is not None,
        has_types=types is not None,
        bos_id=bos,
        eos_id=eos,
        add_bos=_flag(header, "add_bos_token", model in ("llama", "bert") or _bpe_adds_bos(header, model)),
        add_eos=_flag(header, "add_eos_token", model == "t5"),
        special_tokens=_special_tokens(header, tokens, types, bos, eos),
    )


def _no_tokenizer() -> TokenizerFacts:
    return TokenizerFacts("none", 0, 0, 0, 0, 0, 0, False, False, None, None, False, False)


def _invalid(header: GgufHeader, problem: str) -> InvalidModelFileError:
    return InvalidModelFileError(
        f"{header.name} is not a usable model: {problem}.",
        "Download it again, or look for another conversion of the model.",
    )


def _array(header: GgufHeader, name: str, kinds: tuple[ValueType, ...], count: int) -> NumberArray | None:
    array = header.metadata.get(f"tokenizer.ggml.{name}")
    if array is None:
        return None
    if not isinstance(array, NumberArray) or array.type not in kinds or array.count != count:
        raise _invalid(header, f"its tokenizer's {name} do not match its {count:,} tokens")
    return array


def _check_distinct(header: GgufHeader, tokens: StringArray) -> None:
    distinct = tokens.count_distinct()
    if distinct < tokens.count:
        spare = max(sum(1 for text in tokens if not text) - 1, 0)  # llama.cpp numbers the empty ones
        if distinct + spare < tokens.count:
            raise _invalid(header, f"only {distinct:,} of its {tokens.count:,} tokens are different")


def _token_id(header: GgufHeader, name: str, count: int) -> int | None:
    key = f"tokenizer.ggml.{name}_token_id"
    value = header.metadata.get(key)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < count:
        raise _invalid(header, f"{key} is not one of its {count:,} tokens")
    return value


def _flag(header: GgufHeader, name: str, default: bool) -> bool:
    value = header.metadata.get(f"tokenizer.ggml.{name}", default)
    if not isinstance(value, bool):
        raise _invalid(header, f"tokenizer.ggml.{name} is neither true nor false")
    return value


def _bpe_adds_bos(header: GgufHeader, model: str) -> bool:
    return model == "gpt2" and header.metadata.get("tokenizer.ggml.pre") in _ADDS_BOS


def _special_tokens(
    header: GgufHeader, tokens: StringArray, types: NumberArray | None, *ids: int | None
) -> dict[int, str]:
    wanted = {i for i in ids if i is not None}
    if types:
        raw = types.raw()
        if any(raw[byte::4].count(0) != types.count for byte in (1, 2, 3)):
            raise _invalid(header, "its tokenizer's token_type holds types that do not exist")
        wanted.update(match.start() for match in _SPECIAL.finditer(raw[::4]))
    texts = tokens.at(sorted(wanted))
    return {i: texts[i].decode("utf-8", errors="replace") for i in sorted(wanted)}
