"""Channel merging as a job: many experts in, one package out."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from deltaworks.checkpoints import roles_of, tensor_hash
from deltaworks.checkpoints.channel_manifest import (
    BETWEEN,
    GROUPS,
    INDEX,
    MANIFEST,
    OWN,
    ChannelManifest,
    GroupedTensor,
    OwnTensor,
    account_of,
)
from deltaworks.checkpoints.checkpoint import Checkpoint
from deltaworks.checkpoints.tensors import TensorInfo
from deltaworks.checkpoints.writer import ModelWriter
from deltaworks.engine import checks
from deltaworks.engine.budget import ByteBudget
from deltaworks.engine.environment import n_workers
from deltaworks.engine.execution import Run
from deltaworks.engine.inputs import open_input
from deltaworks.engine.pipeline import Steps, run_pipeline
from deltaworks.engine.plan_types import OutputPlan, Plan, WorkItem
from deltaworks.engine.reports import Artefact, Report
from deltaworks.errors import AppError, NotFiniteError, OptionError
from deltaworks.methods.merging.channel_merging import ChannelOptions, group_and_merge
from deltaworks.methods.method import TensorSpec
from deltaworks.numerics.channel_groups import label_bits, pack_labels
from deltaworks.numerics.words import tensor_words, torch_dtype, words_tensor
from deltaworks.options import read_options
from deltaworks.product import VERSION
from deltaworks.progress import JobControl
from deltaworks.recipes import dump_recipe
from deltaworks.recipes.naming import display_name, distinct
from deltaworks.recipes.schema import ChannelMergeRecipe

if TYPE_CHECKING:
    Words = np.ndarray[Any, Any]

_SIDE_BYTES = 64_000
_WORK_BYTES = 24
"""Bytes a weight and expert while groups are found: changes, thinned ones, their sums."""


@dataclass(frozen=True)
class ChannelJob:
    """Everything that is known before the first channel is grouped.

    Args:
        recipe: what to do.
        base: of all experts.
        experts: in the recipe's order.
        names: of the experts, for people and for looking them up.
        options: of the method.
        manifest: of the package that will be.
        sources: stored name to expert and tensor, for what is kept as it is.
    """

    recipe: ChannelMergeRecipe
    base: Checkpoint
    experts: tuple[Checkpoint, ...]
    names: tuple[str, ...]
    options: ChannelOptions
    manifest: ChannelManifest
    sources: Mapping[str, tuple[int, str]]

    def infos(self) -> list[TensorInfo]:
        """List what is stored, in order."""
        found = []
        for name, tensor in self.manifest.grouped.items():
            shape = (tensor.groups, tensor.rows, tensor.shape[-1])
            found.append(TensorInfo(name + GROUPS, shape, tensor.dtype))
            bits = label_bits(tensor.groups)
            if bits:
                n_bytes = -(-tensor.rows * len(self.experts) * bits // 8)
                found.append(TensorInfo(name + INDEX, (n_bytes,), "U8"))
        for stored, (expert, name) in self.sources.items():
            info = self.experts[expert].info(name)
            found.append(TensorInfo(stored, info.shape, info.dtype))
        return found

    def plan(self) -> Plan:
        """Give the plan."""
        infos = {info.name: info for info in self.infos()}
        n_bytes = sum(info.nbytes for info in infos.values())
        items = []
        for name in self.manifest.grouped:
            read = self.base.info(name).nbytes + sum(one.info(name).nbytes for one in self.experts)
            write = infos[name + GROUPS].nbytes
            work = _WORK_BYTES * self.base.info(name).n_elements * len(self.experts)
            items.append(WorkItem(name, "grouping", read, write, read + write + work, tensor=name))
        for stored in self.sources:
            size = infos[stored].nbytes
            items.append(WorkItem(stored, "copying", size, size, 2 * size, tensor=stored))
        target = Path(self.recipe.output)
        extra = _SIDE_BYTES + sum(path.stat().st_size for path in self.base.side_files.values())
        return Plan(
            title=f"Merge the channels of {len(self.experts)} experts",
            items=tuple(items),
            outputs=(OutputPlan(str(target), n_bytes, n_bytes + extra),),
            original_bytes=sum(self.manifest.expert_bytes),
            notes=tuple(checks.space_note(target, n_bytes + extra)),
        )


def open_channel_merge(recipe: ChannelMergeRecipe, open_files: ExitStack) -> ChannelJob:
    """Open and check everything; several faults are shown together.

    Raises:
        AppError: it cannot run.
    """
    faults: list[AppError] = list(checks.check_device(recipe.device))
    base = open_input(recipe.base.path, None, open_files, faults)
    opened = [open_input(one.path, base, open_files, faults) for one in recipe.experts]
    options = ChannelOptions()
    try:
        options = read_options(ChannelOptions, recipe.options, where="channel merging")
    except OptionError as error:
        faults.append(error)
    checks.raise_together(faults)
    assert base is not None
    experts = tuple(one for one in opened if one is not None)
    faults += _misfits(base, experts)
    faults += checks.check_target(Path(recipe.output), [base, *experts])
    checks.raise_together(faults)
    names = tuple(
        name.replace("+", "-").replace("=", "-").replace(BETWEEN, "-")
        for name in distinct([display_name(one.path, one.name) for one in recipe.experts])
    )
    manifest, sources = _manifest(recipe, base, experts, names, options)
    return ChannelJob(recipe, base, experts, names, options, manifest, sources)


def _misfits(base: Checkpoint, experts: tuple[Checkpoint, ...]) -> Iterator[AppError]:
    for expert in experts:
        yield from checks.check_architecture(base, expert)
        yield from checks.check_not_same(base, expert)
        yield from checks.check_shapes(base, expert, [])


def _manifest(
    recipe: ChannelMergeRecipe,
    base: Checkpoint,
    experts: tuple[Checkpoint, ...],
    names: tuple[str, ...],
    options: ChannelOptions,
) -> tuple[ChannelManifest, dict[str, tuple[int, str]]]:
    order = dict.fromkeys(name for expert in experts for name in expert.names)
    infos = [next(e.info(name) for e in experts if name in e) for name in order]
    roles = roles_of(infos, base.config)
    grouped: dict[str, GroupedTensor] = {}
    own: dict[str, OwnTensor] = {}
    sources: dict[str, tuple[int, str]] = {}
    for info in infos:
        if roles[info.name].role == "linear" and _is_common(info, base, experts):
            count = min(options.groups, len(experts))
            grouped[info.name] = GroupedTensor(shape=info.shape, dtype=info.dtype, groups=count)
        else:
            own[info.name] = _own(info.name, experts, sources)
    manifest = ChannelManifest(
        base=display_name(recipe.base.path, recipe.base.name),
        base_header=base.identity.header,
        experts=names,
        options=options.model_dump(mode="json"),
        store=recipe.store,
        grouped=grouped,
        own=own,
        order=tuple(order),
        expert_bytes=tuple(expert.nbytes for expert in experts),
        app_version=VERSION,
    )
    return manifest, sources


def _is_common(info: TensorInfo, base: Checkpoint, experts: tuple[Checkpoint, ...]) -> bool:
    """Whether base and all experts have a floating tensor of this shape and dtype."""
    models = [base, *experts]
    return info.is_floating and all(
        info.name in model and model.info(info.name) == info for model in models
    )


def _own(
    name: str, experts: tuple[Checkpoint, ...], sources: dict[str, tuple[int, str]]
) -> OwnTensor:
    """Name what each expert keeps for itself; equal tensors are stored once."""
    stored: list[str] = []
    shapes: list[tuple[int, ...]] = []
    dtypes: list[str] = []
    for place, expert in enumerate(experts):
        if name not in expert:
            stored.append("")
            shapes.append(())
            dtypes.append("")
            continue
        info = expert.info(name)
        hashed = tensor_hash(expert.read_words(name))
        expert.release(name)
        key = f"{name}{OWN}-{hashed[:16]}-{info.dtype}"
        sources.setdefault(key, (place, name))
        stored.append(key)
        shapes.append(info.shape)
        dtypes.append(info.dtype)
    return OwnTensor(stored=tuple(stored), shapes=tuple(shapes), dtypes=tuple(dtypes))


def run_channel_merge(recipe: ChannelMergeRecipe, control: JobControl) -> Report:
    """Group, merge and write the package.

    Raises:
        AppError: something was wrong with recipe, inputs or disk; nothing is left behind.
    """
    with ExitStack() as open_files:
        job = open_channel_merge(recipe, open_files)
        plan = job.plan()
        target = Path(recipe.output)
        with Run("channel-merge", plan, control) as run:
            for note in plan.notes:
                run.warn(note)
            manifest = job.manifest.model_dump_json(indent=1).encode()
            side = {
                name: path
                for name, path in job.base.side_files.items()
                if name != "README.md" and not name.endswith(".index.json")
            }
            writer = ModelWriter(target, job.infos(), side_files={**side, MANIFEST: manifest})
            energy = _write(job, plan, writer, run)
            run.finish()
            report = run.report(dump_recipe(recipe), [_artefact(job, target)])
            report.results["channels"] = _facts(job, energy)
            return report


def _write(job: ChannelJob, plan: Plan, writer: ModelWriter, run: Run) -> list[float]:
    """Write everything; give the squared error of the groups and the energy of the changes."""
    energy = [0.0, 0.0]

    def write(item: WorkItem, found: Any) -> None:
        words, index, error, total = found
        if item.tensor in job.sources:
            writer.write(item.tensor, words)
            return
        writer.write(item.tensor + GROUPS, words)
        if index is not None:
            writer.write(item.tensor + INDEX, index)
        energy[0] += error
        energy[1] += total
        for model in (job.base, *job.experts):
            model.release(item.tensor)

    try:
        with run.stage("tensors"):
            run_pipeline(
                plan.items,
                Steps(lambda item: item, lambda item, _: _compute(job, item), write),
                budget=ByteBudget(job.recipe.memory_bytes),
                threads=n_workers(job.recipe.threads),
                tally=run.tally,
            )
        with run.stage("finish"):
            writer.commit(run.control.silent())
    except BaseException:
        writer.abort()
        raise
    return energy


def _compute(job: ChannelJob, item: WorkItem) -> tuple[Words, Words | None, float, float]:
    if item.tensor in job.sources:
        expert, name = job.sources[item.tensor]
        return job.experts[expert].read_words(name), None, 0.0, 0.0
    tensor = job.manifest.grouped[item.tensor]
    rows, cols = tensor.rows, tensor.shape[-1]
    base = job.base.read(item.tensor).float().numpy().reshape(rows, cols)
    stored = [one.read_words(item.tensor).reshape(rows, cols) for one in job.experts]
    deltas = np.stack([words_tensor(one, tensor.dtype).float().numpy() - base for one in stored])
    if not np.isfinite(deltas.sum()) and not np.isfinite(deltas).all():
        raise NotFiniteError(
            "an input holds NaN or infinity", where=item.tensor, fix="Check the models."
        )
    spec = TensorSpec(item.tensor, tensor.shape, job.recipe.seed)
    merged, labels = group_and_merge(deltas, job.options, spec)
    rebuilt = merged[labels.T, np.arange(rows)]
    error = float(np.square(rebuilt - deltas, dtype=np.float64).sum())
    total = float(np.square(deltas, dtype=np.float64).sum())
    bits = label_bits(tensor.groups)
    index = pack_labels(labels, bits) if bits else None
    return _rounded(job, tensor, merged, labels, base, stored), index, error, total


def _rounded(
    job: ChannelJob,
    tensor: GroupedTensor,
    merged: np.ndarray[Any, Any],
    labels: np.ndarray[Any, Any],
    base: np.ndarray[Any, Any],
    stored: list[Words],
) -> Words:
    """Round the groups once; a group of one expert gets its rows bit for bit."""
    import torch

    weights = merged if job.manifest.store == "deltas" else merged + base
    words = tensor_words(torch.from_numpy(weights).to(torch_dtype(tensor.dtype))).copy()
    if job.manifest.store == "deltas":
        return words
    for group in range(tensor.groups):
        members = labels == group
        first = members.argmax(1)
        for expert, own in enumerate(stored):
            # Twins of the first member were merged to its very change.
            alone = np.flatnonzero((first == expert) & members[:, expert])
            same = np.ones(len(alone), dtype=bool)
            for other, theirs in enumerate(stored):
                shares = members[alone, other]
                same &= ~shares | (theirs[alone] == own[alone]).all(1)
            words[group, alone[same]] = own[alone[same]]
    return words


def _facts(job: ChannelJob, energy: list[float]) -> dict[str, Any]:
    """Tell sizes in both ways, and how near the experts come back."""
    base_bytes = job.base.nbytes
    found: dict[str, Any] = {
        "experts": list(job.names),
        "groups": job.options.groups,
        "store": job.manifest.store,
        "error": energy[0] / energy[1] if energy[1] else 0.0,
    }
    for deltas in (False, True):
        account = account_of(job.manifest, base_bytes=base_bytes, deltas=deltas)
        found["as_deltas" if deltas else "as_weights"] = {
            "groups": account.groups,
            "index": account.index,
            "own": account.own,
            "base": account.base,
            "total": account.total,
            "experts": account.experts,
            "ratio": account.ratio,
        }
    return json.loads(json.dumps(found))  # type: ignore[no-any-return]  # plain data


def _artefact(job: ChannelJob, target: Path) -> Artefact:
    return Artefact(
        path=str(target),
        kind="package",
        name=display_name(str(target)),
        expert="",
        base=job.recipe.base.path,
        method="channel-merging",
        options=job.options.model_dump(mode="json"),
        file_bytes=sum(path.stat().st_size for path in target.rglob("*") if path.is_file()),
    )
