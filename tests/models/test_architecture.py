"""Which layers slide, per architecture, as llama.cpp decides."""

from __future__ import annotations

import pytest

from shoestring.models.architecture import WINDOWS, WindowRule, counts_cells, sliding_layers, window_rule


def test_gemma3_has_full_attention_in_every_sixth_layer() -> None:
    sliding = sliding_layers(WINDOWS["gemma3"], 18, None)
    assert sliding is not None
    assert [i for i, slides in enumerate(sliding) if not slides] == [5, 11, 17]


def test_gemma2_and_gpt_oss_alternate_and_begin_with_a_sliding_layer() -> None:
    for name in ("gemma2", "gpt-oss"):
        assert sliding_layers(WINDOWS[name], 4, None) == (True, False, True, False)


def test_dense_first_begins_with_a_full_layer() -> None:
    assert sliding_layers(WINDOWS["smallthinker"], 5, None) == (False, True, True, True, False)


def test_the_header_s_own_pattern_wins() -> None:
    assert sliding_layers(WINDOWS["gemma3"], 4, [1, 0, 0, 1]) == (True, False, False, True)
    assert sliding_layers(WINDOWS["gemma3"], 4, 2) == (True, False, True, False)


def test_a_period_of_0_means_every_layer_and_of_1_none() -> None:
    assert sliding_layers(WINDOWS["gemma3"], 3, 0) == (True, True, True)
    assert sliding_layers(WINDOWS["gemma3"], 3, 1) == (False, False, False)


def test_without_a_rule_or_a_pattern_it_is_not_known() -> None:
    assert sliding_layers(WindowRule(None), 3, None) is None


def test_only_the_large_exaone4_slides() -> None:
    assert window_rule("exaone4", 64) == WINDOWS["exaone4"]
    assert window_rule("exaone4", 30) is None


@pytest.mark.parametrize("name", ["rwkv7", "minimax-01", "one-of-tomorrow"])
def test_what_keeps_other_than_plain_cells_is_not_counted(name: str) -> None:
    assert not counts_cells(name)
