"""A model you can talk to: `Model` joins a session, the model's chat template and its sampling defaults."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Literal, TypeVar, overload

from shoestring.chat import sampling as sampling_rules
from shoestring.chat.answer import Answer, Stream
from shoestring.chat.messages import Message, Said, conversation
from shoestring.engines.base import Event, LoadReport, Sampling, Segment
from shoestring.errors import UsageError
from shoestring.models.facts import Kind, ModelFacts
from shoestring.planning.base import Plan
from shoestring.runtime.session import Session
from shoestring.runtime.stepping import Step

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from shoestring.chat.check import CheckReport
    from shoestring.chat.conversation import Conversation, OnFull
    from shoestring.chat.named_templates import Template
    from shoestring.chat.prompting import Prompt


class Model:
    """A loaded model. A context manager; closing it gives back all its memory.

    Attributes:
        session: what runs it; it reloads by itself when its worker died.
        template: used in place of the model's own; None: the model's own.
    """

    def __init__(self, session: Session, template: Template | None = None) -> None:
        self.session = session
        self.template = template
        self._loading: _Loading | None = None

    @property
    def facts(self) -> ModelFacts:
        """What the model is."""
        return self.session.facts

    @property
    def plan(self) -> Plan:
        """What it was loaded with."""
        return self.session.plan

    @property
    def kind(self) -> Kind:
        """`chat`, or `base` for a model that only continues text."""
        return self.facts.kind

    @property
    def load_report(self) -> LoadReport | None:
        """What loading it brought, the last time; None before."""
        return self.session.load_report

    @property
    def steps(self) -> tuple[Step, ...]:
        """Plans that failed, and what `auto` took instead."""
        return self.session.steps

    def __enter__(self) -> Model:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Model {self.facts.id}: {self.kind}, {self.plan.precision}, context {self.plan.context:,}>"

    def close(self) -> None:
        """Unload. Idempotent; a later call would load again."""
        self.session.close()

    def load(self) -> None:
        """Load now instead of at first use. Raises as `Session.load`."""
        self._loaded()

    def start_loading(self) -> None:
        """Load in the background; the first call that needs the model waits for it and raises its error."""
        if self._loading is None:
            self._loading = _Loading(self.session)

    @overload
    def chat(
        self,
        said: str | Sequence[Said],
        *,
        system: str | None = None,
        stream: Literal[False] = False,
        **sampling: Unpack[sampling_rules.SamplingOptions],
    ) -> Answer: ...
    @overload
    def chat(
        self,
        said: str | Sequence[Said],
        *,
        system: str | None = None,
        stream: Literal[True],
        **sampling: Unpack[sampling_rules.SamplingOptions],
    ) -> Stream: ...
    def chat(
        self,
        said: str | Sequence[Said],
        *,
        system: str | None = None,
        stream: bool = False,
        **sampling: Unpack[sampling_rules.SamplingOptions],
    ) -> Answer | Stream:
        """Answer a question or continue a conversation, in the model's own chat format.

        A stream that is open and unfinished holds the model's slot (there are as many as the `batch` it was
        loaded with): a further call waits until a stream is read to its end or closed.

        A base model has none: it is given questions and answers to go on with, and the answer's `notes` say so. They
        also say what had to be changed to suit the model's format.

        Args:
            said: a question, or turns in order (`Message`s or mappings with `role` and `content`).
            system: instructions put in front; None: those that suit the model (`facts.system`), if any.
            stream: give the pieces as they come instead of the whole answer.
            sampling: see `Sampling`; what is not given is the model's own default.

        Raises:
            UsageError: an empty prompt, a malformed message or a parameter that can never work.
            TemplateError: the model's chat template refuses the conversation.
            PromptTooLongError: it does not fit the context; nothing is cut.
            EngineError, WorkerError: as `Session.generate`.
        """
        prompt = self._said(said, system)
        asked = with_stops(sampling, prompt.stop)
        return self._answer(prompt.segments, asked, stream, prompt.notes)

    @overload
    def complete(
        self, text: str, *, stream: Literal[False] = False, **sampling: Unpack[sampling_rules.SamplingOptions]
    ) -> Answer: ...
    @overload
    def complete(
        self, text: str, *, stream: Literal[True], **sampling: Unpack[sampling_rules.SamplingOptions]
    ) -> Stream: ...
    def complete(
        self, text: str, *, stream: bool = False, **sampling: Unpack[sampling_rules.SamplingOptions]
    ) -> Answer | Stream:
        """Continue a text as it stands, without any chat format. Arguments and errors as `chat`."""
        return self._answer(_text(text), sampling, stream)

    def chat_batch(
        self,
        prompts: Sequence[str | Sequence[Said]],
        *,
        system: str | None = None,
        **sampling: Unpack[sampling_rules.SamplingOptions],
    ) -> list[Answer]:
        """Answer many questions or conversations: as many side by side as the `batch` it was loaded with.

        Each answer has its own figures. With a seed, question i of such a group is sampled with seed + i.
        Arguments and errors as `chat`; nothing is generated where one of them cannot be.
        """
        made = [self._said(one, system) for one in _several(prompts)]
        stop = made[0].stop if made else ()
        notes = tuple(dict.fromkeys(note for prompt in made for note in prompt.notes))
        return self._batch([prompt.segments for prompt in made], with_stops(sampling, stop), notes)

    def complete_batch(
        self, texts: Sequence[str], **sampling: Unpack[sampling_rules.SamplingOptions]
    ) -> list[Answer]:
        """Continue many texts as they stand; else as `chat_batch`."""
        return self._batch([_text(one) for one in _several(texts)], sampling)

    def check(self) -> CheckReport:
        """Whether the model works: its chat template, its numbers and an answer that it must know.

        Raises:
            As `chat`; what is found raises nothing.
        """
        from shoestring.chat.check import check

        return check(self)

    def conversation(
        self,
        *,
        system: str | None = None,
        on_full: OnFull = "refuse",
        sampling: sampling_rules.SamplingOptions | None = None,
    ) -> Conversation:
        """A conversation that remembers its turns; see `Conversation`."""
        from shoestring.chat.conversation import Conversation

        return Conversation(self, system=system, on_full=on_full, sampling=sampling)

    def sampling(self, **asked: Unpack[sampling_rules.SamplingOptions]) -> Sampling:
        """What a generation with these parameters would use.

        Raises:
            UsageError: a parameter can never work.
        """
        return sampling_rules.choose(self.facts.sampling, asked)

    def render(self, messages: Sequence[Message]) -> list[Segment]:
        """A conversation in the model's own chat format, ready to tokenise.

        Raises:
            UsageError: the model has no chat template, or nothing is known of its tokenizer.
            TemplateError: the template is broken or refuses the conversation.
        """
        if self.template is None and self.facts.chat_template is None:
            raise UsageError(f"{self.facts.id} has no chat template.", "Complete plain text with it instead.")
        return list(self.prompt(messages).segments)

    def prompt(self, messages: Sequence[Message]) -> Prompt:
        """What the model is given for a conversation, as text, and what the user should know of it.

        Raises:
            UsageError: nothing is known of the model's tokenizer.
            TemplateError: the template is broken or refuses the conversation.
        """
        from shoestring.chat.prompting import prompt

        return prompt(self.facts, messages, self.template)

    def tokenize(self, segments: Sequence[Segment]) -> list[int]:
        """Token ids of a prompt, with the beginning-of-sequence token in front where the model wants it."""
        tokens = self._loaded().tokenize(segments)
        tokenizer = self.facts.tokenizer
        bos = tokenizer.bos_id if tokenizer else None
        if tokenizer and tokenizer.add_bos and bos is not None and tokens[:1] != [bos]:
            tokens.insert(0, bos)  # the template may have printed it already; it must not stand there twice
        return tokens

    def count(self, said: str | Sequence[Said]) -> int:
        """Tokens of the prompt that `chat` would make of this. Loads the model; errors as `chat`."""
        return len(self.tokenize(self._said(said, None).segments))

    def _answer(
        self,
        segments: Sequence[Segment],
        asked: sampling_rules.SamplingOptions,
        stream: bool,
        notes: tuple[str, ...] = (),
    ) -> Answer | Stream:
        sampling = self.sampling(**asked)
        tokens = self.tokenize(segments)
        events: Iterator[Event] = self.session.generate(tokens, sampling)
        running = Stream(self.session, events, notes)
        return running if stream else running.answer

    def _said(self, said: str | Sequence[Said], system: str | None) -> Prompt:
        fallback = None if self.facts.chat_template is None else self.facts.system
        return self.prompt(conversation(said, system=system, fallback=fallback))

    def _batch(
        self,
        prompts: Sequence[Sequence[Segment]],
        asked: sampling_rules.SamplingOptions,
        notes: tuple[str, ...] = (),
    ) -> list[Answer]:
        from shoestring.chat.batch import answers

        sampling = self.sampling(**asked)
        return answers(self.session, [self.tokenize(prompt) for prompt in prompts], sampling, notes)

    def _loaded(self) -> Session:
        if self._loading is not None:
            loading = self._loading
            loading.join()  # an interrupt here leaves it to the next call
            self._loading = None
            loading.check()
        else:
            self.session.load()
        return self.session


def _text(text: object) -> list[Segment]:
    if not isinstance(text, str):
        raise UsageError(f"The prompt is a {type(text).__name__}, not text.")
    if not text:
        raise UsageError("The prompt is empty.", "Give the model a text to continue.")
    return [Segment(text)]


def with_stops(
    asked: sampling_rules.SamplingOptions, stop: tuple[str, ...]
) -> sampling_rules.SamplingOptions:
    """The same settings, with the texts at which the prompt's format ends an answer."""
    own = asked.get("stop") or ()
    own = (own,) if isinstance(own, str) else tuple(own)
    return {**asked, "stop": (*own, *stop)} if stop else asked


T = TypeVar("T")


def _several(prompts: Sequence[T]) -> Sequence[T]:
    if isinstance(prompts, str) or not isinstance(prompts, Sequence):
        raise UsageError(
            f"A batch is a list of prompts, not a {type(prompts).__name__}.", "Put them in a list."
        )
    return prompts


class _Loading:
    """A load that runs beside the caller."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="shoestring-load", daemon=True)
        self._thread.start()

    def join(self) -> None:
        """Wait until it has ended, well or not."""
        self._thread.join()

    def check(self) -> None:
        """Raise what the load raised."""
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            self._session.load()
        except BaseException as error:  # noqa: BLE001  (not lost: the caller raises it)
            self._error = error
