"""Jinja's immutable sandbox, configured for chat templates as transformers configures it.

`trim_blocks`, `lstrip_blocks`, loop controls, `{% generation %}`, `raise_exception`, `strftime_now`, and `tojson`
without HTML escaping. The sandbox confines attributes and calls; it bounds neither time nor memory.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, NoReturn, TypeVar

import jinja2
from jinja2 import nodes
from jinja2.ext import Extension, LoopControlExtension
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace

from shoestring.errors import TemplateError

Variables = Mapping[str, Any]
"""What a template sees: JSON types only."""


class RefusalError(Exception):
    """The template called `raise_exception`."""


class UntameError(Exception):
    """What the template does cannot be counted here; it has to run apart."""


TEMPLATE_FAULTS = (
    jinja2.TemplateError,
    ArithmeticError,
    AttributeError,
    LookupError,
    MemoryError,
    RecursionError,
    SyntaxError,
    TypeError,
    ValueError,
)
"""Everything a template can raise by being wrong: it is Python expressions in the end."""


def refused(reason: str) -> TemplateError:
    """The error for a template that called `raise_exception`."""
    return TemplateError(
        f"The model's chat template refuses this conversation: {_printable(reason).rstrip('.')}.",
        "Change the conversation to what the template accepts.",
    )


def faulty(fault: BaseException) -> TemplateError:
    """The error for a template that cannot be parsed or fails while it runs."""
    line = getattr(fault, "lineno", None)
    reason = str(fault) or type(fault).__name__
    where = f" at line {line}" if isinstance(line, int) else ""
    return TemplateError(
        f"The model's chat template fails{where}: {_printable(reason).rstrip('.')}.",
        "The model can still complete plain text.",
    )


def _printable(text: str) -> str:
    """Text from an untrusted file, fit for one line of a terminal."""
    return "".join(c if c.isprintable() else " " for c in text[:300]).strip()


SandboxT = TypeVar("SandboxT", bound=ImmutableSandboxedEnvironment)


def environment(kind: type[SandboxT]) -> SandboxT:
    """An environment of this kind, set up for chat templates as transformers does it; no bound on cost."""
    # Not optimised: the optimiser would run constant expressions, of any cost, while compiling.
    # No autoescape: the output is a prompt, never HTML.
    made = kind(
        trim_blocks=True, lstrip_blocks=True, extensions=[LoopControlExtension, _Generation], optimized=False
    )
    made.filters["tojson"] = _tojson
    made.globals["raise_exception"] = raise_exception
    made.globals["strftime_now"] = time.strftime
    made.globals["namespace"] = OpaqueNamespace
    return made


class _Generation(Extension):
    """`{% generation %}…{% endgeneration %}`, with which transformers marks the assistant's words."""

    tags = {"generation"}  # noqa: RUF012 (Jinja declares it so)

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


class OpaqueNamespace(Namespace):
    """A namespace that prints no values: namespaces of namespaces would double with each level."""

    def __repr__(self) -> str:
        return "<Namespace>"


def raise_exception(message: object) -> NoReturn:
    """What templates call to refuse a conversation."""
    raise RefusalError(str(message))


def _tojson(
    value: object,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    import json

    if isinstance(indent, int) and not 0 <= indent <= 16:
        raise UntameError
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )
