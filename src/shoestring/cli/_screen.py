"""rich's console, through which no text reaches the terminal's controls, and what adapts to its width."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.measure import Measurement
from rich.segment import Segment
from rich.table import Table

from shoestring.cli._output import printable

_NO_LIMIT = 10_000  # columns, more than any table asks for


class Screen(Console):
    """Names, licences and file names come from strangers; only rich's own styles become escape sequences."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """As `Console.render`, with every text printable; rich's own control segments stay."""
        for segment in super().render(renderable, options):
            if segment.control:
                yield segment
            else:
                yield Segment(printable(segment.text), segment.style)


class Fitting:
    """The first of several views that a terminal is wide enough for."""

    def __init__(self, *views: Table, otherwise: RenderableType) -> None:
        self._views = views
        self._otherwise = otherwise

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        unlimited = options.update_width(_NO_LIMIT)
        for view in self._views:
            if Measurement.get(console, unlimited, view).minimum <= options.max_width:
                yield view
                return
        yield self._otherwise
