"""What the Inspector is about, as plain data made from models and jobs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from PySide6.QtCore import QCoreApplication

from deltaworks.library.rows import USABLE, FileRow, ModelRow, State
from deltaworks_gui.formats import (
    format_ago,
    format_count,
    format_exact_size,
    format_moment,
    format_percent,
    format_seconds,
    format_size,
)
from deltaworks_gui.lanes.jobs import Job
from deltaworks_gui.models.jobs import state_word


def _tr(text: str) -> str:
    return QCoreApplication.translate("Inspector", text)


@dataclass(frozen=True, slots=True)
class Fact:
    """One line: what, and how much; ``tone`` is good, warn, bad or accent."""

    label: str
    value: str
    tone: str = ""
    tip: str = ""


@dataclass(frozen=True, slots=True)
class Subject:
    """What the Inspector shows.

    Args:
        title: its name, or ``2 experts selected``.
        subtitle: a quieter line under it.
        facts: lines of the overview; empty values are left out.
        recipe: text of the recipe tab.
        files: paths and sizes of the files tab.
        path: of the one model that it is about, whose tensors can be listed.
        actions: objectNames of the window's actions to offer, the first as the one to press.
    """

    title: str
    subtitle: str = ""
    facts: tuple[Fact, ...] = ()
    recipe: str = ""
    files: tuple[FileRow, ...] = ()
    path: str = ""
    actions: tuple[str, ...] = ()


_MODEL_ACTIONS = (
    "act_compress",
    "act_merge",
    "act_repair",
    "act_restore",
    "act_verify",
    "act_show_folder",
)


def models_subject(rows: Sequence[ModelRow]) -> Subject | None:
    """The selected models: facts of one, sums of several."""
    if not rows:
        return None
    return _one_model(rows[0]) if len(rows) == 1 else _several_models(rows)


def _one_model(row: ModelRow) -> Subject:
    modified = row.modified_ns / 1e9
    exact = {True: _tr("bit-exact"), False: _tr("lossy"), None: ""}[row.is_exact]
    near = "≈ " if row.quality_is_estimate else ""
    quality = f"{near}{format_percent(row.quality)}" if row.quality is not None else ""
    facts = (
        Fact(
            _tr("State"),
            row.state.value,
            "good" if row.state is State.READY else "warn",
            row.reason,
        ),
        Fact(_tr("Reason"), row.reason),
        Fact(_tr("Role"), row.role, tip=_tr("set by you") if row.role_is_set else ""),
        Fact(_tr("Family"), row.family),
        Fact(_tr("Architecture"), row.arch),
        Fact(_tr("Parameters"), format_count(row.n_parameters)),
        Fact(_tr("Type"), row.dtype),
        Fact(_tr("On disk"), format_size(row.size_bytes), tip=format_exact_size(row.size_bytes)),
        Fact(_tr("Shared"), format_size(row.shared_bytes) if row.shared_bytes else ""),
        Fact(
            _tr("Saved"), format_size(row.saved_bytes), "good", format_exact_size(row.saved_bytes)
        ),
        Fact(_tr("Method"), row.method),
        Fact(_tr("Rebuilds"), exact),
        Fact(_tr("Quality"), quality, tip=row.quality_how),
        Fact(_tr("Licence"), row.licence),
        Fact(_tr("Modified"), format_ago(modified), tip=format_moment(modified)),
        Fact(_tr("Content hash"), row.content[:12], tip=row.content),
    )
    path = row.path if row.state in USABLE and row.kind else ""
    return Subject(row.name, row.path, facts, files=row.files, path=path, actions=_MODEL_ACTIONS)


def _several_models(rows: Sequence[ModelRow]) -> Subject:
    roles = {row.role for row in rows}
    what = {"Expert": _tr("experts"), "Delta": _tr("deltas"), "Base": _tr("bases")}
    word = what.get(roles.pop(), _tr("models")) if len(roles) == 1 else _tr("models")
    families = {row.family for row in rows if row.family}
    size = sum(row.size_bytes for row in rows)
    saved = sum(row.saved_bytes or 0 for row in rows)
    facts = (
        Fact(_tr("Common base"), families.pop() if len(families) == 1 else ""),
        Fact(_tr("On disk"), format_size(size), tip=format_exact_size(size)),
        Fact(_tr("Saved"), format_size(saved) if saved else "", "good"),
        Fact(_tr("Parameters"), _span([format_count(row.n_parameters) for row in rows])),
        Fact(_tr("Type"), _span([row.dtype for row in rows])),
    )
    title = _tr("{0} {1} selected").format(len(rows), word)
    return Subject(title, ", ".join(row.name for row in rows), facts, actions=_MODEL_ACTIONS[:2])


def _span(texts: Sequence[str]) -> str:
    """The one value they share, or that they differ."""
    kinds = {text for text in texts if text}
    return "" if not kinds else kinds.pop() if len(kinds) == 1 else _tr("differ")


def job_subject(job: Job) -> Subject:
    """A job."""
    facts = (
        Fact(_tr("State"), state_word(job.state)),
        Fact(_tr("Output"), job.output),
        Fact(_tr("Ran for"), format_seconds(job.running_seconds) if job.started_at else ""),
        Fact(_tr("Peak memory"), format_size(job.peak_bytes) if job.peak_bytes else ""),
        Fact(_tr("Queued"), format_moment(job.queued_at)),
        Fact(_tr("Started"), format_moment(job.started_at) if job.started_at else ""),
        Fact(_tr("Ended"), format_moment(job.ended_at) if job.ended_at else ""),
    )
    subtitle = job.error or "; ".join(job.warnings)
    actions = ("act_job_retry", "act_job_pause", "act_job_cancel")
    return Subject(job.name, subtitle, facts, recipe=recipe_text(job.recipe), actions=actions)


def recipe_text(recipe: dict[str, Any]) -> str:
    """A recipe as it is read by people and by the command line."""
    return json.dumps(recipe, indent=2, ensure_ascii=False)
