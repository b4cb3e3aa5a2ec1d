"""Arguments and options that several commands share."""

from __future__ import annotations

import click

model = click.argument("model")
"""A starter's name, a model of the hub, or the path of a .gguf file or of a checkpoint's folder."""

as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of text.")

context = click.option(
    "--context",
    type=int,
    metavar="TOKENS",
    help="What one conversation may hold, prompt and answer together.  [default: the model's, at most 4096]",
)

precision = click.option(
    "--precision",
    metavar="NAME",
    help="Of the weights: bf16, int8, nf4, Q4_K_M…  [default: the best that fits]",
)

kv_precision = click.option("--kv", "kv_precision", metavar="NAME", help="Of the KV cache: f16, q8_0, q4_0…")

ram = click.option(
    "--ram", metavar="SIZE", help="Main memory that may be used, such as 12GB.  [default: what is free]"
)

vram = click.option(
    "--vram", metavar="SIZE", help="GPU memory that may be used, such as 15GB; 0 leaves the GPU alone."
)

offline = click.option("--offline", is_flag=True, help="Never use the network: only what is here already.")
