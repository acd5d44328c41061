"""Which colour, shape and inner mark each point of a trade-off gets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from deltaworks.figures.look import Look, SeriesLook
from deltaworks.methods.compression import COMPRESSION
from deltaworks.studies.trials import Sweep

MARKERS = ("o", "s", "^", "D", "P", "v", "p", "h", "<", ">", "X", "d")
"""Shapes by a method's place; there are more of them than colours, so that the two together
tell more methods apart than either."""
EXACT = SeriesLook("", "", "o")
INNER_MARKS = ("", ".", "_", "|", "x", "+", "1", "2")
LINE_STYLES: tuple[object, ...] = ("-", (0, (6, 2)), (0, (2, 2)), (0, (6, 2, 2, 2)))


@dataclass(frozen=True)
class Styles:
    """Shape by method; colour by method, or by expert when there are several.

    An expert that shares the plot is also told by an inner mark and by the dashes of its
    front, so that colour is never the only sign.

    Args:
        methods: title by id, in the order of the legend; exact methods are labelled in
            place instead.
        experts: names in order of appearance.
    """

    look: Look
    methods: dict[str, str]
    experts: tuple[str, ...]

    @property
    def by_expert(self) -> bool:
        """Whether colour tells the expert."""
        return len(self.experts) > 1

    def of(self, method: str, expert: str, *, is_exact: bool = False) -> SeriesLook:
        """Give fill, edge and shape of a point."""
        shape = self.of_method(method)
        if self.by_expert:
            color = self.of_expert(expert)
            return SeriesLook(color.color, color.edge, EXACT.marker if is_exact else shape.marker)
        if is_exact:
            return SeriesLook(self.look.text, self.look.text, EXACT.marker)
        return shape

    def of_method(self, method: str) -> SeriesLook:
        """Give the series of a method: its place in the table, so that sweeps agree."""
        known = [name for name, record in COMPRESSION.items() if not record.is_exact]
        known += [name for name in self.methods if name not in known]
        place = known.index(method) if method in known else len(known)
        color = self.look.series[place % len(self.look.series)]
        return replace(color, marker=MARKERS[place % len(MARKERS)])

    def of_expert(self, expert: str) -> SeriesLook:
        """Give the colour of an expert."""
        return self.look.series[self._place(expert) % len(self.look.series)]

    def inner_mark(self, expert: str) -> str:
        """Give the small mark inside its points; empty for the first."""
        return INNER_MARKS[self._place(expert) % len(INNER_MARKS)] if self.by_expert else ""

    def dashes(self, expert: str) -> object:
        """Give the line style of its front."""
        return LINE_STYLES[self._place(expert) % len(LINE_STYLES)] if self.by_expert else "-"

    def _place(self, expert: str) -> int:
        return self.experts.index(expert) if expert in self.experts else len(self.experts)


def styles_of(sweeps: Sequence[Sweep], look: Look) -> Styles:
    """List methods and experts of all sweeps, methods in the order of their table."""
    trials = [trial for sweep in sweeps for trial in sweep.trials]
    titles = {trial.method: trial.title for trial in trials if not trial.is_exact}
    order = list(COMPRESSION)
    ranked = sorted(titles, key=lambda m: order.index(m) if m in order else len(order))
    experts = tuple(dict.fromkeys(trial.expert for trial in trials))
    return Styles(look, {method: titles[method] for method in ranked}, experts)
