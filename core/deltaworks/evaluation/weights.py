"""Level 1: how close the weights are. No forward pass, tensors streamed one by one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf, log10, sqrt
from typing import TYPE_CHECKING

from deltaworks.checkpoints.checkpoint import Checkpoint
from deltaworks.errors import MismatchError
from deltaworks.evaluation.measures import Measure
from deltaworks.progress import JobControl, Progress

if TYPE_CHECKING:
    from torch import Tensor

_ROWS_BYTES = 32_000_000


@dataclass(frozen=True, slots=True)
class Energies:
    """Sums of squares over a tensor or a model; they add up.

    Args:
        n: count of numbers.
        base: Σ W_b².
        delta: Σ Δ² with Δ = expert - base.
        kept: Σ Δ̂² of the result's delta.
        product: Σ Δ·Δ̂.
        error: Σ (Δ - Δ̂)².
    """

    n: int = 0
    base: float = 0.0
    delta: float = 0.0
    kept: float = 0.0
    product: float = 0.0
    error: float = 0.0

    def __add__(self, other: Energies) -> Energies:
        """Pool two."""
        return Energies(
            self.n + other.n,
            self.base + other.base,
            self.delta + other.delta,
            self.kept + other.kept,
            self.product + other.product,
            self.error + other.error,
        )

    @property
    def relative_error(self) -> float:
        """‖Δ - Δ̂‖² / ‖Δ‖²; 0 when both are nothing."""
        if self.delta == 0.0:
            return 0.0 if self.error == 0.0 else inf
        return self.error / self.delta

    @property
    def cosine(self) -> float:
        """Angle between Δ and Δ̂; 1 when both are nothing, 0 when only one is."""
        if self.delta == 0.0 or self.kept == 0.0:
            return float(self.delta == self.kept)
        return self.product / sqrt(self.delta * self.kept)

    @property
    def snr_db(self) -> float:
        """-10 log₁₀ of the relative error; infinite when nothing is lost."""
        error = self.relative_error
        return inf if error == 0.0 else -10 * log10(error)

    @property
    def relative_delta(self) -> float:
        """‖Δ‖ / ‖W_b‖: how far the expert moved."""
        if self.base == 0.0:
            return 0.0 if self.delta == 0.0 else inf
        return sqrt(self.delta / self.base)


def compare_weights(
    base: Checkpoint, expert: Checkpoint, result: Checkpoint, control: JobControl
) -> dict[str, Energies]:
    """Compare every floating tensor that all three have, in row blocks.

    Args:
        base: the base model.
        expert: what the result stands for.
        result: a rebuilt model or a delta file opened over the base.
        control: progress in bytes of the expert; Stop.

    Returns:
        Energies by tensor name, in the expert's order.

    Raises:
        MismatchError: a tensor is missing or has another shape.
    """
    names = [name for name in expert.names if expert.info(name).is_floating]
    total, done = sum(expert.info(name).nbytes for name in names), 0
    found: dict[str, Energies] = {}
    for name in names:
        control.step(Progress(done, total, f"comparing {name}"))
        _same_shape(name, (base, expert, result))
        found[name] = _tensor(name, base, expert, result)
        done += expert.info(name).nbytes
    return found


def pooled(energies: Mapping[str, Energies]) -> Energies:
    """Add up over tensors."""
    return sum(energies.values(), Energies())


def weight_measures(whole: Energies) -> tuple[Measure, ...]:
    """Turn pooled energies into measures; all are estimates of quality."""
    data = "weights"

    def one(name: str, title: str, value: float, unit: str, up: bool = True) -> Measure:
        return Measure(
            name,
            title,
            value,
            unit,
            data,
            whole.n,
            higher_is_better=up,
            is_estimate=True,
        )

    return (
        one("fidelity", "Fidelity", 1.0 - whole.relative_error, "fraction"),
        one("weight-error", "Relative squared error", whole.relative_error, "fraction", up=False),
        one("weight-cosine", "Cosine of the deltas", whole.cosine, "fraction"),
        one("weight-snr", "Signal to noise", whole.snr_db, "dB"),
        one("delta-size", "Delta over base", whole.relative_delta, "fraction", up=False),
    )


def _same_shape(name: str, checkpoints: tuple[Checkpoint, ...]) -> None:
    shapes = [c.info(name).shape if name in c else None for c in checkpoints]
    if len(set(shapes)) > 1:
        base, expert, result = (shape or "missing" for shape in shapes)
        raise MismatchError(
            f"base {base}, expert {expert}, result {result}",
            where=name,
            fix="Compare models of one architecture",
        )


def _tensor(name: str, base: Checkpoint, expert: Checkpoint, result: Checkpoint) -> Energies:
    info, sums = expert.info(name), Energies()
    if not info.shape or info.n_elements * 8 <= _ROWS_BYTES:
        return _block(base.read(name), expert.read(name), result.read(name))
    step = max(1, _ROWS_BYTES // (8 * max(1, info.n_elements // info.shape[0])))
    for start in range(0, info.shape[0], step):
        rows = slice(start, start + step)
        sums += _block(base.read(name, rows), expert.read(name, rows), result.read(name, rows))
    return sums


def _block(base: Tensor, expert: Tensor, result: Tensor) -> Energies:
    ground = base.double()
    delta, kept = expert.double() - ground, result.double() - ground
    return Energies(
        ground.numel(),
        float(ground.square().sum()),
        float(delta.square().sum()),
        float(kept.square().sum()),
        float((delta * kept).sum()),
        float((delta - kept).square().sum()),
    )
