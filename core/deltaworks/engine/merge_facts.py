"""What merging methods know beside one tensor: surveys, texts' statistics, sparser experts.

Surveys are passes over all tensors in the plan's order before the merge; what they find
goes into the inputs of every tensor, as do the Gram matrices and importances of experts.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from deltaworks.engine.budget import ByteBudget
from deltaworks.engine.environment import n_workers
from deltaworks.engine.pipeline import Steps, Tally, run_pipeline
from deltaworks.engine.plan_types import WorkItem
from deltaworks.engine.prefetching import prefetch
from deltaworks.methods import compression_method
from deltaworks.methods.compression_record import CompressionMethod
from deltaworks.methods.merging.pre_sparsify import sparsified
from deltaworks.methods.merging_record import MergeExpert, MergeInputs, MergeSurvey
from deltaworks.methods.method import TensorSpec
from deltaworks.numerics.words import words_tensor
from deltaworks.options import Options, read_options
from deltaworks.progress import JobControl

if TYPE_CHECKING:
    import numpy as np

    from deltaworks.calibration import Fisher, Grams
    from deltaworks.engine.merge_plan import MergeJob
    from deltaworks.engine.merge_types import MergeTask
    from deltaworks.recipes.schema import Setting

    Words = np.ndarray[Any, Any]


@dataclass
class Statistics:
    """What texts told of every expert, by its place.

    Args:
        grams: second moments of its layers' inputs.
        fishers: squared gradients of its weights.
    """

    grams: Mapping[int, Grams] = field(default_factory=dict)
    fishers: Mapping[int, Fisher] = field(default_factory=dict)

    def known(self, expert: MergeExpert, place: int, name: str) -> MergeExpert:
        """Give an expert's tensor what is known of it."""
        grams, fishers = self.grams.get(place), self.fishers.get(place)
        gram = None if grams is None or name not in grams else lambda: grams.read(name)
        fisher = None if fishers is None or name not in fishers else lambda: fishers.read(name)
        return replace(expert, place=place, gram=gram, fisher=fisher)


@dataclass
class Facts:
    """What goes into the inputs of every tensor.

    Args:
        statistics: of the experts.
        sparsifier: of the experts' changes, with its options; or None.
        pooled: of the method's surveys, once they have run.
    """

    statistics: Statistics = field(default_factory=Statistics)
    sparsifier: tuple[CompressionMethod, Options] | None = None
    pooled: Any = None

    @property
    def needs_whole_tensors(self) -> bool:
        """Whether tensors may not be cut into pieces before ``complete``."""
        return self.sparsifier is not None

    def complete(self, job: MergeJob, task: MergeTask, inputs: MergeInputs) -> MergeInputs:
        """Give the inputs of a tensor all that is known."""
        experts = tuple(
            self.statistics.known(expert, source.model, source.name)
            for expert, source in zip(inputs.experts, task.sources, strict=True)
        )
        inputs = replace(inputs, experts=experts, config=job.leader.config)
        if task.method is not job.method:
            return inputs
        if self.sparsifier is not None:
            inputs = sparsified(inputs, *self.sparsifier)
        return replace(inputs, pooled=self.pooled)


def sparsifier_of(setting: Setting | None) -> tuple[CompressionMethod, Options] | None:
    """Look the method of a pre-sparsifier up.

    Raises:
        OptionError: unknown method or option.
    """
    if setting is None:
        return None
    method = compression_method(setting.method)
    where = f"sparsifier '{method.id}'"
    return method, read_options(method.options, setting.options, where=where)


def find_facts(job: MergeJob, control: JobControl, open_files: ExitStack) -> Facts:
    """Run the passes that a merge needs before its first tensor.

    Args:
        job: what is merged.
        control: Stop and pause.
        open_files: closes the statistics.
    """
    facts = Facts(sparsifier=sparsifier_of(job.recipe.pre))
    if job.method.needs.statistics:
        from deltaworks.engine.merge_statistics import collect

        facts.statistics = collect(job, control, open_files)
    for survey in job.method.surveys:
        facts.pooled = _survey(job, facts, survey, control)
    return facts


def _survey(job: MergeJob, facts: Facts, survey: MergeSurvey, control: JobControl) -> Any:
    """Run one survey over every tensor that the method merges."""
    tasks = {name: task for name, task in job.tasks.items() if task.method is job.method}
    items = [_item(job, task) for task in tasks.values()]
    total: list[Any] = []

    def gather(item: WorkItem, inputs: MergeInputs) -> Any:
        task = tasks[item.tensor]
        return survey.gather(facts.complete(job, task, inputs), task.options)

    def add(item: WorkItem, found: Any) -> None:
        total[:] = [survey.add(total[0], found)] if total else [found]
        job.release(tasks[item.tensor])

    run_pipeline(
        items,
        Steps(lambda item: whole_inputs(job, tasks[item.tensor]), gather, add),
        budget=ByteBudget(job.recipe.memory_bytes),
        threads=n_workers(job.recipe.threads),
        tally=Tally(control.silent(), sum(item.read_bytes for item in items)),
    )
    return (
        survey.finish(total[0], job.tasks[items[0].tensor].options, facts.pooled) if total else None
    )


def whole_inputs(job: MergeJob, task: MergeTask) -> MergeInputs:
    """Read a whole tensor of all its sources."""
    words = None if task.base is None else prefetch(job.words(task.base))
    experts = [prefetch(job.words(source)) for source in task.sources]
    spec = TensorSpec(task.info.name, tuple(experts[0].shape), job.recipe.seed)
    return MergeInputs(
        spec,
        None if words is None or task.base is None else words_tensor(words, job.dtype(task.base)),
        tuple(
            MergeExpert(words_tensor(one, job.dtype(source)), source.options)
            for one, source in zip(experts, task.sources, strict=True)
        ),
    )


def _item(job: MergeJob, task: MergeTask) -> WorkItem:
    read = sum(job.models.opened[one.model].info(one.name).nbytes for one in task.read)
    work = job.method.working_bytes * task.info.n_elements
    return WorkItem(task.info.name, "survey", read, 0, read + work, tensor=task.info.name)
