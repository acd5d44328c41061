"""Evaluating one model: alone, or against the expert it stands for."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deltaworks.engine.checks import check_device, raise_together
from deltaworks.engine.environment import resident_bytes, versions
from deltaworks.engine.inputs import open_input
from deltaworks.engine.plan_types import Plan, WorkItem
from deltaworks.engine.reports import Report
from deltaworks.errors import AppError, FileError, OptionError
from deltaworks.progress import JobControl, Measured, Progress, Warned
from deltaworks.recipes import dump_recipe
from deltaworks.recipes.naming import display_name
from deltaworks.recipes.schema import EvaluateRecipe, ModelRef

if TYPE_CHECKING:
    from deltaworks.checkpoints.checkpoint import Checkpoint
    from deltaworks.evaluation import Evaluator, Measure


class _Models:
    """The models of an evaluation, open."""

    def __init__(self, recipe: EvaluateRecipe, open_files: ExitStack) -> None:
        faults: list[AppError] = list(check_device(recipe.device))
        if not recipe.evaluation and not (recipe.base and recipe.reference):
            faults.append(
                OptionError(
                    "nothing to measure on",
                    where=recipe.model.path,
                    fix="Give an evaluation set, or base and reference to compare weights.",
                )
            )
        if recipe.evaluation and not Path(recipe.evaluation).exists():
            faults.append(FileError("is not there", where=recipe.evaluation))

        def opened(ref: ModelRef | None, base: Checkpoint | None) -> Checkpoint | None:
            return open_input(ref.path, base, open_files, faults) if ref else None

        self.base = opened(recipe.base, None)
        self.reference = opened(recipe.reference, self.base)
        model = opened(recipe.model, self.base)
        if model is not None and model.kind in {"adapter", "delta"} and self.base is None:
            what = f"is {'an adapter' if model.kind == 'adapter' else 'a delta file'}"
            faults.append(OptionError(what, where=recipe.model.path, fix="Give its base too."))
        raise_together(faults)
        assert model is not None
        self.model = model


def plan_evaluate(recipe: EvaluateRecipe) -> Plan:
    """Say what will be read; how long measuring takes is not known before."""
    with ExitStack() as open_files:
        models = _Models(recipe, open_files)
        found = [one for one in (models.base, models.reference, models.model) if one is not None]
        items = tuple(
            WorkItem(str(one.path), "measuring", one.nbytes, 0, one.nbytes) for one in found
        )
        name = display_name(recipe.model.path, recipe.model.name)
        return Plan(f"Evaluate {name}", items, (), original_bytes=models.model.nbytes)


def run_evaluate(recipe: EvaluateRecipe, control: JobControl) -> Report:
    """Measure a model by weights, where base and reference are given, and on data.

    Raises:
        AppError: there is nothing to measure on, or the models do not fit.
    """
    started = time.perf_counter()
    warnings: list[str] = []
    with ExitStack() as open_files:
        models = _Models(recipe, open_files)
        control.step(Progress(0, 0, "measuring"))
        measures = _by_weights(models, control)
        results: dict[str, Any] = {"quality": None, "references": [], "own_task": None}
        if recipe.evaluation:
            evaluator = _evaluator(recipe, models, control)
            if evaluator.reason:
                warnings.append(f"not measured on data: {evaluator.reason}")
                control.report(Warned(warnings[-1]))
            found = _on_data(models, evaluator, control)
            measures |= found | _refusals(recipe, evaluator, control)
            quality = evaluator.quality(found)
            results["quality"] = asdict(quality) if quality else None
            results["references"] = evaluator.references()
            results["own_task"] = evaluator.own_task
    results["measures"] = {name: measure.as_json() for name, measure in measures.items()}
    control.report(Measured("evaluation", results))
    return Report(
        job="evaluate",
        recipe=dump_recipe(recipe),
        seconds={"total": round(time.perf_counter() - started, 4)},
        peak_bytes=resident_bytes(),
        warnings=tuple(warnings),
        versions=versions(),
        results={"evaluation": results},
    )


def _by_weights(models: _Models, control: JobControl) -> dict[str, Measure]:
    if models.base is None or models.reference is None:
        return {}
    from deltaworks.evaluation.weights import compare_weights, pooled, weight_measures

    energies = compare_weights(models.base, models.reference, models.model, control)
    return {measure.id: measure for measure in weight_measures(pooled(energies))}


def _evaluator(recipe: EvaluateRecipe, models: _Models, control: JobControl) -> Evaluator:
    from deltaworks.evaluation import Evaluator, load_suite

    return Evaluator(
        models.base or models.reference or models.model,
        models.reference,
        load_suite(recipe.evaluation),
        control=control,
        device="cpu" if recipe.device == "auto" else recipe.device,
    )


def _refusals(
    recipe: EvaluateRecipe, evaluator: Evaluator, control: JobControl
) -> dict[str, Measure]:
    """Ask the model that was measured last, where the set has prompts for it."""
    from deltaworks.evaluation import load_suite
    from deltaworks.evaluation.refusals import RefusalEvaluator, load_prompts

    prompts = load_prompts(None, safety=load_suite(recipe.evaluation).safety)
    if prompts is None or evaluator.running is None or evaluator.reason:
        return {}
    return RefusalEvaluator(prompts).measure(evaluator.running, control)


def _on_data(models: _Models, evaluator: Evaluator, control: JobControl) -> dict[str, Measure]:
    if models.base is None and models.reference is None:
        return evaluator.base_measures()
    return evaluator.measure(models.model, control)
