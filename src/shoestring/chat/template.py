"""From messages to what the engine tokenises, through the model's own chat template.

Text inside a message does not become a special token. Ordinary conversations give exactly the text that
the template renders, in one segment, and so the very tokens of the reference implementation:

1. Render the conversation as it is.
2. Render it again with every character of the messages at which a special token could begin or end replaced by a
   stand-in that no tokenizer knows; and once more with every character replaced, white space excepted. Turned
   back, the stand-ins tell which characters of the rendering came from messages.
3. Where the second, turned back, is the first to the character, and no special token holds a character
   that came from a message, the first is the prompt.
4. Templates may look into messages: some drop earlier reasoning by splitting at `</think>`. Where the first differs
   but has all template text with special tokens, in order, and no special token elsewhere, it is the prompt too.
5. Otherwise the second is, and a character from a message in each special token becomes a segment of its own, so
   that no tokenizer sees the token's name in one piece.
   (Turning special parsing off is not enough: llama.cpp and HF match user-defined tokens even then.)

Not promised: where a template treats a text differently when every character is replaced (it changes case, or looks
for a word), the inside of a message that the template puts between both ends of a token's name is not seen. Nor
that a template cannot print, of itself and on a word in a message, a special token: its own text is trusted.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from shoestring.chat.messages import Message
from shoestring.chat.rendering import render_text
from shoestring.chat.sandbox import Variables
from shoestring.engines.base import Segment
from shoestring.errors import TemplateError

# Supplementary private use area B: no tokenizer has a token for these, and no message is likely to hold one.
_STAND_INS = range(0x100000, 0x10FFFE)
_ESCAPED = re.compile(
    r"\\ud[bB][c-fC-F][0-9a-fA-F]\\u[dD][c-fC-F][0-9a-fA-F]{2}"
)  # such a one, in ASCII JSON


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
    stand_ins = _StandIns([*contents, template, *names.all])
    guarded = [_guarded(content, names, stand_ins) for content in contents]

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

    if not names.all:
        (plain,) = render_text(template, [variables(contents)])
        return _one(plain)
    plain, opaque = render_text(template, [variables(contents), variables(guarded)])
    traced = stand_ins.trace(opaque)
    fully = False
    for spared in ("", names.foreign_to_all(contents)):  # the latter lets templates see separators
        full = _trace_all(
            contents, spared, stand_ins, lambda texts: render_text(template, [variables(texts)])[0]
        )
        if full is not None and full.text == traced.text:
            traced, fully = full, True
            break
    same = plain == traced.text and not any(traced.holds_foreign(*at) for at in names.occurrences(plain))
    if same or (fully and plain != traced.text and _same_frame(plain, traced, names)):
        return _one(plain)
    return _split(traced, names)


@dataclass(frozen=True)
class _Traced:
    """A rendering, and for each character whether it came from a message."""

    text: str
    foreign: bytes

    def holds_foreign(self, start: int, end: int) -> bool:
        return self.foreign.find(1, start, end) >= 0


class _StandIns:
    """Characters that stand for others, none of them in these texts."""

    def __init__(self, avoid: Sequence[str]) -> None:
        taken = {character for text in avoid for character in text if character >= "\U00100000"}
        taken |= {json.loads(f'"{pair}"') for text in avoid for pair in _ESCAPED.findall(text)}
        self._supply = (character for character in map(chr, _STAND_INS) if character not in taken)
        self._of: dict[str, str] = {}
        self._stood_for: dict[str, str] = {}

    def replace(self, character: str) -> str:
        """Raises `StopIteration` when there are no more."""
        if character not in self._of:
            self._of[character] = next(self._supply)
            self._stood_for[self._of[character]] = character
        return self._of[character]

    def trace(self, rendered: str) -> _Traced:
        rendered = _ESCAPED.sub(self._unescaped, rendered)
        back = str.maketrans(self._stood_for)
        foreign = bytes(character in self._stood_for for character in rendered)
        return _Traced(rendered.translate(back), foreign)

    def _unescaped(self, match: re.Match[str]) -> str:
        """A stand-in that a template wrote as ASCII JSON, as stand-ins for the JSON of what it stood for."""
        original = self._stood_for.get(json.loads(f'"{match.group()}"'))
        if original is None:
            return match.group()
        return "".join(map(self.replace, json.dumps(original)[1:-1]))


def _trace_all(
    contents: Sequence[str], spared: str, stand_ins: _StandIns, rendering: Callable[[Sequence[str]], str]
) -> _Traced | None:
    """The rendering with all characters of messages traced; None if the template cannot do without them."""
    try:
        texts = [
            "".join([c if c.isspace() or c in spared else stand_ins.replace(c) for c in text])
            for text in contents
        ]
        return stand_ins.trace(rendering(texts))
    except (StopIteration, TemplateError):
        return None


def _same_frame(plain: str, traced: _Traced, names: _Names) -> bool:
    """Whether a rendering has the same template text with special tokens, in order, and no others."""
    frame = []
    for run in re.finditer(b"\0+", traced.foreign):
        text = traced.text[run.start() : run.end()].strip()
        if names.sequence(text):
            frame.append(text)
    inside, at = bytearray(len(plain)), 0
    for i, text in enumerate(frame):
        last = i == len(frame) - 1 and traced.text.rstrip().endswith(text)
        found = len(plain.rstrip()) - len(text) if last else plain.find(text, at)
        if found < at or not plain.startswith(text, found):
            return False
        at = found + len(text)
        inside[found:at] = b"\1" * len(text)
    return all(inside.find(0, start, end) < 0 for start, end in names.occurrences(plain))


def _one(text: str) -> list[Segment]:
    if not text:
        raise TemplateError("The model's chat template renders this conversation to nothing.")
    return [Segment(text, special=True)]


class _Names:
    """The names of special tokens, ready to be found in text."""

    def __init__(self, names: frozenset[str]) -> None:
        self.all = names
        self.firsts = frozenset(name[0] for name in names)
        self.lasts = frozenset(name[-1] for name in names if not name[-1].isspace())
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

    def foreign_to_all(self, contents: Sequence[str]) -> str:
        """The characters of these contents that are in no name."""
        return "".join(set().union(*contents).difference(*self.all))

    def completes_one(self, content: str) -> bool:
        """Whether text in front of `content` could make it the middle or the end of a special token."""
        head = content.lstrip()
        endings = self._endings.get(head[:1], ())
        return any(ending.startswith(head) or head.startswith(ending) for ending in endings)


@lru_cache(maxsize=4)
def _names(names: frozenset[str]) -> _Names:
    return _Names(names)


def _guarded(content: str, names: _Names, stand_ins: _StandIns) -> str:
    """A message in which no special token can begin or end, nor go on that the template began."""
    at = len(content) - len(content.lstrip()) if names.completes_one(content) else -1
    return "".join(
        stand_ins.replace(c) if i == at or c in names.firsts or c in names.lasts else c
        for i, c in enumerate(content)
    )


def _split(traced: _Traced, names: _Names) -> list[Segment]:
    """The rendering, with a character of each special token that holds text of a message set apart."""
    text = traced.text
    found = (traced.foreign.find(1, start, end) for start, end in names.occurrences(text))
    segments, start = [], 0
    for at in sorted({at for at in found if at >= 0}):
        segments += [Segment(text[start:at], special=True), Segment(text[at], special=False)]
        start = at + 1
    segments.append(Segment(text[start:], special=True))
    return [segment for segment in segments if segment.text]
