"""Writing models into the index."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from deltaworks.library.facts import Facts, Made

_COLUMNS = (
    "path",
    "root",
    "name",
    "kind",
    "state",
    "reason",
    "fingerprint",
    "header",
    "n_parameters",
    "dtype",
    "modified_ns",
    "arch",
    "licence",
    "source",
    "declared_role",
    "declared_bases",
    "absence",
)
_UPSERT = (
    f"INSERT INTO models ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))}) "
    "ON CONFLICT (path) DO UPDATE SET "
    + ", ".join(f"{name} = excluded.{name}" for name in _COLUMNS if name != "path")
    + " RETURNING id"
)


def save_facts(connection: sqlite3.Connection, facts: Facts, root: str) -> int:
    """Insert or refresh one model; what the user said of it stays.

    Returns:
        Its id.
    """
    row = connection.execute(
        _UPSERT,
        (
            str(facts.path),
            root,
            facts.name,
            facts.kind,
            facts.state,
            facts.reason,
            facts.fingerprint,
            facts.header,
            facts.n_parameters,
            facts.dtype,
            facts.modified_ns,
            facts.arch,
            facts.licence,
            facts.source,
            facts.declared_role,
            json.dumps(facts.declared_bases),
            "",
        ),
    ).fetchone()
    model_id = int(row[0])
    connection.execute("DELETE FROM files WHERE model_id = ?", (model_id,))
    connection.executemany(
        "INSERT INTO files VALUES (?, ?, ?, ?, ?)",
        [
            (model_id, str(file.path), file.size_bytes, file.inode, file.is_weight)
            for file in facts.files
        ],
    )
    if facts.made:
        _save_made(connection, model_id, facts.made)
    return model_id


def _save_made(connection: sqlite3.Connection, model_id: int, made: Made) -> None:
    """Keep what a delta file says of itself, unless this machine has the fuller record."""
    error = made.report.get("error")
    # A rescaled delta may be farther off than none at all: nothing is kept, not less than that.
    fidelity = max(0.0, 1.0 - error) if isinstance(error, int | float) else None
    connection.execute(
        "INSERT INTO artefacts VALUES (?, ?, ?, ?, ?, ?, ?, 1, ?) "
        "ON CONFLICT (model_id) DO NOTHING",
        (
            model_id,
            made.method,
            made.original_bytes,
            made.bits_per_weight,
            made.is_exact,
            fidelity,
            "" if fidelity is None else "fidelity of the weights",
            json.dumps(made.report),
        ),
    )


def set_absence(connection: sqlite3.Connection, ids: Iterable[int], absence: str) -> None:
    """Mark models as Missing, Offline, or there again (empty)."""
    connection.executemany(
        "UPDATE models SET absence = ? WHERE id = ?", [(absence, model_id) for model_id in ids]
    )


def relate(
    connection: sqlite3.Connection,
    model_id: int,
    base_id: int,
    kind: str,
    *,
    confidence: float = 1.0,
    distance: float | None = None,
) -> None:
    """Say what a model descends from. A relation that the user confirmed is not replaced."""
    connection.execute(
        "INSERT INTO relations (model_id, base_id, kind, confidence, distance) "
        "VALUES (?, ?, ?, ?, ?) ON CONFLICT (model_id) DO UPDATE SET base_id = excluded.base_id, "
        "kind = excluded.kind, confidence = excluded.confidence, distance = excluded.distance "
        "WHERE NOT is_confirmed",
        (model_id, base_id, kind, confidence, distance),
    )


def link_declared(connection: sqlite3.Connection) -> set[int]:
    """Resolve the bases that files name to models of the index.

    Returns:
        Models whose base was found just now.
    """
    known = _by_name(connection)
    linked = set()
    for row in connection.execute(
        "SELECT id, models.kind, declared_bases FROM models LEFT JOIN relations ON model_id = id "
        "WHERE (declared_role IN ('Expert', 'Delta') AND declared_bases != '[]' "
        "OR declared_role = 'Merge' AND json_array_length(declared_bases) = 1) "
        "AND base_id IS NULL AND NOT is_forgotten"
    ).fetchall():
        kind = "made here" if row["kind"] == "delta" else "declared"
        declared = [name.casefold() for name in json.loads(row["declared_bases"])]
        last_parts = [name.replace("\\", "/").rpartition("/")[2] for name in declared]
        for named in [*declared, *last_parts]:
            found = known.get(named, set()) - {row["id"]}
            if len(found) == 1:  # two models of that name: the weights will tell
                relate(connection, row["id"], found.pop(), kind)
                linked.add(row["id"])
                break
    return linked


def _by_name(connection: sqlite3.Connection) -> dict[str, set[int]]:
    known: dict[str, set[int]] = {}
    for row in connection.execute(
        "SELECT id, path, name, source, content FROM models "
        "WHERE kind IN ('folder', 'file', 'hub') AND NOT is_forgotten"
    ):
        hub_id = row["source"].partition("@")[0]
        names = {row["path"], row["name"], row["name"].rpartition("/")[2], row["content"]}
        if hub_id != "local":
            names |= {hub_id, hub_id.rpartition("/")[2]}
        for name in names - {""}:
            known.setdefault(name.casefold(), set()).add(row["id"])
    return known
