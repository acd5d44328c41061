"""Tasks of a grow recipe: folders of images, numbered classes, test images of each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from deltaworks.errors import MismatchError, OptionError
from deltaworks.inference.images import ImageFolder, list_images
from deltaworks.inference.vision import VisionBackbone, check_folder, open_backbone
from deltaworks.methods import continual_method
from deltaworks.methods.continual.sotu import SotuOptions
from deltaworks.options import read_options
from deltaworks.recipes.naming import display_name, distinct
from deltaworks.recipes.schema import GrowRecipe, GrowTask
from deltaworks.studies.grow_types import Task
from deltaworks.training.backbones import Weights, weights_of

if TYPE_CHECKING:
    from torch import Tensor

_SHOWN = 5


@dataclass(frozen=True)
class GrowInputs:
    """What a recipe names, looked at and numbered; no image is read yet.

    Args:
        options: of SoTU.
        names: of the tasks, unlike each other.
        folders: images of each; None for a task without data.
        test: all test images.
        classes: names by number, task after task.
        notes: worth knowing.
    """

    options: SotuOptions
    names: tuple[str, ...]
    folders: tuple[ImageFolder | None, ...]
    test: ImageFolder
    classes: tuple[str, ...]
    notes: tuple[str, ...] = ()

    @property
    def n_images(self) -> int:
        """Images of all tasks."""
        return sum(len(one.paths) for one in self.folders if one is not None)


def read_inputs(recipe: GrowRecipe) -> GrowInputs:
    """Look at everything that a recipe names, without torch.

    Raises:
        AppError: something is missing or does not fit together.
    """
    method = continual_method(recipe.setting.method)
    options = read_options(method.options, recipe.setting.options, where=f"method '{method.id}'")
    assert isinstance(options, SotuOptions)
    config = check_folder(Path(recipe.base.path))
    folders: list[ImageFolder | None] = []
    for task in recipe.tasks:
        if not task.data and task.model is None:
            fix = "Give it a folder of images, a fine-tuned model, or both."
            raise OptionError("has neither data nor model", where=_name(task), fix=fix)
        folders.append(list_images(Path(task.data)) if task.data else None)
        if task.model is not None:
            _check_family(config, task.model.path)
    names = distinct([_name(task) for task in recipe.tasks])
    classes, notes = _numbered(names, folders), []
    test = list_images(Path(recipe.test))
    unknown = [one for one in test.classes if one not in classes]
    if unknown:
        what = f"{len(unknown)} classes are in no task ({', '.join(unknown[:_SHOWN])})"
        raise MismatchError(what, where=recipe.test, fix="Remove them, or name their task.")
    if untested := [one for one in classes if one not in test.classes]:
        shown = ", ".join(untested[:_SHOWN])
        notes.append(f"{len(untested)} classes have no test images ({shown}).")
    return GrowInputs(options, tuple(names), tuple(folders), test, classes, tuple(notes))


def make_tasks(
    recipe: GrowRecipe, inputs: GrowInputs, backbone: VisionBackbone, base: Weights
) -> list[Task]:
    """Turn what was looked at into tasks of a stream."""
    numbers = {name: number for number, name in enumerate(inputs.classes)}
    found = []
    for number, (task, name, folder) in enumerate(
        zip(recipe.tasks, inputs.names, inputs.folders, strict=True)
    ):
        mine = folder.classes if folder else ()
        asked = [at for at, one in enumerate(inputs.test.names) if one in mine]
        found.append(
            Task(
                name=name,
                number=number,
                classes=tuple(numbers[one] for one in mine),
                train=Images.of(folder, numbers, backbone) if folder else None,
                test=Images.of(inputs.test, numbers, backbone, asked) if asked else None,
                tuned=_reader(task.model.path, base) if task.model else None,
            )
        )
    return found


class Images:
    """Images of a folder with the numbers of their classes; see ``backbones.Examples``."""

    def __init__(self, paths: Sequence[Path], labels: Any, backbone: VisionBackbone) -> None:
        self._paths, self._backbone = paths, backbone
        self.labels = np.asarray(labels, dtype=np.int64)

    @classmethod
    def of(
        cls,
        folder: ImageFolder,
        numbers: dict[str, int],
        backbone: VisionBackbone,
        places: Sequence[int] | None = None,
    ) -> Images:
        """Take all images of a folder, or those at some places."""
        chosen = range(len(folder.paths)) if places is None else places
        labels = [numbers[folder.names[at]] for at in chosen]
        return cls([folder.paths[at] for at in chosen], labels, backbone)

    def batch(self, places: Sequence[int]) -> Tensor:
        """Read and prepare some images."""
        return self._backbone.pixels([self._paths[at] for at in places])


def _name(task: GrowTask) -> str:
    if task.name:
        return task.name
    return display_name(task.data or (task.model.path if task.model else ""))


def _numbered(names: Sequence[str], folders: Sequence[ImageFolder | None]) -> tuple[str, ...]:
    """Number classes task after task; every class belongs to one task."""
    owner: dict[str, str] = {}
    for name, folder in zip(names, folders, strict=True):
        for one in folder.classes if folder else ():
            if one in owner:
                what = f"class '{one}' is in {owner[one]} and in {name}"
                fix = "Give every class to one task; rename folders that only share a name."
                raise MismatchError(what, fix=fix)
            owner[one] = name
    if not owner:
        raise OptionError("no task has data, so there is no class", fix="Give a folder of images.")
    return tuple(owner)


def _check_family(config: dict[str, Any], path: str) -> None:
    """Refuse a fine-tune of another kind of network by what its config says first."""
    other = check_folder(Path(path))
    for key in ("model_type", "hidden_size", "num_hidden_layers", "patch_size", "image_size"):
        mine, its = config.get(key), other.get(key)
        if mine != its:
            raise MismatchError(
                f"{key} is {its!r}, and {mine!r} in the base",
                where=path,
                fix="Choose a fine-tune of the base.",
            )


def _reader(path: str, base: Weights) -> Callable[[], Weights]:
    def read() -> Weights:
        found = weights_of(open_backbone(Path(path)))
        for name, one in base.items():
            if name not in found:
                raise MismatchError(f"lacks {name}", where=path)
            if found[name].shape != one.shape:
                what = f"{name} is {found[name].shape}, and {one.shape} in the base"
                raise MismatchError(what, where=path, fix="Choose a fine-tune of the base.")
        return found

    return read
