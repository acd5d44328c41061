"""Recipes to and from files, beside the window."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import QObject, Signal, Slot

from deltaworks.errors import OptionError
from deltaworks.progress import JobControl
from deltaworks.recipes import as_command, load_recipe, save_recipe
from deltaworks.recipes.schema import Recipe
from deltaworks_gui.lanes.tasks import TaskPool
from deltaworks_gui.pages.workbench_recipe import JobRecipe


class RecipeFiles(QObject):
    """Opens and saves recipes.

    Args:
        tasks: where it works.

    Signals:
        opened: a Recipe.
        saved: the Path.
        command_ready: command lines that run a recipe.
        failed: an AppError.
    """

    opened = Signal(object)
    saved = Signal(object)
    command_ready = Signal(str)
    failed = Signal(object)

    def __init__(self, tasks: TaskPool, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._tasks = tasks

    def open(self, path: Path, output: Path) -> None:
        """Read a recipe; ``output`` is for files of mergekit's, which name none."""

        def work(_control: JobControl) -> Recipe:
            try:
                return load_recipe(path)
            except OptionError:
                return load_recipe(path, output=str(output))

        self._tasks.start(work, succeeded=self._on_opened, failed=self._on_failed)

    def save(self, recipe: JobRecipe, path: Path) -> None:
        """Write a recipe."""

        def work(_control: JobControl) -> Path:
            save_recipe(recipe, path)
            return path

        self._tasks.start(work, succeeded=self._on_saved, failed=self._on_failed)

    def make_command(self, recipe: JobRecipe, folder: Path) -> None:
        """Write a recipe into a folder of ours and tell the command that runs it."""
        place = folder / f"{Path(recipe.output).name}.json"

        def work(_control: JobControl) -> str:
            folder.mkdir(parents=True, exist_ok=True)
            save_recipe(recipe, place)
            return as_command(recipe, file=str(place))

        self._tasks.start(work, succeeded=self._on_command, failed=self._on_failed)

    @Slot(object)
    def _on_opened(self, recipe: Recipe) -> None:
        self.opened.emit(recipe)

    @Slot(object)
    def _on_saved(self, path: Path) -> None:
        self.saved.emit(path)

    @Slot(object)
    def _on_command(self, command: str) -> None:
        self.command_ready.emit(command)

    @Slot(object)
    def _on_failed(self, error: object) -> None:
        self.failed.emit(error)
