"""What is done with every tensor of a merge, from headers alone and without torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from deltaworks.checkpoints import roles_of
from deltaworks.checkpoints.tensors import TensorInfo
from deltaworks.engine.merge_inputs import MergeModels
from deltaworks.engine.merge_types import MergeTask, Source
from deltaworks.errors import AppError, MismatchError
from deltaworks.methods.merging import MERGING
from deltaworks.methods.merging.mergekit_numerics import in_mergekits_order
from deltaworks.methods.merging_record import MergingMethod
from deltaworks.options import Options, read_options
from deltaworks.recipes.mergekit_methods import required_options
from deltaworks.recipes.resolving import Known, Models, ResolvedTensor, resolve
from deltaworks.recipes.schema import MergeRecipe


def takes_base(method: MergingMethod) -> bool:
    """Whether a base that is there takes part in the arithmetic."""
    return method.needs.base or method.needs.takes_base


def known_options(recipe: MergeRecipe, method: MergingMethod) -> Known:
    """List the options that a recipe may set for a method, and those that it must."""
    is_mergekit = recipe.numerics != "app-fp32"
    return Known(
        frozenset(method.options.model_fields),
        frozenset(method.expert_options.model_fields),
        required_options(method.id) if is_mergekit else frozenset(),
    )


def promoted(*dtypes: str) -> str:
    """Give the smallest dtype that holds the numbers of all, as torch promotes them."""
    found = set(dtypes)
    for wide in ("F64", "F32"):
        if wide in found:
            return wide
    return found.pop() if len(found) == 1 else "F32"


class Sorter:
    """Decides for every tensor where it comes from.

    Args:
        recipe: what to do.
        models: open, and named alike.
        method: the recipe's.
    """

    def __init__(self, recipe: MergeRecipe, models: MergeModels, method: MergingMethod) -> None:
        self._recipe, self._models, self._method = recipe, models, method
        self._notes: dict[str, list[str]] = {}
        self._read: dict[Any, Options] = {}

    def tasks(self, faults: list[AppError]) -> dict[str, MergeTask]:
        """Give a task for every tensor of the result, in the leader's order."""
        try:
            found = resolve(self._recipe, self._names(), known_options(self._recipe, self._method))
        except AppError as error:
            faults.append(error)
            return {}
        resolved = [tensor for tensor in found if tensor.sources or tensor.base]
        infos = {tensor.name: self._info(tensor) for tensor in resolved}
        roles = roles_of(infos.values(), self._models.opened[self._models.leader].config)
        wrong: dict[str, AppError] = {}
        tasks = {}
        for tensor in resolved:
            info = infos[tensor.name]
            try:
                self._check_shapes(tensor, info)
                is_buffer = roles[info.name].role == "buffer"
                tasks[info.name] = self._task(tensor, info, is_buffer=is_buffer)
            except AppError as error:
                wrong.setdefault(f"{error.where} {error.what}", error)
        faults += wrong.values()
        return tasks

    def notes(self) -> Iterator[str]:
        """Say what is not simply merged, one sentence a reason."""
        for text, names in self._notes.items():
            some = ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
            count = "1 tensor" if len(names) == 1 else f"{len(names)} tensors"
            yield f"{count} {text} ({some})."

    def _names(self) -> Models:
        leader = self._models.opened[self._models.leader]
        infos = {
            name: self._models.info(model, name)
            for model, naming in self._models.names.items()
            for name in naming.stored
        }
        roles = roles_of((_renamed(info, name) for name, info in infos.items()), leader.config)
        names = {model: tuple(naming.stored) for model, naming in self._models.names.items()}
        return Models(
            names,
            lambda name: roles[name].role in {"head", "norm"} and "embed" not in name,
            _n_layers(leader.config),
            self._models.labels,
        )

    def _info(self, tensor: ResolvedTensor) -> TensorInfo:
        first = tensor.base or tensor.sources[0]
        return _renamed(self._models.info(first.model, first.name), tensor.name)

    def _check_shapes(self, tensor: ResolvedTensor, info: TensorInfo) -> None:
        first = tensor.base or tensor.sources[0]
        for source in tensor.sources:
            theirs = self._models.info(source.model, source.name).shape
            if theirs != info.shape:
                who, other = self._label(source.model), self._label(first.model)
                raise MismatchError(
                    f"shape {theirs} in {who}, {info.shape} in {other}",
                    where=info.name,
                    fix="Merge models of the same shapes and vocabulary.",
                )

    def _task(self, tensor: ResolvedTensor, info: TensorInfo, *, is_buffer: bool) -> MergeTask:
        if not info.is_floating or is_buffer:
            kind = "buffers" if is_buffer else f"{info.dtype} numbers"
            return self._copy(tensor, info, f"copied from {{}}, as {kind} are not averaged")
        out = TensorInfo(info.name, info.shape, self._out_dtype(tensor, info))
        if not tensor.is_described:
            return self._copy(tensor, out, "copied from {}: no module of the recipe has them")
        if not tensor.sources:
            return self._copy(tensor, out, "copied from {}: no expert has them")
        if takes_base(self._method) and tensor.base is None and self._recipe.base is not None:
            if len(tensor.sources) == 1:
                return self._copy(tensor, out, "copied from {}: the base has none")
            self._note("averaged: the base has none", info)
            mean = MERGING["linear"]
            sources = tuple(self._source(one, mean.expert_options()) for one in tensor.sources)
            return MergeTask(out, sources, None, None, mean, mean.options(), tensor.layer)
        if tensor.missing:
            lacking = ", ".join(self._label(model) for model in tensor.missing)
            self._note(f"merged without {lacking}, which has none", info)
        return self._merge(tensor, out)

    def _out_dtype(self, tensor: ResolvedTensor, info: TensorInfo) -> str:
        """Give the recipe's dtype, else the base's; mergekit promotes instead."""
        if self._recipe.out_dtype or self._recipe.numerics == "app-fp32":
            return self._recipe.out_dtype or info.dtype
        inputs = [*([tensor.base] if tensor.base else []), *tensor.sources]
        return promoted(*(self._models.info(one.model, one.name).dtype for one in inputs))

    def _merge(self, tensor: ResolvedTensor, out: TensorInfo) -> MergeTask:
        method = self._method
        sources = []
        for one in tensor.sources:
            where = f"expert {self._label(one.model)}"
            sources.append(
                self._source(one, self._options(method.expert_options, one.options, where))
            )
        options = self._options(method.options, tensor.options, f"method '{method.id}'")
        base = tensor.base if takes_base(method) else None
        if self._recipe.numerics != "app-fp32":
            method = in_mergekits_order(method, len(sources), out.n_elements)
        return MergeTask(
            out,
            tuple(sources),
            self._source(base) if base else None,
            None,
            method,
            options,
            tensor.layer,
        )

    def _copy(self, tensor: ResolvedTensor, info: TensorInfo, text: str) -> MergeTask:
        first, *others = [*([tensor.base] if tensor.base else []), *tensor.sources]
        if text:
            self._note(text.format(self._label(first.model)), info)
        return MergeTask(
            info,
            tuple(self._source(one) for one in others),
            copied=self._source(first),
            layer=tensor.layer,
        )

    def _source(self, one: Any, options: Options | None = None) -> Source:
        return Source(one.model, self._models.stored(one.model, one.name), options)

    def _options(self, kind: type[Options], values: Mapping[str, Any], where: str) -> Options:
        """Check values once, however many tensors have them."""
        key = (kind, where, tuple(sorted(values.items())))
        if key not in self._read:
            self._read[key] = read_options(kind, values, where=where)
        return self._read[key]

    def _label(self, model: int) -> str:
        return self._models.labels[model]

    def _note(self, text: str, info: TensorInfo) -> None:
        self._notes.setdefault(text, []).append(info.name)


def _renamed(info: TensorInfo, name: str) -> TensorInfo:
    return info if info.name == name else TensorInfo(name, info.shape, info.dtype)


def _n_layers(config: Mapping[str, Any]) -> int:
    for key in ("num_hidden_layers", "n_layer", "n_layers", "num_layers"):
        for part in (config, config.get("text_config") or {}):
            if isinstance(part.get(key), int):
                return int(part[key])
    return 0
