"""What a job was queued with: the state of its input files, to be found again when it starts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deltaworks.errors import FileError

if TYPE_CHECKING:
    from deltaworks.checkpoints.file_state import FileState

_INPUTS = (
    "base", "experts", "delta", "model", "reference", "aligned", "tuned", "unaligned",
    "pretrained", "sibling",
)  # fmt: skip
"""Fields of recipes under which models are named by ``path``."""
_WEIGHTS = (".safetensors", ".safetensors.index.json")

States = dict[str, list[int]]
"""Paths to size, time of change and file number: plain data that goes through a pipe."""


def states_of(recipe: Mapping[str, Any]) -> States:
    """Tell the states of the weight files that a recipe names; what is not there is left out.

    Args:
        recipe: as plain data.
    """
    found: States = {}
    for path in dict.fromkeys(_paths(recipe)):
        for file in _files(Path(path)):
            try:
                facts = file.stat()
            except OSError:
                continue  # the job itself will say what is wrong with it
            found[str(file)] = [facts.st_size, facts.st_mtime_ns, facts.st_ino]
    return found


def check_queued(states: Mapping[str, list[int]]) -> None:
    """Compare inputs with what they were when the job was queued.

    Raises:
        FileError: naming the first that is gone, replaced or changed.
    """
    # Not with the module: a thread of the window tells states while another imports all this.
    from deltaworks.engine.inputs import check_states

    known: list[tuple[Path, FileState]] = []
    for path, (size, modified, number) in states.items():
        known.append((Path(path), (size, modified, number)))
    try:
        check_states(known, "since the job was queued")
    except FileError as error:
        fix = "Run the job again with the file as it is now."
        raise FileError(error.what, where=error.where, fix=fix) from error


def _paths(recipe: Mapping[str, Any]) -> Iterator[str]:
    for name in _INPUTS:
        held = recipe.get(name)
        for one in held if isinstance(held, list | tuple) else [held]:
            model = one.get("model", one) if isinstance(one, Mapping) else None
            path = model.get("path") if isinstance(model, Mapping) else None
            if isinstance(path, str) and path:
                yield path


def _files(path: Path) -> list[Path]:
    try:
        if path.is_dir():
            return sorted(one for one in path.iterdir() if one.name.endswith(_WEIGHTS))
    except OSError:
        return []
    return [path]
