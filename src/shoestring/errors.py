"""Everything Shoestring raises on purpose, in one tree.

    ShoestringError
    ├── UsageError                 a parameter or input that can never work
    │   └── PromptTooLongError     the prompt and the answer do not fit the context
    ├── AccessError                a licence, a token or a permission is missing
    ├── DoesNotFitError            no plan fits the memory that is free
    ├── ModelError                 something is wrong with a model
    │   ├── ModelNotFoundError     no model by this name, no file at this path
    │   ├── InvalidModelFileError  the file is not what it claims to be; refused before native code saw it
    │   ├── TemplateError          the model's chat template is broken or refuses the conversation
    │   └── CheckFailedError       it was loaded, but its smoke check says that it does not work
    ├── FetchError                 a download failed
    │   ├── NetworkError           the package index or the hub could not be reached
    │   └── CorruptDownloadError   what arrived is not what was pinned
    ├── TaskError                  something is wrong with tasks
    │   ├── TaskNotFoundError      no task, or more than one, by this id
    │   └── TaskStoreError         the database cannot be reached, read or written
    ├── DiskFullError              not enough room where models go
    ├── EngineError                the engine refused or failed a request
    │   └── OutOfMemoryError       a device had no memory left; the worker lives on
    └── WorkerError                the process that runs the model is gone
        ├── WorkerDiedError        it crashed or was killed
        └── MemoryGuardError       the guard stopped it before the machine ran out of memory

Every message says what happened and why; `hint` says what to do next in words that are
true for any caller. The command line adds the command to type; errors never name one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from shoestring.chat.check import CheckReport
    from shoestring.planning.base import Plan


class ShoestringError(Exception):
    """Base of every error that Shoestring raises on purpose.

    Attributes:
        message: what happened and why, one sentence.
        hint: what to do next, or None when there is nothing to add.
    """

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __reduce__(self) -> tuple[Any, ...]:
        # Exceptions with extra constructor arguments do not unpickle by default.
        return (_rebuild, (type(self), self.args, self.__dict__.copy()))


def _rebuild(kind: type[ShoestringError], args: tuple[Any, ...], state: dict[str, Any]) -> ShoestringError:
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(state)
    return error


class UsageError(ShoestringError):
    """A parameter or input that can never work, whatever the machine."""


class PromptTooLongError(UsageError):
    """The prompt does not fit the context. Nothing is cut silently.

    Attributes:
        prompt_tokens: length of the prompt, in tokens.
        context: tokens the loaded context holds for one sequence.
    """

    def __init__(self, prompt_tokens: int, context: int, hint: str | None = None) -> None:
        over = prompt_tokens + 1 - context  # one cell must stay free for the first new token
        super().__init__(
            f"The prompt is {prompt_tokens:,} tokens long, {over:,} more than a context of {context:,} "
            "can hold together with one new token.",
            hint or "Shorten the prompt or load the model with a larger context.",
        )
        self.prompt_tokens = prompt_tokens
        self.context = context


class AccessError(ShoestringError):
    """A licence, a token or a permission is missing."""


class DoesNotFitError(ShoestringError):
    """No plan fits the memory that is free.

    Attributes:
        plan: the plan that was asked for.
        alternative: the nearest plan that does fit, or None.
    """

    def __init__(
        self,
        message: str,
        hint: str | None = None,
        *,
        plan: Plan | None = None,
        alternative: Plan | None = None,
    ) -> None:
        super().__init__(message, hint)
        self.plan = plan
        self.alternative = alternative


class ModelError(ShoestringError):
    """Something is wrong with a model."""


class ModelNotFoundError(ModelError):
    """There is no model by this name, or no file at this path."""


class InvalidModelFileError(ModelError):
    """The file is not what it claims to be. Raised before any native code opens it."""


class TemplateError(ModelError):
    """The model's chat template is broken, costs too much to render, or refuses the conversation."""


class CheckFailedError(ModelError):
    """A model was loaded, but does not work.

    Attributes:
        report: what its smoke check found.
    """

    def __init__(self, message: str, hint: str | None = None, *, report: CheckReport) -> None:
        super().__init__(message, hint)
        self.report = report


class FetchError(ShoestringError):
    """A download failed; nothing half-written was left where models are looked for."""


class NetworkError(FetchError):
    """The package index or the hub could not be reached."""


class CorruptDownloadError(FetchError):
    """What arrived is not what was pinned (wrong length or sha256)."""


class TaskError(ShoestringError):
    """Something is wrong with tasks."""


class TaskNotFoundError(TaskError):
    """No task has this id, or more than one begins with it."""


class TaskStoreError(TaskError):
    """The database that keeps the tasks cannot be reached, read or written. Never holds a password."""


class DiskFullError(ShoestringError):
    """There is not enough room where models go."""


class EngineError(ShoestringError):
    """The engine refused or failed a request."""


class OutOfMemoryError(EngineError):
    """A device had no memory left for a load or a generation, as the engine itself noticed.

    Attributes:
        plan: the plan it was loaded with.
        alternative: the next smaller plan that fits, or None.
    """

    def __init__(
        self,
        message: str,
        hint: str | None = None,
        *,
        plan: Plan | None = None,
        alternative: Plan | None = None,
    ) -> None:
        super().__init__(message, hint)
        self.plan = plan
        self.alternative = alternative


class WorkerError(ShoestringError):
    """The process that runs the model is gone. The next call on the same session starts a new one."""


class WorkerDiedError(WorkerError):
    """The worker crashed or was killed from outside.

    Attributes:
        exit_code: its exit status; negative for a signal, as in `subprocess`. None if unknown.
        log_tail: the last lines its engine wrote.
        plan: the plan it was loaded with, where the kernel killed it because memory ran out; else None.
        alternative: the next smaller plan that fits, or None.
    """

    def __init__(
        self,
        message: str,
        hint: str | None = None,
        *,
        exit_code: int | None = None,
        log_tail: str = "",
        plan: Plan | None = None,
        alternative: Plan | None = None,
    ) -> None:
        super().__init__(message, hint)
        self.exit_code = exit_code
        self.log_tail = log_tail
        self.plan = plan
        self.alternative = alternative


class MemoryGuardError(WorkerError):
    """The guard stopped the worker before the machine ran out of memory.

    Attributes:
        plan: the plan it was loaded with.
        measured_bytes: what it held when it was stopped.
        alternative: the next smaller plan that fits, or None.
    """

    def __init__(
        self,
        message: str,
        hint: str | None = None,
        *,
        plan: Plan | None = None,
        measured_bytes: int | None = None,
        alternative: Plan | None = None,
    ) -> None:
        super().__init__(message, hint)
        self.plan = plan
        self.measured_bytes = measured_bytes
        self.alternative = alternative
