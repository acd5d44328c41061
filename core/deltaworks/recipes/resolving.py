"""Which tensors of which models make each tensor of a merge, with which options.

One mechanism for mergekit's files and for ours: slices of layers, modules, gradients over
layers, filters by name, and their precedence (source, slice, module, whole merge). It
works on names alone; which method treats a tensor is the engine's affair. Source: the
merging specification, 3.5.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from deltaworks.errors import MismatchError, OptionError
from deltaworks.recipes.layouts import Spot, main_stack, spot_of, stacks_of
from deltaworks.recipes.modules import in_module
from deltaworks.recipes.patterns import MISSING, check_value, value_at
from deltaworks.recipes.schema import MergeRecipe, MergeSlice, SliceSource

Options = dict[str, Any]
BASE = -1
"""The base's place among the models."""


@dataclass(frozen=True, slots=True)
class ResolvedSource:
    """One model's part in a tensor.

    Args:
        model: place among the experts; -1 is the base.
        name: of the tensor there.
        options: of this expert, for this tensor; unset ones take their defaults.
    """

    model: int
    name: str
    options: Options = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ResolvedTensor:
    """One tensor of the result.

    Args:
        name: in the result.
        layer: its layer in the result; None outside of layers.
        sources: the experts that have it, in the recipe's order.
        base: the base, where it has it.
        missing: experts that should have it and do not.
        options: of the method, for this tensor.
        is_described: False where modules are given and the tensor is in none.
    """

    name: str
    layer: int | None
    sources: tuple[ResolvedSource, ...]
    base: ResolvedSource | None
    missing: tuple[int, ...] = ()
    options: Options = field(default_factory=dict)
    is_described: bool = True


@dataclass(frozen=True, slots=True)
class Known:
    """Which options there are.

    Args:
        common: of the method.
        each: of every expert.
        required: those that must be found for every tensor.
    """

    common: frozenset[str]
    each: frozenset[str]
    required: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Models:
    """What is known of the models.

    Args:
        names: of the tensors of every model by its place, in file order.
        is_late: whether a tensor outside of layers comes after them, as heads do.
        n_layers: what the config of the leading model says; 0 when it does not.
        labels: names for messages, by place.
    """

    names: Mapping[int, Sequence[str]]
    is_late: Callable[[str], bool]
    n_layers: int = 0
    labels: Mapping[int, str] = field(default_factory=dict)

    def label(self, model: int) -> str:
        """Name a model for people."""
        return self.labels.get(model, "the base" if model == BASE else f"expert {model + 1}")


def check_patterns(recipe: MergeRecipe, known: Known) -> Iterator[OptionError]:
    """Name every option of a recipe that is unknown or in none of the forms."""
    for place, options, allowed in _scopes(recipe, known):
        for name, value in options.items():
            if name not in allowed:
                listed = ", ".join(sorted(allowed)) or "none"
                yield OptionError(f"unknown option '{name}' (known: {listed})", where=place)
                continue
            try:
                check_value(value, f"{place}: option '{name}'")
            except OptionError as error:
                yield error


def _scopes(
    recipe: MergeRecipe, known: Known
) -> Iterator[tuple[str, Mapping[str, Any], frozenset[str]]]:
    both = known.common | known.each
    yield f"method '{recipe.setting.method}'", recipe.setting.options, both
    for number, expert in enumerate(recipe.experts, 1):
        yield f"expert {expert.model.name or number}", expert.options, known.each
    parts = [("", recipe.slices), *((f"module '{m.name}', ", m.slices) for m in recipe.modules)]
    for module in recipe.modules:
        yield f"module '{module.name}'", module.options, both
    for prefix, slices in parts:
        for number, slice_ in enumerate(slices, 1):
            yield f"{prefix}slice {number}", slice_.options, both
            for index, source in enumerate(slice_.sources, 1):
                yield f"{prefix}slice {number}, source {index}", source.options, both


def resolve(recipe: MergeRecipe, models: Models, known: Known) -> list[ResolvedTensor]:
    """Say for every tensor of the result what it is made of.

    Raises:
        MismatchError: models have different numbers of layers, or a slice takes layers
            that a model does not have.
        OptionError: a value that is required is missing for some tensor.
    """
    if not recipe.modules:
        slices = recipe.slices or (_everything(recipe),)
        return list(_Part(recipe, models, known, slices, {}).tensors())
    found: dict[str, ResolvedTensor] = {}
    for module in recipe.modules:
        mine = {
            model: [name for name in names if in_module(module.name, name)]
            for model, names in models.names.items()
        }
        part = Models(mine, models.is_late, 0, models.labels)
        for tensor in _Part(recipe, part, known, module.slices, module.options).tensors():
            found.setdefault(tensor.name, tensor)
    leader = BASE if BASE in models.names else 0
    for name in models.names[leader]:
        if not any(in_module(module.name, name) for module in recipe.modules):
            source = ResolvedSource(leader, name)
            found[name] = ResolvedTensor(name, None, (), source, is_described=False)
    return list(found.values())


def _everything(recipe: MergeRecipe) -> MergeSlice:
    return MergeSlice(
        sources=tuple(SliceSource(model=number) for number in range(len(recipe.experts)))
    )


class _Part:
    """The tensors of one part of the model."""

    def __init__(
        self,
        recipe: MergeRecipe,
        models: Models,
        known: Known,
        slices: Sequence[MergeSlice],
        module_options: Mapping[str, Any],
    ) -> None:
        self._recipe, self._models, self._known = recipe, models, known
        self._slices, self._module_options = slices, module_options
        self._has = {model: frozenset(names) for model, names in models.names.items()}
        self._inside: dict[tuple[int, str, int], dict[str, None]] = {}
        for model, names in models.names.items():
            for spot in filter(None, map(spot_of, names)):
                inside = self._inside.setdefault((model, spot.stack, spot.layer), {})
                inside[spot.rest] = None

    def tensors(self) -> Iterator[ResolvedTensor]:
        """Give every tensor in the order of the leading model, layers renumbered."""
        if any(source.layers for slice_ in self._slices for source in slice_.sources):
            yield from self._sliced()
            return
        if len(self._slices) != 1:
            raise OptionError(
                f"{len(self._slices)} slices, and not all say which layers they take",
                where="slices",
                fix="Give layers for every source.",
            )
        yield from self._whole(self._slices[0])

    def _whole(self, slice_: MergeSlice) -> Iterator[ResolvedTensor]:
        self._check_depths(slice_)
        counts = stacks_of(name for names in self._models.names.values() for name in names)
        for name in self._names_of(slice_):
            spot = spot_of(name)
            at = 0.0 if spot is None else _along(spot.layer, counts[spot.stack])
            layer = None if spot is None else spot.layer
            yield self._tensor(name, layer, at, slice_)

    def _sliced(self) -> Iterator[ResolvedTensor]:
        first, last = self._slices[0], self._slices[-1]
        stack = main_stack(self._union(self._slices), self._models.n_layers)
        self._check_slices(stack)
        early = [name for name in self._names_of(first) if not self._in_stack(name, stack)]
        late = [name for name in self._names_of(last) if not self._in_stack(name, stack)]
        for name in early:
            if not self._models.is_late(name):
                yield self._tensor(name, None, 0.0, first)
        layer = 0
        for slice_ in self._slices:
            length = self._length(slice_)
            for offset in range(length):
                at = _along(offset, length)
                for rest in self._rests(slice_, stack, offset):
                    yield self._tensor(Spot(stack, layer, rest).name, layer, at, slice_, offset)
                layer += 1
        for name in late:
            if self._models.is_late(name):
                yield self._tensor(name, None, 0.0, last)

    def _tensor(
        self,
        name: str,
        layer: int | None,
        at: float,
        slice_: MergeSlice,
        offset: int | None = None,
    ) -> ResolvedTensor:
        def name_in(source: SliceSource) -> str:
            spot = None if offset is None else spot_of(name)
            if spot is None or offset is None:
                return name
            return spot.at((source.layers[0] if source.layers else 0) + offset).name

        base = self._base_of(slice_)
        sources, missing = [], []
        for source in slice_.sources:
            if base is not None and source.model == base.model:
                continue
            theirs = name_in(source)
            if theirs in self._has[source.model]:
                scopes = self._scopes_of(slice_, source)
                options = self._options(self._known.each, scopes, at, theirs, source)
                sources.append(ResolvedSource(source.model, theirs, options))
            else:
                missing.append(source.model)
        start = None
        if base is not None and name_in(base) in self._has[base.model]:
            start = ResolvedSource(base.model, name_in(base))
        scopes = (slice_.options, self._module_options, self._recipe.setting.options)
        common = self._options(self._known.common, scopes, at, name, None)
        return ResolvedTensor(name, layer, tuple(sources), start, tuple(missing), common)

    def _scopes_of(self, slice_: MergeSlice, source: SliceSource) -> tuple[Mapping[str, Any], ...]:
        own = self._recipe.experts[source.model].options if source.model >= 0 else {}
        common = self._recipe.setting.options
        return (source.options, slice_.options, self._module_options, own, common)

    def _options(
        self,
        wanted: Iterable[str],
        scopes: Sequence[Mapping[str, Any]],
        at: float,
        name: str,
        source: SliceSource | None,
    ) -> Options:
        found: Options = {}
        for option in sorted(wanted):
            for scope in scopes:
                value = value_at(scope[option], at, name) if option in scope else MISSING
                if value is not MISSING:
                    found[option] = value
                    break
            else:
                if option in self._known.required:
                    whose = "" if source is None else f" of {self._models.label(source.model)}"
                    raise OptionError(
                        f"parameter '{option}'{whose} has no value for this tensor",
                        where=name,
                        fix="Give it one, or a last filter '*' with the value for the others.",
                    )
        return found

    def _base_of(self, slice_: MergeSlice) -> SliceSource | None:
        """Give the base of a slice, with the layers that it has there."""
        model = slice_.base
        if model is None:
            model = BASE if BASE in self._models.names else None
        if model is None:
            return None
        listed = next((one for one in slice_.sources if one.model == model), None)
        return listed or SliceSource(model=model, layers=slice_.sources[0].layers)

    def _names_of(self, slice_: MergeSlice) -> tuple[str, ...]:
        base = self._base_of(slice_)
        models = [*([base.model] if base else []), *(one.model for one in slice_.sources)]
        return tuple(dict.fromkeys(name for model in models for name in self._models.names[model]))

    def _union(self, slices: Sequence[MergeSlice]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name for one in slices for name in self._names_of(one)))

    def _in_stack(self, name: str, stack: str) -> bool:
        spot = spot_of(name)
        return spot is not None and spot.stack == stack

    def _rests(self, slice_: MergeSlice, stack: str, offset: int) -> tuple[str, ...]:
        """Give the names inside a layer, as the base or the first model that has it orders them."""
        base = self._base_of(slice_)
        rests: dict[str, None] = {}
        for source in [*([base] if base else []), *slice_.sources]:
            layer = (source.layers[0] if source.layers else 0) + offset
            rests |= self._inside.get((source.model, stack, layer), {})
        return tuple(rests)

    def _length(self, slice_: MergeSlice) -> int:
        start, stop = slice_.sources[0].layers or (0, 0)
        return stop - start

    def _check_slices(self, stack: str) -> None:
        for number, slice_ in enumerate(self._slices, 1):
            where = f"slice {number}"
            lengths = set()
            for source in slice_.sources:
                who = self._models.label(source.model)
                if source.layers is None:
                    raise OptionError(f"{who} says no layers", where=where)
                start, stop = source.layers
                count = stacks_of(self._models.names[source.model]).get(stack, 0)
                if not 0 <= start < stop <= count:
                    raise MismatchError(
                        f"takes layers {start} to {stop} of {who}, which has {count}",
                        where=where,
                        fix="The first layer is 0, and the last number is not included.",
                    )
                lengths.add(stop - start)
            if len(lengths) > 1:
                listed = ", ".join(map(str, sorted(lengths)))
                raise MismatchError(
                    f"its sources have {listed} layers",
                    where=where,
                    fix="Take as many layers of every source.",
                )

    def _check_depths(self, slice_: MergeSlice) -> None:
        """Layers are merged one by one, so all models must have as many."""
        base = self._base_of(slice_)
        models = [*([base.model] if base else []), *(one.model for one in slice_.sources)]
        counts = {model: stacks_of(self._models.names[model]) for model in models}
        for stack in dict.fromkeys(stack for found in counts.values() for stack in found):
            having = {model: found[stack] for model, found in counts.items() if stack in found}
            if len(set(having.values())) > 1:
                listed = ", ".join(
                    f"{count} in {self._models.label(model)}" for model, count in having.items()
                )
                raise MismatchError(
                    f"layers: {listed}",
                    where=stack,
                    fix="Say with slices which layers of each model are merged.",
                )


def _along(offset: int, length: int) -> float:
    """Place of a layer in its slice, from 0 to 1; a single layer is the last."""
    return offset / (length - 1) if length > 1 else 1.0
