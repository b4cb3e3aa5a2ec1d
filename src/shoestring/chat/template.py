"""From messages to what the engine tokenises, through the model's own chat template.

Text inside a message can never become a special token. Ordinary conversations give exactly the text that
the template renders, in one segment, and so the very tokens of the reference implementation:

1. Render the conversation as it is.
2. Render it again with every character of the messages at which a special token could begin (and a first
   character that could complete one begun by the template) replaced by a stand-in that no tokenizer knows.
3. Where both show the same sequence of special tokens, no message text became one: the first is the prompt.
4. Otherwise the second is. Its stand-ins turn back into what they stood for, and each that would begin a
   special token becomes a segment of its own, so that no tokenizer sees the token's name in one piece.
   (Turning special parsing off is not enough: llama.cpp and HF match user-defined tokens even then.)

Comparing renderings, instead of always using the second, lets templates look into messages: those that drop
earlier reasoning by splitting at `</think>` still do.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from functools import lru_cache

from shoestring.chat.messages import Message
from shoestring.chat.rendering import render_text
from shoestring.chat.sandbox import Variables
from shoestring.engines.base import Segment
from shoestring.errors import TemplateError

# Supplementary private use area B: no tokenizer has a token for these, and no message is likely to hold one.
_STAND_INS = range(0x100000, 0x10FFFE)


def render(
    template: str,
    messages: Sequence[Message],
    *,
    special_tokens: Collection[str],
    bos_token: str,
    eos_token: str,
    add_generation_prompt: bool = True,
) -> list[Segment]:
    """The conversation as the model was trained to see it, ready to tokenise.

    Args:
        special_tokens: the names of all special tokens; those that are only white space count as text.
        bos_token, eos_token: what the template may print, empty if the model has none.
        add_generation_prompt: end with the opening of the assistant's turn.

    Raises:
        TemplateError: the template is broken, costs too much to render, or refuses the conversation.
    """
    names = _names(frozenset(name for name in special_tokens if name.strip()))
    contents = [message.content for message in messages]
    guarded, stood_for = _guard(contents, names, avoid=template)

    def variables(texts: Sequence[str]) -> Variables:
        turns = [
            {"role": message.role, "content": text} for message, text in zip(messages, texts, strict=True)
        ]
        return {
            "messages": turns,
            "tools": None,
            "documents": None,
            "add_generation_prompt": add_generation_prompt,
            "bos_token": bos_token,
            "eos_token": eos_token,
        }

    if not stood_for:
        (plain,) = render_text(template, [variables(contents)])
        return _one(plain)
    plain, opaque = render_text(template, [variables(contents), variables(guarded)])
    if names.sequence(plain) == names.sequence(opaque):
        return _one(plain)
    return _split(opaque, stood_for, names)


def _one(text: str) -> list[Segment]:
    if not text:
        raise TemplateError("The model's chat template renders this conversation to nothing.")
    return [Segment(text, special=True)]


class _Names:
    """The names of special tokens, ready to be found in text."""

    def __init__(self, names: frozenset[str]) -> None:
        self.all = names
        self.firsts = frozenset(name[0] for name in names)
        self._start = re.compile(f"[{re.escape(''.join(self.firsts))}]" if names else "(?!)")
        self._lengths: dict[str, list[int]] = {}
        for name in names:
            self._lengths.setdefault(name[0], []).append(len(name))
        self._lengths = {first: sorted(set(lengths)) for first, lengths in self._lengths.items()}
        self._endings: dict[str, list[str]] = {}
        for ending in {name[i:] for name in names for i in range(1, len(name))}:
            self._endings.setdefault(ending[0], []).append(ending)

    def occurrences(self, text: str) -> Iterator[tuple[int, int]]:
        """(start, end) of every occurrence, overlapping ones too, in order."""
        for match in self._start.finditer(text):
            start = match.start()
            for length in self._lengths[match.group()]:
                if text[start : start + length] in self.all:
                    yield start, start + length

    def sequence(self, text: str) -> list[str]:
        """The names as they occur in a text, overlapping ones too."""
        return [text[start:end] for start, end in self.occurrences(text)]

    def completes_one(self, content: str) -> bool:
        """Whether text in front of `content` could make it the middle or the end of a special token."""
        head = content.lstrip()
        endings = self._endings.get(head[:1], ())
        return any(ending.startswith(head) or head.startswith(ending) for ending in endings)


@lru_cache(maxsize=4)
def _names(names: frozenset[str]) -> _Names:
    return _Names(names)


def _guard(contents: Sequence[str], names: _Names, avoid: str) -> tuple[list[str], dict[str, str]]:
    """The contents with stand-ins, and what each stand-in stands for (empty: nothing had to be replaced)."""
    taken = {
        character
        for text in (*contents, avoid, *names.all)
        for character in text
        if ord(character) >= 0x100000
    }
    supply = (character for character in map(chr, _STAND_INS) if character not in taken)
    stand_in: dict[str, str] = {}

    def replace(character: str) -> str:
        if character not in stand_in:
            stand_in[character] = next(supply)
        return stand_in[character]

    guarded = []
    for content in contents:
        text = content
        if names.completes_one(content):
            at = len(content) - len(content.lstrip())
            text = text[:at] + replace(text[at]) + text[at + 1 :]
        guarded.append("".join(replace(c) if c in names.firsts else c for c in text))
    return guarded, {new: old for old, new in stand_in.items()}


def _split(opaque: str, stood_for: dict[str, str], names: _Names) -> list[Segment]:
    """The rendering with stand-ins turned back, each one that is part of a special token's name set apart."""
    text = "".join(stood_for.get(character, character) for character in opaque)
    apart = {
        next(i for i in range(start, end) if opaque[i] in stood_for)
        for start, end in names.occurrences(text)
        if any(character in stood_for for character in opaque[start:end])
    }
    segments, start = [], 0
    for at in sorted(apart):
        segments += [Segment(text[start:at], special=True), Segment(text[at], special=False)]
        start = at + 1
    segments.append(Segment(text[start:], special=True))
    return [segment for segment in segments if segment.text]
