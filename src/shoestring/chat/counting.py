"""Renders chat templates at a counted cost, in this process.

Every loop turn and macro call is charged to a budget, and so is every character that an operator, an output or
literal text produces. What could grow uncounted (unknown filters, containers built of values) is refused with
`UntameError`: such a template has to run where the operating system counts.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from contextvars import ContextVar
from functools import lru_cache
from typing import Any

import jinja2
from jinja2 import nodes
from jinja2.runtime import Context, Macro
from jinja2.sandbox import ImmutableSandboxedEnvironment, safe_range

from shoestring.chat.sandbox import OpaqueNamespace, UntameError, Variables, environment, raise_exception

_LONGEST_SOURCE = 200_000  # characters; real templates have up to about 20,000
_TURNS = 100_000  # loop turns and macro calls of one rendering
_CHARACTERS = 10_000_000  # produced by one rendering, beside 64 for each character of the variables
_SECONDS = 2.0


def render_counted(template: str, variables: Sequence[Variables]) -> list[str]:
    """Render a template once for each set of variables.

    Raises:
        UntameError: it does something that cannot be counted, or its budget ran out.
        Else what the template raises: `RefusalError` or one of `TEMPLATE_FAULTS`.
    """
    compiled = _tame(template)
    return [_counted(compiled, each) for each in variables]


def _counted(compiled: jinja2.Template, variables: Variables) -> str:
    token = _budget.set(_Budget(variables))
    try:
        return compiled.render(**variables)
    finally:
        _budget.reset(token)


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


def _size(value: object) -> int:
    """Characters in JSON-like data."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, Mapping):
        return sum(map(_size, value.values()))
    return sum(map(_size, value)) if isinstance(value, (list, tuple)) else 1


# Each of these yields at most as much text as it was given, but for two that are charged.
_STR_METHODS = frozenset(
    """strip lstrip rstrip split rsplit partition rpartition splitlines startswith endswith removeprefix
    removesuffix lower upper title capitalize find rfind index rindex count isdigit isalpha isalnum isspace
    isupper islower replace join""".split()  # noqa: SIM905
)
_CONTAINER_METHODS = frozenset(["get", "items", "keys", "values", "index", "count"])
_FILTERS = frozenset(
    """trim length count first last lower upper capitalize title default d list items selectattr rejectattr
    select reject map reverse int float abs string safe tojson replace join""".split()  # noqa: SIM905
)
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

    def charge_turn(self, n_characters: int) -> bool:
        _budget.get().turn()
        _budget.get().produce(n_characters)
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
        raise_exception,
        time.strftime,
        OpaqueNamespace,
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
    """Charge a turn in each loop body, loop filter and macro, with its literal text, and what `~` joins."""
    if isinstance(node, (nodes.For, nodes.Macro)):
        n_literal = sum(len(text.data) for text in node.find_all(nodes.TemplateData))
        turn = _charge(node, "charge_turn", nodes.Const(n_literal, lineno=node.lineno))
        node.body.insert(0, nodes.ExprStmt(turn, lineno=node.lineno))
    if isinstance(node, nodes.For) and node.test is not None:
        turn = _charge(node, "charge_turn", nodes.Const(0, lineno=node.lineno))
        node.test = nodes.And(turn, node.test, lineno=node.lineno)
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
    counting = environment(_CountingEnvironment)
    counting.finalize = _charged_text
    counting.filters |= {"replace": _replace, "join": _join}
    return counting.from_string(template)
