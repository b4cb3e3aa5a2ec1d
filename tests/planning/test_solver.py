"""Does it fit, what would, and why."""

from __future__ import annotations

from dataclasses import replace

import pytest
import random_gguf
from hypothesis import given, settings
from hypothesis import strategies as st
from planning_facts import GB, WriteModel, make_facts, make_machine

from shoestring.errors import EngineError, UsageError
from shoestring.hardware.base import Gpu, Memory
from shoestring.planning.base import LlamaCppSettings, Request
from shoestring.planning.budgets import safety_margin_bytes
from shoestring.planning.solver import plan
from shoestring.units import MiB

FACTS = make_facts(layers=12, hidden=512, heads=8, kv_heads=8, context=8192)
MACHINE = make_machine()


def asked(request: Request, **changes: int):
    return plan(FACTS, make_machine(**changes), request).plans[0]


class TestDefaults:
    def test_the_context_is_the_model_s_up_to_4096(self) -> None:
        assert asked(Request()).context == 4096
        assert plan(make_facts(context=2048), MACHINE, Request()).plans[0].context == 2048

    def test_the_budget_is_what_is_free_less_a_margin(self) -> None:
        found = asked(Request(), available_bytes=8 * GB, total_bytes=32 * GB)
        assert found.budget_bytes == 8 * GB - 512 * MiB

    def test_a_given_budget_may_be_a_larger_machine_s_and_that_is_said(self) -> None:
        larger, smaller = (asked(Request(budget_bytes=size)) for size in (100 * GB, GB))
        assert (larger.budget_bytes, smaller.budget_bytes) == (100 * GB, GB)
        assert any("larger machine" in note for note in larger.notes)
        assert smaller.notes == ()

    def test_the_margin_is_a_tenth_of_a_small_machine_or_cgroup(self) -> None:
        assert safety_margin_bytes(Memory(GB, GB, None)) == GB // 10
        assert safety_margin_bytes(Memory(64 * GB, GB, GB)) == GB // 10

    def test_prompts_are_read_with_every_core_and_one_is_left_free_while_decoding(self) -> None:
        settings = asked(Request(), cores=6).settings
        assert (settings.threads, settings.prefill_threads) == (5, 6)

    def test_a_single_core_decodes_alone(self) -> None:
        assert asked(Request(), cores=1).settings.threads == 1


class TestFigures:
    def test_the_total_is_the_sum_of_the_terms_and_of_the_groups(self) -> None:
        report = plan(FACTS, MACHINE, Request())
        figures = report.plans[0].bytes
        groups = figures.weights + figures.kv_cache + figures.compute + figures.runtime
        assert figures.total == groups == sum(report.plans[0].terms.values())
        assert {name: device.bytes for name, device in report.plans[0].placement.items()} == {"cpu": figures}

    def test_prevailing_type_names_the_precision(self) -> None:
        assert asked(Request()).precision == "Q8_0"

    @given(context=st.integers(2, 8191), batch=st.integers(1, 8))
    @settings(deadline=None, max_examples=25)
    def test_totals_grow_with_context_and_batch(self, context: int, batch: int) -> None:
        here = asked(Request(context, batch)).bytes
        assert here.total <= asked(Request(context + 1, batch)).bytes.total
        assert here.total < asked(Request(context, batch + 1)).bytes.total


class TestFitting:
    @given(budget=st.integers(1, 600 * MiB), context=st.integers(2, 8192))
    @settings(deadline=None, max_examples=25)
    def test_fits_if_and_only_if_headroom_is_left_at_both_peaks(self, budget: int, context: int) -> None:
        found = asked(Request(context, budget_bytes=budget))
        peak = max(found.bytes.total, found.bytes.load_peak)
        assert found.headroom_bytes == budget - peak
        assert found.fits == (peak <= budget)

    @given(budget=st.integers(60 * MiB, 600 * MiB))
    @settings(deadline=None, max_examples=25)
    def test_the_largest_context_fits_and_one_step_more_does_not(self, budget: int) -> None:
        largest = plan(FACTS, MACHINE, Request(budget_bytes=budget)).largest_context
        if largest is not None:
            assert asked(Request(largest, budget_bytes=budget)).fits
        if largest != FACTS.context_length:
            assert not asked(Request((largest or 1) + 1, budget_bytes=budget)).fits

    def test_the_largest_context_may_be_the_model_s_own_odd_one(self) -> None:
        assert plan(make_facts(context=1000), MACHINE, Request()).largest_context == 1000

    def test_a_plan_that_fits_is_the_only_one_and_recommended(self) -> None:
        report = plan(FACTS, MACHINE, Request())
        assert (len(report.plans), report.recommended) == (1, 0)


class TestAlternatives:
    tight = asked(Request()).bytes.total - 1

    def test_all_fit_and_the_first_is_recommended(self) -> None:
        report = plan(FACTS, MACHINE, Request(budget_bytes=self.tight))
        assert not report.plans[0].fits
        assert report.recommended == 1
        assert all(candidate.fits for candidate in report.plans[1:])

    def test_they_keep_the_context_before_they_shorten_it(self) -> None:
        report = plan(FACTS, MACHINE, Request(budget_bytes=self.tight))
        given_up = [(p.settings.ubatch, p.kv_precision, p.context, p.precision) for p in report.plans[1:]]
        assert given_up[:4] == [
            (128, "f16", 4096, "Q8_0"),
            (512, "q8_0", 4096, "Q8_0"),
            (128, "q8_0", 4096, "Q8_0"),
            (512, "f16", report.largest_context, "Q8_0"),
        ]

    def test_a_smaller_file_that_could_be_made_comes_last(self) -> None:
        report = plan(FACTS, MACHINE, Request(budget_bytes=self.tight))
        assert [p.precision for p in report.plans[5:]] == ["Q6_K", "Q5_K_M", "Q4_K_M", "Q3_K_M", "Q2_K"]
        assert all(p.converted for p in report.plans[5:])

    def test_a_quantised_cache_comes_with_flash_attention(self) -> None:
        report = plan(FACTS, MACHINE, Request(budget_bytes=self.tight))
        assert all(p.settings.flash_attention for p in report.plans if p.kv_precision != "f16")

    def test_a_head_that_is_the_embedding_needs_no_room_of_its_own(self) -> None:
        wide = make_facts(layers=2, hidden=512, vocabulary=200_000)
        tied = replace(wide, tensors=tuple(t for t in wide.tensors if t.name != "output.weight"), tied=True)
        need = plan(tied, MACHINE, Request()).plans[0].bytes.total or 0
        assert len(plan(tied, MACHINE, Request(budget_bytes=need - 1)).plans) > 1

    def test_no_cache_is_offered_that_the_engine_refuses(self) -> None:
        odd = make_facts(layers=4, head_dim=80, context=8192)
        need = plan(odd, MACHINE, Request()).plans[0].bytes.total or 0
        found = plan(odd, MACHINE, Request(budget_bytes=need - 1)).plans
        assert {option.kv_precision for option in found} == {"f16"}
        with pytest.raises(UsageError, match="80 values"):
            plan(odd, MACHINE, Request(kv_precision="q8_0"))

    def test_nothing_is_recommended_where_nothing_fits(self) -> None:
        report = plan(FACTS, MACHINE, Request(budget_bytes=1))
        assert (len(report.plans), report.recommended, report.largest_context) == (1, None, None)

    def test_a_machine_without_free_memory_fits_nothing(self) -> None:
        report = plan(FACTS, make_machine(available_bytes=0), Request())
        assert report.plans[0].budget_bytes == 0
        assert report.recommended is None

    def test_every_reason_is_one_sentence(self) -> None:
        for candidate in plan(FACTS, MACHINE, Request(budget_bytes=self.tight)).plans:
            assert candidate.reason.endswith(".")
            assert ". " not in candidate.reason


class TestRearrangedWeights:
    def test_the_file_is_read_instead_of_mapped_where_only_that_fits(self, write_model: WriteModel) -> None:
        facts = write_model(random_gguf.Shape(vocabulary=1024, dtype="Q4_0"))
        mapped = plan(facts, MACHINE, Request(512)).plans[0]
        tight = plan(facts, MACHINE, Request(512, budget_bytes=(mapped.bytes.total or 0) - 1)).plans[0]
        assert isinstance(mapped.settings, LlamaCppSettings)
        assert isinstance(tight.settings, LlamaCppSettings)
        assert (mapped.settings.mmap, tight.settings.mmap) == (True, False)
        assert tight.fits
        assert any("held once" in note for note in tight.notes)


class TestGpus:
    T4 = replace(MACHINE, gpus=(Gpu("Tesla T4", 16 * GB, 16 * GB, None, None, (7, 5), False, 3.2e11),))

    def test_everything_but_the_input_goes_to_a_gpu_with_room(self) -> None:
        found = plan(FACTS, self.T4, Request()).plans[0]
        assert list(found.placement) == ["gpu0", "cpu"]
        assert isinstance(found.settings, LlamaCppSettings)
        assert found.settings.gpu_layers == len(FACTS.layers) + 1

    def test_the_sums_of_the_devices_are_the_plan_s(self) -> None:
        found = plan(FACTS, self.T4, Request()).plans[0]
        held = [device.bytes.total or 0 for device in found.placement.values()]
        assert sum(held) == found.bytes.total

    def test_file_pages_that_only_pass_through_do_not_decide_what_fits(self) -> None:
        small = replace(self.T4, memory=Memory(GB, 50 * 10**6 + GB // 10, None))
        found = plan(FACTS, small, Request()).plans[0]
        assert found.fits
        assert (found.placement["cpu"].bytes.load_peak or 0) > found.placement["cpu"].budget_bytes

    def test_no_gpu_memory_asked_for_means_no_gpu(self) -> None:
        found = plan(FACTS, self.T4, Request(vram_bytes=0)).plans[0]
        assert list(found.placement) == ["cpu"]

    def test_negative_gpu_memory_is_refused(self) -> None:
        with pytest.raises(UsageError, match="cannot be"):
            plan(FACTS, self.T4, Request(vram_bytes=-1))


class TestAbsurdRequests:
    @pytest.mark.parametrize(
        ("request_", "said"),
        [
            (Request(context=0), "cannot hold a prompt"),
            (Request(context=-5), "cannot hold a prompt"),
            (Request(context=8193), "was trained for"),
            (Request(batch=0), "nothing to run"),
            (Request(batch=257), "at most 256"),
            (Request(budget_bytes=0), "can hold nothing"),
            (Request(budget_bytes=-1), "can hold nothing"),
        ],
    )
    def test_are_refused_with_the_limit_in_the_hint(self, request_: Request, said: str) -> None:
        with pytest.raises(UsageError, match=said) as caught:
            plan(FACTS, MACHINE, request_)
        assert caught.value.hint


class TestExact:
    def test_the_engine_s_figures_take_the_place_of_ours(self, write_model: WriteModel) -> None:
        facts = write_model(random_gguf.Shape(vocabulary=1024, dtype="Q4_0"))
        formula, exact = plan(facts, MACHINE, Request(512)), plan(facts, MACHINE, Request(512), exact=True)
        assert (formula.plans[0].method, exact.plans[0].method) == ("formula", "dry-run")
        assert exact.plans[0].bytes.total == pytest.approx(formula.plans[0].bytes.total, abs=20_000)

    def test_a_model_without_a_formula_is_asked_about_and_says_so(self, write_model: WriteModel) -> None:
        facts = write_model(random_gguf.Shape(vocabulary=1024, dtype="Q4_0"))
        strange = replace(facts, not_understood=("It has layers that nobody has seen.",))
        report = plan(strange, MACHINE, Request(512))
        assert report.plans[0].method == "dry-run"
        assert "nobody has seen" in report.plans[0].notes[0]
        assert report.largest_context is None

    def test_an_engine_that_fails_unasked_leaves_a_note(
        self, write_model: WriteModel, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fails(*_: object) -> None:
            raise EngineError("It crashed.")

        monkeypatch.setattr("shoestring.planning.exact.asked_of_the_engine", fails)
        facts = replace(write_model(random_gguf.Shape(vocabulary=1024)), not_understood=("Who knows.",))
        assert any("It crashed." in note for note in plan(facts, MACHINE, Request(512)).plans[0].notes)
        with pytest.raises(EngineError, match="crashed"):
            plan(facts, MACHINE, Request(512), exact=True)

    def test_a_model_without_a_formula_and_without_files_says_which_terms_are_missing(self) -> None:
        report = plan(make_facts(architecture="unheard-of"), MACHINE, Request())
        found = report.plans[0]
        assert (found.bytes.compute, found.bytes.total, found.fits) == (None, None, False)
        assert found.bytes.weights
        assert any("unheard-of" in note for note in found.notes)
        assert (report.recommended, report.largest_context) == (None, None)


def test_a_context_that_makes_llama_cpp_abort_is_refused() -> None:
    with pytest.raises(UsageError, match="context of 1"):
        asked(Request(context=1))
