"""Fusing vision, planned: one merged language model, every tower as it is."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from deltaworks.checkpoints.checkpoint import Checkpoint
from deltaworks.checkpoints.llava import (
    LANGUAGE,
    LLM,
    PROJECTOR,
    VISION,
    LlavaParts,
    image_settings,
    llava_parts,
    tower_patches,
)
from deltaworks.checkpoints.renamed import RenamedCheckpoint
from deltaworks.checkpoints.tensors import FLOATING, TensorInfo
from deltaworks.engine import checks
from deltaworks.engine.fuse_family import family_items
from deltaworks.engine.fuse_vocabulary import FusedTokens, fused_tokens
from deltaworks.engine.inputs import open_input
from deltaworks.engine.merge_checks import check_packed
from deltaworks.engine.merge_inputs import BASE, MergeModels
from deltaworks.engine.merge_names import is_head, name_alike
from deltaworks.engine.merge_plan import MergeJob
from deltaworks.engine.merge_tasks import Sorter
from deltaworks.engine.merge_types import MergeTask, Source
from deltaworks.engine.merge_vocabulary import Alignment
from deltaworks.engine.plan_types import OutputPlan, Plan, WorkItem
from deltaworks.errors import AppError, MismatchError, OptionError
from deltaworks.formatting import size
from deltaworks.methods import merging_method
from deltaworks.methods.fusion.overhead import BranchCost, Overhead, language_shape, overhead_of
from deltaworks.methods.fusion.visionfuse import METHOD, VisionFuseOptions
from deltaworks.methods.merging_record import MergingMethod
from deltaworks.options import read_options
from deltaworks.recipes.naming import display_name, distinct
from deltaworks.recipes.resolving import Known, check_patterns
from deltaworks.recipes.schema import FuseRecipe, MergeInput, MergeRecipe

_SAME = (
    "model_type",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "intermediate_size",
    "head_dim",
    "hidden_act",
    "rms_norm_eps",
    "rope_theta",
)
"""What must not differ between language models, where both configs say it."""
_SIDE_BYTES = 200_000
_FIX = "Fuse models that were tuned from this base."


@dataclass(frozen=True)
class FuseJob:
    """Everything that is known before the first number is read.

    Args:
        recipe: what to do.
        options: of the fusion.
        base: the language model that all stand on.
        parts: of every model, in the recipe's order.
        ids: of their towers, in the recipe's order.
        order: places of the models in the order of their tokens.
        tokens: that the result reads.
        merge: writes it: merged language model, copied towers.
        overhead: what it costs to run.
        notes: what the user should know.
    """

    recipe: FuseRecipe
    options: VisionFuseOptions
    base: Checkpoint
    parts: tuple[LlavaParts, ...]
    ids: tuple[str, ...]
    order: tuple[int, ...]
    tokens: FusedTokens
    merge: MergeJob
    overhead: Overhead
    notes: tuple[str, ...]

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the models for people."""
        return tuple(self.merge.models.labels[place] for place in range(len(self.parts)))

    @property
    def towers(self) -> tuple[tuple[str, LlavaParts], ...]:
        """Ids and parts in the order of their tokens."""
        return tuple((self.ids[place], self.parts[place]) for place in self.order)

    @property
    def weights(self) -> tuple[float, ...]:
        """Of each model's change in the merge."""
        return weights_of(self.recipe)

    def items(self) -> tuple[WorkItem, ...]:
        """Give the work of writing."""
        return tuple(
            item for task in self.merge.tasks.values() for item in self.merge.items_of(task)
        )

    def plan(self) -> Plan:
        """Say what will be read, written and held."""
        output = self.output()
        listed = " and ".join(filter(None, (", ".join(self.labels[:-1]), self.labels[-1])))
        return Plan(
            title=f"Fuse the vision of {listed}",
            items=(*family_items(self.merge), *self.items()),
            outputs=(output,),
            original_bytes=sum(parts.model.nbytes for parts in self.parts),
            notes=(
                *self.notes,
                *_cost_notes(self),
                *checks.space_note(self.merge.target, output.bytes_high),
            ),
        )

    def output(self) -> OutputPlan:
        """Say what will be written."""
        n_bytes = sum(task.info.nbytes for task in self.merge.tasks.values())
        side = (path.stat().st_size for path in self.parts[0].model.side_files.values())
        extra = _SIDE_BYTES + sum(side) + 200 * len(self.merge.tasks)
        return OutputPlan(str(self.merge.target), n_bytes, n_bytes + extra)


def weights_of(recipe: FuseRecipe) -> tuple[float, ...]:
    """Give every model's weight; those that are not said are one Nth."""
    share = 1.0 / len(recipe.models)
    return tuple(share if one.weight is None else one.weight for one in recipe.models)


def open_fuse(recipe: FuseRecipe, open_files: ExitStack, *, resume: bool = False) -> FuseJob:
    """Open and check everything; several faults are shown together.

    Raises:
        AppError: it cannot be done.
    """
    faults: list[AppError] = list(checks.check_device(recipe.device))
    method, options = _method(recipe, faults)
    base = open_input(recipe.base.path, None, open_files, faults)
    opened = [open_input(one.model.path, None, open_files, faults) for one in recipe.models]
    checks.raise_together(faults)
    assert base is not None
    assert method is not None
    models = [model for model in opened if model is not None]
    parts = _parts(models, faults)
    names = [display_name(one.model.path, one.model.name) for one in recipe.models]
    labels = {BASE: "the base", **dict(enumerate(distinct(names)))}
    faults += _misfits(base, models, parts, labels)
    checks.raise_together(faults)
    views = {BASE: base, **{n: _language(base, one) for n, one in enumerate(parts)}}
    tokens = fused_tokens(views, [one.image_token for one in parts], labels)
    order = _order(parts, options)
    ids = _ids([labels[place] for place in range(len(parts))])
    merge, notes = _merge(recipe, method, tokens, parts, ids, labels)
    faults += checks.check_target(merge.target, [base, *models])
    overhead = _overhead(base, merge, parts, labels, order)
    job = FuseJob(
        recipe,
        options,
        base,
        tuple(parts),
        ids,
        order,
        tokens,
        merge,
        overhead,
        (*tokens.notes, *notes),
    )
    if not resume:
        faults += checks.check_space(merge.target, job.output().bytes_high)
    checks.raise_together(faults)
    return job


# --- checks -----------------------------------------------------------------------------------


def _method(
    recipe: FuseRecipe, faults: list[AppError]
) -> tuple[MergingMethod | None, VisionFuseOptions]:
    """Look the operator up; say why it cannot merge language models here."""
    options = VisionFuseOptions()
    try:
        options = read_options(VisionFuseOptions, recipe.options, where=f"method '{METHOD.id}'")
    except OptionError as error:
        faults.append(error)
    try:
        method = merging_method(recipe.setting.method)
    except OptionError as error:
        faults.append(error)
        return None, options
    faults += _unfit(recipe, method)
    faults += check_patterns(_as_merge(recipe, method), Known(*map(frozenset, _fields(method))))
    if recipe.out_dtype and recipe.out_dtype not in FLOATING:
        known = ", ".join(sorted(FLOATING))
        faults.append(OptionError(f"out_dtype is '{recipe.out_dtype}' (known: {known})"))
    return method, options


def _unfit(recipe: FuseRecipe, method: MergingMethod) -> Iterator[AppError]:
    where, count = f"method '{method.id}'", len(recipe.models)
    if method.needs.statistics:
        yield OptionError("needs texts of each model, a fusion has none", where=where)
    if method.switches:
        yield OptionError("gives a model for each expert instead of one for all", where=where)
    if count < method.needs.min_experts or count > (method.needs.max_experts or count):
        yield OptionError(f"does not take {count} models", where=where)
    has_weight = "weight" in method.expert_options.model_fields
    if not has_weight and any(one.weight is not None for one in recipe.models):
        yield OptionError("has no weight for each model", where=where, fix="Leave the weights out.")


def _parts(models: Sequence[Checkpoint], faults: list[AppError]) -> list[LlavaParts]:
    found = []
    for model in models:
        try:
            parts = llava_parts(model)
            if image_settings(model) is None:
                raise MismatchError(
                    "has no preprocessor_config.json, so nothing says how pictures are read",
                    where=str(model.path),
                    fix="Copy it from where the model came from.",
                )
            found.append(parts)
        except AppError as error:
            faults.append(error)
    return found


def _misfits(
    base: Checkpoint,
    models: Sequence[Checkpoint],
    parts: Sequence[LlavaParts],
    labels: Mapping[int, str],
) -> Iterator[AppError]:
    """Name the first difference between each language model and the base."""
    if base.config.get("model_type") == "llava":
        yield MismatchError(
            "is a LLaVA model, not a language model",
            where=str(base.path),
            fix="Choose the language model that both were tuned from.",
        )
        return
    places = [model.path.resolve() for model in models]
    for path in dict.fromkeys(path for path in places if places.count(path) > 1):
        yield OptionError("is listed twice", where=str(path))
    for label, model in [("the base", base), *zip(list(labels.values())[1:], models, strict=True)]:
        yield from check_packed(label, model)
    for one in parts:
        what = _first_difference(base, one)
        if what:
            yield MismatchError(what, where=str(one.model.path), fix=_FIX)


def _first_difference(base: Checkpoint, parts: LlavaParts) -> str:
    for key in _SAME:
        ours, theirs = _said(base.config, key), _said(parts.text, key)
        if ours is not None and theirs is not None and ours != theirs:
            return f"{key} is {theirs} here, {ours} in the base"
    mine = {name: f"{LLM}{name}" for name in base.names}
    for name, canonical in mine.items():
        stored = parts.stored.get(canonical)
        if stored is None:
            if is_head(name) or not base.info(name).is_floating:
                continue
            return f"tensor {name} of the base is missing here"
        ours_shape, theirs_shape = base.info(name).shape, parts.model.info(stored).shape
        if ours_shape[1:] != theirs_shape[1:] or (
            ours_shape != theirs_shape and not _is_table(name)
        ):
            return f"{name} has shape {theirs_shape} here, {ours_shape} in the base"
    return _head_difference(base, parts)


def _head_difference(base: Checkpoint, parts: LlavaParts) -> str:
    known = {f"{LLM}{name}" for name in base.names}
    extra = [name for name in parts.part(LLM) if f"{LLM}{name}" not in known]
    extra = [name for name in extra if not name.endswith("inv_freq")]
    if extra:
        return f"tensor {extra[0]} is not in the base"
    heads = [name for name in base.names if is_head(name)]
    if heads and f"{LLM}{heads[0]}" not in parts.stored:
        return f"{heads[0]} is tied to the embedding here, separate in the base"
    return ""


def _is_table(name: str) -> bool:
    return is_head(name) or "embed" in name


def _said(config: Mapping[str, Any], key: str) -> Any:
    if key in config:
        return config[key]
    rope = config.get("rope_parameters")
    return rope.get(key) if isinstance(rope, Mapping) else None


# --- making the job ---------------------------------------------------------------------------


def _language(base: Checkpoint, parts: LlavaParts) -> Checkpoint:
    """See the language model of a LLaVA model under the base's names."""
    return RenamedCheckpoint(parts.model, parts.part(LLM), base.config)


def _order(parts: Sequence[LlavaParts], options: VisionFuseOptions) -> tuple[int, ...]:
    places = range(len(parts))
    if options.order == "listed":
        return tuple(places)
    return tuple(sorted(places, key=lambda place: parts[place].tower["image_seq_length"]))


def _ids(labels: Sequence[str]) -> tuple[str, ...]:
    """Name the towers as modules, tensors and folders can be named."""
    plain = [re.sub(r"[^A-Za-z0-9]+", "-", label).strip("-").lower() or "model" for label in labels]
    return tuple(distinct(plain))


def _fields(method: MergingMethod) -> tuple[Iterable[str], Iterable[str]]:
    return method.options.model_fields, method.expert_options.model_fields


def _as_merge(recipe: FuseRecipe, method: MergingMethod) -> MergeRecipe:
    """Describe the merge of the language models."""
    has_weight = "weight" in method.expert_options.model_fields
    return MergeRecipe(
        base=recipe.base,
        experts=tuple(
            MergeInput(model=one.model, options={"weight": weight} if has_weight else {})
            for one, weight in zip(recipe.models, weights_of(recipe), strict=True)
        ),
        setting=recipe.setting,
        seed=recipe.seed,
        device=recipe.device,
        memory_bytes=recipe.memory_bytes,
        threads=recipe.threads,
        out_dtype=recipe.out_dtype,
        shard_bytes=recipe.shard_bytes,
        output=str(Path(recipe.output).absolute()),
    )


def _merge(
    recipe: FuseRecipe,
    method: MergingMethod,
    tokens: FusedTokens,
    parts: Sequence[LlavaParts],
    ids: Sequence[str],
    labels: Mapping[int, str],
) -> tuple[MergeJob, tuple[str, ...]]:
    inner = _as_merge(recipe, method)
    models = MergeModels(tokens.models, name_alike(tokens.models, BASE), labels)
    faults: list[AppError] = []
    sorter = Sorter(inner, models, method)
    found = sorter.tasks(faults)
    checks.raise_together(faults)
    tasks = {}
    for task in found.values():
        info = TensorInfo(f"{LANGUAGE}{task.info.name}", task.info.shape, task.info.dtype)
        tasks[info.name] = replace(task, info=info)
    visuals: dict[int, Checkpoint] = {}
    for number, (name, one) in enumerate(zip(ids, parts, strict=True)):
        place = len(parts) + number
        visuals[place] = RenamedCheckpoint(one.model, tower_names(name, one), one.model.config)
        for seen in visuals[place].names:
            tasks[seen] = MergeTask(visuals[place].info(seen), copied=Source(place, seen))
    named = {**labels, **{len(parts) + n: labels[n] for n in range(len(parts))}}
    every = MergeModels({**tokens.models, **visuals}, models.names, named)
    job = MergeJob(inner, every, method, tasks, (), Alignment(every.opened))
    return job, tuple(sorter.notes())


def tower_names(name: str, parts: LlavaParts) -> dict[str, str]:
    """Give the names of a tower and its projector in the fused model, to stored ones."""
    return {
        **parts.part(VISION, f"towers.{name}.vision."),
        **parts.part(PROJECTOR, f"towers.{name}.projector."),
    }


def _overhead(
    base: Checkpoint,
    merge: MergeJob,
    parts: Sequence[LlavaParts],
    labels: Mapping[int, str],
    order: Sequence[int],
) -> Overhead:
    language = sum(
        task.info.n_elements for name, task in merge.tasks.items() if name.startswith(LANGUAGE)
    )
    branches = [
        BranchCost(
            labels[place],
            parts[place].count(VISION),
            parts[place].count(PROJECTOR),
            int(parts[place].tower["image_seq_length"]),
            tower_patches(parts[place].tower["vision_config"]),
        )
        for place in order
    ]
    return overhead_of(language_shape(base.config), language, branches)


def _cost_notes(job: FuseJob) -> Iterator[str]:
    cost, count = job.overhead, len(job.parts)
    yield (
        f"Keeps {cost.fused.parameters:,} parameters; the {count} models apart have "
        f"{cost.separate.parameters:,}."
    )
    tokens = " + ".join(f"{branch.tokens} ({branch.name})" for branch in cost.branches)
    yield f"A picture takes {cost.fused.picture_tokens} tokens: {tokens}."
    more = (cost.fused.picture_tokens - cost.single.picture_tokens) * cost.kv_bytes_per_token
    yield (
        f"Its cache holds {size(cost.kv_bytes_per_token)} a token, {size(more)} more a picture "
        "than the cheapest model alone."
    )
