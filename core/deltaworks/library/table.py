"""Reading rows out of the index: what is stored, and what follows from it."""

from __future__ import annotations

import json
import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from deltaworks.library.index import Index
from deltaworks.library.rows import FileRow, ModelRow, State


@dataclass(frozen=True, slots=True)
class _Links:
    """What rows need to know of each other.

    Args:
        bases: model id to base id.
        heads: ids of all bases.
        names: id to shown name, for every model that is somebody's base or a twin's original.
        originals: content to the id of the model that counts as the original.
        shared: inodes that several models use.
    """

    bases: Mapping[int, int]
    heads: frozenset[int]
    names: Mapping[int, str]
    originals: Mapping[str, int]
    shared: frozenset[str]


def load_rows(index: Index, ids: Iterable[int] | None = None) -> list[ModelRow]:
    """Build rows, sorted by name.

    Args:
        index: where from.
        ids: these only; all that are not forgotten when None.
    """
    wanted = None if ids is None else list(ids)
    if wanted == []:
        return []
    links = _links(index)
    files = _grouped(index, "files", wanted)
    tags = _grouped(index, "tags", wanted)
    rows = [
        _row(record, files[record["id"]], tags[record["id"]], links)
        for record in index.read(
            "SELECT models.*, relations.base_id, relations.distance, "
            "artefacts.method, artefacts.original_bytes, artefacts.bits_per_weight, "
            "artefacts.is_exact, artefacts.quality, artefacts.quality_how, "
            "artefacts.quality_is_estimate, expectations.content AS expected_content, "
            "expectations.fingerprint AS expected_fingerprint FROM models "
            "LEFT JOIN relations ON relations.model_id = models.id "
            "LEFT JOIN artefacts ON artefacts.model_id = models.id "
            "LEFT JOIN expectations ON expectations.model_id = models.id "
            f"WHERE NOT is_forgotten{_among('models.id', wanted)}"
        )
    ]
    return sorted(rows, key=lambda row: (row.name.casefold(), row.path))


def _among(column: str, wanted: list[int] | None) -> str:
    """Give a condition on ids. They are our own integers, so no value needs quoting."""
    if wanted is None:
        return ""
    return f" AND {column} IN ({', '.join(str(int(number)) for number in wanted)})"


def _grouped(
    index: Index, table: str, wanted: list[int] | None
) -> defaultdict[int, list[sqlite3.Row]]:
    groups: defaultdict[int, list[sqlite3.Row]] = defaultdict(list)
    for record in index.read(f"SELECT * FROM {table} WHERE 1{_among('model_id', wanted)}"):
        groups[record["model_id"]].append(record)
    return groups


def _links(index: Index) -> _Links:
    bases = {
        record["model_id"]: record["base_id"]
        for record in index.read(
            "SELECT model_id, base_id FROM relations JOIN models ON id = model_id "
            "WHERE base_id NOT NULL AND set_role != 'Base'"
        )
    }
    twins = index.read(
        "SELECT id, path, content FROM models WHERE content != '' AND absence = '' "
        "AND content_fingerprint = fingerprint AND NOT is_forgotten "
        "ORDER BY content, length(path) DESC, path DESC"
    )
    # Shortest path last: of several copies, that one counts as the original.
    originals = {record["content"]: record["id"] for record in twins}
    shared = index.read(
        "SELECT inode FROM files JOIN models ON id = model_id WHERE absence = '' "
        "AND NOT is_forgotten GROUP BY inode HAVING COUNT(DISTINCT model_id) > 1"
    )
    named = set(bases.values()) | set(originals.values())
    names = index.read(
        f"SELECT id, name, shown_name FROM models WHERE 1{_among('id', list(named))}"
    )
    return _Links(
        bases,
        frozenset(bases.values()),
        {record["id"]: record["shown_name"] or record["name"] for record in names},
        originals,
        frozenset(record["inode"] for record in shared),
    )


def _row(
    record: sqlite3.Row, files: list[sqlite3.Row], tags: list[sqlite3.Row], links: _Links
) -> ModelRow:
    role = _role(record, links)
    family_id = _family(record["id"], role, links)
    family = links.names.get(family_id, "") if family_id is not None else ""
    if family_id == record["id"]:
        family = record["shown_name"] or record["name"]
    if not family and role != "Base":
        declared = json.loads(record["declared_bases"])
        family = declared[0].replace("\\", "/").rstrip("/").rpartition("/")[2] if declared else ""
    is_fresh = record["content_fingerprint"] == record["fingerprint"]
    content = record["content"] if is_fresh else ""
    state, reason = _state(record, content, links)
    weights = {file["inode"]: file["size_bytes"] for file in files if file["is_weight"]}
    is_exact = record["is_exact"]
    return ModelRow(
        id=record["id"],
        path=record["path"],
        name=record["shown_name"] or record["name"],
        kind=record["kind"],
        role=role,
        role_is_set=bool(record["set_role"]),
        state=state,
        reason=reason,
        size_bytes=sum(weights.values()),
        shared_bytes=sum(size for inode, size in weights.items() if inode in links.shared),
        modified_ns=record["modified_ns"],
        used_ns=record["used_ns"],
        family=family,
        family_id=family_id,
        n_parameters=record["n_parameters"],
        dtype=record["dtype"],
        original_bytes=record["original_bytes"],
        quality=record["quality"],
        quality_how=record["quality_how"] or "",
        quality_is_estimate=bool(record["quality_is_estimate"]),
        arch=record["arch"],
        licence=record["licence"],
        source=record["source"],
        content=content,
        tags=tuple(sorted(tag["tag"] for tag in tags)),
        is_exact=None if is_exact is None else bool(is_exact),
        method=record["method"] or "",
        bits_per_weight=record["bits_per_weight"],
        files=tuple(
            FileRow(file["path"], file["size_bytes"], bool(file["is_weight"])) for file in files
        ),
        root=record["root"],
        header=record["header"],
    )


def _role(record: sqlite3.Row, links: _Links) -> str:
    """What the user said, else what the files say, else what the relations say."""
    if record["set_role"]:
        return str(record["set_role"])
    if record["declared_role"]:
        return str(record["declared_role"])
    if record["base_id"] is not None:
        return "Base" if record["distance"] == 0.0 else "Expert"  # a copy of a base is a base
    return "Base" if record["id"] in links.heads else "Unknown"


def _family(model_id: int, role: str, links: _Links) -> int | None:
    """Follow bases to the top; a base that descends from none heads its own family."""
    if model_id not in links.bases:
        return model_id if role == "Base" else None
    seen = {model_id}
    at = links.bases.get(model_id)
    while at is not None and at not in seen:
        seen.add(at)
        if at not in links.bases:
            return at
        at = links.bases[at]
    return None


def _state(record: sqlite3.Row, content: str, links: _Links) -> tuple[State, str]:
    if record["absence"]:
        return State(record["absence"]), _ABSENT[record["absence"]]
    if record["state"] != State.READY:
        return State(record["state"]), record["reason"]
    expected, stamp = record["expected_content"], record["expected_fingerprint"]
    if expected and content:
        if content != expected:
            return State.CHANGED, "its content differs from the hash that a recipe recorded"
    elif stamp and stamp != record["fingerprint"]:
        return State.CHANGED, "its files changed since a recipe used them"
    original = links.originals.get(content)
    if original is not None and original != record["id"]:
        return State.DUPLICATE, f"same content as {links.names[original]}"
    return State.READY, ""


_ABSENT = {
    State.MISSING: "its files are gone since the last scan",
    State.OFFLINE: "its folder cannot be reached; is its volume mounted?",
}
