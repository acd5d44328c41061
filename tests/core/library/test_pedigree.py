"""Families as trees."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deltaworks.library.library import Library
from deltaworks.library.pedigree import Branch, Kin, forest
from deltaworks.library.rows import ModelRow, State
from deltaworks.progress import JobControl


def row(number: int, name: str, role: str = "Expert") -> ModelRow:
    return ModelRow(
        id=number,
        path=f"/m/{name}",
        name=name,
        kind="folder",
        role=role,
        state=State.READY,
        size_bytes=1,
        modified_ns=1,
    )


def shape(branches: Any) -> list[Any]:
    """Names as nested lists; links in brackets."""

    def one(branch: Branch) -> Any:
        name = f"[{branch.row.name}]" if branch.is_link else branch.row.name
        return [name, *(one(child) for child in branch.children)] if branch.children else name

    return [one(branch) for branch in branches]


def test_experts_stand_under_their_base_and_deltas_under_their_expert() -> None:
    rows = [row(1, "base", "Base"), row(2, "math"), row(3, "code"), row(4, "small", "Delta")]
    kin = [Kin(2, (1,), "declared", 1.0), Kin(3, (1,), "declared", 1.0), Kin(4, (2,), "made", 1.0)]

    assert shape(forest(rows, kin)) == [["base", "code", ["math", "small"]]]


def test_a_merge_is_whole_once_and_a_link_under_its_other_parents() -> None:
    rows = [row(1, "base", "Base"), row(2, "a"), row(3, "b"), row(4, "both", "Merge")]
    kin = [
        Kin(2, (1,), "declared", 1.0),
        Kin(3, (1,), "declared", 1.0),
        Kin(4, (2, 3), "made here", 1.0),
    ]

    assert shape(forest(rows, kin)) == [["base", ["a", "both"], ["b", "[both]"]]]


def test_models_without_relatives_are_left_out_and_circles_end() -> None:
    rows = [row(1, "alone"), row(2, "x"), row(3, "y")]
    kin = [Kin(2, (3,), "declared", 1.0), Kin(3, (2,), "declared", 1.0), Kin(1, (99,), "gone", 1.0)]

    assert shape(forest(rows, kin)) == [["x", ["y", "[x]"]]]


@pytest.fixture
def family(
    tmp_path: Path, write_model: Callable[..., Path], weights: Callable[..., Any], library: Library
) -> tuple[Library, dict[str, ModelRow]]:
    """A base, two fine-tunes of it and a stranger, related from their weights."""
    base = weights(1)
    write_model(tmp_path / "zoo" / "base", base)
    for number, name in enumerate(("a", "b")):
        write_model(tmp_path / "zoo" / name, weights(10 + number, near=base))
    write_model(tmp_path / "zoo" / "stranger", weights(99))
    library.add_root(tmp_path / "zoo")
    library.scan(JobControl())
    library.relate(JobControl())
    return library, {row.name: row for row in library.rows()}


def test_undo_brings_a_rejected_relation_back(family: tuple[Library, dict[str, ModelRow]]) -> None:
    library, rows = family
    before = [one for one in library.relations() if one.model == rows["a"].id]
    library.reject([rows["a"].id])

    library.put_back([rows["a"].id], before)

    assert [one for one in library.relations() if one.model == rows["a"].id] == before


def test_undo_of_a_set_base_leaves_none_where_none_was(
    family: tuple[Library, dict[str, ModelRow]],
) -> None:
    library, rows = family
    before = library.relations()
    library.set_base([rows["stranger"].id], rows["base"].id)

    library.put_back([rows["stranger"].id], [])

    assert library.relations() == before
