"""What a compression method is, and the pair of tensors it sees."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from deltaworks.methods.method import Method, TensorSpec
from deltaworks.numerics.deltas import delta_of

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor


T = TypeVar("T")

Parts = dict[str, "np.ndarray[Any, Any]"]
"""What a storing method keeps of one tensor: part name to array on the CPU.

Only dtypes that safetensors and numpy share: u8, i32, i64, f16, f32.
"""


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
