"""What pages hand to one another through ``Navigator.show_page``."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from PySide6.QtCore import QCoreApplication

from deltaworks.library.demo import DemoSet
from deltaworks.library.rows import USABLE, ModelRow


@dataclass(frozen=True, slots=True)
class WorkbenchInputs:
    """Fill the Workbench with these.

    Args:
        base: None keeps the base that is there.
        experts: in the user's order.
        operation: ``compress``, ``merge``; empty keeps the one that is chosen.
        adds: whether they join what is there instead of taking its place.
    """

    base: ModelRow | None = None
    experts: tuple[ModelRow, ...] = ()
    operation: str = ""
    adds: bool = False


def why_not_usable(rows: Sequence[ModelRow]) -> str:
    """Why selected models cannot be a job's inputs; empty when they can."""
    if not rows:
        return QCoreApplication.translate("payloads", "Select a model first.")
    broken = next((row for row in rows if row.state not in USABLE), None)
    if broken is None:
        return ""
    text = QCoreApplication.translate("payloads", "{0} is {1}.")
    return text.format(broken.name, broken.state.value.lower())


def workbench_inputs(
    selected: Sequence[ModelRow], find: Callable[[int], ModelRow | None], operation: str = ""
) -> WorkbenchInputs:
    """Take selected models as base and experts; the experts' own base when none is selected.

    Args:
        selected: what the user chose; what cannot be read is left out.
        find: a listed model by its id.
        operation: as ``WorkbenchInputs.operation``.
    """
    rows = [row for row in selected if row.state in USABLE]
    bases = [row for row in rows if row.role == "Base"]
    experts = [row for row in rows if row not in bases]
    if not bases:
        families = {row.family_id for row in experts if row.family_id is not None}
        bases = [row for one in families if (row := find(one)) is not None]
    return WorkbenchInputs(bases[0] if len(bases) == 1 else None, tuple(experts), operation)


_ALIGNED = re.compile(r"(^|[-_./ ])(aligned|chat|instruct|it|safe)([-_./ ]|$)", re.IGNORECASE)


def repair_inputs(selected: Sequence[ModelRow], rows: Sequence[ModelRow]) -> WorkbenchInputs:
    """Take selected models as fine-tune and aligned parent; propose the parent of one alone.

    A proposal: names tell which of a family was aligned, and the user sees who was taken.

    Args:
        selected: what the user chose; what cannot be read is left out.
        rows: every listed model.
    """
    usable = [row for row in selected if row.state in USABLE]
    aligned = [row for row in usable if row.role == "Base" or _ALIGNED.search(row.name)]
    tuned = [row for row in usable if row not in aligned] or usable
    if not aligned and tuned:
        family = [
            row
            for row in rows
            if row.family_id is not None
            and row.family_id == tuned[0].family_id
            and row not in tuned
            and row.state in USABLE
            and row.role in {"Base", "Expert"}
        ]
        aligned = [row for row in family if _ALIGNED.search(row.name)]
        aligned = aligned or [row for row in family if row.role == "Base"]
    return WorkbenchInputs(aligned[0] if aligned else None, tuple(tuned[:1]), "repair")


@dataclass(frozen=True, slots=True)
class WorkbenchDemo:
    """Fill the Workbench with the demo and put the keyboard on Run."""

    demo: DemoSet


@dataclass(frozen=True, slots=True)
class LibraryChoice:
    """Select the models at these paths in the Library.

    Args:
        paths: of folders or files.
    """

    paths: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ResultsSweep:
    """Show a job's sweep, or one that is on disk.

    Args:
        job_id: of a queued or running job; empty for one on disk.
        sweep_id: of a recorded sweep.
    """

    job_id: str = ""
    sweep_id: str = ""
