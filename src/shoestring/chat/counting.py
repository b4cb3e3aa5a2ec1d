"""Renders chat templates at a counted cost, in this process.

Every loop turn and macro call is charged to a budget, and so is, before it is made, every text or list that an
operator, a slice, a method, a filter or an output can make: its length at most, and for work that makes nothing
(comparisons, tests) the length of what it reads. All that one rendering ever makes is thus bounded, and with it
what is alive at any time. Each charge looks at the clock. What could grow uncounted (unknown filters,
containers built of values) is refused with `UntameError`: such a template has to run where the operating system
counts.
"""

from __future__ import annotations

import time
from collections.abc import Callable, ItemsView, Iterable, KeysView, Mapping, Sequence, ValuesView
from contextvars import ContextVar
from functools import lru_cache, wraps
from typing import Any

import jinja2
from jinja2 import nodes
from jinja2.runtime import Context, Macro
from jinja2.sandbox import ImmutableSandboxedEnvironment, safe_range
from markupsafe import Markup

from shoestring.chat.sandbox import OpaqueNamespace, UntameError, Variables, environment, raise_exception

_LONGEST_SOURCE = 30_000  # characters; real templates have up to about 20,000, and compiling costs memory too
_TURNS = 100_000  # loop turns and macro calls of one rendering
_CHARACTERS = 10_000_000  # made by one rendering, beside 64 for each character of the variables
_MOST_CHARACTERS = 64_000_000  # in any case: 256 MB where each takes four bytes
_ELEMENT = 20  # what one element of a new list is charged, in characters
_LONGEST_SEARCH = 10**8  # characters searched times characters sought
_SECONDS = 1.0


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
        self._characters = min(_CHARACTERS + 64 * _size(variables), _MOST_CHARACTERS)
        self._deadline = time.monotonic() + _SECONDS

    def turn(self) -> None:
        self._turns -= 1
        if self._turns < 0:
            raise UntameError
        self.produce(0)

    def produce(self, n_characters: int) -> None:
        self._characters -= n_characters
        if self._characters < 0 or time.monotonic() > self._deadline:
            raise UntameError


_budget: ContextVar[_Budget] = ContextVar("template_budget")


def _size(value: object) -> int:
    """Characters in JSON-like data."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, Mapping):
        return sum(map(_size, value.values()))
    return sum(map(_size, value)) if isinstance(value, (list, tuple)) else 1


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
# Filters that hand elements on, unread; all others read all of what they are given.
_LAZY_FILTERS = frozenset(
    """length count first last default d list items selectattr rejectattr select reject map reverse""".split()  # noqa: SIM905
)
_TAME_NODES = (
    *(nodes.Template, nodes.Output, nodes.TemplateData, nodes.Const, nodes.Name, nodes.NSRef, nodes.Keyword),
    *(nodes.For, nodes.If, nodes.Assign, nodes.AssignBlock, nodes.Macro, nodes.Break, nodes.Continue),
    *(nodes.Compare, nodes.Operand, nodes.And, nodes.Or, nodes.Not, nodes.Neg, nodes.Pos, nodes.CondExpr),
    *(nodes.Add, nodes.Sub, nodes.Mul, nodes.Div, nodes.FloorDiv, nodes.Mod),
    *(nodes.Getattr, nodes.Getitem, nodes.Slice, nodes.Call, nodes.Filter, nodes.Test, nodes.Concat),
    *(nodes.List, nodes.Tuple, nodes.Dict, nodes.Pair),
)


class _CountingEnvironment(ImmutableSandboxedEnvironment):
    """Compiles loops, macros and operators to charge the budget; refuses what cannot be counted."""

    intercepted_binops = frozenset(["+", "-", "*", "%"])

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

    def charge_slice(self, value: Any) -> Any:
        _budget.get().produce(_shallow(value))
        return value

    def charge_reading(self, value: Any) -> Any:
        _charge_deep(value)
        return value

    def getitem(self, obj: Any, argument: Any) -> Any:
        _budget.get().produce(1)
        return super().getitem(obj, argument)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        if operator == "+":
            if isinstance(left, Markup) or isinstance(right, Markup):
                raise UntameError  # it would escape the other side
            _budget.get().produce(_shallow(left) + _shallow(right))
        elif not (isinstance(left, (int, float)) and isinstance(right, (int, float))):
            raise UntameError  # repetition and %-formatting
        return _bounded_number(super().call_binop(context, operator, left, right))

    def call(self, /, context: Context, target: Any, *args: Any, **kwargs: Any) -> Any:
        if not _is_countable(target):
            raise UntameError
        arguments = (*args, *kwargs.values())
        _budget.get().produce(_ELEMENT * len(arguments))
        owner = getattr(target, "__self__", None)
        if isinstance(owner, str):
            _charge_method(target.__name__, owner, arguments)
        elif isinstance(owner, (dict, list, tuple)):
            _charge_deep([arguments, owner] if target.__name__ in ("index", "count") else arguments)
        elif target is time.strftime:
            _budget.get().produce(256 * sum(map(_shallow, arguments)))  # as far as C's buffer may grow
        elif target in (raise_exception, OpaqueNamespace):
            _charge_deep(arguments)
        return super().call(context, target, *args, **kwargs)


def _charge_method(method: str, text: str, arguments: tuple[Any, ...]) -> None:
    """Charge the most that a method of a text can make of it."""
    if isinstance(text, Markup):
        raise UntameError  # it would escape
    _budget.get().produce(
        3 * len(text) + 3 * _ELEMENT
    )  # changing the case makes of one character three at most
    if method == "join":
        (parts,) = arguments
        if not isinstance(parts, (list, tuple)) or any(isinstance(part, Markup) for part in parts):
            raise UntameError
        _budget.get().produce(len(parts) * len(text) + sum(map(len, parts)))
        return
    sought = sum(len(argument) for argument in arguments if isinstance(argument, str))
    if sought * len(text) > _LONGEST_SEARCH:
        raise UntameError
    if method == "replace":
        old, new = arguments[:2]
        _budget.get().produce(text.count(old) * len(new))
    elif method in ("split", "rsplit", "splitlines"):
        separator = next((argument for argument in arguments if isinstance(argument, str) and argument), None)
        n_parts = len(text) if separator is None else text.count(separator)
        _budget.get().produce(n_parts * _ELEMENT)


def _shallow(value: object) -> int:
    """What a copy of a value costs, its elements shared."""
    if isinstance(value, str):
        return len(value)
    return _ELEMENT * len(value) if isinstance(value, (list, tuple, dict, range)) else 1


def _charge_deep(value: object, factor: int = 1) -> None:
    """Charge reading all of a value, before anything does it: shared elements count each time."""
    if isinstance(value, (Mapping, ItemsView, KeysView, ValuesView)):
        value = list(value.items() if isinstance(value, Mapping) else value)
    if isinstance(value, (list, tuple)):
        _budget.get().produce(_ELEMENT * len(value) * factor)
        for element in value:
            _charge_deep(element, factor)
    else:
        _budget.get().produce(_shallow(value) * factor)


def _charged_filter(name: str, apply: Callable[..., Any]) -> Callable[..., Any]:
    """A filter that charges what it is given, each time; those that are not known to be tame are refused."""

    @wraps(apply)
    def charged(*args: Any, **kwargs: Any) -> Any:
        arguments = [a for a in (*args, *kwargs.values()) if not isinstance(a, (Context, nodes.EvalContext))]
        if name not in _FILTERS:
            raise UntameError
        if name in _LAZY_FILTERS:
            _budget.get().produce(sum(map(_shallow, arguments)))
        else:
            # 12: what JSON or `repr` makes of one character at most. 3: what a change of case does.
            containers = not isinstance(arguments[0], str)
            _charge_deep(arguments, 12 if name == "tojson" or containers else 3)
            lengths = [len(argument) for argument in arguments if isinstance(argument, str)]
            if len(lengths) > 1 and sum(lengths[1:]) * lengths[0] > _LONGEST_SEARCH:
                raise UntameError
        if name == "int" and isinstance(arguments[0], str) and len(arguments[0]) > 1000:
            raise UntameError  # quadratic in some versions of Python
        if name == "tojson" and not all(
            argument is None or isinstance(argument, int) for argument in arguments[1:]
        ):
            raise UntameError  # texts repeated at each element
        return apply(*args, **kwargs)

    return charged


def _charged_test(apply: Any) -> Callable[..., Any]:
    @wraps(apply)
    def charged(*args: Any) -> Any:
        _charge_deep([argument for argument in args if not isinstance(argument, jinja2.Environment)])
        return apply(*args)

    return charged


def _list(value: Iterable[object]) -> list[object]:
    made: list[object] = []
    for element in value:
        _budget.get().produce(_ELEMENT)
        made.append(element)
    return made


def _replace(value: object, old: str, new: str, count: int = -1) -> str:
    text = _charged_text(value)
    _charge_method("replace", text, (old, new))
    return text.replace(old, new, count)


def _join(value: Iterable[object], separator: str = "", attribute: object = None) -> str:
    if attribute is not None:
        raise UntameError
    parts = [_charged_text(part) for part in value]
    _charge_method("join", separator, (parts,))
    return separator.join(parts)


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
    """Charge a turn in each loop body, loop filter and macro, with its literal text, and what is joined or read."""
    if isinstance(node, (nodes.For, nodes.Macro)):
        n_literal = sum(len(text.data) for text in node.find_all(nodes.TemplateData))
        turn = _charge(node, "charge_turn", nodes.Const(n_literal, lineno=node.lineno))
        node.body.insert(0, nodes.ExprStmt(turn, lineno=node.lineno))
    if isinstance(node, nodes.For) and node.test is not None:
        turn = _charge(node, "charge_turn", nodes.Const(0, lineno=node.lineno))
        node.test = nodes.And(turn, node.test, lineno=node.lineno)
    if isinstance(node, nodes.Concat):
        node.nodes = [_charge(part, "charge_text", part) for part in node.nodes]
    if isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Slice):
        node.node = _charge(node, "charge_slice", node.node)
    if isinstance(node, (nodes.Compare, nodes.Operand)):
        node.expr = _charge(node, "charge_reading", node.expr)


def _charge(node: nodes.Node, method: str, *arguments: nodes.Expr) -> nodes.Call:
    target = nodes.EnvironmentAttribute(method, lineno=node.lineno)
    return nodes.Call(target, list(arguments), [], None, None, lineno=node.lineno)


def _charged_text(value: object) -> str:
    _charge_deep(value, 1 if isinstance(value, str) else 12)  # before it is made
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
    known = counting.filters | {"replace": _replace, "join": _join, "list": _list}
    counting.filters = {name: _charged_filter(name, apply) for name, apply in known.items()}
    counting.tests = {name: _charged_test(apply) for name, apply in counting.tests.items()}
    return counting.from_string(template)
