"""Every architecture family's memory by formula against llama.cpp's own dry run, published shapes, no weights.

    python benchmarks/llama_cpp_families.py                        # all families, six settings each
    python benchmarks/llama_cpp_families.py jamba-mini gpt-oss-20b --full   # all layers, the whole vocabulary

Exit status 1 where weights or cache differ by more than 1 %, or compute by more than 5 %.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from gguf_families import scaled, write_header
from gguf_models import ALIKE, FAMILIES

from shoestring.errors import EngineError
from shoestring.models.facts import ModelFacts
from shoestring.models.gguf_facts import read_facts
from shoestring.planning.base import LlamaCppSettings
from shoestring.planning.dry_run import DryRun, dry_run
from shoestring.planning.llama_cpp.compute import compute_buffer_bytes, output_buffer_bytes
from shoestring.planning.llama_cpp.kv_cache import kv_cache_bytes

SETTINGS = (
    LlamaCppSettings(context=2048),
    LlamaCppSettings(context=8192, ubatch=128),
    LlamaCppSettings(context=2048, flash_attention=False),
    LlamaCppSettings(context=1000, batch=4, ubatch=128, flash_attention=False),
    LlamaCppSettings(context=4096, batch=4),
    LlamaCppSettings(context=2048, batch=4, ubatch=128, kv_precision="q8_0"),
)
SMALLER_LAYERS = 12
BOUNDS = {"weights": 0.01, "cache": 0.01, "compute": 0.05}
_ALL_LAYERS = ("deepseek2", "gemma3n")  # llama.cpp tells variants apart by their number


def rows(name: str, folder: Path, *, full: bool) -> Iterator[tuple[LlamaCppSettings, dict[str, float] | str]]:
    """The relative error of every term for each setting, or why llama.cpp gives no figure."""
    model = (FAMILIES | ALIKE)[name]()
    if name in FAMILIES and not full:
        model = scaled(model, layers=None if model.architecture in _ALL_LAYERS else SMALLER_LAYERS)
    path = write_header(folder / f"{name}.gguf", model)
    facts = read_facts([path], id=name)
    for settings in SETTINGS:
        try:
            yield settings, errors(facts, settings, dry_run([path], settings))
        except EngineError as error:
            yield settings, error.message


def errors(facts: ModelFacts, settings: LlamaCppSettings, engine: DryRun) -> dict[str, float]:
    """Formula against engine, term by term."""
    formula = compute_buffer_bytes(facts, settings) + output_buffer_bytes(facts, settings)
    told = engine.compute_buffer_bytes + engine.output_buffer_bytes
    return {
        "weights": facts.weights.total_bytes / (engine.weights_bytes or 1) - 1,
        "cache": kv_cache_bytes(facts, settings) / engine.kv_cache_bytes - 1,
        "compute": formula / told - 1,
    }


def described(settings: LlamaCppSettings) -> str:
    """One setting in a few words."""
    flash = "flash" if settings.flash_attention else "plain"
    sizes = f"{settings.context:>5} × {settings.batch}, ubatch {settings.ubatch:>3}"
    return f"{sizes}, {flash}, {settings.kv_precision:>4}"


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("families", nargs="*", metavar="family", help=", ".join(FAMILIES | ALIKE))
    parser.add_argument("--full", action="store_true", help="all layers and the whole vocabulary")
    args = parser.parse_args()
    worst, out_of_bounds, compared = dict.fromkeys(BOUNDS, 0.0), 0, 0
    print(f"{'family':30} {'settings':38} {'weights':>9} {'cache':>9} {'compute':>9}")
    with tempfile.TemporaryDirectory() as folder:
        for name in args.families or FAMILIES | ALIKE:
            for settings, found in rows(name, Path(folder), full=args.full):
                if isinstance(found, str):
                    print(f"{name:30} {described(settings):38} {found[:90]}")
                    continue
                compared += 1
                bad = any(abs(found[term]) > bound for term, bound in BOUNDS.items())
                out_of_bounds += bad
                worst = {term: max(worst[term], abs(found[term])) for term in worst}
                figures = " ".join(f"{found[term]:>+9.3%}" for term in BOUNDS)
                print(f"{name:30} {described(settings):38} {figures}{'  OUT OF BOUNDS' if bad else ''}")
    print(f"\n{compared} compared, {out_of_bounds} out of bounds; worst: ", end="")
    print(", ".join(f"{term} {error:.3%} (bound {BOUNDS[term]:.0%})" for term, error in worst.items()))
    return int(out_of_bounds > 0)


if __name__ == "__main__":
    sys.exit(main())
