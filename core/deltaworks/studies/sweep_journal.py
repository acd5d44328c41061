"""What of a sweep is finished, on disk, for a run that goes on after a kill."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deltaworks.engine.journal import (
    Entry,
    Journal,
    job_id_of,
    journal_path,
    partial_of,
    read_journal,
)
from deltaworks.errors import FileError
from deltaworks.recipes import dump_recipe
from deltaworks.recipes.schema import SweepRecipe
from deltaworks.studies.trials import Reference, Trial, reference_from_json, trial_from_json

if TYPE_CHECKING:
    from deltaworks.checkpoints.checkpoint import Checkpoint

_NAME = "sweep"
_REFERENCES = "references of "
_PIECE = 1 << 22


class SweepJournal:
    """Finished trials and the lines to hold them against.

    A trial is taken over when its delta file still has the hash that was written down
    after it was measured. Files lie in ``folder`` until the sweep ends.

    Args:
        recipe: of the sweep.
        inputs: base and experts, as long as they are open.
        resume: whether to go on from what a killed run has left.

    Attributes:
        folder: of the delta files while they are made.
        warning: why nothing is taken over although something was left; empty otherwise.
    """

    def __init__(self, recipe: SweepRecipe, inputs: Sequence[Checkpoint], *, resume: bool) -> None:
        document = _document(recipe)
        target = Path(recipe.output) / _NAME
        self._journal = Journal(target, document, inputs, resume=resume)
        self.folder = partial_of(target.absolute(), self._journal.job_id)
        self.warning = self._journal.warning
        self._trials: dict[int, Trial] = {}
        self._references: dict[str, tuple[Reference, ...]] = {}
        for entry in self._journal.found:
            self._read(entry)
        self._journal.keep([entry for entry in self._journal.found if self._holds(entry)])

    def _read(self, entry: Entry) -> None:
        if entry.item.startswith(_REFERENCES):
            lines = entry.facts.get("references", [])
            expert = entry.item.removeprefix(_REFERENCES)
            self._references[expert] = tuple(reference_from_json(line) for line in lines)
            return
        trial = trial_from_json(entry.facts["trial"])
        if file_hash(self.folder / entry.facts["file"]) == entry.checksum:
            self._trials[trial.number] = trial

    def _holds(self, entry: Entry) -> bool:
        return entry.item.startswith(_REFERENCES) or int(entry.item) in self._trials

    def trial(self, number: int) -> Trial | None:
        """Give a trial that an earlier run has finished."""
        return self._trials.get(number)

    def references(self, expert: str) -> tuple[Reference, ...]:
        """Give the lines that an earlier run has measured of an expert."""
        return self._references.get(expert, ())

    def add(self, trial: Trial, file: Path) -> None:
        """Note a trial that is done."""
        facts = {"trial": replace(trial, artefact="").as_json(), "file": file.name}
        n_bytes = file.stat().st_size
        self._journal.add(Entry(str(trial.number), n_bytes, file_hash(file), facts))

    def add_references(self, expert: str, lines: Sequence[Reference]) -> None:
        """Note the lines of an expert."""
        facts = {"references": [line.as_json() for line in lines]}
        self._journal.add(Entry(f"{_REFERENCES}{expert}", 0, "", facts))

    def remove(self) -> None:
        """The sweep is over, well or not: take everything away that is not kept."""
        self._journal.remove()


def move_back(recipe: SweepRecipe) -> None:
    """Undo the end of a sweep that was killed while it gave kept files their final place."""
    output = Path(recipe.output).absolute()
    job_id = job_id_of(_document(recipe))
    folder = partial_of(output / _NAME, job_id)
    try:
        _, entries = read_journal(journal_path(output / _NAME, job_id))
    except FileError:
        return
    for entry in entries:
        name = entry.facts.get("file", "")
        lost, found = folder / name, output / name
        if name and folder.is_dir() and not lost.exists() and file_hash(found) == entry.checksum:
            found.rename(lost)


def file_hash(path: Path) -> str:
    """Hash a file: blake3, hex; empty when it cannot be read."""
    from blake3 import blake3

    digest = blake3()
    try:
        with path.open("rb", buffering=0) as file:
            while piece := file.read(_PIECE):
                digest.update(piece)
    except OSError:
        return ""
    return digest.hexdigest()


def _document(recipe: SweepRecipe) -> Mapping[str, Any]:
    """Give all that must be the same for trials to be taken over; the data by its content."""
    path = Path(recipe.evaluation) if recipe.evaluation else None
    files: list[Path] = []
    if path is not None:
        files = (
            [path] if path.is_file() else sorted(one for one in path.rglob("*") if one.is_file())
        )
    return {
        **dump_recipe(recipe),
        "evaluation_files": [[one.name, file_hash(one)] for one in files],
    }
