"""A number that says how it was measured and on what."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Measure:
    """One measured number.

    Args:
        id: ``kl``, ``recovered``, ``top1-agreement``, ``perplexity``, ``accuracy:sums``,
            ``fidelity``…
        title: for people.
        value: the number, in ``unit``.
        unit: ``fraction``, ``nats/token``…
        data: what it was measured on, for people.
        n: items or tokens it rests on.
        low: end of its 95 % interval, or None.
        high: other end.
        higher_is_better: which way is good.
        is_estimate: computed from weights rather than measured on data.
    """

    id: str
    title: str
    value: float
    unit: str
    data: str
    n: int
    low: float | None = None
    high: float | None = None
    higher_is_better: bool = True
    is_estimate: bool = False

    def as_json(self) -> dict[str, Any]:
        """Give plain data for JSON."""
        return asdict(self)
