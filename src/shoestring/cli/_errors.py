"""What an error looks like on the command line: a sentence, what to do, the next command to type, a status."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Sequence

import click

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


def report_usage(error: click.ClickException, *, as_json: bool) -> int:
    """Print what is wrong with the command line itself; the exit status."""
    context = getattr(error, "ctx", None)
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        say(error.format_message())
        return USAGE
    help_command = None if context is None else f"{context.command_path} --help"
    _print("UsageError", error.format_message(), None, help_command, as_json)
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
    model = next((word for word in arguments[1:] if not word.startswith("-")), "")
    if isinstance(error, errors.DoesNotFitError) and error.plan is not None and error.alternative is not None:
        asked, fits = error.plan.context, error.alternative.context
        if fits < asked:
            return shlex.join(["shoestring", "run", model, "--context", str(fits)])
    if isinstance(error, (errors.DoesNotFitError, errors.MemoryGuardError, errors.PromptTooLongError)):
        return shlex.join(["shoestring", "plan", model])
    if isinstance(error, errors.ModelNotFoundError):
        return "shoestring models list"
    if isinstance(error, (errors.NetworkError, errors.DiskFullError)):
        return "shoestring doctor"
    return None
