"""Arguments and options that several commands share."""

from __future__ import annotations

import click

model = click.argument("model")
"""A starter's name or the path of a .gguf file."""

as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of text.")

context = click.option(
    "--context",
    type=int,
    metavar="TOKENS",
    help="What one conversation may hold, prompt and answer together.  [default: the model's, at most 4096]",
)
