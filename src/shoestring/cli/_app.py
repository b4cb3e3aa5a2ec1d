"""The commands, put together, and the one place where what they raise becomes an exit status."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from importlib import import_module

import click

from shoestring._version import __version__
from shoestring.cli import EarlyWorker
from shoestring.cli._errors import (
    did_you_mean,
    report,
    report_interrupted,
    report_output_failed,
    report_unexpected,
    report_usage,
)
from shoestring.cli._streams import discard, is_of_a_stream
from shoestring.errors import ShoestringError

_COMMANDS = ("doctor", "login", "whoami", "logout", "models", "inspect", "plan", "run", "task")


class _Commands(click.Group):
    """Commands by name, in the order a newcomer needs them; each module is imported when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        command = getattr(import_module(f"shoestring.cli.{cmd_name}"), cmd_name)
        return command if isinstance(command, click.Command) else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in _COMMANDS and not name.startswith("-"):
            ctx.fail(f"There is no command {name!r}.{did_you_mean(name, _COMMANDS)}")
        return super().resolve_command(ctx, args)


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, message="shoestring %(version)s")
def app() -> None:
    """Run large open models on the hardware you already have: planned, guarded, measured.

    \b
    Start here:
      shoestring doctor                 what this machine can do, and what is wrong
      shoestring run smollm2 "Hello"    fetch a small model and let it answer
      shoestring run smollm2            chat with it
      shoestring plan my-model.gguf     does it fit, and with how long a context?
    """


def run_command(arguments: Sequence[str], early: EarlyWorker) -> int:
    """Parse, run, and turn whatever is raised into an exit status."""
    as_json = "--json" in arguments
    _never_fail_on_a_character()
    try:
        status = _run(arguments, early, as_json)
        sys.stdout.flush()
        return status
    except BrokenPipeError:  # the other end of a pipe (`| head`) has read enough
        discard(sys.stdout)
        return 0
    except Exception as error:  # noqa: BLE001  (a bug: said in one sentence, with where to report it)
        if isinstance(error, OSError) and is_of_a_stream(error):
            discard(sys.stdout)
            return report_output_failed(error)
        return report_unexpected(error, as_json=as_json)


def _run(arguments: Sequence[str], early: EarlyWorker, as_json: bool) -> int:
    try:
        status = app.main(list(arguments), prog_name="shoestring", standalone_mode=False, obj=early)
        return status if isinstance(status, int) else 0
    except SystemExit as stop:  # click's own answer to a closed pipe, the only exit it takes here
        raise BrokenPipeError from stop
    except ShoestringError as error:
        return report(error, arguments, as_json=as_json)
    except click.ClickException as error:
        return report_usage(error, as_json=as_json)
    except (KeyboardInterrupt, click.Abort):
        return report_interrupted(as_json=as_json)


def _never_fail_on_a_character() -> None:
    """A terminal with a small character set shows a question mark where it has no letter."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
