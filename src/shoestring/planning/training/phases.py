"""A training step's peak: the moments at which most is held, and what is held then.

Between forward and backward every block's activations wait; going backwards, a block's activations go as its
gradients come. Both change block by block at a steady rate, so the peak is at one of four moments: the loss, the
first block of the way back, the last one, or the optimizer's step.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Step:
    """What the parts of one training step hold on one device, in bytes.

    Attributes:
        kept: by the blocks, each with all its activations.
        inputs: of the blocks' inputs alone.
        work: alive beside a block's activations while it is gone through backwards, by block.
        outside: kept by embedding and final norm.
        loss_kept, loss_backward: kept by head and loss; needed beside it at the loss's peak.
        gradients: of everything trained here.
        head_gradients: of the trained head; there from the start of the way back.
        late_gradients: of an untied embedding; there when all blocks are done, and not before.
        embedding_work: beside all gradients at the very end: the embedding's, before it joins the tied head's.
        step: the optimizer's own.
        checkpointing: whether blocks keep only their input and compute the rest again.
        accumulated: whether gradients of earlier micro-batches are already there.
    """

    kept: tuple[int, ...]
    inputs: tuple[int, ...]
    work: tuple[int, ...]
    outside: int
    loss_kept: int
    loss_backward: int
    gradients: int
    head_gradients: int
    late_gradients: int
    embedding_work: int
    step: int
    checkpointing: bool
    accumulated: bool


def beside_gradients(step: Step) -> dict[str, int]:
    """Bytes at the peak beyond those of all gradients, by what they are.

    The kept activations and the loss are named apart where the loss is the peak; else everything is `activations`.
    """
    kept = sum(step.inputs if step.checkpointing else step.kept) + step.outside
    there = step.gradients if step.accumulated else 0
    at_loss = kept + step.loss_kept + step.loss_backward + there
    one = max((k + w for k, w in zip(step.kept, step.work, strict=True)), default=0)
    most_work = max(step.work, default=0)
    first_block = kept + (one if step.checkpointing else most_work) + max(there, step.head_gradients)
    last_block = step.gradients - (0 if step.accumulated else step.late_gradients) + one
    end = step.gradients + step.embedding_work
    update = step.gradients + step.step
    peak = max(at_loss, first_block, last_block, end, update)
    beyond = peak - step.gradients
    if peak != at_loss:
        return {"activations": beyond}
    loss = min(step.loss_kept + step.loss_backward, beyond)
    return {"activations": beyond - loss, "loss": loss}
