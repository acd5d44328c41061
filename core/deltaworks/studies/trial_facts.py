"""What a trial learns from its artefact and from its measurement."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from deltaworks.engine.reports import Artefact
from deltaworks.studies.measuring import Outcome
from deltaworks.studies.trials import Trial

if TYPE_CHECKING:
    from deltaworks.checkpoints.checkpoint import Checkpoint


def size_facts(artefact: Artefact, expert: Checkpoint) -> dict[str, Any]:
    """Take sizes and fidelity from the finished file."""
    assert artefact.sizes is not None
    fidelity = 1.0 - (artefact.error or 0.0)
    return {
        "file_bytes": artefact.file_bytes,
        "original_bytes": artefact.sizes.original_bytes,
        "bits_per_weight": artefact.sizes.bpp_model,
        "fidelity": fidelity,
        "is_exact": artefact.is_exact,
        "measures": {"fidelity": _fidelity(fidelity, expert.n_parameters)},
    }


def _fidelity(value: float, n: int) -> dict[str, Any]:
    from deltaworks.evaluation import Measure

    return Measure(
        "fidelity", "Fidelity", value, "fraction", "weights", n, is_estimate=True
    ).as_json()


def quality_facts(trial: Trial, outcome: Outcome) -> dict[str, Any]:
    """Take the measured quality, or fidelity as an estimate of it."""
    facts: dict[str, Any] = {"measures": {**trial.measures, **(outcome.measures or {})}}
    if outcome.quality is None:
        return {**facts, "quality": trial.fidelity, "measured_on": ""}
    return {
        **facts,
        "quality": outcome.quality,
        "quality_low": outcome.low,
        "quality_high": outcome.high,
        "measured_on": outcome.measured_on,
    }
