"""What an error looks like on the command line: a sentence, what to do, the next command to type, a status."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Sequence

import click

from shoestring import errors
from shoestring.cli._output import print_json, say

FAILED, USAGE, DOES_NOT_FIT, ACCESS, INTERRUPTED = 1, 2, 3, 4, 130

# The first class that matches decides.
_STATUS: tuple[tuple[type[errors.ShoestringError], int], ...] = (
    (errors.UsageError, USAGE),
    (errors.AccessError, ACCESS),
    (errors.DoesNotFitError, DOES_NOT_FIT),
    (errors.MemoryGuardError, DOES_NOT_FIT),
    (errors.OutOfMemoryError, DOES_NOT_FIT),
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
        say(error.format_message(), wrap=False)
        return USAGE
    help_command = None if context is None else f"{context.command_path} --help"
    _print("UsageError", _usage_message(error), None, help_command, as_json)
    return USAGE


def _usage_message(error: click.ClickException) -> str:
    """What click says; where an option is only begun (`--temp`), with the whole: click compares whole words."""
    if not isinstance(error, click.NoSuchOption) or error.ctx is None:
        return error.format_message()
    known = [name for parameter in error.ctx.command.get_params(error.ctx) for name in parameter.opts]
    begun = [option for option in known if option.startswith(error.option_name)]
    return error.message + did_you_mean(error.option_name, known, begun)


def did_you_mean(word: str, known: Sequence[str], begun: Sequence[str] = ()) -> str:
    """A question about what a mistyped word stands for, to be put after a sentence; empty if nothing is near."""
    import difflib

    near = begun or difflib.get_close_matches(word, known, n=2)
    return f" Did you mean {' or '.join(near)}?" if near else ""


def report_interrupted(*, as_json: bool) -> int:
    """Ctrl-C: people know; a program that waits for a document gets one."""
    if as_json:
        _print("Interrupted", "It was interrupted before it was done.", None, None, as_json)
    return INTERRUPTED


def report_output_failed(error: OSError) -> int:
    """Print why stdout takes nothing more, on stderr even for programs."""
    say(f"The output could not be written: {error.strerror}.", lead="error:", alarm=True)
    return FAILED


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
    say(message, lead="error:", alarm=True)
    if hint:
        say(hint, lead="hint:")
    if command:
        say(f"try: {command}", dim=True, wrap=False)


def _next_command(error: errors.ShoestringError, arguments: Sequence[str]) -> str | None:
    """The next command to type, where there is an obvious one."""
    model = next((word for word in arguments[1:] if not word.startswith("-")), "")
    asked, fits = getattr(error, "plan", None), getattr(error, "alternative", None)
    if arguments[:1] == ["run"] and asked is not None and fits is not None:
        from shoestring.cli._alternative import command

        if found := command(arguments, asked, fits):
            return found
    if isinstance(
        error,
        (errors.DoesNotFitError, errors.MemoryGuardError, errors.OutOfMemoryError, errors.PromptTooLongError),
    ):
        return shlex.join(["shoestring", "plan", model])
    if isinstance(error, errors.TaskNotFoundError):
        return "shoestring task list"
    if isinstance(error, errors.ModelNotFoundError):
        return "shoestring models list"
    if isinstance(error, (errors.NetworkError, errors.DiskFullError)):
        return "shoestring doctor"
    return None
