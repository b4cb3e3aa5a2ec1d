"""Plans with the engine's own figures: a dry run in place of the formula, for a model that is here and lies on one device."""

from __future__ import annotations

from dataclasses import replace

from shoestring.hardware.base import Hardware
from shoestring.planning.base import (
    CPU,
    Estimate,
    Group,
    LlamaCppSettings,
    Term,
    TransformersSettings,
)
from shoestring.planning.candidates import Candidate
from shoestring.planning.llama_cpp.model import LlamaCppMemory
from shoestring.planning.placement import Placed


def asked_of_the_engine(candidate: Candidate, placed: Placed, hardware: Hardware) -> Estimate | None:
    """The estimate with the engine's figures; None where it cannot be asked.

    llama.cpp is asked about files that are here and stay in main memory; transformers about a local folder whose model
    lies on one device.

    Raises:
        EngineError: the dry run failed.
    """
    facts, settings = candidate.facts, placed.settings
    if isinstance(settings, LlamaCppSettings) and isinstance(candidate.memory, LlamaCppMemory):
        if not facts.files or set(placed.assignment) != {CPU}:
            return None
        from shoestring.planning.dry_run import dry_run

        figures = dry_run(facts.files, settings)
        return candidate.memory.with_engine_s_figures(facts, settings, hardware, figures)
    if isinstance(settings, TransformersSettings) and facts.config_file and len(set(placed.assignment)) == 1:
        from shoestring.planning.transformers_dry_run import dry_run as ask_transformers

        answer = ask_transformers(facts.config_file.parent, settings, on_gpu=placed.assignment[0] != CPU)
        given: dict[Group, int] = {
            "weights": answer.weights_bytes,
            "kv_cache": answer.kv_cache_bytes,
            "compute": answer.compute_bytes,
        }
        return _replaced(placed, given, answer.footprint_bytes)
    return None


def _replaced(placed: Placed, given: dict[Group, int], footprint: int) -> Estimate:
    """The estimate with whole groups replaced, on the one device where they lie."""
    device = placed.assignment[0]
    kept = tuple(term for term in placed.estimate.terms if term.group not in given)
    terms = tuple(Term(group, group, device, n_bytes) for group, n_bytes in given.items())
    missing = {group: why for group, why in placed.estimate.missing.items() if group not in given}
    return replace(placed.estimate, terms=(*terms, *kept), missing=missing, footprint=footprint)
