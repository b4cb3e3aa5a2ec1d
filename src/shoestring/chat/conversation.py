"""A conversation that remembers its turns."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

from shoestring.chat.answer import Stream
from shoestring.chat.messages import Message
from shoestring.chat.sampling import SamplingOptions
from shoestring.errors import PromptTooLongError, UsageError

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from shoestring.chat.fitting import Fitted
    from shoestring.chat.model import Model

OnFull = Literal["refuse", "drop"]


class Conversation:
    """Turns with one model.

    Attributes:
        on_full: what happens to a turn that does not fit the context any more: `refuse` raises
            `PromptTooLongError`, nothing is left out; `drop` leaves the oldest exchanges out of what is sent, keeps
            the instructions, and says so in the answer's notes (`fitting.fit` is the rule). They stay in `messages`.
        sampling: settings for every turn; those given to a turn come first.
    """

    def __init__(
        self,
        model: Model,
        *,
        system: str | None = None,
        on_full: OnFull = "refuse",
        sampling: SamplingOptions | None = None,
    ) -> None:
        self.on_full = on_full
        self.sampling: SamplingOptions = {} if sampling is None else sampling
        self._model = model
        self._ended: list[Message] = [] if system is None else [Message("system", system)]
        self._last: tuple[Message, Stream] | None = None
        self._forgotten = 0

    @property
    def messages(self) -> tuple[Message, ...]:
        """The turns so far, with what has come of an answer that is still running or was cut short."""
        if self._last is None or not self._last[1].text:
            return tuple(self._ended)
        said, answer = self._last
        return (*self._ended, said, Message("assistant", answer.text))

    @property
    def system(self) -> str | None:
        """The instructions; setting them holds from the next turn on."""
        first = self._ended[:1]
        return first[0].content if first and first[0].role == "system" else None

    @system.setter
    def system(self, text: str | None) -> None:
        self._settle()
        turns = [turn for turn in self._ended if turn.role != "system"]
        self._ended = turns if text is None else [Message("system", text), *turns]
        self._forgotten = 0

    @property
    def forgotten(self) -> int:
        """How many of the oldest exchanges the model did not see any more at the last turn."""
        return self._forgotten

    @property
    def context_used(self) -> int:
        """Tokens of all turns in the model's own format, those that are left out not counted. Loads the model."""
        messages = self.messages
        if not any(message.role == "user" for message in messages):
            return 0
        return self._fitted(messages).n_tokens if self.on_full == "drop" else self._count(messages)

    @property
    def context_left(self) -> int:
        """Tokens that the next turn and its answer may take before the context is full."""
        return max(self._model.plan.context - self.context_used, 0)

    def say(self, text: str, **sampling: Unpack[SamplingOptions]) -> Stream:
        """The next turn; gives the answer as it comes. Arguments and errors as `Model.chat`.

        An answer that is still running is cancelled; what came of it stays in the conversation. A turn that
        fails before the first word of its answer leaves the conversation as it was.
        """
        self._settle()
        said = Message("user", text)
        options = cast(SamplingOptions, {**self.sampling, **sampling})
        messages: Sequence[Message] = [*self._ended, said]
        fitted = self._fitted(messages) if self.on_full == "drop" and text.strip() else None
        answer = self._model.chat(messages if fitted is None else fitted.messages, stream=True, **options)
        if fitted is not None:
            self._tell(fitted, answer)
        self._last = said, answer
        return answer

    def retry(self, **sampling: Unpack[SamplingOptions]) -> Stream:
        """Have the last message answered anew; the answer to it so far is forgotten. Else as `say`.

        Raises:
            UsageError: nothing was said yet.
        """
        before = self.messages
        text = self.undo()
        try:
            return self.say(text, **sampling)
        except BaseException:
            self._ended = list(before)
            raise

    def undo(self) -> str:
        """Take back the last message and its answer; gives what the user had said.

        Raises:
            UsageError: nothing was said yet.
        """
        self._settle()
        asked = [i for i, turn in enumerate(self._ended) if turn.role == "user"]
        if not asked:
            raise UsageError("Nothing was said in this conversation yet.", "Say something first.")
        text = self._ended[asked[-1]].content
        del self._ended[asked[-1] :]
        self._forgotten = 0
        return text

    def save(self, path: Path) -> None:
        """Write the conversation to a file, with the model's name and the settings. Errors as `saved.save`."""
        from shoestring.chat import saved

        turns = self.messages
        system = self.system
        saved.save(
            saved.SavedConversation(
                model=self._model.facts.id,
                system=system,
                messages=tuple(
                    saved.SavedMessage(turn.role, turn.content)
                    for turn in turns[0 if system is None else 1 :]
                ),
                sampling={name: value for name, value in self.sampling.items() if value is not None},
            ),
            path,
        )

    def load(self, path: Path) -> str | None:
        """Go on with a conversation from a file instead of this one: its turns, instructions and settings.

        Returns:
            What the user should know, one sentence: that it was held with another model. Else None.

        Raises:
            UsageError: as `saved.load`; this conversation is as it was.
        """
        from shoestring.chat import saved

        read = saved.load(path)
        self._settle()
        opening = [] if read.system is None else [Message("system", read.system)]
        self._ended = [*opening, *read.turns()]
        self.sampling = cast(SamplingOptions, dict(read.sampling))
        self._forgotten = 0
        if read.model == self._model.facts.id:
            return None
        return f"This conversation was held with {read.model}; {self._model.facts.id} goes on with it."

    def _settle(self) -> None:
        """End an answer that is still running; what came of it becomes a turn like the others."""
        if self._last is not None:
            self._last[1].close()
        self._ended = list(self.messages)
        self._last = None

    def _fitted(self, messages: Sequence[Message]) -> Fitted:
        from shoestring.chat.fitting import fit

        return fit(messages, self._count, context=self._model.plan.context, at_least=self._forgotten)

    def _count(self, messages: Sequence[Message]) -> int:
        try:
            return self._model.count(messages)
        except PromptTooLongError as error:  # so long that it was not even tokenised
            return error.prompt_tokens

    def _tell(self, fitted: Fitted, answer: Stream) -> None:
        if fitted.exchanges > self._forgotten and fitted.note is not None:
            answer.notes = (*answer.notes, fitted.note)
        self._forgotten = fitted.exchanges
