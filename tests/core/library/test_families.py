from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from deltaworks.library.library import Library
from deltaworks.library.lineage import Member, find_relations, likeness
from deltaworks.library.rows import ModelRow, State
from deltaworks.progress import JobControl, Progress

Make = Callable[..., Path]
Weights = Callable[..., dict[str, np.ndarray]]


def rows_of(library: Library) -> dict[str, ModelRow]:
    return {row.name: row for row in library.rows()}


@pytest.fixture
def zoo(tmp_path: Path, write_model: Make, weights: Weights, library: Library) -> Path:
    """Five models of one shape: ``m`` and three fine-tunes of it, and a stranger."""
    folder = tmp_path / "zoo"
    base = weights(1)
    write_model(folder / "m", base)
    for number, name in enumerate(("a", "b", "z")):
        write_model(folder / name, weights(10 + number, near=base))
    write_model(folder / "stranger", weights(99))
    library.add_root(folder)
    library.scan(JobControl())
    return folder


def test_families_are_found_from_weights_alone(zoo: Path, library: Library) -> None:
    changed = library.relate(JobControl())

    rows = rows_of(library)
    assert {name: row.role for name, row in rows.items()} == {
        "m": "Base",
        "a": "Expert",
        "b": "Expert",
        "z": "Expert",
        "stranger": "Unknown",
    }
    assert {rows[name].family for name in "mabz"} == {"m"}
    assert (rows["stranger"].family, rows["stranger"].family_id) == ("", None)
    assert {row.name for row in changed} == {"m", "a", "b", "z"}
    relation = next(one for one in library.relations() if one.model == rows["a"].id)
    assert relation.kind == "found from weights"
    assert relation.distance == pytest.approx(0.1, abs=0.02)
    assert relation.confidence > 0.9


def test_a_second_look_reads_no_weights(zoo: Path, library: Library) -> None:
    library.relate(JobControl())
    stages: list[str] = []

    def note(event: object) -> None:
        if isinstance(event, Progress):
            stages.append(event.stage)

    assert library.relate(JobControl(note)) == []
    assert set(stages) == {"comparing headers"}


def test_a_new_model_joins_its_family(
    zoo: Path, library: Library, write_model: Make, weights: Weights
) -> None:
    library.relate(JobControl())
    write_model(zoo / "late", weights(50, near=weights(1)))
    library.scan(JobControl())

    library.relate(JobControl())

    assert rows_of(library)["late"].family == "m"


def test_the_user_has_the_last_word_on_the_base(zoo: Path, library: Library) -> None:
    rows = rows_of(library)
    library.set_role([rows["b"].id], "Base")
    library.set_role([rows["m"].id], "Expert")

    library.relate(JobControl())

    after = rows_of(library)
    assert after["b"].role == "Base"
    assert {after[name].family for name in "mabz"} == {"b"}


def test_a_rejected_relation_is_not_proposed_again(zoo: Path, library: Library) -> None:
    library.relate(JobControl())
    row = rows_of(library)["a"]

    library.reject([row.id])
    library.relate(JobControl())

    assert rows_of(library)["a"].family == ""


def test_a_confirmed_relation_stays(zoo: Path, library: Library) -> None:
    rows = rows_of(library)
    library.set_base([rows["a"].id], rows["stranger"].id)

    library.relate(JobControl())

    assert rows_of(library)["a"].family == "stranger"
    assert rows_of(library)["stranger"].role == "Base"


def test_a_declared_base_needs_no_weights(
    tmp_path: Path, write_model: Make, weights: Weights, library: Library
) -> None:
    write_model(tmp_path / "d" / "Some-Base", weights(1))
    write_model(tmp_path / "d" / "tuned", weights(2), card="base_model: org/some-base")
    write_model(tmp_path / "d" / "lost", weights(3), card="base_model: org/elsewhere")
    library.add_root(tmp_path / "d")

    library.scan(JobControl())

    rows = rows_of(library)
    assert (rows["tuned"].role, rows["tuned"].family) == ("Expert", "Some-Base")
    assert rows["Some-Base"].role == "Base"
    assert (rows["lost"].family, rows["lost"].family_id) == ("elsewhere", None)
    assert [one.kind for one in library.relations()] == ["declared"]


def test_merges_are_told_by_their_recipe_or_card(
    tmp_path: Path, write_model: Make, weights: Weights, library: Library
) -> None:
    ours = write_model(tmp_path / "d" / "ours", weights(1))
    (ours / "deltaworks_recipe.json").write_text('{"kind": "merge", "base": null}')
    write_model(tmp_path / "d" / "theirs", weights(2), card="base_model: [a, b]")
    library.add_root(tmp_path / "d")

    library.scan(JobControl())

    assert {row.role for row in library.rows()} == {"Merge"}


def test_two_models_alone_are_told_apart_by_name(
    tmp_path: Path, write_model: Make, weights: Weights, library: Library
) -> None:
    base = weights(1)
    write_model(tmp_path / "d" / "x-chat", base)
    write_model(tmp_path / "d" / "x", weights(2, near=base))
    library.add_root(tmp_path / "d")
    library.scan(JobControl())

    library.relate(JobControl())

    rows = rows_of(library)
    assert (rows["x"].role, rows["x-chat"].role) == ("Base", "Expert")
    assert library.relations()[0].confidence == pytest.approx(0.5, abs=0.01)


def test_copies_are_found_by_content(
    tmp_path: Path, write_model: Make, weights: Weights, library: Library
) -> None:
    write_model(tmp_path / "d" / "m", weights(1))
    write_model(tmp_path / "d" / "m-copy", weights(1))
    write_model(tmp_path / "d" / "other", weights(2))
    library.add_root(tmp_path / "d")
    library.scan(JobControl())

    changed = library.hash_contents(JobControl())

    rows = rows_of(library)
    assert {row.name for row in changed} == {"m", "m-copy"}
    assert (rows["m"].state, rows["m-copy"].state) == (State.READY, State.DUPLICATE)
    assert rows["m-copy"].reason == "same content as m"
    assert rows["m"].content == rows["m-copy"].content != ""
    assert rows["other"].content == ""
    assert library.hash_contents(JobControl()) == []


def test_a_copy_of_a_base_is_a_base(
    zoo: Path, library: Library, write_model: Make, weights: Weights
) -> None:
    write_model(zoo / "m-copy", weights(1))
    library.scan(JobControl())

    library.relate(JobControl())

    rows = rows_of(library)
    assert {rows["m"].role, rows["m-copy"].role} == {"Base"}
    assert len({rows[name].family_id for name in ("m", "m-copy", "a", "b", "z")}) == 1


def test_likeness_of_known_vectors() -> None:
    base = [np.array([3.0, 4.0], np.float32), np.array([1.0, 0.0], np.float32)]
    other = [np.array([3.0, 4.0], np.float32), np.array([0.0, 1.0], np.float32)]

    like = likeness(base, other)

    assert like.distance == pytest.approx((0 + 2**0.5) / 2)
    assert like.cosine == pytest.approx(25 / 26)
    assert (like.identical, like.related_share) == (0.5, 0.5)


def test_numbers_that_are_none_are_related_to_nobody() -> None:
    sick = [np.array([np.nan, 1.0], np.float32)]
    sound = [np.array([1.0, 1.0], np.float32)]

    assert find_relations([Member(1), Member(2)], {1: sick, 2: sound}) == []
    assert not likeness(sound, sick).is_related
