"""The models of a merge, open, and named alike."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from deltaworks.checkpoints import open_checkpoint
from deltaworks.checkpoints.adapter import AdapterCheckpoint
from deltaworks.checkpoints.checkpoint import Checkpoint
from deltaworks.checkpoints.hub import cached_model
from deltaworks.checkpoints.tensors import TensorInfo
from deltaworks.engine import checks
from deltaworks.engine.merge_names import Naming, name_alike
from deltaworks.errors import AppError, OptionError
from deltaworks.recipes.naming import display_name, distinct
from deltaworks.recipes.schema import MergeRecipe, ModelRef

BASE = -1


@dataclass(frozen=True)
class MergeModels:
    """Base and experts by their places; the base is -1.

    Args:
        opened: every model.
        names: every model's tensors, named as the leader names them.
        labels: names for people.
    """

    opened: Mapping[int, Checkpoint]
    names: Mapping[int, Naming]
    labels: Mapping[int, str]

    @property
    def leader(self) -> int:
        """Whose config, tokenizer, order and dtypes the result has."""
        return BASE if BASE in self.opened else 0

    def stored(self, model: int, name: str) -> str:
        """Give a model's own name of a tensor."""
        return self.names[model].stored[name]

    def info(self, model: int, name: str) -> TensorInfo:
        """Describe a tensor of a model, by the leader's name."""
        return self.opened[model].info(self.stored(model, name))

    def notes(self) -> Iterator[str]:
        """Say what is named otherwise, of every model."""
        for model, naming in self.names.items():
            label = self.labels[model]
            for note in naming.notes:
                yield f"{label[0].upper()}{label[1:]}: {note}"


def open_models(
    recipe: MergeRecipe, open_files: ExitStack, faults: list[AppError]
) -> dict[int, Checkpoint]:
    """Open everything that can be; the others leave a fault."""
    opened: dict[int, Checkpoint] = {}
    if recipe.base is not None:
        base = _open(recipe.base, opened, {}, open_files, faults)
        if base is not None:
            opened[BASE] = base
    roots: dict[Path, Checkpoint] = {}
    for number, expert in enumerate(recipe.experts):
        model = _open(expert.model, opened, roots, open_files, faults)
        if model is not None:
            opened[number] = model
    for model in opened.values():
        if isinstance(model, AdapterCheckpoint) and recipe.numerics != "app-fp32":
            model.is_float32 = True
    return opened


def _open(
    reference: ModelRef,
    opened: Mapping[int, Checkpoint],
    roots: dict[Path, Checkpoint],
    open_files: ExitStack,
    faults: list[AppError],
) -> Checkpoint | None:
    """Open a model, or the adapter over it; a base that is open already serves again."""
    base = opened.get(BASE)
    try:
        path = _local(reference.path)
        if not reference.adapter:
            return open_files.enter_context(open_checkpoint(path, base=base))
        place = Path(path).resolve()
        root = base if base is not None and base.path.resolve() == place else roots.get(place)
        if root is None:
            root = roots[place] = open_files.enter_context(open_checkpoint(path))
        return open_files.enter_context(open_checkpoint(_local(reference.adapter), base=root))
    except AppError as error:
        faults.append(error)
        return None


def _local(path: str) -> str | Path:
    """Give a path; a model that is named as on the Hub lies in its cache, if anywhere."""
    return path if Path(path).expanduser().exists() else cached_model(path) or path


def named_models(recipe: MergeRecipe, opened: Mapping[int, Checkpoint]) -> MergeModels:
    """Name the models' tensors alike."""
    leader = BASE if BASE in opened else 0
    return MergeModels(opened, name_alike(opened, leader), labels_of(recipe))


def labels_of(recipe: MergeRecipe) -> dict[int, str]:
    """Name all models for people, by their places."""
    labels = distinct([label_of(expert.model) for expert in recipe.experts])
    return {BASE: "the base", **dict(enumerate(labels))}


def label_of(reference: ModelRef) -> str:
    """Name a model for people; an adapter goes by its own name."""
    return display_name(reference.adapter or reference.path, reference.name)


def misfits(
    recipe: MergeRecipe, opened: Mapping[int, Checkpoint], *, takes_base: bool
) -> Iterator[AppError]:
    """Name models that are listed twice, of another family, or their own base."""
    places = [
        (Path(one.model.path).resolve(), one.model.adapter and Path(one.model.adapter).resolve())
        for one in recipe.experts
    ]
    for place in dict.fromkeys(place for place in places if places.count(place) > 1):
        yield OptionError("is listed twice among the experts", where=str(place[1] or place[0]))
    base = opened.get(BASE)
    leader = base or opened[0]
    for number, expert in opened.items():
        if number == BASE:
            continue
        yield from checks.check_architecture(leader, expert)
        if base is not None and takes_base:
            yield from checks.check_not_same(base, expert)
