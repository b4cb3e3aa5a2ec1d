"""A bar of what uses a device's memory, readable with and without colours."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from shoestring.planning.report_text import LABELS, by_group, filled
from shoestring.units import format_bytes

if TYPE_CHECKING:
    from rich.padding import Padding
    from rich.text import Text

    from shoestring.planning.base import DevicePlan, Group, Plan

WIDTH = 32  # characters for what may be used, or for the total where that is more

_NAME = 5  # characters for a device's name
_LOOK: dict[Group, tuple[str, str]] = {
    "weights": ("█", "blue"),
    "adapters": ("▄", "bright_blue"),
    "kv_cache": ("▓", "magenta"),
    "compute": ("▒", "cyan"),
    "activations": ("▒", "cyan"),
    "gradients": ("▓", "magenta"),
    "optimizer": ("▚", "yellow"),
    "runtime": ("░", "green"),
}
"""Character and colour of each group."""


def bar(name: str, device: DevicePlan, *, lone: bool) -> Iterator[Text]:
    """One device: a line of blocks as long as each group's share of the budget, and the figures behind it."""
    from rich.text import Text

    known = {group: n_bytes or 0 for group, n_bytes in by_group(device)}
    whole = max(device.budget_bytes, sum(known.values()), 1)
    line = Text(f"{'' if lone else name + ' ':>{_NAME}}")
    used = 0
    for group, n_bytes in known.items():
        block, colour = _LOOK[group]
        length = max(round(WIDTH * n_bytes / whole), 1 if n_bytes > whole / 500 else 0)
        line.append(block * length, style=colour)
        used += length
    line.append("·" * max(0, WIDTH - used), style="dim")
    line.append(f"  {filled(device)}", style="bold")
    yield line


def legend(plan: Plan) -> Padding:
    """What the blocks mean, with the sums over all devices."""
    from rich.columns import Columns
    from rich.padding import Padding
    from rich.text import Text

    items = []
    for group, n_bytes in by_group(plan):
        block, colour = _LOOK[group]
        size = "?" if n_bytes is None else format_bytes(n_bytes)
        items.append(Text.assemble((block, colour), f" {LABELS[group]} {size}"))
    return Padding(Columns(items, padding=(0, 3)), (0, 0, 0, _NAME))
