"""Training before a compression: scales that settings ask for, learnt on the job's text.

Every tensor is encoded once to know its change; multiples of the changes are trained, and
the final encoding takes them over. Codes stay as they are. What was learnt is kept on disk
under everything that decides it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from deltaworks.calibration import Grams, default_cache
from deltaworks.calibration.grams import model_facts
from deltaworks.calibration.store import Writer, key_of, read_index, read_tensor
from deltaworks.engine.calibrating import counting, sequences_for, threads
from deltaworks.engine.environment import n_workers
from deltaworks.engine.plan_types import WorkItem
from deltaworks.methods.compression_record import Fit, TensorPair
from deltaworks.methods.method import TensorSpec
from deltaworks.training.scales import Direction, train_scales

if TYPE_CHECKING:
    from torch import Tensor

    from deltaworks.engine.compress_plan import Choice, CompressJob, ExpertJob, TensorTask
    from deltaworks.engine.execution import Run
    from deltaworks.recipes.schema import CompressRecipe

Multiples = Mapping[str, "np.ndarray[Any, Any]"]
STAGE = "training scales"
_FILE = "multiples"


def fit_of(recipe: CompressRecipe, choice: Choice) -> Fit | None:
    """Give the training that a setting asks for, when there is a text."""
    if not recipe.calibration.text or choice.method.fit is None:
        return None
    return choice.method.fit(choice.options)


def fitting_items(number: int, expert: ExpertJob, job: CompressJob) -> list[WorkItem]:
    """Give the trainings of one expert as items of the plan."""
    found = []
    for choice in job.choices:
        if fit_of(job.recipe, choice) is not None:
            n_bytes = expert.checkpoint.nbytes
            floats = 4 * expert.checkpoint.n_parameters
            label = f"{STAGE} · {choice.label}" if choice.label else STAGE
            # Teacher, student, changes; and as much again for what the passes hold.
            found.append(WorkItem(f"{number}/{label}", label, n_bytes, 0, 4 * floats))
    return found


def fitted(
    job: CompressJob, expert: ExpertJob, choices: Sequence[Choice], grams: Grams | None, run: Run
) -> tuple[Multiples, ...]:
    """Train what settings ask for, or read what an earlier run has learnt; one a setting."""
    return tuple(_fitted(job, expert, choice, grams, run) for choice in choices)


def _fitted(
    job: CompressJob, expert: ExpertJob, choice: Choice, grams: Grams | None, run: Run
) -> Multiples:
    fit = fit_of(job.recipe, choice)
    if fit is None:
        return {}
    with run.stage("training"), threads(n_workers(job.recipe.threads)):
        sequences = sequences_for(expert.checkpoint, job.recipe.calibration)
        key = key_of(
            {
                "what": "multiples",
                "expert": model_facts(expert.checkpoint, run.control),
                "base": model_facts(job.base, run.control),
                "tokens": sequences.hash,
                "method": choice.method.id,
                "options": choice.values,
                "fit": asdict(fit),
                "seed": job.recipe.seed,
                "scope": job.recipe.scope,
            }
        )
        cache = default_cache()
        index = read_index(cache, key)
        tell = counting(run, expert.checkpoint.nbytes)
        if index is None:
            directions = _directions(job, expert, choice, fit, grams, run)
            found = train_scales(
                expert.checkpoint,
                directions,
                sequences.ids,
                tell(fit.steps),
                steps=fit.steps,
                learning_rate=fit.learning_rate,
            )
            index = {
                "names": list(found.multiples),
                "before": found.before,
                "after": found.after,
            }
            _keep(key, found.multiples, index)
        label = f"{choice.method.title} {choice.label}".strip()
        run.note(
            f"{expert.name}: {label}: training of scales took the mean squared difference of "
            f"logits from {index['before']:.4g} to {index['after']:.4g}."
        )
        return {name: read_tensor(cache / key, _FILE, name).numpy() for name in index["names"]}


def _keep(key: str, multiples: Mapping[str, Tensor], index: Mapping[str, Any]) -> None:
    writer = Writer(default_cache(), key)
    try:
        writer.write(_FILE, multiples)
        writer.finish(index)
    except BaseException:
        writer.drop()
        raise


def _directions(
    job: CompressJob,
    expert: ExpertJob,
    choice: Choice,
    fit: Fit,
    grams: Grams | None,
    run: Run,
) -> dict[str, Direction]:
    """Decode the change of every matrix that the setting treats."""
    found: dict[str, Direction] = {}
    for task in expert.tasks:
        run.control.check()
        if not task.is_treated or task.base is None or len(task.info.shape) != 2:
            continue
        name = task.info.name
        gram = (lambda one: lambda: grams.read(one))(name) if grams and name in grams else None
        pair = _pair(job, expert, task, gram)
        parts = choice.method.encode(pair, choice.options)
        assert choice.method.decode is not None
        change = choice.method.decode(parts, pair.spec, choice.options)
        base = job.base.read(name)
        found[name] = Direction(base, change, fit.per_row, task.is_transposed)
    return found


def _pair(
    job: CompressJob, expert: ExpertJob, task: TensorTask, gram: Callable[[], Tensor] | None
) -> TensorPair:
    name = task.info.name
    base, tuned = job.base.read(name), expert.checkpoint.read(name)
    if task.is_transposed:
        base, tuned = base.mT.contiguous(), tuned.mT.contiguous()
    return TensorPair(TensorSpec(name, task.codec_shape, job.recipe.seed), base, tuned, gram)
