"""The bundled models, laid out for a first look at everything the library can meet."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from deltaworks.errors import FileError

BASE = "polder-base"
EXPERTS = ("polder-sums", "polder-brackets")
DECOY = "heath-topics"
COPIED, COPY = "polder-sums", "polder-sums-copy"
CUT, TRUNCATED = "polder-topics", "polder-topics-truncated"
EVALUATION = "evaluation"


@dataclass(frozen=True, slots=True)
class DemoSet:
    """Where the demo's parts lie.

    Args:
        root: the folder to add to the library.
        base: the base of all but one.
        experts: the two that the first sweep compresses.
        decoy: a fine-tune of another base, to see the guard at work.
        evaluation: folder with ``suite.json``.
    """

    root: Path
    base: Path
    experts: tuple[Path, ...]
    decoy: Path
    evaluation: Path


def unpack_demo(source: Path, target: Path) -> DemoSet:
    """Copy the demo's models and texts, and make the two curiosities.

    A byte-identical copy shows how duplicates are found, a file cut in its middle shows how
    damage is reported. What is there already stays as it is, so this may be run again.

    Args:
        source: the bundled folder.
        target: where to; made when absent.

    Raises:
        FileError: the bundled folder lacks a part.
    """
    for name in (BASE, *EXPERTS, DECOY, CUT, EVALUATION):
        if not (source / name).is_dir():
            raise FileError(
                f"the demo's folder '{name}' is not there",
                where=str(source),
                fix="Install Deltaworks again.",
            )
    _copy_tree(source, target)
    _copy_tree(source / COPIED, target / COPY)
    _make_truncated(source / CUT, target / TRUNCATED)
    return DemoSet(
        root=target,
        base=target / BASE,
        experts=tuple(target / name for name in EXPERTS),
        decoy=target / DECOY,
        evaluation=target / EVALUATION,
    )


def _copy_tree(source: Path, target: Path) -> None:
    for path in sorted(source.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            _copy_file(path, target / path.relative_to(source), path.stat().st_size)


def _make_truncated(source: Path, target: Path) -> None:
    for path in sorted(source.iterdir()):
        n_bytes = path.stat().st_size
        if path.suffix == ".safetensors":
            n_bytes //= 2
        _copy_file(path, target / path.name, n_bytes)


def _copy_file(source: Path, target: Path, n_bytes: int) -> None:
    """Copy the first bytes of a file under a temporary name, then give it its own."""
    if target.is_file() and target.stat().st_size == n_bytes:
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.partial-{os.getpid()}")
    try:
        with source.open("rb") as reader, partial.open("wb") as writer:
            shutil.copyfileobj(reader, writer)
            writer.truncate(n_bytes)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
