"""The resolved parameters of a merge, layer by layer, for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from deltaworks.engine.merge_types import MergeTask, Source
from deltaworks.engine.plan_types import ParameterRow
from deltaworks.recipes.layouts import spot_of

if TYPE_CHECKING:
    from deltaworks.engine.merge_plan import MergeJob
    from deltaworks.options import Options


def parameters_of(job: MergeJob) -> tuple[ParameterRow, ...]:
    """Group the tensors of every layer that are made in the same way."""
    groups: dict[tuple[Any, ...], list[str]] = {}
    rows: dict[tuple[Any, ...], ParameterRow] = {}
    for task in job.tasks.values():
        row = _row(job, task)
        key = (row.layer, row.method, row.sources, repr(row.common), repr(row.each))
        groups.setdefault(key, []).append(_inside(task))
        rows[key] = row
    return tuple(
        ParameterRow(row.layer, tuple(groups[key]), row.method, row.sources, row.common, row.each)
        for key, row in rows.items()
    )


def _row(job: MergeJob, task: MergeTask) -> ParameterRow:
    sources = (task.copied,) if task.copied is not None else task.sources
    return ParameterRow(
        task.layer,
        (),
        task.method.id if task.method else "copy",
        tuple(_named(job, task, source) for source in sources),
        _values(task.options),
        tuple(_values(source.options) for source in sources),
    )


def _named(job: MergeJob, task: MergeTask, source: Source) -> str:
    label, spot = job.models.labels[source.model], spot_of(source.name)
    if spot is None or spot.layer == task.layer:
        return label
    return f"{label}, layer {spot.layer}"


def _inside(task: MergeTask) -> str:
    spot = spot_of(task.info.name)
    return task.info.name if spot is None else spot.rest


def _values(options: Options | None) -> Mapping[str, Any]:
    return {} if options is None else options.model_dump(mode="json")
