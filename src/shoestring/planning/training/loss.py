"""The causal cross-entropy: where most of a small model's training memory goes.

`ForCausalLMLoss` (`transformers/loss/loss_utils.py`) turns the logits of every position into fp32 and takes torch's
cross-entropy of them; labels are padded and shifted, so no position is left out. Of each token:

- kept for the backward pass: the fp32 log-softmax (4 bytes a vocabulary entry) and the shifted label (8 bytes);
  logits in half precision are gone by then, since nothing needs them.
- forward: logits, their fp32 copy and the log-softmax, 4 + 4 bytes and the logits' own.
- backward: the log-softmax, the gradient of the negative log-likelihood and the gradient of the logits at once:
  3 × 4 bytes. That is the loss's peak, whatever the logits' precision.

Gemma 2 caps its logits by a tanh, which keeps them once more.
"""

from __future__ import annotations

from shoestring.models.facts import ModelFacts

_LABEL = 8  # int64, shifted
_SOFT_CAPPED = frozenset({"gemma2"})


def kept_bytes(facts: ModelFacts, tokens: int, width: int) -> int:
    """Bytes that the head and the loss keep from forward to backward.

    Args:
        tokens: of the micro-batch, all sequences together.
        width: bytes of one logit as the head gives it.
    """
    capped = width * facts.vocab_size if facts.architecture in _SOFT_CAPPED else 0
    return tokens * (4 * facts.vocab_size + _LABEL + capped)


def backward_bytes(facts: ModelFacts, tokens: int) -> int:
    """Bytes at the loss's peak beside what was kept: two fp32 gradients of the logits."""
    return tokens * 8 * facts.vocab_size
