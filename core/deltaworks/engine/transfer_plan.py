"""A transfer before it runs: inputs opened and checked, memory and steps counted, no torch."""

from __future__ import annotations

from contextlib import ExitStack

from deltaworks.calibration.texts import Texts, read_texts
from deltaworks.engine import checks
from deltaworks.engine.inputs import open_input
from deltaworks.engine.plan_types import OutputPlan, Plan, WorkItem
from deltaworks.engine.transfer_checks import check_family, check_layers, places_of
from deltaworks.engine.transfer_types import TransferJob
from deltaworks.errors import AppError, OptionError
from deltaworks.methods import transfer_method
from deltaworks.options import read_options
from deltaworks.recipes.naming import display_name
from deltaworks.recipes.schema import TransferRecipe

FLOAT = 4
_TRAINED = 4
"""Copies of a trained number: itself, its gradient, two moments of the optimiser."""
_NEEDED = ("seed_data", "training", "held_out")


def open_transfer(recipe: TransferRecipe, open_files: ExitStack) -> TransferJob:
    """Open and check everything.

    Raises:
        AppError: it cannot be done; the first difference of the models is named.
    """
    faults: list[AppError] = list(checks.check_device(recipe.device))
    source = open_input(recipe.source.path, None, open_files, faults)
    target = open_input(recipe.target.path, None, open_files, faults)
    texts = _texts(recipe, faults)
    checks.raise_together(faults)
    assert source is not None
    assert target is not None
    method = transfer_method(recipe.setting.method)
    options = read_options(method.options, recipe.setting.options, where=f"method '{method.id}'")
    check_family(source, target)
    theirs, ours = check_layers(source, target)
    job = TransferJob(
        recipe,
        method,
        options,
        source,
        target,
        places_of(ours, options),
        {place: info.name for place, info in theirs.items()},
        (len({block for block, _ in theirs}), len({block for block, _ in ours})),
        texts,
    )
    faults += checks.check_target(job.output, [source, target])
    faults += checks.check_space(job.output, _output_bytes(job))
    checks.raise_together(faults)
    return job


def _texts(recipe: TransferRecipe, faults: list[AppError]) -> dict[str, Texts]:
    only = recipe.similarity == "only"
    missing = [name for name in _NEEDED if not only and not getattr(recipe, name)]
    if only and not (recipe.held_out or recipe.control_data):
        missing = ["held_out"]
    if missing:
        what = f"no texts for {', '.join(missing)}"
        faults.append(OptionError(what, where="transfer", fix="Give a .jsonl file for each."))
    found = {}
    for name in (*_NEEDED, "control_data"):
        try:
            if path := getattr(recipe, name):
                found[name] = read_texts(path)
        except AppError as error:
            faults.append(error)
    return found


def plan_transfer(recipe: TransferRecipe) -> Plan:
    """Say what a transfer will do and cost, from headers alone and without torch."""
    with ExitStack() as open_files:
        return plan_of(open_transfer(recipe, open_files))


def plan_of(job: TransferJob) -> Plan:
    """Give the plan."""
    names = [display_name(one.path, one.name) for one in (job.recipe.source, job.recipe.target)]
    if job.recipe.similarity == "only":
        items = [_both("similarity", job)]
        title = f"Compare {names[0]} with {names[1]}"
    else:
        items = _items(job)
        title = f"Transfer from {names[0]} into {names[1]}"
    size = _output_bytes(job)
    return Plan(
        title=title,
        items=tuple(items),
        outputs=(OutputPlan(str(job.output), 0, size),),
        original_bytes=job.target.nbytes,
        notes=tuple(checks.space_note(job.output, size)),
    )


def _items(job: TransferJob) -> list[WorkItem]:
    whole = FLOAT * job.target.n_parameters
    items = [
        WorkItem("sensitivity", "sensitivity", job.source.nbytes, 0, sensitivity_bytes(job)),
        WorkItem("extraction", "extraction", job.source.nbytes, 0, _kept_bytes(job) + whole),
    ]
    if job.recipe.similarity == "full":
        items.append(_both("similarity", job))
    peak = training_bytes(job)
    items += [WorkItem(arm, "training", job.target.nbytes, 0, peak) for arm in job.arms]
    return [*items, WorkItem("output", "output", job.target.nbytes, _output_bytes(job), peak)]


def _both(name: str, job: TransferJob) -> WorkItem:
    """Both models in memory, one after the other."""
    read = job.source.nbytes + job.target.nbytes
    return WorkItem(name, name, read, 0, FLOAT * max(_sizes(job)))


def sensitivity_bytes(job: TransferJob) -> int:
    """Bytes that streaming sensitivities hold beside activations.

    Weights in float32, the scores that are kept, and the gradient of the largest tensor; the
    authors hold weights, all gradients and all scores: 12 bytes a weight.
    """
    largest = max(job.source.info(name).n_elements for name in job.source.names)
    return FLOAT * (job.source.n_parameters + largest) + _kept_bytes(job)


def training_bytes(job: TransferJob) -> int:
    """Bytes that training an arm holds beside activations."""
    rank: int = job.options.rank
    factors = sum(min(rank, *one.info.shape) * sum(one.info.shape) for one in job.places)
    starts = FLOAT * factors * (len(job.arms) + 1)
    return FLOAT * (job.target.n_parameters + _TRAINED * factors) + starts


def _kept_bytes(job: TransferJob) -> int:
    kinds = {place.layer for place in job.places}
    names = [name for (_, layer), name in job.sources.items() if layer in kinds]
    return FLOAT * sum(job.source.info(name).n_elements for name in names)


def _output_bytes(job: TransferJob) -> int:
    if job.recipe.similarity == "only":
        return 100_000
    rank: int = 2 * job.options.rank
    adapter = FLOAT * sum(min(rank, *one.info.shape) * sum(one.info.shape) for one in job.places)
    return adapter * len(job.arms) + (job.target.nbytes if job.recipe.merged else 0) + 100_000


def _sizes(job: TransferJob) -> tuple[int, int]:
    return job.source.n_parameters, job.target.n_parameters
