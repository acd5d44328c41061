"""Base, experts and merges of a comparison, measured on the same items."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from deltaworks.checkpoints import open_checkpoint
from deltaworks.progress import JobControl
from deltaworks.recipes.naming import display_name
from deltaworks.recipes.schema import ContestRecipe
from deltaworks.studies.contest_record import Line, Score
from deltaworks.studies.contest_scores import (
    Scores,
    average,
    normalised,
    owners,
    scores_of,
    switched,
)

if TYPE_CHECKING:
    from deltaworks.checkpoints.checkpoint import Checkpoint
    from deltaworks.evaluation import Evaluator, Suite


class Judge:
    """Measures; without an evaluation set it has nothing to say.

    Args:
        recipe: of the comparison.
        names: of the experts.
        base: open as long as this is used; ``experts`` likewise.
        experts: in the recipe's order.
        work: folder for the texts of the experts' tasks.
        control: Stop and pause.

    Attributes:
        lines: base and single experts.
        tasks: ids to titles.
        texts: a file of each expert's own task; empty where there is none.
        data: what was measured on, or why nothing was.
    """

    def __init__(
        self,
        recipe: ContestRecipe,
        names: Sequence[str],
        base: Checkpoint,
        experts: Sequence[Checkpoint],
        work: Path,
        control: JobControl,
    ) -> None:
        self._recipe, self._names, self._control = recipe, names, control
        self._base, self._work = base, work
        self._evaluator: Evaluator | None = None
        self._chooser: Evaluator | None = None
        self._choosing: Suite | None = None
        self._own: list[Scores] = []
        self._whose: dict[str, int] = {}
        self.lines: list[Line] = []
        self.tasks: dict[str, str] = {}
        self.texts: list[str] = [one.texts for one in recipe.experts]
        self.data = ""
        suite = self._suite()
        if suite is not None:
            self._start(suite, experts)

    def _suite(self) -> Suite | None:
        if not self._recipe.evaluation:
            return None
        from deltaworks.evaluation import load_suite

        suite = load_suite(self._recipe.evaluation)
        return suite if suite.tasks else None

    def _start(self, suite: Suite, experts: Sequence[Checkpoint]) -> None:
        from deltaworks.evaluation import Effort, Evaluator
        from deltaworks.studies.contest_items import split

        choosing, counting = split(suite)
        evaluator = Evaluator(
            self._base, None, counting, control=self._control, effort=Effort(max_tokens=0)
        )
        if evaluator.reason:
            self.data = f"not measured on data: {evaluator.reason}"
            return
        self._evaluator, self._choosing = evaluator, choosing
        self.tasks = {task.id: task.title for task in counting.tasks}
        self.data = ", ".join(f"{one.title} ({len(one.items):,} items)" for one in counting.tasks)
        self._note_references(evaluator, experts)
        if choosing is not None:
            self._write_texts(choosing)

    def _note_references(self, evaluator: Evaluator, experts: Sequence[Checkpoint]) -> None:
        of_base = scores_of(evaluator.base_measures())
        self._own = [scores_of(evaluator.measure(expert, self._control)) for expert in experts]
        self._whose = owners(of_base, self._own)
        name = display_name(self._recipe.base.path, self._recipe.base.name)
        lines = [("base", name, of_base, "")]
        for place, (label, scores) in enumerate(zip(self._names, self._own, strict=True)):
            tasks = [task for task, owner in self._whose.items() if owner == place]
            lines.append(("expert", label, scores, ", ".join(tasks)))
        self.lines = [
            Line(kind, label, scores, average(scores), self.normalised(scores), own)
            for kind, label, scores, own in lines
        ]

    def _write_texts(self, choosing: Suite) -> None:
        """Give every expert the items of its own tasks that do not count."""
        from deltaworks.studies.contest_items import write_texts

        for place, given in enumerate(self.texts):
            own = [task for task in choosing.tasks if self._whose.get(task.id) == place]
            if given or not own:
                continue
            path = self._work / f"texts-{place + 1}.jsonl"
            write_texts(own, path)
            self.texts[place] = str(path)

    @property
    def can_measure(self) -> bool:
        """Whether there are tasks."""
        return self._evaluator is not None

    @property
    def can_choose(self) -> bool:
        """Whether there are items that choose and do not count."""
        return self._evaluator is not None and self._choosing is not None

    @property
    def experts_average(self) -> float | None:
        """Mean over tasks of their own experts' scores."""
        return average({task: self._own[place][task] for task, place in self._whose.items()})

    def normalised(self, scores: Mapping[str, Score]) -> float | None:
        """Give the mean share of the experts' scores."""
        return normalised(scores, self._own, self._whose)

    def scores(
        self, folders: Sequence[str], *, switches: bool, is_choice: bool = False
    ) -> Scores | None:
        """Measure the models of one entry; None without tasks.

        Args:
            folders: one, or one for each expert.
            switches: whether every task is done by the model of its own expert.
            is_choice: measure on the items for choosing.
        """
        evaluator = self._choosing_evaluator() if is_choice else self._evaluator
        if evaluator is None:
            return None
        found = []
        for folder in folders:
            with open_checkpoint(folder) as model:
                found.append(scores_of(evaluator.measure(model, self._control)))
        return switched(found, self._whose) if switches else found[0]

    def _choosing_evaluator(self) -> Evaluator | None:
        """Give the evaluator of the items for choosing; loaded at the first search."""
        if self._chooser is None and self._choosing is not None:
            from deltaworks.evaluation import Effort, Evaluator

            self._chooser = Evaluator(
                self._base, None, self._choosing, control=self._control, effort=Effort(max_tokens=0)
            )
        return self._chooser
