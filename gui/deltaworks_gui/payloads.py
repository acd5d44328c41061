"""What pages hand to one another through ``Navigator.show_page``."""

from __future__ import annotations

from dataclasses import dataclass

from deltaworks.library.demo import DemoSet
from deltaworks.library.rows import ModelRow


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
