"""What a worker holds besides weights, cache and activations."""

from __future__ import annotations

from shoestring.models.facts import ModelFacts
from shoestring.planning.base import EngineSettings

WORKER_ENVIRONMENT: dict[str, str] = {}
"""Environment variables that a worker must be started with for these figures to hold."""

BASELINE_BYTES = 34_000_000
"""An idle worker with the engine loaded."""


def runtime_terms(facts: ModelFacts, settings: EngineSettings) -> dict[str, int]:
    """Bytes by name."""
    t = facts.tokenizer
    per_token = 40 + 64 + 8 + 32
    vocabulary = t.vocab_size * per_token + 2 * 32 * t.long_tokens + t.merges * (64 + 56 + 8)
    return {"baseline": BASELINE_BYTES, "vocabulary": vocabulary}
