"""What a method is: one record a method, one table a family."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from deltaworks.numerics.deltas import delta_of
from deltaworks.numerics.rounding import FLOAT32, Arithmetic
from deltaworks.numerics.stored import Room, Stored
from deltaworks.options import Options

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from deltaworks.numerics.factors import Factor
    from deltaworks.numerics.rounding import Floats

Family = Literal["compression", "merging", "safety", "transfer", "fusion", "continual"]
Group = Literal[
    "permutation",
    "direct",
    "magnitude",
    "activation",
    "optimisation",
    "lora",
    "experts",
    "spectral",
]
"""Classes of the merging survey (arXiv:2503.08998), and ``spectral``, which is ours."""
Statistic = Literal["gram", "fisher"]
"""What a pass over texts collects: inputs' second moments, or squared gradients."""
T = TypeVar("T")

Parts = dict[str, "np.ndarray[Any, Any]"]
"""What a storing method keeps of one tensor: part name to array on the CPU.

Only dtypes that safetensors and numpy share: u8, i32, i64, f16, f32.
"""


@dataclass(frozen=True, slots=True)
class Needs:
    """Inputs of a method, in data, so that the window offers only what can run.

    Args:
        base: whether it cannot do without a base.
        min_experts: fewest experts.
        max_experts: most; None for any number.
        takes_base: whether it works on deltas where a base is given without need.
        statistics: what it cannot do without of texts that run through a model.
        helped_by: what makes it better, and without which it falls back to its
            data-free form.
    """

    base: bool = True
    min_experts: int = 1
    max_experts: int | None = None
    takes_base: bool = False
    statistics: tuple[Statistic, ...] = ()
    helped_by: tuple[Statistic, ...] = ()


@dataclass(frozen=True)
class Method:
    """What all methods share.

    Args:
        id: lower-case with hyphens; never changes once released.
        title: name as the field writes it.
        family: which table it is in.
        summary: one sentence for the picker.
        source: paper or specification, as ``arXiv:2311.03099``.
        options: its options; every one has a default.
        needs: inputs it cannot do without.
        evidence: how sure we are that this is the authors' method.
        is_random: whether the seed changes the result.
        decomposes: whether its time goes into decompositions, which a GPU does faster.
    """

    id: str
    title: str
    family: Family
    summary: str
    source: str
    options: type[Options]
    needs: Needs = Needs()
    evidence: str = ""
    is_random: bool = False
    decomposes: bool = False


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """A tensor without its numbers: what decoding knows.

    Args:
        name: parameter name in the checkpoint.
        shape: as stored, ``(out, in)`` for linear weights.
        seed: the job's seed; random streams come from (seed, name).
    """

    name: str
    shape: tuple[int, ...]
    seed: int = 0


class TensorPair:
    """One tensor of base and fine-tuned model, and what was computed from it.

    Several settings of a sweep encode the same pair; ``once`` lets them share
    what is costly, such as a singular value decomposition.

    Args:
        spec: name, shape and seed.
        base: as stored, or None when the base has no such tensor.
        tuned: as stored; shape of ``spec``.
        gram: gives the Gram matrix of the layer's inputs, float32 ``(in, in)``, mean over
            tokens of ``x x^T``; None when no texts were run through the model.
        triples: singular triples of each matrix that some setting of the job takes, so
            that one decomposition serves all.
    """

    def __init__(
        self,
        spec: TensorSpec,
        base: Tensor | None,
        tuned: Tensor,
        gram: Callable[[], Tensor] | None = None,
        triples: int = 0,
    ) -> None:
        self.spec = spec
        self.base = base
        self.tuned = tuned
        self.read_gram = gram
        self.multiples: np.ndarray[Any, Any] | None = None
        self.triples = triples
        self._known: dict[Callable[[Tensor], Any], Any] = {}

    @cached_property
    def delta(self) -> Tensor:
        """Fine-tuned minus base in float32; the fine-tuned tensor where there is no base."""
        return self.tuned.float() if self.base is None else delta_of(self.tuned, self.base)

    @cached_property
    def gram(self) -> Tensor | None:
        """Second moments of the layer's inputs, ``(in, in)``, or None without calibration."""
        return None if self.read_gram is None else self.read_gram()

    def reseeded(self, seed: int) -> TensorPair:
        """Give the same pair under another seed; what is known of its delta stays shared."""
        spec = replace(self.spec, seed=seed)
        other = TensorPair(spec, self.base, self.tuned, self.read_gram, self.triples)
        other._known = self._known
        other.__dict__["delta"] = self.delta
        return other

    def once(self, compute: Callable[[Tensor], T]) -> T:
        """Compute something from the delta the first time, remember it afterwards.

        Args:
            compute: a module-level pure function of the float32 delta; it is the key.
        """
        if compute not in self._known:
            self._known[compute] = compute(self.delta)
        known: T = self._known[compute]
        return known

    def with_multiples(self, multiples: np.ndarray[Any, Any] | None) -> TensorPair:
        """Give the same pair with trained multiples of its scales; what is known stays shared."""
        other = self.reseeded(self.spec.seed)
        other.multiples = multiples
        return other

    def of_gram(self, compute: Callable[[Tensor], T]) -> T | None:
        """Compute something from the Gram matrix once; None without calibration.

        Args:
            compute: a module-level pure function of the matrix; it is the key.
        """
        if self.gram is None:
            return None
        if compute not in self._known:
            self._known[compute] = compute(self.gram)
        known: T = self._known[compute]
        return known


@dataclass(frozen=True, slots=True)
class Fit:
    """Training of scales that a setting asks for, before its tensors are encoded.

    The engine encodes every tensor, trains multiples of the decoded changes on the job's
    text, and hands them to the final encoding as ``TensorPair.multiples``.

    Args:
        steps: of training.
        learning_rate: relative to where scales begin.
        per_row: a multiple for each row instead of one for the matrix.
    """

    steps: int
    learning_rate: float
    per_row: bool


@dataclass(frozen=True, slots=True)
class SizeOption:
    """The option that settles how large files become, more and more in one direction.

    Args:
        name: of the option.
        low: least value that a search tries.
        high: largest one.
        grows: whether more of it makes larger files.
        of_rest: whether a search goes by ``1 - value``, as for shares near 1.
    """

    name: str
    low: float
    high: float
    grows: bool = False
    of_rest: bool = False


@dataclass(frozen=True)
class CompressionMethod(Method):
    """A method that stores deltas.

    Args:
        encode: pair and options to parts. Never changes its inputs.
        decode: parts, spec and options to the float32 delta of ``spec.shape``.
            None for exact methods.
        restore: base (or None), parts, spec and dtype name to the fine-tuned tensor,
            bit for bit. Only exact methods have it.
        stored_bits: expected bits of all parts, from the shape alone, for the plan.
        payload_bits: bits of the codes alone, without indices, scales and padding
            (``bpp_payload`` in the size report).
        fit: options to the training they ask for, or to None; used when there is a text.
        working_bytes: bytes a weight that encoding or decoding holds at most, beside its
            inputs and parts.
        triples: singular triples that encoding takes of each matrix, from the shape; None
            for methods without a decomposition.
        size_option: what a search for a size or a quality turns; None where there is no
            such option.
    """

    encode: Callable[[TensorPair, Any], Parts] = field(kw_only=True)
    decode: Callable[[Parts, TensorSpec, Any], Tensor] | None = field(default=None, kw_only=True)
    restore: Callable[[Tensor | None, Parts, TensorSpec, str], Tensor] | None = field(
        default=None, kw_only=True
    )
    stored_bits: Callable[[tuple[int, ...], Any], float] = field(kw_only=True)
    payload_bits: Callable[[Parts, TensorSpec, Any], float] = field(kw_only=True)
    fit: Callable[[Any], Fit | None] | None = field(default=None, kw_only=True)
    working_bytes: int = field(default=16, kw_only=True)
    triples: Callable[[tuple[int, ...], Any], int] | None = field(default=None, kw_only=True)
    size_option: SizeOption | None = field(default=None, kw_only=True)

    @property
    def is_exact(self) -> bool:
        """Whether it gives the fine-tuned tensor back bit for bit."""
        return self.restore is not None


@dataclass(frozen=True, slots=True)
class MergeExpert:
    """One expert's tensor with the options that hold for it.

    Args:
        tensor: as stored.
        options: of this expert.
        gram: gives second moments of the layer's inputs on the expert's texts, ``(in, in)``.
        fisher: gives squared gradients of every weight on them, of the tensor's shape.
        place: among the experts of the recipe, for what is known of each; -1 where all
            have the tensor.
    """

    tensor: Tensor
    options: Any
    gram: Callable[[], Tensor] | None = None
    fisher: Callable[[], Tensor] | None = None
    place: int = -1


@dataclass(frozen=True, slots=True)
class MergeInputs:
    """What a merging method sees of one tensor.

    Args:
        spec: name, shape and seed.
        base: as stored, or None when the method runs without one.
        experts: in the user's order; tensors of ``spec.shape``.
        pooled: what the method's surveys found in all tensors; None before, and for
            methods without one.
        config: of the model that gives the result its architecture.
        arithmetic: where intermediate results are rounded.
    """

    spec: TensorSpec
    base: Tensor | None
    experts: tuple[MergeExpert, ...]
    pooled: Any = None
    config: Mapping[str, Any] = field(default_factory=dict)
    arithmetic: Arithmetic = FLOAT32


@dataclass(frozen=True, slots=True)
class StreamInputs:
    """What a method that works piece by piece sees of one tensor, or of some rows of it.

    Args:
        spec: name, shape and seed.
        base: or None when the method runs without one; as long as the experts.
        experts: in the user's order.
        options: of each expert.
        arithmetic: where intermediate results are rounded.
        room: buffers of this thread; spans are never longer than they are.
    """

    spec: TensorSpec
    base: Stored | None
    experts: tuple[Stored, ...]
    options: tuple[Any, ...]
    arithmetic: Arithmetic = FLOAT32
    room: Room = field(default_factory=Room)

    def __len__(self) -> int:
        return len(self.experts[0])


Fill = Callable[[slice, "Floats"], None]
"""Writes the merged numbers of a span in float32. Spans come in order, without a gap."""


@dataclass(frozen=True, slots=True)
class MergeSurvey:
    """One pass over all tensors before the merge, for what no single tensor tells.

    What is gathered is added up in the order of the plan, so threads do not change it.

    Args:
        gather: inputs (whole tensors; ``pooled`` of the survey before) and options to
            statistics of one tensor.
        finish: all statistics, options and ``pooled`` of the survey before to ``pooled``.
        add: two statistics to one; may change and return the first.
    """

    gather: Callable[[MergeInputs, Any], Any]
    finish: Callable[[Any, Any, Any], Any]
    add: Callable[[Any, Any], Any] = operator.add


def _no_merge(inputs: MergeInputs, options: Any) -> Tensor:
    raise NotImplementedError(inputs.spec.name, options)


@dataclass(frozen=True, slots=True)
class _Streamed:
    """``merge`` of a method that streams.

    Args:
        stream: of the method.
    """

    stream: Callable[[StreamInputs, Any], Fill]

    def __call__(self, inputs: MergeInputs, options: Any) -> Tensor:
        """Merge a whole tensor at once."""
        from deltaworks.methods.streaming import merge_streamed

        return merge_streamed(self.stream, inputs, options)


@dataclass(frozen=True)
class MergingMethod(Method):
    """A method that makes one model of several.

    Args:
        expert_options: options that every expert has for itself, such as its weight.
        merge: inputs and options to the merged tensor in float32 (rounded once by the
            engine). Never changes its inputs. Where ``pooled`` is None although there are
            surveys, the tensor counts as the whole model. Methods that stream need none.
        stream: the same piece by piece, without torch: looks at all numbers as often as it
            must, and gives what writes the result. None where whole tensors are needed.
        n_buffers: buffers of one piece that streaming needs beside one for each expert.
        is_elementwise: whether the engine may split the tensor by rows.
        working_bytes: bytes a weight that merging holds at most beside its inputs, the
            result in float32 included.
        group: class of the survey that it belongs to.
        cost: work on one matrix of n weights and N experts, for people.
        surveys: passes over all tensors before the merge.
        switches: whether it gives a model for each expert, chosen by the option
            ``expert``, instead of one for all.
        stored_models: of such a method, how many models' worth of weights it has to keep:
            from the number of experts, the options and the bits a weight.
    """

    expert_options: type[Options] = field(kw_only=True)
    merge: Callable[[MergeInputs, Any], Tensor] = field(default=_no_merge, kw_only=True)
    stream: Callable[[StreamInputs, Any], Fill] | None = field(default=None, kw_only=True)
    n_buffers: int = field(default=2, kw_only=True)
    is_elementwise: bool = field(default=False, kw_only=True)
    working_bytes: int = field(default=12, kw_only=True)
    group: Group = field(default="direct", kw_only=True)
    cost: str = field(default="", kw_only=True)
    surveys: tuple[MergeSurvey, ...] = field(default=(), kw_only=True)
    switches: bool = field(default=False, kw_only=True)
    stored_models: Callable[[int, Any, float], float] | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        """Let methods that stream merge whole tensors as well."""
        if self.stream is not None:
            object.__setattr__(self, "merge", _Streamed(self.stream))


@dataclass(frozen=True, slots=True)
class RepairInputs:
    """What a safety method sees of one tensor.

    Matrices are ``(out, in)`` here: what is stored the other way round is turned before
    and after.

    Args:
        spec: name, shape and seed.
        aligned: of the model that still refuses.
        tuned: of its fine-tune; unrounded in float32 where it is an adapter.
        unaligned: of a model tuned until it no longer refuses, or None.
        pretrained: of the model before its alignment, or None.
        sibling: of another fine-tune of the aligned model that was tuned for safety, or None.
        gram: gives second moments of the layer's inputs, ``(in, in)``, or their diagonal
            alone, ``(in,)``; None where there is none.
        fisher: gives the safety importance of every weight, ``spec.shape``, or None.
        factor: gives the factor of the damped Gram matrix for a damping where it is kept;
            None when it is to be computed from ``gram``.
        pair: factors ``(out, rank)`` and ``(rank, in)`` of the change, where the
            fine-tune is an adapter that stays one; or None.
    """

    spec: TensorSpec
    aligned: Tensor
    tuned: Tensor
    unaligned: Tensor | None = None
    pretrained: Tensor | None = None
    sibling: Tensor | None = None
    gram: Callable[[], Tensor] | None = None
    fisher: Callable[[], Tensor] | None = None
    factor: Callable[[float], Factor] | None = None
    pair: tuple[Tensor, Tensor] | None = None


@dataclass(frozen=True, slots=True)
class Repaired:
    """One repaired tensor.

    Args:
        tensor: floating (rounded once by the engine), of the shape of the inputs; of the
            first factor where a pair was repaired.
        facts: figures for the report, such as the share of the delta admitted.
    """

    tensor: Tensor
    facts: Mapping[str, float] = field(default_factory=dict)


OptionalModel = Literal["unaligned", "pretrained", "sibling"]
Texts = Literal["safety", "task", "harmful"]
Role = Literal["aligned", "tuned"]


@dataclass(frozen=True, slots=True)
class FirstLook:
    """A look at all tensors before the first is repaired.

    Args:
        is_needed: whether these options need it.
        score: inputs and options to one number a tensor.
        settle: options and the numbers by tensor to the options to repair with.
    """

    is_needed: Callable[[Any], bool]
    score: Callable[[RepairInputs, Any], float]
    settle: Callable[[Any, Mapping[str, float]], Any]


def _all_layers(_layer: str, _is_adapter: bool, _options: Any) -> bool:
    """Treat every matrix."""
    return True


@dataclass(frozen=True)
class SafetyMethod(Method):
    """A method that brings refusals back into a fine-tuned model.

    Args:
        repair: inputs and options to the repaired tensor. Never changes its inputs.
        inputs: optional models it cannot do without, each with those that may stand in.
        texts: which texts its statistics come from: safety pairs, the task's, or none.
        gram_of: whose inputs, on which texts; None when it uses no Gram matrices.
        wants: which statistics some options use; ``needs`` has those of the defaults.
        is_diagonal: whether options take the diagonal of the Gram matrix alone.
        recomputes: whether options take each block's Gram matrices after the blocks before
            it are repaired.
        budget: option that a trade-off varies; empty when there is none.
        treats_all: whether it treats every floating tensor, not block matrices alone.
        treats: whether it treats a layer of a block, by its name, whether the fine-tune is
            an adapter, and the options.
        others: which model tensors that it does not treat come from.
        first_look: what it must know of all tensors first.
        repair_pair: like ``repair``, for the first factor of an adapter's pair.
        working_bytes: bytes a weight that repairing holds at most beside its inputs.
        square_bytes: bytes a number of a Gram matrix that it holds on top.
    """

    repair: Callable[[RepairInputs, Any], Repaired] = field(kw_only=True)
    inputs: tuple[tuple[OptionalModel, ...], ...] = field(default=(), kw_only=True)
    texts: tuple[Texts, ...] = field(default=(), kw_only=True)
    gram_of: tuple[Role, Texts] | None = field(default=None, kw_only=True)
    wants: Callable[[Any], tuple[Statistic, ...]] | None = field(default=None, kw_only=True)
    is_diagonal: Callable[[Any], bool] | None = field(default=None, kw_only=True)
    recomputes: Callable[[Any], bool] | None = field(default=None, kw_only=True)
    budget: str = field(default="", kw_only=True)
    treats_all: bool = field(default=False, kw_only=True)
    treats: Callable[[str, bool, Any], bool] = field(default=_all_layers, kw_only=True)
    others: Role = field(default="tuned", kw_only=True)
    first_look: FirstLook | None = field(default=None, kw_only=True)
    repair_pair: Callable[[RepairInputs, Any], Repaired] | None = field(default=None, kw_only=True)
    working_bytes: int = field(default=16, kw_only=True)
    square_bytes: int = field(default=0, kw_only=True)

    def statistics(self, options: Any) -> tuple[Statistic, ...]:
        """Which statistics it needs with these options."""
        return self.needs.statistics if self.wants is None else self.wants(options)


M = TypeVar("M", bound=Method)


class Table(Mapping[str, M]):
    """A family's table that imports a method when it is looked up.

    Args:
        package: of the family's modules.
        places: ids to ``module.RECORD``, in the order of the picker.
    """

    def __init__(self, package: str, places: Mapping[str, str]) -> None:
        self._package, self._places = package, places
        self._known: dict[str, M] = {}

    def __getitem__(self, method_id: str) -> M:
        if method_id not in self._known:
            module, record = self._places[method_id].split(".")
            method: M = getattr(import_module(f"{self._package}.{module}"), record)
            if method.id != method_id:
                raise ValueError(f"{self._places[method_id]} is {method.id}, not {method_id}")
            self._known[method_id] = method
        return self._known[method_id]

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


def index(*methods: M) -> Mapping[str, M]:
    """Make a family's table: id to record, in the order of the picker."""
    table = {method.id: method for method in methods}
    if len(table) != len(methods):
        raise ValueError("two methods share an id")
    return table
