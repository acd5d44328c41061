"""Entering what a job made: the model, its record, and what its recipe expects of its inputs."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from deltaworks.library.facts import describe
from deltaworks.library.index import Index
from deltaworks.library.records import relate, save_facts
from deltaworks.library.volumes import RootRow

Measured = tuple[float | None, str, bool]


def keep_artefact(
    index: Index,
    roots: Sequence[RootRow],
    artefact: Mapping[str, Any],
    report: Mapping[str, Any],
    measured: Measured,
) -> int:
    """List an artefact.

    Args:
        index: where to.
        roots: watched folders, to know under which it lies.
        artefact: one of the report's.
        report: the job's, as plain data.
        measured: quality, how it was measured, and whether it is an estimate.

    Returns:
        Its id.
    """
    path = Path(str(artefact["path"])).absolute()
    facts = describe(path)
    root = next((one.path for one in roots if Path(one.path) in (path, *path.parents)), "")
    with index.write() as connection:
        model_id = save_facts(connection, facts, root)
        connection.execute("UPDATE models SET is_forgotten = 0 WHERE id = ?", (model_id,))
        _keep_record(connection, model_id, artefact, report, measured)
        base = _id_at(connection, str(artefact.get("base", "")))
        if base is not None and base != model_id and artefact.get("kind") == "delta":
            relate(connection, model_id, base, "made here")
        _expect(connection, model_id, "", facts.fingerprint)
        _keep_inputs(connection, report.get("recipe") or {}, model_id)
    return model_id


def _keep_record(
    connection: sqlite3.Connection,
    model_id: int,
    artefact: Mapping[str, Any],
    report: Mapping[str, Any],
    measured: Measured,
) -> None:
    sizes = artefact.get("sizes") or {}
    quality, how, is_estimate = measured
    record = {**report, "artefacts": [dict(artefact)]}
    connection.execute(
        "INSERT OR REPLACE INTO artefacts VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            model_id,
            str(artefact.get("method", "")),
            sizes.get("original_bytes"),
            sizes.get("bpp_model"),
            artefact.get("is_exact"),
            quality,
            how,
            is_estimate,
            json.dumps(record),
        ),
    )


def _keep_inputs(
    connection: sqlite3.Connection, recipe: Mapping[str, Any], artefact_id: int
) -> None:
    """Note when inputs were used, and what they were, so that a later change shows."""
    for path, content in _references(recipe):
        model_id = _id_at(connection, path)
        if model_id is None or model_id == artefact_id:
            continue
        connection.execute("UPDATE models SET used_ns = ? WHERE id = ?", (time.time_ns(), model_id))
        stamp = connection.execute(
            "SELECT fingerprint FROM models WHERE id = ?", (model_id,)
        ).fetchone()[0]
        _expect(connection, model_id, content, stamp)


def _references(value: Any) -> Iterator[tuple[str, str]]:
    """Find every input in a recipe, however deep: objects with a path and a content."""
    if isinstance(value, Mapping):
        if isinstance(value.get("path"), str):
            yield value["path"], str(value.get("content") or "")
        for item in value.values():
            yield from _references(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _references(item)


def _expect(connection: sqlite3.Connection, model_id: int, content: str, stamp: str) -> None:
    connection.execute(
        "INSERT OR REPLACE INTO expectations VALUES (?, ?, ?)", (model_id, content, stamp)
    )


def _id_at(connection: sqlite3.Connection, path: str) -> int | None:
    if not path:
        return None
    found = connection.execute(
        "SELECT id FROM models WHERE path = ?", (str(Path(path).absolute()),)
    ).fetchone()
    return int(found[0]) if found else None
