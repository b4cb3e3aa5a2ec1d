"""What an error looks like on the command line: a sentence, what to do, the next command to type, a status."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Sequence

from shoestring import errors
from shoestring.cli._output import emphasis, faint, print_json, say

FAILED, USAGE, DOES_NOT_FIT, ACCESS, INTERRUPTED = 1, 2, 3, 4, 130

# The first class that matches decides.
_STATUS: tuple[tuple[type[errors.ShoestringError], int], ...] = (
    (errors.UsageError, USAGE),
    (errors.AccessError, ACCESS),
    (errors.DoesNotFitError, DOES_NOT_FIT),
    (errors.MemoryGuardError, DOES_NOT_FIT),
)
_ISSUES = "the project's issue tracker"


def report(error: errors.ShoestringError, arguments: Sequence[str], *, as_json: bool) -> int:
    """Print an error that was raised on purpose; the exit status."""
    _print(type(error).__name__, error.message, error.hint, _next_command(error, arguments), as_json)
    return next((status for kind, status in _STATUS if isinstance(error, kind)), FAILED)


def report_usage(error: Exception, arguments: Sequence[str], *, as_json: bool) -> int:
    """Print what typer has to say about the command line; the exit status."""
    message = getattr(error, "format_message", lambda: str(error))()
    if not message:  # no arguments at all: typer has printed the help
        return USAGE
    command = [word for word in arguments[:2] if word in _COMMANDS]
    _print("UsageError", message, None, shlex.join(["shoestring", *command, "--help"]), as_json)
    return USAGE


def report_unexpected(error: Exception, *, as_json: bool) -> int:
    """Print a bug: one sentence, and the traceback only for those who ask for it."""
    if os.environ.get("SHOESTRING_DEBUG") == "1":
        import traceback

        traceback.print_exception(error, file=sys.stderr)
    _print(
        type(error).__name__,
        f"Something unexpected went wrong: {type(error).__name__}: {error}",
        f"This is a bug in Shoestring; please report it on {_ISSUES}. "
        "With SHOESTRING_DEBUG=1 in the environment the whole traceback is shown.",
        None,
        as_json,
    )
    return FAILED


_COMMANDS = ("doctor", "models", "list", "pull", "rm", "inspect", "plan", "run")


def _print(kind: str, message: str, hint: str | None, command: str | None, as_json: bool) -> None:
    if as_json:
        print_json({"error": {"type": kind, "message": message, "hint": hint}})
        return
    say(f"{emphasis('error:', red=True)} {message}")
    if hint:
        say(f"{emphasis('hint:')} {hint}")
    if command:
        say(faint(f"try: {command}"))


def _next_command(error: errors.ShoestringError, arguments: Sequence[str]) -> str | None:
    """The next command to type, where there is an obvious one."""
    model = next((word for word in arguments[1:] if not word.startswith("-")), None)
    if isinstance(error, errors.DoesNotFitError) and error.alternative is not None and error.plan is not None:
        if error.alternative.context < error.plan.context and model:
            return shlex.join(["shoestring", "run", model, "--context", str(error.alternative.context)])
    for kinds, words in (
        ((errors.DoesNotFitError, errors.MemoryGuardError, errors.PromptTooLongError), ["plan", model]),
        ((errors.ModelNotFoundError,), ["models", "list"]),
        ((errors.InvalidModelFileError,), None),
        ((errors.NetworkError, errors.DiskFullError, errors.WorkerDiedError), ["doctor"]),
    ):
        if isinstance(error, kinds):
            return None if words is None or None in words else shlex.join(["shoestring", *map(str, words)])
    return None
