"""Chat templates by name, for models that come without one, and from a file of the user's.

Each format is a `.jinja` file beside this one, written from the publication that its entry in `_FORMATS` names and
held to it by `tests/chat/golden/`. They render in the same sandbox as a model's own.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

from shoestring.chat.rendering import render_text
from shoestring.chat.sandbox import Variables
from shoestring.errors import TemplateError, UsageError

_LARGEST_FILE = 256 * 1024  # bytes; the longest template known has about 20,000 characters


@dataclass(frozen=True)
class Template:
    """A chat template that is not the model's own.

    Attributes:
        name: of the format, or of the file.
        source: Jinja.
        markers: names of special tokens that the format is made of. Where a model's vocabulary lacks them they
            reach it as ordinary text.
        stop: texts at which an answer is over, for models whose own end token is another.
    """

    name: str
    source: str
    markers: tuple[str, ...] = ()
    stop: tuple[str, ...] = ()

    def lacking(self, special_names: Collection[str]) -> str | None:
        """What the user should know of a model with these special tokens, in one sentence; None if nothing."""
        missing = [marker for marker in self.markers if marker not in special_names]
        if not missing:
            return None
        return (
            f"The model has no special token {' or '.join(missing)}, of which the {self.name} format is made: "
            "these markers reach it as plain text, which it may never have seen."
        )


class _Format(NamedTuple):
    """What a format is made of, and where it is published."""

    published: str
    bos: str = ""
    eos: str = ""
    markers: tuple[str, ...] = ()
    stop: tuple[str, ...] = ()


_MISTRAL = "docs.mistral.ai/cookbook/concept-deep-dive-tokenization-chat_templates"
_FORMATS = {
    "llama3": _Format(
        "llama.com/docs/model-cards-and-prompt-formats/meta-llama-3",
        "<|begin_of_text|>",
        "<|eot_id|>",
        ("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
        ("<|eot_id|>",),
    ),
    "chatml": _Format(
        "huggingface.co/teknium/OpenHermes-2.5-Mistral-7B",
        "",
        "<|im_end|>",
        ("<|im_start|>", "<|im_end|>"),
        ("<|im_end|>",),
    ),
    "gemma": _Format(
        "ai.google.dev/gemma/docs/core/prompt-structure",
        "<bos>",
        "<eos>",
        ("<start_of_turn>", "<end_of_turn>"),
        ("<end_of_turn>",),
    ),
    "mistral": _Format(_MISTRAL, "<s>", "</s>", (), ("[INST]",)),
    "mistral-v3": _Format(_MISTRAL, "<s>", "</s>", ("[INST]", "[/INST]"), ("[INST]",)),
    "mistral-v3-tekken": _Format(_MISTRAL, "<s>", "</s>", ("[INST]", "[/INST]"), ("[INST]",)),
    "mistral-v7": _Format(
        "huggingface.co/mistralai/Mistral-Large-Instruct-2411",
        "<s>",
        "</s>",
        ("[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]", "[INST]", "[/INST]"),
        ("[INST]",),
    ),
    "mistral-v7-tekken": _Format(
        "huggingface.co/mistralai/Mistral-Small-24B-Instruct-2501",
        "<s>",
        "</s>",
        ("[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]", "[INST]", "[/INST]"),
        ("[INST]",),
    ),
    "phi3": _Format(
        "huggingface.co/microsoft/Phi-3-mini-4k-instruct",
        "<s>",
        "<|endoftext|>",
        ("<|system|>", "<|user|>", "<|assistant|>", "<|end|>"),
        ("<|end|>",),
    ),
    "phi4": _Format(
        "huggingface.co/microsoft/phi-4",
        "<|endoftext|>",
        "<|im_end|>",
        ("<|im_start|>", "<|im_sep|>", "<|im_end|>"),
        ("<|im_end|>",),
    ),
    "zephyr": _Format("huggingface.co/HuggingFaceH4/zephyr-7b-beta", "<s>", "</s>", (), ("<|user|>",)),
    "llama2": _Format("huggingface.co/blog/llama2", "<s>", "</s>", (), ("[INST]",)),
    "vicuna": _Format("github.com/lm-sys/FastChat", "<s>", "</s>", (), ("USER:",)),
    "alpaca": _Format("github.com/tatsu-lab/stanford_alpaca", "<s>", "</s>", (), ("### Instruction:",)),
    "deepseek": _Format(
        "huggingface.co/deepseek-ai/DeepSeek-V2.5",
        "<｜begin▁of▁sentence｜>",
        "<｜end▁of▁sentence｜>",
        ("<｜User｜>", "<｜Assistant｜>", "<｜end▁of▁sentence｜>"),
        ("<｜User｜>", "<｜end▁of▁sentence｜>"),
    ),
    "command-r": _Format(
        "huggingface.co/CohereForAI/c4ai-command-r-plus",
        "<BOS_TOKEN>",
        "<|END_OF_TURN_TOKEN|>",
        (
            "<|START_OF_TURN_TOKEN|>",
            "<|END_OF_TURN_TOKEN|>",
            "<|SYSTEM_TOKEN|>",
            "<|USER_TOKEN|>",
            "<|CHATBOT_TOKEN|>",
        ),
        ("<|END_OF_TURN_TOKEN|>",),
    ),
}

NAMES: tuple[str, ...] = tuple(_FORMATS)
"""Every name that `named` knows."""


def find(wanted: str) -> Template:
    """The named template, or the one in the file of that path.

    Raises:
        UsageError: there is neither a format nor a file of that name, or the file cannot be used.
        TemplateError: what the file holds is not a template.
    """
    if wanted in _FORMATS:
        return named(wanted)
    if Path(wanted).exists():
        return from_file(Path(wanted))
    raise _unknown(wanted)


def named(name: str) -> Template:
    """The template of a published format.

    Raises:
        UsageError: there is none of that name.
    """
    known = _FORMATS.get(name)
    if known is None:
        raise _unknown(name)
    return Template(name, _source(name), known.markers, known.stop)


def _unknown(name: str) -> UsageError:
    return UsageError(
        f"There is no chat template {name!r}.",
        f"There are {', '.join(NAMES)}; or give the path of a file that holds one.",
    )


def from_file(path: Path) -> Template:
    """A template of the user's own, as Jinja source.

    Raises:
        UsageError: the file is missing, unreadable, no plain file, empty, too large or not UTF-8.
        TemplateError: it is not valid Jinja.
    """
    source = _read(path)
    _check_syntax(source, path)
    return Template(path.name, source)


def _read(path: Path) -> str:
    try:
        if not path.is_file():
            raise UsageError(f"There is no file {path} to take a chat template from.")
        with path.open("rb") as file:
            raw = file.read(_LARGEST_FILE + 1)
    except OSError as error:
        raise UsageError(f"The chat template {path} cannot be read: {error.strerror}.") from error
    if len(raw) > _LARGEST_FILE:
        raise UsageError(
            f"{path} is larger than {_LARGEST_FILE // 1024} KiB: that is no chat template.",
            "Give a file that holds the template's Jinja source alone.",
        )
    try:
        source = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(
            f"{path} is not UTF-8 text.", "Give a file with the template's Jinja source."
        ) from error
    if not source.strip():
        raise UsageError(f"{path} is empty.", "Give a file with the template's Jinja source.")
    return source


def _check_syntax(source: str, path: Path) -> None:
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    from shoestring.chat.sandbox import TEMPLATE_FAULTS, environment

    try:
        environment(ImmutableSandboxedEnvironment).parse(source)
    except TEMPLATE_FAULTS as fault:
        line = getattr(fault, "lineno", None)
        where = f", line {line}" if line else ""
        raise TemplateError(
            f"{path.name} is not a chat template{where}: {str(fault) or type(fault).__name__}.",
            "Give a file with the template's Jinja source, as models keep it in chat_template.jinja.",
        ) from fault


@cache
def _source(name: str) -> str:
    return (Path(__file__).parent / f"{name}.jinja").read_text(encoding="utf-8")


_SPOKEN = (
    {"role": "user", "content": "Hello"},
    {"role": "assistant", "content": "Hi there"},
    {"role": "user", "content": "Who are you?"},
)
_INSTRUCTED = ({"role": "system", "content": "Be brief."}, *_SPOKEN)
_BOS, _EOS = "\ue000bos\ue000", "\ue000eos\ue000"  # private use: no template prints them of itself


def detect(source: str) -> str | None:
    """Which known format a model's own template is; None where it is none of them.

    Two templates are the same format if they render a conversation to the same text, with its instructions or,
    where no format agrees on those, without. A beginning-of-sequence token in front makes no difference: many
    models leave it to the tokenizer.
    """
    for messages in (_INSTRUCTED, _SPOKEN):
        own = _rendered(source, messages, _BOS, _EOS)
        if own is None:
            continue
        for name, known in _FORMATS.items():
            ours = _rendered(_source(name), messages, known.bos, known.eos)
            theirs = own.replace(_BOS, known.bos).replace(_EOS, known.eos)
            if ours is not None and ours.removeprefix(known.bos) == theirs.removeprefix(known.bos):
                return name
    return None


def _rendered(source: str, messages: tuple[dict[str, str], ...], bos: str, eos: str) -> str | None:
    """The text of a conversation; None if the template refuses it or fails."""
    variables: Variables = {
        "messages": list(messages),
        "tools": None,
        "documents": None,
        "add_generation_prompt": True,
        "bos_token": bos,
        "eos_token": eos,
    }
    try:
        return render_text(source, [variables])[0]
    except TemplateError:
        return None
