"""What one plan gives up beside another, in words."""

from __future__ import annotations

from shoestring.planning.base import Plan


def describe_difference(asked: Plan, alternative: Plan) -> str:
    """What another plan changes: "a context of 2,048 tokens and a q8_0 cache"."""
    changes = []
    if alternative.precision != asked.precision:
        changes.append(f"{alternative.precision} weights")
    if alternative.context != asked.context:
        changes.append(f"a context of {alternative.context:,} tokens")
    if alternative.batch != asked.batch:
        changes.append(f"a batch of {alternative.batch}")
    if alternative.kv_precision != asked.kv_precision and not _follows_weights(alternative):
        changes.append(f"a {alternative.kv_precision} cache")
    ubatch = getattr(alternative.settings, "ubatch", None)
    if ubatch is not None and ubatch != getattr(asked.settings, "ubatch", None):
        changes.append(f"prompts read {ubatch} tokens at a time")
    if getattr(alternative.settings, "offload", False) and not getattr(asked.settings, "offload", False):
        changes.append("weights kept partly outside the GPU")
    return " and ".join(changes) or "nothing else"


def _follows_weights(plan: Plan) -> bool:
    """Whether the cache has no precision of its own: transformers keeps it in what it computes in."""
    return plan.engine == "transformers"
