"""A repair, planned: which tensor comes from where, from headers alone and without torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from deltaworks.checkpoints import roles_of
from deltaworks.checkpoints.adapter import AdapterCheckpoint
from deltaworks.checkpoints.checkpoint import Checkpoint
from deltaworks.checkpoints.roles import TensorRole
from deltaworks.checkpoints.tensors import FLOATING, TensorInfo
from deltaworks.engine import checks, repair_checks
from deltaworks.engine.inputs import open_input
from deltaworks.engine.plan_types import OutputPlan, Plan, WorkItem
from deltaworks.engine.repair_types import RepairJob, RepairTask
from deltaworks.errors import AppError, FileError, OptionError
from deltaworks.formatting import size
from deltaworks.methods import safety_method
from deltaworks.methods.method import Statistic
from deltaworks.methods.safety_record import OptionalModel, SafetyMethod, Texts
from deltaworks.options import Options, read_options
from deltaworks.recipes.schema import RepairRecipe

_SIDE_BYTES = 200_000
"""Room for headers, index, recipe and report."""
_OPTIONAL: tuple[OptionalModel, ...] = ("unaligned", "pretrained", "sibling")
WORDS: Mapping[str, str] = {
    "unaligned": "an unaligned model",
    "pretrained": "the pretrained base",
    "sibling": "a sibling that was tuned to be safe",
    "safety": "prompts to refuse",
    "task": "texts of the task",
    "harmful": "harmful texts",
}
"""What unlocks a method, for people."""


def unlocked_by(method: SafetyMethod, given: Sequence[str], options: Any = None) -> list[str]:
    """Say what a method still lacks, as words for people; empty when it can run.

    Args:
        method: which.
        given: names of the inputs that are there: ``unaligned``, ``safety``…
        options: its options; the defaults when None.
    """
    chosen = method.options() if options is None else options
    missing = [
        " or ".join(WORDS[name] for name in group)
        for group in method.inputs
        if not set(group) & set(given)
    ]
    texts = texts_for(method, chosen)
    return missing + [WORDS[name] for name in dict.fromkeys(texts) if name not in given]


def texts_for(method: SafetyMethod, options: Any) -> list[Texts]:
    """Which texts these options read."""
    wanted: list[Texts] = []
    for statistic in method.statistics(options):
        wanted.append("safety" if statistic == "fisher" or method.gram_of is None
                      else method.gram_of[1])  # fmt: skip
    return wanted


def open_repair(recipe: RepairRecipe, open_files: ExitStack, *, resume: bool = False) -> RepairJob:
    """Open and check everything; several faults are shown together.

    Raises:
        AppError: the repair cannot run.
    """
    faults: list[AppError] = list(checks.check_device(recipe.device))
    aligned = open_input(recipe.aligned.path, None, open_files, faults)
    tuned = open_input(recipe.tuned.path, aligned, open_files, faults)
    method, options = _method(recipe, faults)
    others: dict[OptionalModel, Checkpoint] = {}
    for name in _OPTIONAL:
        reference = getattr(recipe, name)
        is_used = method is None or any(name in group for group in method.inputs)
        model = open_input(reference.path, aligned, open_files, faults) if reference else None
        if model is not None and is_used:
            others[name] = model
    checks.raise_together(faults)
    assert aligned is not None
    assert tuned is not None
    assert method is not None
    assert options is not None
    faults += _lacks(recipe, method, options)
    faults += _texts(recipe, method, options)
    checks.raise_together(faults)
    job = _job(recipe, aligned, tuned, others, method, options, faults)
    faults += checks.check_target(job.target, job.models)
    if not resume:
        faults += checks.check_space(job.target, plan_of(job).write_bytes)
    checks.raise_together(faults)
    return job


def _method(
    recipe: RepairRecipe, faults: list[AppError]
) -> tuple[SafetyMethod | None, Options | None]:
    method, options = None, None
    try:
        method = safety_method(recipe.setting.method)
        where = f"method '{method.id}'"
        options = read_options(method.options, recipe.setting.options, where=where)
    except OptionError as error:
        faults.append(error)
    if recipe.out_dtype and recipe.out_dtype not in FLOATING:
        known = ", ".join(sorted(FLOATING))
        what = f"out_dtype is '{recipe.out_dtype}' (known: {known})"
        faults.append(OptionError(what, fix="Choose one of them, or leave it empty."))
    return method, options


def _lacks(recipe: RepairRecipe, method: SafetyMethod, options: Options) -> Iterator[AppError]:
    given = [name for name in (*_OPTIONAL, "safety", "task", "harmful") if getattr(recipe, name)]
    missing = unlocked_by(method, given, options)
    if missing:
        what = f"needs {' and '.join(missing)}"
        yield OptionError(what, where=f"method '{method.id}'", fix="Give it, or choose another")


def _texts(recipe: RepairRecipe, method: SafetyMethod, options: Options) -> Iterator[AppError]:
    for name in dict.fromkeys(texts_for(method, options)):
        path = getattr(recipe, name)
        if path and not Path(path).is_file():
            yield FileError("no such file", where=path, fix="Choose another")


def _job(
    recipe: RepairRecipe,
    aligned: Checkpoint,
    tuned: Checkpoint,
    others: Mapping[OptionalModel, Checkpoint],
    method: SafetyMethod,
    options: Options,
    faults: list[AppError],
) -> RepairJob:
    infos = {info.name: info for model in (aligned, tuned) for info in map(model.info, model.names)}
    roles = roles_of(infos.values(), aligned.config)
    linear = [name for name, role in roles.items() if role.role == "linear"]
    for model in (aligned, tuned, *others.values()):
        faults += repair_checks.quantised(model, linear)
    faults += checks.check_not_same(aligned, tuned)
    faults += checks.check_architecture(aligned, tuned)
    if not faults:
        faults += repair_checks.same_tensors(aligned, tuned, roles)
    checks.raise_together(faults)
    sorter = _Sorter(recipe, aligned, tuned, method, options, roles)
    tasks = {name: sorter.task(infos[name]) for name in infos}
    repaired = [name for name, task in tasks.items() if task.origin == "repaired"]
    if not isinstance(tuned, AdapterCheckpoint):
        faults += repair_checks.other_parent(aligned, tuned, [n for n in linear if n in repaired])
    for model in others.values():
        faults += repair_checks.same_shapes(model, aligned, repaired)
    checks.raise_together(faults)
    statistics = method.statistics(options)
    notes = (*sorter.notes(), *_notes(recipe, method, others, aligned, repaired, statistics))
    return RepairJob(
        recipe, aligned, tuned, others, method, options, statistics, tasks, notes,
        keeps_adapter=_keeps_adapter(recipe, tuned, method, faults),
    )  # fmt: skip


def _keeps_adapter(
    recipe: RepairRecipe, tuned: Checkpoint, method: SafetyMethod, faults: list[AppError]
) -> bool:
    is_adapter = isinstance(tuned, AdapterCheckpoint)
    if recipe.save == "adapter" and not is_adapter:
        what = "only the repair of an adapter can be saved as one"
        faults.append(OptionError(what, where=str(tuned.path), fix="Save it dense"))
    checks.raise_together(faults)
    if recipe.save == "auto":
        return is_adapter and method.repair_pair is not None
    return recipe.save == "adapter"


class _Sorter:
    """Decides for every tensor where it comes from."""

    def __init__(
        self,
        recipe: RepairRecipe,
        aligned: Checkpoint,
        tuned: Checkpoint,
        method: SafetyMethod,
        options: Options,
        roles: Mapping[str, TensorRole],
    ) -> None:
        self._recipe, self._method, self._options = recipe, method, options
        self._aligned, self._tuned, self._roles = aligned, tuned, roles
        self._is_adapter = isinstance(tuned, AdapterCheckpoint)
        wanted = {"method": method.others, "aligned": "aligned", "finetuned": "tuned"}
        self._others = wanted[recipe.other_tensors]
        self._counts = {"aligned": 0, "tuned": 0}
        self._grown: list[str] = []
        self._stacks: list[str] = []

    def task(self, info: TensorInfo) -> RepairTask:
        """Say where one tensor comes from."""
        name, role = info.name, self._roles[info.name]
        both = name in self._aligned and name in self._tuned
        shape = self._tuned.info(name).shape if name in self._tuned else info.shape
        n_common = min(shape[0], self._aligned.info(name).shape[0]) if both and shape else 0
        if both and n_common < shape[0]:
            self._grown.append(name)
        is_in = name in self._tuned
        dtype = self._tuned.info(name).dtype if is_in else info.dtype
        is_repaired = both and info.is_floating and self._is_treated(info, role)
        out_dtype = self._recipe.out_dtype
        out = TensorInfo(name, shape, out_dtype if out_dtype and dtype in FLOATING else dtype)
        if is_repaired:
            return RepairTask(out, "repaired", role.layer, role.is_transposed, n_common)
        origin = ("tuned" if self._others == "tuned" else "aligned") if both else (
            "tuned" if is_in else "aligned")  # fmt: skip
        self._counts[origin] += 1
        return RepairTask(out, origin, role.layer, False, n_common)  # type: ignore[arg-type]

    def _is_treated(self, info: TensorInfo, role: TensorRole) -> bool:
        if self._method.treats_all:
            return role.role != "buffer"
        if role.role != "linear" or len(info.shape) < 2:
            return False
        if self._is_adapter and not _changes(self._tuned, info.name):
            return False
        return self._method.treats(role.layer, self._is_adapter, self._options)

    def notes(self) -> Iterator[str]:
        """Say what is not repaired, and where it comes from."""
        names = {"aligned": "the aligned model", "tuned": "the fine-tune"}
        for origin, count in self._counts.items():
            if count:
                verb = "tensor comes" if count == 1 else "tensors come"
                yield f"{count} {verb} from {names[origin]}: the method does not treat them."
        if self._grown:
            first = self._grown[0]
            extra = self._tuned.info(first).shape[0] - self._aligned.info(first).shape[0]
            yield (
                f"The fine-tune has {extra} more words; their rows in {', '.join(self._grown)} "
                "are its own."
            )


def _changes(tuned: Checkpoint, name: str) -> bool:
    """Whether an adapter adds a product to a tensor."""
    change = tuned.change_of(name) if isinstance(tuned, AdapterCheckpoint) else None
    return change is not None and bool(change.a) and not change.is_embedding


def _notes(
    recipe: RepairRecipe,
    method: SafetyMethod,
    others: Mapping[OptionalModel, Checkpoint],
    aligned: Checkpoint,
    repaired: Sequence[str],
    statistics: Sequence[Statistic],
) -> Iterator[str]:
    for group in method.inputs:
        if group[0] not in others and len(group) > 1:
            yield f"{WORDS[group[1]].capitalize()} stands in for {WORDS[group[0]]}."
    for kind, text in (("gram", "inputs of layers"), ("fisher", "importance of weights")):
        if kind in statistics:
            n_bytes = disk_bytes(method, aligned, repaired, kind)
            place = f"kept in {recipe.cache}" if recipe.cache else "on disk while it runs"
            yield f"Statistics of {text} take up to {size(n_bytes)}, {place}."


def disk_bytes(method: SafetyMethod, aligned: Checkpoint, names: Sequence[str], kind: str) -> int:
    """Bytes of statistics on disk: halves of Gram matrices and of their factors, or importance."""
    from deltaworks.calibration.costs import gram_cost

    if kind == "fisher":
        return sum(4 * aligned.info(name).n_elements for name in names)
    halves = gram_cost(aligned, 0, list(names)).disk_bytes
    return 2 * halves if method.square_bytes else halves


def plan_of(job: RepairJob) -> Plan:
    """Give the plan: passes of texts through models, then one item a tensor."""
    items = (*_passes(job), *(_item(job, task) for task in job.tasks.values()))
    n_bytes = sum(task.info.nbytes for task in job.tasks.values())
    if job.keeps_adapter:
        n_bytes = sum(path.stat().st_size for path in job.tuned.weight_files)
        if job.method.repair_pair is None:
            n_bytes = max(n_bytes, sum(_rank_bytes(job, name) for name in job.repaired))
    extra = _SIDE_BYTES + 800 * len(job.tasks)
    extra += sum(path.stat().st_size for path in job.tuned.side_files.values())
    statistics = sum(
        disk_bytes(job.method, job.aligned, job.repaired, kind) for kind in job.statistics
    )
    return Plan(
        title=f"Repair with {job.method.title}",
        items=items,
        outputs=(OutputPlan(str(job.target), n_bytes, n_bytes + extra),),
        original_bytes=job.tuned.nbytes,
        notes=(*job.notes, *checks.space_note(job.target, n_bytes + extra + statistics)),
    )


def _passes(job: RepairJob) -> Iterator[WorkItem]:
    """What collecting statistics reads and holds."""
    from deltaworks.calibration.costs import gram_cost
    from deltaworks.calibration.fisher import GROUP_BYTES

    recipe = job.recipe
    if "fisher" in job.statistics:
        sums = 8 * sum(job.aligned.info(name).n_elements for name in job.repaired)
        held = 4 * job.aligned.n_parameters + min(GROUP_BYTES, sums)
        yield WorkItem("importance", "statistics", job.aligned.nbytes, 0, held)
    if "gram" in job.statistics:
        assert job.method.gram_of is not None
        model = job.aligned if job.method.gram_of[0] == "aligned" else job.tuned
        cost = gram_cost(model, recipe.samples * recipe.tokens, list(job.repaired))
        yield WorkItem("inputs of layers", "statistics", model.nbytes, 0, cost.memory_bytes)


def _rank_bytes(job: RepairJob, name: str) -> int:
    rows, columns = job.tasks[name].info.shape[-2:]
    return 4 * job.recipe.rank * (rows + columns)


def _item(job: RepairJob, task: RepairTask) -> WorkItem:
    name = task.info.name
    models = [model for model in job.models if name in model]
    if task.origin != "repaired":
        models = models[:2] if task.has_grown else models[:1]
    read = sum(model.info(name).nbytes for model in models)
    count, write = task.info.n_elements, task.info.nbytes
    work = 0
    if task.origin == "repaired":
        work = job.method.working_bytes * count + _squares(job, task)
    elif task.info.dtype != models[0].info(name).dtype:
        work = 12 * count
    return WorkItem(
        id=name,
        stage="tensors",
        read_bytes=read,
        write_bytes=write,
        peak_bytes=read + work + write,
        tensor=name,
    )


def _squares(job: RepairJob, task: RepairTask) -> int:
    """Bytes of what is as large as a Gram matrix."""
    if "gram" not in job.statistics and not job.method.first_look:
        return 0
    is_diagonal = job.method.is_diagonal is not None and job.method.is_diagonal(job.options)
    shape = task.info.shape
    if is_diagonal or len(shape) < 2:
        return 0
    width = shape[-2] if task.is_transposed else shape[-1]
    return job.method.square_bytes * width * width
