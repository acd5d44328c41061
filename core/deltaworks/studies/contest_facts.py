"""What an entry of a comparison learns from its finished merges."""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from deltaworks.engine.merge_fan import FanModel
    from deltaworks.methods.merging_record import MergingMethod


def merge_facts(method: MergingMethod, models: Sequence[FanModel]) -> dict[str, Any]:
    """Take time, memory, bytes and geometry from the finished models."""
    job = models[0].job
    n_bytes = models[0].n_bytes
    if method.stored_models is not None:
        weights = sum(task.info.n_elements for task in job.tasks.values() if task.copied is None)
        options = next(task.options for task in job.tasks.values() if task.copied is None)
        share = method.stored_models(len(models), options, 8 * n_bytes / max(1, weights))
        n_bytes = int(share * n_bytes)
    found = [model.geometry.as_json() for model in models]
    return {
        "seconds": round(sum(model.seconds for model in models), 4),
        "peak_bytes": max(model.job.plan().peak_bytes for model in models),
        "n_bytes": n_bytes,
        "geometry": found[0] if len(found) == 1 else _switched_geometry(found),
    }


def _switched_geometry(found: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Hold every model of a switching method against its own expert."""

    def mean(values: Sequence[float | None]) -> float | None:
        known = [value for value in values if value is not None]
        return sum(known) / len(known) if known else None

    return {
        "norm_ratio": mean([one["norm_ratio"] for one in found]),
        "cosines": [one["cosines"][place] for place, one in enumerate(found)],
        "sign_agreement": [one["sign_agreement"][place] for place, one in enumerate(found)],
        "changed": mean([one["changed"] for one in found]),
        "effective_rank": mean([one["effective_rank"] for one in found]),
    }


def write_json(path: Path, data: dict[str, Any]) -> None:
    """Write a record under a temporary name first."""
    partial = path.with_name(f"{path.name}.partial-{secrets.token_hex(3)}")
    partial.write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    partial.replace(path)
