"""The peak of a step is at the loss, at either end of the way back, or in the optimizer."""

from __future__ import annotations

from dataclasses import replace

from shoestring.planning.training.phases import Step, beside_gradients

STEP = Step(
    kept=(100, 100, 100),
    inputs=(10, 10, 10),
    work=(5, 5, 5),
    outside=0,
    loss_kept=40,
    loss_backward=80,
    gradients=0,
    head_gradients=0,
    late_gradients=0,
    embedding_work=0,
    step=0,
    checkpointing=False,
    accumulated=False,
)


def test_a_large_vocabulary_puts_the_peak_at_the_loss() -> None:
    assert beside_gradients(STEP) == {"activations": 300, "loss": 120}


def test_with_checkpointing_only_inputs_wait_for_the_loss() -> None:
    assert beside_gradients(replace(STEP, checkpointing=True)) == {"activations": 30, "loss": 120}


def test_with_a_small_vocabulary_the_first_block_gone_through_backwards_is_the_peak() -> None:
    small = replace(STEP, checkpointing=True, loss_kept=1, loss_backward=2)

    assert beside_gradients(small) == {"activations": 30 + 105}


def test_gradients_that_are_not_there_yet_make_room_at_the_loss() -> None:
    assert sum(beside_gradients(replace(STEP, gradients=100)).values()) == 420 - 100


def test_gradients_of_earlier_micro_batches_are_there_all_the_time() -> None:
    assert sum(beside_gradients(replace(STEP, gradients=100, accumulated=True)).values()) == 420


def test_many_gradients_put_the_peak_at_the_end() -> None:
    large = replace(STEP, gradients=10_000, head_gradients=100, embedding_work=200)

    assert beside_gradients(large) == {"activations": 200}


def test_an_untied_embedding_s_gradient_comes_when_the_blocks_are_done() -> None:
    small = replace(STEP, loss_kept=1, loss_backward=2, gradients=1000, late_gradients=500)

    assert beside_gradients(small) == {"activations": 0}
