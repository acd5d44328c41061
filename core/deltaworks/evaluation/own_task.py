"""What an expert was tuned for, found from what it gained over its base."""

from __future__ import annotations

from collections.abc import Mapping

from deltaworks.evaluation.measures import Measure

PREFIX = "accuracy:"


def own_task(base: Mapping[str, Measure], expert: Mapping[str, Measure]) -> str | None:
    """Name the task with the largest gain, if that gain is clear.

    Clear means that the 95 % intervals of base and expert do not overlap. None when no
    gain is: the accuracy kept would then be noise.
    """
    gains = {
        name: measure.value - base[name].value
        for name, measure in expert.items()
        if name.startswith(PREFIX) and name in base and _is_clear(base[name], measure)
    }
    if not gains:
        return None
    return max(gains, key=lambda name: gains[name]).removeprefix(PREFIX)


def _is_clear(base: Measure, expert: Measure) -> bool:
    return base.high is not None and expert.low is not None and expert.low > base.high
