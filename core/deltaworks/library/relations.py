"""What is known of who descends from whom, and what the user says to it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from deltaworks.library.index import Index
from deltaworks.library.records import relate


@dataclass(frozen=True, slots=True)
class Relation:
    """One line of the family tree.

    Args:
        model: row that descends from ``base``.
        kind: ``declared``, ``found from weights``, ``made here``, ``set by you``.
        confidence: 0 to 1.
        distance: relative norm of the difference; None when not measured.
        is_confirmed: whether the user said so.
    """

    model: int
    base: int
    kind: str
    confidence: float
    distance: float | None
    is_confirmed: bool


def read_relations(index: Index) -> list[Relation]:
    """Every known relation."""
    return [
        Relation(
            record["model_id"],
            record["base_id"],
            record["kind"],
            record["confidence"],
            record["distance"],
            bool(record["is_confirmed"]),
        )
        for record in index.read("SELECT * FROM relations WHERE base_id NOT NULL")
    ]


def confirm(index: Index, ids: Iterable[int]) -> None:
    """Take the found relations of models as true."""
    with index.write() as connection:
        _confirm(connection, ids)


def reject(index: Index, ids: Iterable[int]) -> None:
    """Drop the relations of models; the same ones are not proposed again."""
    with index.write() as connection:
        for one in ids:
            connection.execute(
                "INSERT OR IGNORE INTO rejections SELECT model_id, base_id FROM relations "
                "WHERE model_id = ? AND base_id NOT NULL",
                (one,),
            )
            connection.execute("DELETE FROM relations WHERE model_id = ?", (one,))


def set_base(index: Index, ids: Sequence[int], base_id: int) -> None:
    """Say which base models descend from."""
    with index.write() as connection:
        connection.executemany(
            "DELETE FROM rejections WHERE model_id = ? AND base_id = ?",
            [(one, base_id) for one in ids],
        )
        for one in ids:
            connection.execute("DELETE FROM relations WHERE model_id = ?", (one,))
            relate(connection, one, base_id, "set by you")
        _confirm(connection, ids)


def put_back(index: Index, ids: Iterable[int], relations: Iterable[Relation]) -> None:
    """Make the relations of models what they were, which undoes all of the above.

    Args:
        index: where they are kept.
        ids: of the models; one without a relation among ``relations`` had none.
        relations: as ``read_relations`` gave them before.
    """
    with index.write() as connection:
        connection.executemany("DELETE FROM relations WHERE model_id = ?", [(one,) for one in ids])
        for old in relations:
            connection.execute(
                "DELETE FROM rejections WHERE model_id = ? AND base_id = ?", (old.model, old.base)
            )
            relate(
                connection,
                old.model,
                old.base,
                old.kind,
                confidence=old.confidence,
                distance=old.distance,
            )
            if old.is_confirmed:
                _confirm(connection, [old.model])


def _confirm(connection: sqlite3.Connection, ids: Iterable[int]) -> None:
    connection.executemany(
        "UPDATE relations SET is_confirmed = 1 WHERE model_id = ?", [(one,) for one in ids]
    )
