"""`tokenizer.json`, `tokenizer_config.json` and the chat template beside them, read without keeping a vocabulary.

The layout is that of Hugging Face's tokenizers library (`tokenizers/src/tokenizer/serialization.rs`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

import msgspec

from shoestring.errors import InvalidModelFileError
from shoestring.models.facts import TokenizerFacts
from shoestring.models.safetensors.config import Json, Section, parse_object
from shoestring.models.safetensors.tokenizer_sample import INLINE_BYTES, Counts, Sampled, sample
from shoestring.models.source import Source, read_whole

VOCABULARY, SETTINGS, TEMPLATE = "tokenizer.json", "tokenizer_config.json", "chat_template.jinja"
MAX_VOCABULARY_BYTES = 96 * 2**20
"""The largest in use (262,144 tokens and 515,000 merges, indented) take 33 MB."""
MAX_SETTINGS_BYTES = 16 * 2**20
MAX_TEMPLATE_BYTES = 2**20
MAX_TOKEN_ID = 2**31 - 1
WHOLE_BYTES = 512 * 1024
"""A file elsewhere is read whole up to here, and sampled beyond."""
_AGAIN = "Download it again from where the model is published."


class _Added(msgspec.Struct):
    id: int
    content: str
    special: bool = False


class _Model(msgspec.Struct):
    vocab: msgspec.Raw
    type: str | None = None
    merges: list[str | list[str]] = []  # msgspec copies it for every instance
    byte_fallback: bool = False


class _Tokenizer(msgspec.Struct):
    model: _Model
    added_tokens: list[_Added] = []
    post_processor: msgspec.Raw = msgspec.Raw(b"null")


_ALGORITHMS = {"BPE": "gpt2", "Unigram": "t5", "WordPiece": "bert", "WordLevel": "wordlevel"}


def read_settings(source: Source) -> Section:
    """`tokenizer_config.json`; empty where there is none."""
    if SETTINGS not in source.names():
        return Section({}, where=SETTINGS)
    return Section(
        parse_object(read_whole(source, SETTINGS, at_most=MAX_SETTINGS_BYTES), SETTINGS), where=SETTINGS
    )


def read_chat_template(source: Source, settings: Section) -> str | None:
    """The chat template: a file of its own, else what the settings hold; of several the one named `default`.

    Raises:
        InvalidModelFileError: it is no text.
    """
    if TEMPLATE in source.names():
        try:
            text = read_whole(source, TEMPLATE, at_most=MAX_TEMPLATE_BYTES).decode()
        except UnicodeDecodeError as error:
            raise InvalidModelFileError(f"{TEMPLATE} is not text in UTF-8.", _AGAIN) from error
        return text if text.strip() else None
    value = settings.value("chat_template")
    if isinstance(value, list):
        named = {str(item.get("name")): item.get("template") for item in value if isinstance(item, dict)}
        value = named.get("default", next(iter(named.values()), None))
    if value is None or value == "":
        return None
    if not isinstance(value, str) or len(value) > MAX_TEMPLATE_BYTES:
        raise settings.wrong("has a chat_template that is no text")
    return value if value.strip() else None


def read_tokenizer(source: Source, settings: Section, config: Section) -> TokenizerFacts | None:
    """The tokenizer's facts; None where there is no `tokenizer.json`.

    Args:
        config: the text model's, whose token ids hold where the settings name none.

    Raises:
        InvalidModelFileError: it is malformed.
    """
    if VOCABULARY not in source.names():
        return None
    sampled = _sampled(source, config)
    data = sampled.head if sampled else read_whole(source, VOCABULARY, at_most=MAX_VOCABULARY_BYTES)
    try:
        parsed = msgspec.json.decode(data, type=_Tokenizer)
        ids = _vocabulary(parsed.model)
        post_processor = msgspec.json.decode(parsed.post_processor)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidModelFileError(f"{VOCABULARY} is malformed: {str(error)[:200]}.", _AGAIN) from error
    for added in parsed.added_tokens:
        ids[added.content] = added.id
    if any(not 0 <= i <= MAX_TOKEN_ID for i in ids.values()):
        raise InvalidModelFileError(f"{VOCABULARY} has a token id out of range.", _AGAIN)
    facts = _facts(parsed, ids, settings, config, post_processor)
    return _extrapolated(facts, sampled.counts, ids) if sampled else facts


def _sampled(source: Source, config: Section) -> Sampled | None:
    """What samples tell of a large file that lies elsewhere; None: it has to be read whole."""
    if source.path(VOCABULARY) is not None:
        return None
    with source.open(VOCABULARY) as file:
        size = file.size_bytes
    if not WHOLE_BYTES < size <= MAX_VOCABULARY_BYTES:
        return None
    return sample(source, VOCABULARY, config.integer("vocab_size"))


def _extrapolated(facts: TokenizerFacts, counts: Counts, added: Mapping[str, int]) -> TokenizerFacts:
    """The facts of a head with the counts of the tables, to which come the tokens added behind them."""
    behind = [len(text.encode(errors="surrogatepass")) for text, i in added.items() if i >= counts.tokens]
    long = [n for n in behind if n > INLINE_BYTES]
    return replace(
        facts,
        vocab_size=counts.tokens + len(behind),
        tokens_bytes=counts.tokens_bytes + sum(behind),
        long_tokens=counts.long_tokens + len(long),
        long_tokens_bytes=counts.long_tokens_bytes + sum(long),
        merges=counts.merges,
        merges_bytes=counts.merges_bytes,
        sampled=True,
    )


def _vocabulary(model: _Model) -> dict[str, int]:
    if bytes(model.vocab)[:1] == b"[":  # Unigram: pairs of token and score
        pairs = msgspec.json.decode(model.vocab, type=list[tuple[str, float]])
        return {token: i for i, (token, _) in enumerate(pairs)}
    return msgspec.json.decode(model.vocab, type=dict[str, int])


def _facts(
    parsed: _Tokenizer, ids: Mapping[str, int], settings: Section, config: Section, post_processor: object
) -> TokenizerFacts:
    lengths = [len(token.encode(errors="surrogatepass")) for token in ids]
    long = [n for n in lengths if n > INLINE_BYTES]
    bos, eos = (_special(settings, config, ids, which) for which in ("bos", "eos"))
    names = {i: token for token, i in ids.items() if i in (bos, eos)}
    special = {added.id: added.content for added in parsed.added_tokens}
    bpe = parsed.model.type in ("BPE", None)
    return TokenizerFacts(
        model="llama"
        if bpe and parsed.model.byte_fallback
        else _ALGORITHMS.get(parsed.model.type or "BPE", "other"),
        vocab_size=len(ids),
        tokens_bytes=sum(lengths),
        long_tokens=len(long),
        long_tokens_bytes=sum(long),
        merges=len(parsed.model.merges),
        merges_bytes=sum(_length(merge) for merge in parsed.model.merges),
        has_scores=parsed.model.type == "Unigram",
        has_types=False,
        bos_id=bos,
        eos_id=eos,
        add_bos=_adds(settings, "bos", bos, post_processor),
        add_eos=_adds(settings, "eos", eos, post_processor),
        special_tokens=names | special,
    )


def _length(merge: str | list[str]) -> int:
    """Bytes of a merge rule as text: two tokens and a space between."""
    text = merge if isinstance(merge, str) else " ".join(merge)
    return len(text.encode(errors="surrogatepass"))


def _special(settings: Section, config: Section, ids: Mapping[str, int], which: str) -> int | None:
    """Id of the token that the settings name, else of the first that the config numbers."""
    value = settings.value(f"{which}_token")
    if isinstance(value, dict):
        value = value.get("content")
    if isinstance(value, str) and value in ids:
        return ids[value]
    number: Json = config.value(f"{which}_token_id")
    if isinstance(number, list):
        number = number[0] if number else None
    known = isinstance(number, int) and not isinstance(number, bool) and 0 <= number <= MAX_TOKEN_ID
    return int(number) if known and isinstance(number, int) else None


def _adds(settings: Section, which: str, token: int | None, post_processor: object) -> bool:
    """Whether the tokenizer itself adds the token: by its settings, else by its post-processor's template."""
    stated = settings.value(f"add_{which}_token")
    if token is None or isinstance(stated, bool):
        return token is not None and stated is True
    pieces = [piece for step in _steps(post_processor) for piece in _pieces(step.get("single"))]
    if not pieces:
        return False
    edge = pieces[0 if which == "bos" else -1]
    value = settings.value(f"{which}_token")
    name = value.get("content") if isinstance(value, dict) else value
    return name is not None and edge == name


def _steps(post_processor: object) -> Iterable[Mapping[str, object]]:
    """Post-processors that fill a template, those inside a sequence included."""
    if not isinstance(post_processor, dict):
        return
    if post_processor.get("type") == "TemplateProcessing":
        yield post_processor
    inner = post_processor.get("processors")
    for step in inner if isinstance(inner, list) else ():
        if isinstance(step, dict) and step.get("type") == "TemplateProcessing":
            yield step


def _pieces(single: object) -> Iterable[str | None]:
    """Of a template for one text, the special tokens' names in order; None for the text itself."""
    for piece in single if isinstance(single, list) else ():
        special = piece.get("SpecialToken") if isinstance(piece, dict) else None
        name = special.get("id") if isinstance(special, dict) else None
        yield name if isinstance(name, str) else None
