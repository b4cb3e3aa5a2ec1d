"""Text to token ids and back, with a checkpoint's fast tokenizer."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from shoestring.engines.base import Segment

_CONTEXTS = (16, 24, 48)
"""So many tokens of the prompt new text is decoded after, so that its first word keeps its space."""
_WINDOW = 48
"""Tokens that are decoded again with each one that comes, about; a tokenizer's memory is a character."""
_INCOMPLETE = "\ufffd"

# Chat markers that a tokenizer forgot to call special. The converter to GGUF takes the same for control tokens
# (`does_token_look_special` in llama.cpp's `conversion/base.py`), so that both engines see the same text.
_MARKER = re.compile(r"<\|.*\|>|<\uff5c.*\uff5c>", re.DOTALL)

_TURN_ENDS = ("<|im_end|>", "<|eot_id|>", "<end_of_turn>")
"""End a turn whatever a checkpoint's configs say: some name only the end of a document."""


class Text:
    """A tokenizer for both directions. Thread-safe.

    It is changed for good: what its file says of cutting and padding is switched off (it would cut prompts
    silently), and markers are special whether their file says so or not.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokens = tokenizer.backend_tokenizer
        self._lock = threading.Lock()  # whether special names are text is a state of the tokenizer
        self._tokens.no_truncation()
        self._tokens.no_padding()
        self._tokens.add_special_tokens(list(_unmarked(self._tokens)))

    def encode(self, segments: Sequence[Segment]) -> list[int]:
        """Ids of the segments, one after the other, no BOS. Names of special tokens are text unless `special`.

        Added tokens that are not special (runs of spaces, tags) are found in all text, as by every engine.
        """
        ids: list[int] = []
        with self._lock:
            for segment in segments:
                if segment.text:
                    self._tokens.encode_special_tokens = not segment.special
                    ids += self._tokens.encode(segment.text, add_special_tokens=False).ids
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        """Text of the ids. Special tokens are not text; incomplete characters are U+FFFD."""
        text: str = self._tokens.decode(ids, skip_special_tokens=True)
        return text

    def ends(self) -> set[int]:
        """Special tokens that end a turn by their names."""
        added = self._tokens.get_added_tokens_decoder()
        return {token for token, name in added.items() if name.special and name.content in _TURN_ENDS}


def _unmarked(tokens: Any) -> Iterator[Any]:
    for added in tokens.get_added_tokens_decoder().values():
        if not added.special and _MARKER.fullmatch(added.content):
            added.special = True
            yield added


def _context(decode: Callable[[Sequence[int]], str], prompt: Sequence[int]) -> list[int]:
    """Its last tokens, begun where no character is cut; none where that is not found.

    Bytes of a character that was cut would spoil the whole ones after it: SentencePiece decodes them together.
    """
    ends = (list(prompt[-n:]) for n in _CONTEXTS)
    return next((end for end in ends if _INCOMPLETE not in decode(end)), [])


class NewText:
    """Text of new tokens as they come, in whole characters; together it is what decoding them at once gives.

    At once means after the prompt: decode(prompt + new) without what decode(prompt) gives. A window of tokens is
    decoded with each that comes, from a place where no character was open, so the text of one token may depend on
    those before it (SentencePiece drops the space of the first).
    """

    def __init__(self, decode: Callable[[Sequence[int]], str], prompt: Sequence[int]) -> None:
        self._decode = decode
        self._ids = _context(decode, prompt)
        self._shown = len(decode(self._ids))
        self._clean = len(self._ids)  # tokens whose text is shown: no character is open after them

    def push(self, token: int) -> str:
        """Add a token; the text that is complete with it, often empty."""
        self._ids.append(token)
        text = self._decode(self._ids)
        if len(text) <= self._shown or text.endswith(_INCOMPLETE):
            return ""
        piece, self._shown = text[self._shown :], len(text)
        if len(self._ids) > _WINDOW:
            self._ids = self._ids[self._clean :]
            self._shown = len(self._decode(self._ids))
        self._clean = len(self._ids)
        return piece

    def finish(self) -> str:
        """What was held back: characters that no token will complete any more."""
        return self._decode(self._ids)[self._shown :]
