"""What a trade-off plot shows, as plain data; importing it loads no plotting library."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from deltaworks.figures.axis_choices import XChoice, YChoice
from deltaworks.studies.trials import Sweep, Trial


@dataclass(frozen=True, slots=True)
class PlotChoice:
    """What is shown, and how.

    Args:
        x: size axis; ``y`` quality axis.
        log_x: whether sizes are logarithmic.
        at_least: quality line, a fraction; None without.
        at_most: size line in the unit of ``x``.
        front_only: leave out what another point beats.
        without: tags of trials that are left out, as ``tags_of`` gives them.
    """

    x: XChoice = "size"
    y: YChoice = "quality"
    log_x: bool = True
    at_least: float | None = None
    at_most: float | None = None
    front_only: bool = False
    without: frozenset[str] = frozenset()

    @property
    def axes(self) -> tuple[XChoice, YChoice, bool]:
        """What makes a zoom meaningless when it changes."""
        return self.x, self.y, self.log_x

    @property
    def n_filters(self) -> int:
        """How many kinds of trials are left out."""
        return len(self.without) + self.front_only

    def shows(self, trial: Trial) -> bool:
        """Whether a trial passes the filters."""
        if self.front_only and not trial.on_front:
            return False
        return not self.without & set(tags_of(trial))


def tags_of(trial: Trial) -> tuple[str, str, str]:
    """What a trial can be left out by: expert, method, how it was measured."""
    measured = "measured" if trial.measured_on else "estimated"
    return f"expert:{trial.expert}", f"method:{trial.method}", measured


def filtered(sweeps: Iterable[Sweep], choice: PlotChoice) -> list[Sweep]:
    """The sweeps with the trials that are shown."""
    if not choice.n_filters:
        return list(sweeps)
    return [
        replace(sweep, trials=tuple(trial for trial in sweep.trials if choice.shows(trial)))
        for sweep in sweeps
    ]
