"""How repairs are measured: refusals and skill on data, or shares of weights and damage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deltaworks.engine.checks import raise_together
from deltaworks.errors import AppError, FileError, OptionError
from deltaworks.evaluation.measures import Measure
from deltaworks.progress import JobControl
from deltaworks.recipes.schema import RepairSweepRecipe
from deltaworks.studies.trials import Reference

if TYPE_CHECKING:
    from deltaworks.checkpoints.checkpoint import Checkpoint
    from deltaworks.evaluation import Evaluator
    from deltaworks.evaluation.refusals import RefusalEvaluator

Measures = dict[str, Measure]
PROXY = "share of weights and damage; no prompt was asked"
_FILES = ("should_refuse", "should_answer", "phrases")


def check_measuring(recipe: RepairSweepRecipe) -> None:
    """Refuse what could not be measured, before anything runs.

    Raises:
        AppError: a file is missing, or there is nothing to count refusals on.
    """
    faults: list[AppError] = []
    for path in (recipe.evaluation, *(getattr(recipe, name) for name in _FILES)):
        if path and not Path(path).exists():
            faults.append(FileError("is not there", where=path, fix="Choose another"))
    raise_together(faults)
    if not recipe.evaluation and any(getattr(recipe, name) for name in _FILES):
        what = "prompts are given, but no tasks to measure the skill on"
        raise OptionError(what, fix="Give an evaluation set too")
    if recipe.evaluation:
        from deltaworks.evaluation import load_suite

        suite = load_suite(recipe.evaluation)
        if suite.safety is None and not recipe.should_refuse:
            raise OptionError(
                "has no prompts to refuse",
                where=recipe.evaluation,
                fix="Give prompts that should be refused, or an evaluation set with some",
            )
        if not suite.tasks:
            raise OptionError(
                "has no tasks", where=recipe.evaluation, fix="Choose a set with tasks"
            )


class DataMeasurer:
    """Measures refusals by asking and skill by the suite's tasks; one model in memory."""

    def __init__(
        self,
        recipe: RepairSweepRecipe,
        aligned: Checkpoint,
        tuned: Checkpoint,
        name: str,
        control: JobControl,
    ) -> None:
        """Load the model and measure both ends.

        Raises:
            MismatchError: the models cannot be run.
        """
        from deltaworks.evaluation import SWEEP, Evaluator, load_suite
        from deltaworks.evaluation.refusals import RefusalEvaluator, load_prompts

        suite = load_suite(recipe.evaluation)
        places = [Path(path) if path else None for path in _paths(recipe)]
        prompts = load_prompts(*places, safety=suite.safety)
        assert prompts is not None
        self._refusals: RefusalEvaluator = RefusalEvaluator(prompts)
        self._evaluator: Evaluator = Evaluator(
            aligned,
            tuned,
            suite,
            control=control,
            device="cpu" if recipe.device == "auto" else recipe.device,
            effort=SWEEP,
            expert_name=name,
        )
        if self._evaluator.reason:
            raise OptionError(f"cannot be measured: {self._evaluator.reason}", where=name)
        self._name = name
        self._ends = {
            "aligned": self._with_refusals(aligned, self._evaluator.base_measures(), control),
            "tuned": self._with_refusals(tuned, self._evaluator.expert_measures(), control),
        }

    def _with_refusals(
        self, checkpoint: Checkpoint, measures: Measures, control: JobControl
    ) -> Measures:
        running = self._evaluator.running
        assert running is not None
        if running.source is not checkpoint:
            running.put(checkpoint, control.silent())
        return self._complete(measures | self._refusals.measure(running, control))

    def _complete(self, measures: Measures) -> Measures:
        """Name the skill: the fine-tune's own task, or the mean of all."""
        own = self._evaluator.own_task
        found = measures.get(f"accuracy:{own}") if own else measures.get("accuracy")
        if found is None:
            return measures
        return measures | {"utility": replace(found, id="utility")}

    def references(self) -> list[Reference]:
        """Give aligned model and fine-tune as they were measured."""
        whole = {line["id"]: line for line in self._evaluator.references()}
        lines = []
        for kind, role, label in (
            ("base", "aligned", "aligned model"),
            ("expert", "tuned", "fine-tune"),
        ):
            line, measures = whole[kind], self._ends[role]
            lines.append(
                Reference(
                    kind,
                    self._name,
                    label,
                    line["file_bytes"],
                    line["quality"],
                    {name: one.as_json() for name, one in measures.items()},
                )
            )
        return lines

    def measure(self, checkpoint: Checkpoint, control: JobControl) -> Measures:
        """Swap a repaired model in and measure it."""
        measures = self._evaluator.measure(checkpoint, control)
        return self._with_refusals(checkpoint, measures, control)

    def quality(self, measures: Measures) -> Any:
        """Share of the fine-tune's skill."""
        return self._evaluator.quality(measures)


def _paths(recipe: RepairSweepRecipe) -> list[str]:
    return [getattr(recipe, name) for name in _FILES]


def proxy_measures(total: Mapping[str, float]) -> Measures:
    """Estimate both axes from a repair's own facts: free, and no measurement.

    Args:
        total: of a repair's report.
    """
    damage = total.get("damage_share", total.get("energy_left", 1.0))
    n = int(total.get("layers", 0))
    pair = (
        ("utility", "Share of the change kept", total.get("change_kept", 0.0)),
        ("refusal", "1 - share of the damage", 1.0 - damage),
    )
    return {
        name: Measure(name, title, value, "fraction", PROXY, n, is_estimate=True)
        for name, title, value in pair
    }


def proxy_references(name: str) -> list[Reference]:
    """Give the ends of a proxy plot."""
    ends = (("base", "aligned model", 0.0, 1.0), ("expert", "fine-tune", 1.0, 0.0))
    lines = []
    for kind, label, utility, refusal in ends:
        measures = proxy_measures({"change_kept": utility, "damage_share": 1.0 - refusal})
        plain = {key: one.as_json() for key, one in measures.items()}
        lines.append(Reference(kind, name, label, 0, None, plain))
    return lines
