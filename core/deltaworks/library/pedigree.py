"""Families as trees: who stands under whom, and how that is known."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deltaworks.library.index import Index
from deltaworks.library.rows import ModelRow

_PARENT_KEYS = {
    "compress": ("experts",),
    "sweep": ("experts",),
    "merge": ("experts",),
    "repair": ("tuned",),
    "rebuild": ("delta",),
    "extract": ("expert",),
    "transfer": ("target", "source"),
}
"""Which inputs of a recipe an artefact descends from, beside its base."""


@dataclass(frozen=True, slots=True)
class Kin:
    """What a model descends from.

    Args:
        model: its id.
        parents: ids, the one it is shown under first; a merge has several.
        relation: ``declared``, ``found from weights``, ``made here``, ``set by you``.
        confidence: 0 to 1.
        distance: relative norm of its difference from the base; None when not measured.
        is_confirmed: whether the user said so.
    """

    model: int
    parents: tuple[int, ...]
    relation: str
    confidence: float
    distance: float | None = None
    is_confirmed: bool = False


@dataclass(frozen=True, slots=True)
class Branch:
    """A model in a family's tree, with what stands under it.

    Args:
        row: the model.
        kin: how it is related to what it stands under; None for a head.
        children: by role, then by name.
        is_link: whether it is shown in full elsewhere, and stands here as a pointer.
    """

    row: ModelRow
    kin: Kin | None = None
    children: tuple[Branch, ...] = ()
    is_link: bool = False


def read_kin(index: Index) -> list[Kin]:
    """Read every relation; artefacts stand under what they were made from, if it is listed."""
    places = {
        record["path"]: int(record["id"])
        for record in index.read("SELECT id, path FROM models WHERE NOT is_forgotten")
    }
    made = {
        int(record["model_id"]): _made_from(json.loads(record["report"]))
        for record in index.read("SELECT model_id, report FROM artefacts")
    }
    found = []
    for record in index.read("SELECT * FROM relations WHERE base_id NOT NULL"):
        model = int(record["model_id"])
        parents = _listed(made.pop(model, ()), places, model) or (int(record["base_id"]),)
        found.append(
            Kin(
                model,
                parents,
                record["kind"],
                record["confidence"],
                record["distance"],
                bool(record["is_confirmed"]),
            )
        )
    for model, paths in made.items():  # merges, whose base needs not be known
        if parents := _listed(paths, places, model):
            found.append(Kin(model, parents, "made here", 1.0))
    return found


def forest(rows: Sequence[ModelRow], kin: Iterable[Kin]) -> list[Branch]:
    """Arrange models under their parents; those with no relatives are left out.

    Every model is shown in full once, under its first parent that is listed; under its
    other parents stands a link. A circle is broken where it is met a second time.
    """
    by_id = {row.id: row for row in rows}
    known = {
        one.model: one for one in kin if one.model in by_id and any(p in by_id for p in one.parents)
    }
    under: defaultdict[int, list[tuple[Kin, bool]]] = defaultdict(list)
    for one in known.values():
        listed = [parent for parent in one.parents if parent in by_id and parent != one.model]
        for place, parent in enumerate(listed):
            under[parent].append((one, place > 0))
    seen: set[int] = set()
    heads = [one for one in under if one not in known]
    branches = [_branch(by_id[head], None, by_id, under, seen) for head in heads]
    for model in known:  # what is left belongs to circles
        if model not in seen and model in under:
            branches.append(_branch(by_id[model], None, by_id, under, seen))
    return sorted(branches, key=lambda branch: branch.row.name.casefold())


_ORDER = ("Base", "Expert", "Repaired", "Merge", "Delta")


def _branch(
    row: ModelRow,
    kin: Kin | None,
    by_id: Mapping[int, ModelRow],
    under: Mapping[int, Sequence[tuple[Kin, bool]]],
    seen: set[int],
) -> Branch:
    seen.add(row.id)
    children = []
    for one, is_link in under.get(row.id, ()):
        child = by_id[one.model]
        if is_link or child.id in seen:
            children.append(Branch(child, one, is_link=True))
        else:
            children.append(_branch(child, one, by_id, under, seen))
    return Branch(row, kin, tuple(sorted(children, key=_place)))


def _place(branch: Branch) -> tuple[int, str]:
    role = branch.row.role
    return _ORDER.index(role) if role in _ORDER else len(_ORDER), branch.row.name.casefold()


def _made_from(report: Mapping[str, Any]) -> tuple[str, ...]:
    """Paths that an artefact's record names as what it descends from."""
    artefact: Mapping[str, Any] = next(iter(report.get("artefacts") or ()), {})
    if artefact.get("kind") == "delta" and artefact.get("expert"):
        return (str(artefact["expert"]),)
    recipe = report.get("recipe") or {}
    keys = _PARENT_KEYS.get(str(recipe.get("kind")), ())
    paths = [path for key in keys for path in _paths(recipe.get(key))]
    return tuple(paths)


def _paths(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        if isinstance(value.get("path"), str):
            yield value["path"]
        for item in value.values():
            yield from _paths(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _paths(item)


def _listed(paths: Iterable[str], places: Mapping[str, int], model: int) -> tuple[int, ...]:
    found = (places.get(str(Path(path).absolute())) for path in paths)
    return tuple(dict.fromkeys(one for one in found if one is not None and one != model))
