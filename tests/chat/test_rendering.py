"""A chat template is a program from an untrusted file: it renders like the reference, or it is stopped."""

from __future__ import annotations

from typing import Any

import pytest
from jinja2.sandbox import ImmutableSandboxedEnvironment

from shoestring.chat.counting import render_counted
from shoestring.chat.rendering import render_text
from shoestring.chat.sandbox import UntameError, environment
from shoestring.chat.template_process import render_apart
from shoestring.errors import TemplateError

VARIABLES: dict[str, Any] = {
    "messages": [{"role": "user", "content": "2 < 3"}, {"role": "assistant", "content": "Ja, ä"}],
    "add_generation_prompt": True,
    "bos_token": "<s>",
    "eos_token": "</s>",
    "tools": None,
}

# What published templates use, each piece next to what transformers would print.
PIECES = [
    (
        "{% for m in messages %}\n  {{ m.role }}:{{ m['content'] | trim }}\n{% endfor %}",
        "  user:2 < 3\n  assistant:Ja, ä\n",
    ),
    (
        "{{ bos_token }}{{ messages | tojson }}",
        '<s>[{"role": "user", "content": "2 < 3"}, {"role": "assistant", "content": "Ja, ä"}]',
    ),
    ("{% for m in messages %}{% if loop.last %}{% break %}{% endif %}{{ m.role }}{% endfor %}", "user"),
    ("{% generation %}{{ messages[-1].content }}{% endgeneration %}", "Ja, ä"),
    (
        "{% set ns = namespace(found=false) %}{% for m in messages if m.role == 'user' %}{% set ns.found = true %}{% endfor %}{{ ns.found }}",
        "True",
    ),
    (
        "{% macro say(m) %}[{{ m.content }}]{% endmacro %}{{ say(messages[0]) ~ say(messages[1]) }}",
        "[2 < 3][Ja, ä]",
    ),
    ("{{ messages[0].content.split('<')[-1].strip() }}{{ tools is none }}", "3True"),
    ("{{ 'a' if messages | length % 2 == 0 else 'b' }}{{ messages[1:] | length }}", "a1"),
    ("{{ missing }}{{ missing is defined }}", "False"),
    ("{{ messages | map(attribute='role') | join(', ') }}{{ '%05d' | format(7) }}", "user, assistant00007"),
    ("{{ [messages[0].role, 'x'] | first }}", "user"),
    ("{{ 'a-b-c'.replace('-', '+', 1) ~ ('a-b' | replace('-', '')) ~ '/'.join(['x', 'y']) }}", "a+b-cabx/y"),
]


@pytest.mark.parametrize(("template", "expected"), PIECES)
def test_templates_render_as_transformers_renders_them(template: str, expected: str) -> None:
    assert render_text(template, [VARIABLES]) == [expected]


@pytest.mark.parametrize(("template", "expected"), PIECES)
def test_counting_changes_nothing_of_the_text(template: str, expected: str) -> None:
    unbounded = environment(ImmutableSandboxedEnvironment)
    assert unbounded.from_string(template).render(**VARIABLES) == expected


def test_a_process_of_its_own_renders_the_same() -> None:
    template = PIECES[0][0]
    assert render_apart(template, [VARIABLES, VARIABLES]) == render_text(template, [VARIABLES, VARIABLES])


def test_a_refusal_is_told_in_the_templates_own_words() -> None:
    with pytest.raises(TemplateError, match="System role not supported"):
        render_text("{{ raise_exception('System role not supported') }}", [VARIABLES])


def test_a_refusal_is_told_from_a_process_of_its_own_too() -> None:
    with pytest.raises(TemplateError, match="No tools here"):
        render_text("{{ [messages] | join }}{{ raise_exception('No tools here') }}", [VARIABLES])


def test_a_refusal_cannot_write_control_characters_to_a_terminal() -> None:
    with pytest.raises(TemplateError) as caught:
        render_text(r"{{ raise_exception('\x1b[2J\nno') }}", [VARIABLES])
    assert caught.value.message.isprintable()


@pytest.mark.parametrize(
    "broken",
    [
        "{% if %}",
        "{{ unclosed",
        "{{ missing.attribute }}",
        "{{ messages + 1 }}",
        "{{ 1 // 0 }}",
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
        "{{ 3 | no_such_filter }}",
        "{% break %}",
        "{% for m in 5 %}{% endfor %}",
    ],
)
def test_a_broken_template_is_a_typed_error(broken: str) -> None:
    with pytest.raises(TemplateError):
        render_text(broken, [VARIABLES])


@pytest.mark.parametrize(
    "escape",
    [
        "{{ ''.__class__.__mro__ }}",
        "{{ cycler.__init__.__globals__ }}",
        "{{ raise_exception.__globals__['time'] }}",
        "{{ messages.append(1) }}",
        "{{ '{0.__class__.__mro__}'.format(messages) }}",
        "{{ namespace.__init__() }}",
        "{% include '/etc/passwd' %}",
    ],
)
def test_the_sandbox_has_no_way_out(escape: str) -> None:
    with pytest.raises(TemplateError):
        render_text(escape, [VARIABLES])


@pytest.mark.parametrize(
    "bomb",
    [
        "{{ 'a' * 10**10 }}",
        "{{ [0] * 10**9 }}",
        "{{ '%1000000000d' % 1 }}",
        "{{ 'a'.center(10**10) }}",
        "{{ 'a' | center(10000000000) }}",
        "{{ lipsum(n=10000000) }}",
        "{{ ('a' * 99999 * 99999) | join }}",
        "{% for i in range(99999) %}" + "literal " * 20_000 + "{% endfor %}",
        "{% set ns = namespace(s='a') %}{% for i in range(60) %}{% set ns.s = ns.s.replace('a', 'aa') %}{% endfor %}",
        "{% set ns = namespace(s='aa') %}{% for i in range(60) %}{% set ns.s = ns.s.join(['b', 'b', 'b']) %}{% endfor %}",
        "{% set ns = namespace(s='ab') %}{% for i in range(60) %}{% set ns.s = ns.s + ns.s %}{% endfor %}{{ ns.s }}",
        "{% set ns = namespace(s='ab') %}{% for i in range(60) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}{{ ns.s }}",
        "{% set ns = namespace(s=[1]) %}{% for i in range(60) %}{% set ns.s = [ns.s, ns.s] %}{% endfor %}{{ ns.s }}",
        "{% set ns = namespace(s='ab') %}{% for i in range(60) %}{% set ns.s = ns.s | replace('a', 'aa') "
        "| replace('a', 'aaaa') %}{% endfor %}{{ ns.s }}",
    ],
)
def test_a_bomb_is_stopped_before_it_takes_the_memory(bomb: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shoestring.chat.template_process._SECONDS", 2)
    with pytest.raises(TemplateError):
        render_text(bomb, [VARIABLES])


BIG = "{% set ns = namespace(s='ab') %}{% for i in range(20) %}{% set ns.s = ns.s + ns.s %}{% endfor %}{% set s = ns.s %}"


@pytest.mark.parametrize(
    "bomb",
    [
        BIG + "".join(f"{{% set a{i} = s[1:] %}}" for i in range(900)),
        BIG + "".join(f"{{% set a{i} = s | list %}}" for i in range(40)),
        BIG + "".join(f"{{% set a{i} = s.split('a') %}}" for i in range(40)),
        BIG + "{% if s | upper %}{% endif %}" * 1000,
        BIG + "{% if s.title() %}{% endif %}" * 1000,
        BIG + "{% if s == s[1:] %}{% endif %}" * 1000,
        BIG + "{% if s is lower %}{% endif %}" * 1000,
        BIG
        + "{% set ns.l = s.split('x') %}{% for i in range(12) %}{% set ns.l = ns.l + ns.l %}{% endfor %}{{ ns.l }}",
        BIG + "{{ s.rfind('b' + s[:1000000]) }}",
        BIG + "{{ messages | tojson(indent=s) }}",
        BIG + "{{ s.strip(s[:1000000]) }}",
        "{{ ['a'] | map('center', 10000000000) | list }}",
        "{{ a }}" * 39_000,
    ],
)
def test_what_only_grows_outside_loops_is_counted_too(bomb: str) -> None:
    with pytest.raises(UntameError):
        render_counted(bomb, [VARIABLES])


def test_published_templates_are_counted_here() -> None:
    template = (
        "{%- if messages[0]['role'] == 'system' %}{% set system = messages[0].content | trim %}{% set rest = messages[1:] %}"
        "{% else %}{% set rest = messages %}{% endif %}{% for m in rest %}{% if '</think>' in m.content %}"
        "{% set said = m.content.split('</think>')[-1].lstrip('\n') %}{% else %}{% set said = m.content | string %}"
        "{% endif %}{{ '<|im_start|>' + m.role + '\n' + said | trim + '<|im_end|>\n' }}{% endfor %}"
    )
    long = {"messages": [{"role": "user", "content": "word " * 1_000}] * 100}
    assert len(render_counted(template, [long])[0]) > 400_000


def test_endless_loops_are_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shoestring.chat.template_process._SECONDS", 1)
    nested = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
    with pytest.raises(TemplateError, match="more than"):
        render_text(nested, [VARIABLES])


def test_a_big_conversation_is_no_bomb() -> None:
    long = {"messages": [{"role": "user", "content": "word " * 50_000}] * 20}
    template = "{% for m in messages %}{{ '<s>' + m['role'] + m['content'] + '</s>' }}{% endfor %}"
    assert len(render_text(template, [long])[0]) > 5_000_000
