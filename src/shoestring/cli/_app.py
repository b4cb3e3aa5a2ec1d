"""The commands, put together, and the one place where what they raise becomes an exit status."""

from __future__ import annotations

from collections.abc import Sequence

import typer

from shoestring._version import __version__
from shoestring.cli import EarlyWorker, doctor, inspect, models, plan, run
from shoestring.cli._errors import INTERRUPTED, report, report_unexpected, report_usage
from shoestring.errors import ShoestringError

app = typer.Typer(
    name="shoestring",
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,  # importing rich would take half of the 0.2 s that help may cost
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
app.command("doctor")(doctor.doctor)
app.add_typer(models.app, name="models")
app.command("inspect")(inspect.inspect)
app.command("plan")(plan.plan)
app.command("run")(run.run)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"shoestring {__version__}")
        raise typer.Exit


@app.callback()
def _shoestring(
    version: bool = typer.Option(
        False, "--version", help="Show the version.", callback=_version, is_eager=True
    ),
) -> None:
    """Run large open models on the hardware you already have: planned, guarded, measured.

    \b
    Start here:
      shoestring doctor                      what this machine can do, and what is wrong
      shoestring run smollm2 "Hello"         fetch a small model and let it answer
      shoestring run smollm2                 chat with it
      shoestring plan my-model.gguf          does it fit, and with how long a context?
    """


def run_command(arguments: Sequence[str], early: EarlyWorker) -> int:
    """Parse, run, and turn whatever is raised into an exit status."""
    as_json = "--json" in arguments
    try:
        status = typer.main.get_command(app).main(
            list(arguments), prog_name="shoestring", standalone_mode=False, obj=early
        )
        return status if isinstance(status, int) else 0
    except ShoestringError as error:
        return report(error, arguments, as_json=as_json)
    except typer.TyperException as error:
        return report_usage(error, arguments, as_json=as_json)
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except BrokenPipeError:
        return _reader_gone()
    except Exception as error:  # noqa: BLE001  (a bug: said in one sentence, with where to report it)
        return report_unexpected(error, as_json=as_json)


def _reader_gone() -> int:
    """The other end of a pipe (`| head`) has read enough. Python would complain once more at exit."""
    import os
    import sys

    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, sys.stdout.fileno())
    return 0
