"""Training from the transferred start, and from the controls' starts, on the same batches."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from deltaworks.engine.transfer_lessons import Lessons
from deltaworks.engine.transfer_types import TransferJob
from deltaworks.engine.transfer_work import Work
from deltaworks.inference.running import RunningModel
from deltaworks.inference.slots import match
from deltaworks.methods.transfer.record import Factors
from deltaworks.methods.transfer.starts import (
    Split,
    change_of,
    factors_of,
    gaussian,
    random_like,
    zeroed,
)
from deltaworks.progress import JobControl
from deltaworks.training.answers import mean_loss, measured_loss
from deltaworks.training.loop import Fit, batches, train
from deltaworks.training.low_rank import LEFT, RIGHT, adapted

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

    from deltaworks.training.loop import FitLog

TITLES = {
    "gaussian": "Gaussian (LoRA)",
    "pissa": "PiSSA",
    "pissa-left": "PiSSA, singular values in B",
    "random-same-norm": "Random, same norm",
}


class Arms:
    """Trains one arm after the other in one model.

    Args:
        job: what is transferred.
        running: the target in memory; its matrices are changed.
        lessons: what is trained on and measured.
        transferred: factors that the method starts from.
        work: where states and finished arms are kept.
    """

    def __init__(
        self,
        job: TransferJob,
        running: RunningModel,
        lessons: Lessons,
        transferred: Mapping[str, Factors],
        work: Work,
    ) -> None:
        self._job, self._running, self._lessons = job, running, lessons
        self._transferred, self._work = transferred, work
        self._modules = dict(modules_of(job, running))

    def untouched(self) -> dict[str, float]:
        """Measure the target as it is."""
        return self._measure()

    def unaligned(self) -> dict[str, float]:
        """Measure the target with the factors' product added and nothing trained."""
        with self._adapted(self._weight, self._transferred):
            found = self._measure()
        self._restore()
        return found

    def run(self, arm: str, control: JobControl) -> tuple[dict[str, Factors], dict[str, Any]]:
        """Train an arm, or take it over from an earlier run.

        Returns:
            The change of each weight as factors, and the arm's losses.
        """
        done = self._work.load(f"arm-{arm}")
        if done is not None:
            return done
        start = {place.info.name: self._start(arm, place.info.name) for place in self._job.places}
        scale = self._job.scale

        def frozen(name: str) -> Tensor:
            return zeroed(self._weight(name), start[name], scale)

        with self._adapted(frozen, start) as tensors:
            first = self._measure()
            log = self._train(arm, tensors, control)
        end = {
            name: Factors(
                tensors[f"{name}.{LEFT}"].detach().cpu(), tensors[f"{name}.{RIGHT}"].detach().cpu()
            )
            for name in start
        }
        change = {name: change_of(start[name], end[name], scale) for name in start}
        facts = _facts(arm, self._title(arm), first, log, change)
        self._work.save(f"arm-{arm}", change, facts)
        return change, facts

    def _train(self, arm: str, tensors: Mapping[str, Tensor], control: JobControl) -> FitLog:
        recipe, lessons = self._job.recipe, self._lessons["training"]
        batch = batches(len(lessons), recipe.batch, recipe.seed)

        def loss(step: int, part: int) -> Tensor:
            places = batch(step * recipe.accumulate + part)
            chosen = [lessons[place] for place in places]
            return mean_loss(self._running.model, chosen, self._running.device)

        fit = Fit(
            steps=recipe.steps,
            rate=recipe.rate,
            warmup=recipe.warmup,
            decay=recipe.decay,
            accumulate=recipe.accumulate,
            save_every=recipe.save_every,
            measure_every=recipe.measure_every,
        )
        return train(
            tensors,
            loss,
            fit,
            control,
            measure=lambda _: self._measure(),
            folder=self._work.training(arm),
            name=self._title(arm),
        )

    def _start(self, arm: str, name: str) -> Factors:
        rank, seed = self._job.options.rank, self._job.recipe.seed
        if arm == "gaussian":
            rows, cols = self._job.target.info(name).shape
            return gaussian((rows, cols), rank, seed, name)
        if arm == "random-same-norm":
            return random_like(self._transferred[name], seed, name)
        if arm in {"pissa", "pissa-left"}:
            split: Split = "root" if arm == "pissa" else "left"
            return factors_of(self._weight(name), rank, name, split=split)
        return self._transferred[name]

    def _title(self, arm: str) -> str:
        return TITLES.get(arm, self._job.method.title)

    def _weight(self, name: str) -> Tensor:
        return self._job.target.read(name).float()

    def _adapted(self, frozen: Callable[[str], Tensor], start: Mapping[str, Factors]) -> Any:
        return adapted(self._modules, frozen, start, self._job.scale, self._running.device)

    def _restore(self) -> None:
        import torch

        with torch.no_grad():
            for name, module in self._modules.items():
                weight: Any = module.weight
                weight.copy_(self._weight(name))

    def _measure(self) -> dict[str, float]:
        model, device = self._running.model, self._running.device
        sets = [name for name in ("held_out", "control_data") if name in self._lessons]
        return {name: measured_loss(model, self._lessons[name], device) for name in sets}


def modules_of(job: TransferJob, running: RunningModel) -> list[tuple[str, Module]]:
    """Find the linear layers of the places."""
    wanted = {place.info.name for place in job.places}
    return [
        (filling.source, running.model.get_submodule(filling.slot.names[0].rpartition(".")[0]))
        for filling in match(running.model, job.target)
        if filling.source in wanted
    ]


def _facts(
    arm: str, title: str, first: dict[str, float], log: FitLog, change: Mapping[str, Factors]
) -> dict[str, Any]:
    norms = [float(one.product().double().square().sum()) for one in change.values()]
    return {
        "arm": arm,
        "title": title,
        "losses": [value if math.isfinite(value) else None for value in log.losses],
        "measures": [[0, first], *([step, found] for step, found in log.measures)],
        "skipped": log.skipped,
        "change_norm": math.fsum(norms) ** 0.5,
    }
