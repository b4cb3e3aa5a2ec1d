"""A conversation that remembers its turns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shoestring.chat.answer import Stream
from shoestring.chat.messages import Message
from shoestring.chat.sampling import SamplingOptions

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from shoestring.chat.model import Model


class Conversation:
    """Turns with one model. Nothing is dropped to make room: a turn that does not fit is refused."""

    def __init__(self, model: Model, *, system: str | None = None) -> None:
        self._model = model
        self._ended: list[Message] = [] if system is None else [Message("system", system)]
        self._last: tuple[Message, Stream] | None = None

    @property
    def messages(self) -> tuple[Message, ...]:
        """The turns so far, with what has come of an answer that is still running or was cut short."""
        if self._last is None or not self._last[1].text:
            return tuple(self._ended)
        said, answer = self._last
        return (*self._ended, said, Message("assistant", answer.text))

    def say(self, text: str, **sampling: Unpack[SamplingOptions]) -> Stream:
        """The next turn; gives the answer as it comes. Arguments and errors as `Model.chat`.

        An answer that is still running is cancelled; what came of it stays in the conversation. A turn that
        fails before the first word of its answer leaves the conversation as it was.
        """
        if self._last is not None:
            self._last[1].close()
        self._ended = list(self.messages)
        self._last = None
        said = Message("user", text)
        answer = self._model.chat([*self._ended, said], stream=True, **sampling)
        self._last = said, answer
        return answer
