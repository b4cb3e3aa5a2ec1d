"""A plan in words: the same on the command line and in a notebook, and harmless whatever a model is called."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser

from planning_facts import make_facts, make_machine

from shoestring.planning.base import Request
from shoestring.planning.report_text import most_that_fits, rows_of, settings_of, speed
from shoestring.planning.solver import plan

FACTS = make_facts(layers=12, hidden=512, heads=8, kv_heads=8)
REPORT = plan(FACTS, make_machine(), Request())
TIGHT = plan(FACTS, make_machine(), Request(budget_bytes=(REPORT.plans[0].bytes.total or 0) - 1))
UNKNOWN = plan(make_facts(architecture="unheard-of"), make_machine(), Request())


class _Tags(HTMLParser):
    """Names of all tags, and those left open."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.names.add(tag)
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_settings_are_one_line() -> None:
    assert settings_of(REPORT.plans[0]) == (
        "context 4,096 · Q8_0 weights · f16 cache · llama_cpp · by formula"
    )


def test_the_largest_context_and_batch_are_a_sentence() -> None:
    assert re.fullmatch(
        r"The most that fits: a context of 8,192 tokens, or \d+ sequences of 4,096\.",
        most_that_fits(REPORT) or "",
    )


def test_what_is_not_known_is_not_said() -> None:
    assert most_that_fits(UNKNOWN) is None
    assert speed(UNKNOWN.plans[0]) is None
    assert rows_of(UNKNOWN)[0]["total"] == "?"


def test_columns_that_tell_plans_apart_are_shown_and_others_left_out() -> None:
    columns = rows_of(TIGHT)[0]
    assert {"engine", "weights", "cache", "context", "total", "to spare"} <= set(columns)
    assert "batch" not in columns


def test_a_notebook_gets_well_formed_html_without_scripts() -> None:
    for report in (REPORT, TIGHT, UNKNOWN):
        tags = _Tags()
        tags.feed(report._repr_html_())
        assert tags.open == []
        assert tags.names <= {"div", "b", "span", "table", "thead", "tbody", "tr", "th", "td"}


def test_a_model_s_name_cannot_add_markup() -> None:
    hostile = replace(REPORT, model="<script>alert(1)</script>", hardware='"><img src=x>')
    shown = hostile._repr_html_()
    assert "<script" not in shown
    assert "<img" not in shown
    assert "&lt;script&gt;" in shown


def test_a_notebook_says_what_the_command_line_says() -> None:
    shown = TIGHT._repr_html_()
    assert "Does not fit." in shown
    assert (most_that_fits(TIGHT) or "?") in shown
