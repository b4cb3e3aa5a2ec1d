"""Runs a model's chat template, which is a program from an untrusted file, within bounds.

Attributes and calls are confined by Jinja's immutable sandbox, configured as transformers configures it
(`trim_blocks`, `lstrip_blocks`, loop controls, `{% generation %}`, `raise_exception`, `strftime_now`, and
`tojson` without HTML escaping). That sandbox bounds neither time nor memory, so there are two ways to render:

* **Here**, in microseconds, when the template uses only what can be counted: every loop turn and macro call
  is charged to a budget, and so is every character that an operator or an output produces.
* **Apart**, in a short-lived process under the operating system's own limits (`template_process`), for
  everything else, and where the budget here ran out.

Both give the same text: the first is only the quicker one.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from contextvars import ContextVar
from functools import lru_cache
from typing import Any, NoReturn

import jinja2
from jinja2 import nodes
from jinja2.ext import Extension, LoopControlExtension
from jinja2.parser import Parser
from jinja2.runtime import Context, Macro
from jinja2.sandbox import ImmutableSandboxedEnvironment, safe_range
from jinja2.utils import Namespace

from shoestring.errors import TemplateError

Variables = Mapping[str, Any]
"""What a template sees: JSON types only."""

_LONGEST_SOURCE = 200_000  # characters; real templates have up to about 20,000
_TURNS = 100_000  # loop turns and macro calls of one rendering
_CHARACTERS = 10_000_000  # produced by one rendering, beside 64 for each character of the variables
_SECONDS = 2.0


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


def render_text(template: str, variables: Sequence[Variables]) -> list[str]:
    """Render a template once for each set of variables.

    Raises:
        TemplateError: the template cannot be parsed, fails, refuses the conversation, or costs too much.
    """
    try:
        compiled = _tame(template)
        return [_counted(compiled, each) for each in variables]
    except UntameError:
        from shoestring.chat.template_process import render_apart

        return render_apart(template, variables)
    except RefusalError as refusal:
        raise refused(str(refusal)) from None
    except TEMPLATE_FAULTS as fault:
        raise faulty(fault) from fault


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


def strict_environment() -> ImmutableSandboxedEnvironment:
    """Jinja as transformers sets it up for chat templates, without any bound on cost."""
    return _configured(ImmutableSandboxedEnvironment)


def _configured(kind: type[ImmutableSandboxedEnvironment]) -> ImmutableSandboxedEnvironment:
    # Not optimised: the optimiser would run constant expressions, of any cost, while compiling.
    # No autoescape: the output is a prompt, never HTML.
    environment = kind(
        trim_blocks=True, lstrip_blocks=True, extensions=[LoopControlExtension, _Generation], optimized=False
    )
    environment.filters["tojson"] = _tojson
    environment.globals["raise_exception"] = _raise_exception
    environment.globals["strftime_now"] = time.strftime
    environment.globals["namespace"] = _OpaqueNamespace
    return environment


class _Generation(Extension):
    """`{% generation %}…{% endgeneration %}`, with which transformers marks the assistant's words."""

    tags = {"generation"}  # noqa: RUF012 (Jinja declares it so)

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


class _OpaqueNamespace(Namespace):
    """A namespace that prints no values: namespaces of namespaces would double with each level."""

    def __repr__(self) -> str:
        return "<Namespace>"


def _raise_exception(message: object) -> NoReturn:
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


class _Budget:
    """What one rendering may still cost."""

    def __init__(self, variables: Variables) -> None:
        self._turns = _TURNS
        self._characters = _CHARACTERS + 64 * _size(variables)
        self._deadline = time.monotonic() + _SECONDS

    def turn(self) -> None:
        self._turns -= 1
        if self._turns < 0 or time.monotonic() > self._deadline:
            raise UntameError

    def produce(self, n_characters: int) -> None:
        self._characters -= n_characters
        if self._characters < 0:
            raise UntameError


_budget: ContextVar[_Budget] = ContextVar("template_budget")


def _counted(compiled: jinja2.Template, variables: Variables) -> str:
    token = _budget.set(_Budget(variables))
    try:
        return compiled.render(**variables)
    finally:
        _budget.reset(token)


def _size(value: object) -> int:
    """Characters in JSON-like data."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, Mapping):
        return sum(map(_size, value.values()))
    return sum(map(_size, value)) if isinstance(value, (list, tuple)) else 1


# Each of these yields at most as much text as it was given, but for two that are charged.
_STR_METHODS = {"strip", "lstrip", "rstrip", "split", "rsplit", "partition", "rpartition", "splitlines"}
_STR_METHODS |= {
    "lower",
    "upper",
    "title",
    "capitalize",
    "startswith",
    "endswith",
    "removeprefix",
    "removesuffix",
}
_STR_METHODS |= {
    "find",
    "rfind",
    "index",
    "rindex",
    "count",
    "isdigit",
    "isalpha",
    "isalnum",
    "isspace",
    "isupper",
}
_STR_METHODS |= {"islower", "replace", "join"}
_CONTAINER_METHODS = {"get", "items", "keys", "values", "index", "count"}
_FILTERS = {
    "trim",
    "length",
    "count",
    "first",
    "last",
    "lower",
    "upper",
    "capitalize",
    "title",
    "default",
    "d",
}
_FILTERS |= {
    "list",
    "items",
    "selectattr",
    "rejectattr",
    "select",
    "reject",
    "map",
    "reverse",
    "int",
    "float",
}
_FILTERS |= {"abs", "string", "safe", "tojson", "replace", "join"}
_TAME_NODES = (
    *(nodes.Template, nodes.Output, nodes.TemplateData, nodes.Const, nodes.Name, nodes.NSRef, nodes.Keyword),
    *(nodes.For, nodes.If, nodes.Assign, nodes.AssignBlock, nodes.Macro, nodes.Break, nodes.Continue),
    *(nodes.Compare, nodes.Operand, nodes.And, nodes.Or, nodes.Not, nodes.Neg, nodes.Pos, nodes.CondExpr),
    *(nodes.Add, nodes.Sub, nodes.Mul, nodes.Div, nodes.FloorDiv, nodes.Mod),
    *(nodes.Getattr, nodes.Getitem, nodes.Slice, nodes.Call, nodes.Filter, nodes.Test, nodes.Concat),
    *(nodes.List, nodes.Tuple, nodes.Dict, nodes.Pair, nodes.ScopedEvalContextModifier),
)


class _CountingEnvironment(ImmutableSandboxedEnvironment):
    """Compiles loops, macros and operators to charge the budget; refuses what cannot be counted."""

    intercepted_binops = frozenset(["+", "*", "%"])

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        tree = super()._parse(source, name, filename)
        for node in [tree, *tree.find_all(nodes.Node)]:
            _require_tame(node)
            _make_countable(node)
        tree.set_environment(self)
        return tree

    def charge_turn(self) -> bool:
        _budget.get().turn()
        return True

    def charge_text(self, value: object) -> str:
        return _charged_text(value)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        if operator == "+":
            _budget.get().produce(_length(left) + _length(right))
        elif not (isinstance(left, (int, float)) and isinstance(right, (int, float))):
            raise UntameError  # repetition and %-formatting
        return _bounded_number(super().call_binop(context, operator, left, right))

    def call(self, /, context: Context, target: Any, *args: Any, **kwargs: Any) -> Any:
        if not _is_countable(target):
            raise UntameError
        if isinstance(getattr(target, "__self__", None), str):
            _charge_growth(target.__name__, target.__self__, args)
        return super().call(context, target, *args, **kwargs)


def _charge_growth(method: str, text: str, arguments: tuple[Any, ...]) -> None:
    """Charge what the two methods that can make a text longer will produce."""
    if method == "replace":
        old, new = arguments[:2]
        _budget.get().produce(len(text) + text.count(old) * len(new))
    elif method == "join":
        (parts,) = arguments
        if not isinstance(parts, (list, tuple)):
            raise UntameError
        _budget.get().produce(len(parts) * len(text) + sum(map(len, parts)))


def _replace(value: object, old: str, new: str, count: int = -1) -> str:
    text = str(value)
    _charge_growth("replace", text, (old, new))
    return text.replace(old, new, count)


def _join(value: Iterable[object], separator: str = "", attribute: object = None) -> str:
    if attribute is not None:
        raise UntameError
    parts = [str(part) for part in value]
    _charge_growth("join", separator, (parts,))
    return separator.join(parts)


def _length(value: object) -> int:
    return len(value) if isinstance(value, (str, list, tuple)) else 1


def _bounded_number(value: Any) -> Any:
    if isinstance(value, int) and value.bit_length() > 64:
        raise UntameError
    return value


def _is_countable(target: object) -> bool:
    owner, name = getattr(target, "__self__", None), getattr(target, "__name__", "")
    if isinstance(owner, str):
        return name in _STR_METHODS
    if isinstance(owner, (dict, list, tuple)):
        return name in _CONTAINER_METHODS
    if isinstance(owner, _CountingEnvironment):
        return True
    return isinstance(target, Macro) or target in (
        _raise_exception,
        time.strftime,
        _OpaqueNamespace,
        safe_range,
    )


def _require_tame(node: nodes.Node) -> None:
    """Refuse what could grow uncounted: unknown filters, and containers built of values (nested doubling)."""
    if not isinstance(node, _TAME_NODES) or (isinstance(node, nodes.For) and node.recursive):
        raise UntameError
    if isinstance(node, nodes.Filter) and node.name not in _FILTERS:
        raise UntameError
    builds = isinstance(node, (nodes.List, nodes.Dict, nodes.Pair)) or (
        isinstance(node, nodes.Tuple) and node.ctx == "load"
    )
    if builds and not all(isinstance(child, (nodes.Const, nodes.Pair)) for child in node.iter_child_nodes()):
        raise UntameError


def _make_countable(node: nodes.Node) -> None:
    """Charge a turn in each loop body, loop filter and macro, and the characters that `~` joins."""
    if isinstance(node, nodes.For) and node.test is not None:
        node.test = nodes.And(_charge(node, "charge_turn"), node.test, lineno=node.lineno)
    if isinstance(node, (nodes.For, nodes.Macro)):
        node.body.insert(0, nodes.ExprStmt(_charge(node, "charge_turn"), lineno=node.lineno))
    if isinstance(node, nodes.Concat):
        node.nodes = [_charge(part, "charge_text", part) for part in node.nodes]


def _charge(node: nodes.Node, method: str, *arguments: nodes.Expr) -> nodes.Call:
    target = nodes.EnvironmentAttribute(method, lineno=node.lineno)
    return nodes.Call(target, list(arguments), [], None, None, lineno=node.lineno)


def _charged_text(value: object) -> str:
    text = str(value)
    _budget.get().produce(len(text))
    return text


@lru_cache(maxsize=8)
def _tame(template: str) -> jinja2.Template:
    """The template, compiled to be counted.

    Raises:
        UntameError: it uses something that cannot be.
    """
    if len(template) > _LONGEST_SOURCE:
        raise UntameError
    environment = _configured(_CountingEnvironment)
    environment.finalize = _charged_text
    environment.filters |= {"replace": _replace, "join": _join}
    return environment.from_string(template)
