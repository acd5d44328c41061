"""One tensor of base and expert, encoded at every setting. Runs on the workers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from math import fsum, inf, isfinite, nan
from typing import TYPE_CHECKING, Any

import numpy as np

from deltaworks.checkpoints.hashes import tensor_hash
from deltaworks.engine.compress_plan import EXACT, Choice, TensorTask
from deltaworks.engine.faults import placed
from deltaworks.errors import CancelledError, NotFiniteError
from deltaworks.methods.compression_record import CompressionMethod, Parts, TensorPair
from deltaworks.methods.method import TensorSpec
from deltaworks.numerics.chunks import spans
from deltaworks.numerics.words import tensor_words, words_tensor

if TYPE_CHECKING:
    from torch import Tensor

    Words = np.ndarray[Any, Any]

_PIECE = 1 << 14
"""Numbers whose squares are summed in float32."""
_BUFFER = 1 << 16
"""Numbers that are subtracted at once."""
_LEAST_SQUARE = 1e-24
"""Below it, squares may have been lost to the end of float32's range."""


@dataclass(frozen=True)
class Encoded:
    """What one setting keeps of one tensor.

    Args:
        codec: id of the method that encoded it.
        parts: to be stored.
        payload_bits: bits of the codes alone.
        error: squared error of the decoded delta, a sum in float64.
        seconds: time that encoding and checking took.
        is_transposed: whether the parts are those of the transposed tensor.
    """

    codec: str
    parts: Parts
    payload_bits: float
    error: float = 0.0
    seconds: float = 0.0
    is_transposed: bool = False

    @property
    def n_bytes(self) -> int:
        """Bytes of all parts."""
        return sum(part.nbytes for part in self.parts.values())


@dataclass(frozen=True)
class EncodedTensor:
    """One tensor at every setting.

    Args:
        task: what was planned for it.
        is_same: bit-identical to the base's; then nothing is stored.
        base_hash: of the base's tensor; empty when it is not used.
        tuned_hash: of the expert's tensor.
        energy: squared norm of the delta, a sum in float64; 0 without a base.
        results: one a setting; an exception where a setting failed and may.
        warning: for the user; empty when there is nothing to say.
        alias: the earlier tensor that it equals bit for bit; then nothing is stored.
    """

    task: TensorTask
    is_same: bool
    base_hash: str
    tuned_hash: str
    energy: float
    results: tuple[Encoded | BaseException, ...]
    warning: str = ""
    alias: str = ""


def encode_tensor(
    task: TensorTask,
    base: Words | None,
    tuned: Words,
    choices: Sequence[Choice],
    *,
    seed: int,
    tolerate: bool,
    twins: Sequence[Words] = (),
    gram: Callable[[], Tensor] | None = None,
    multiples: Sequence[Words | None] = (),
) -> EncodedTensor:
    """Encode a tensor at every setting; what settings share is computed once.

    Args:
        task: what was planned.
        base: raw words of the base's tensor, or None when there is no delta.
        tuned: raw words of the expert's tensor.
        choices: the settings.
        seed: the job's.
        tolerate: keep the error of a setting as its result instead of raising it.
        twins: raw words of the tensors that it may be tied to, as the task names them.
        gram: gives the second moments of the layer's inputs; None without calibration.
        multiples: what training has found for each setting's scales; empty without.
    """
    base_hash = "" if base is None else tensor_hash(base)
    is_alike = task.base is not None and task.base.dtype == task.info.dtype
    if base is not None and is_alike and same_words(base, tuned):
        return EncodedTensor(task, True, base_hash, base_hash, 0.0, ())
    for name, words in zip(task.twins, twins, strict=True):
        if same_words(words, tuned):
            return EncodedTensor(task, False, "", "", 0.0, (), alias=name)
    pair = TensorPair(
        TensorSpec(task.info.name, task.info.shape, seed),
        None if base is None or task.base is None else words_tensor(base, task.base.dtype),
        words_tensor(tuned, task.info.dtype),
        gram,
        triples_for(task, choices),
    )
    energy = 0.0
    if pair.base is not None and task.info.is_floating:
        needs_delta = task.is_treated and not task.is_transposed
        needs_delta = needs_delta and not all(choice.method.is_exact for choice in choices)
        # The same pieces, so the same sum.
        energy = (
            squared_norm(pair.delta) if needs_delta else squared_distance(pair.tuned, pair.base)
        )
    is_finite = isfinite(energy)
    trained = multiples or [None] * len(choices)
    results = tuple(
        _encoded(pair, task, choices, trained, is_treatable=is_finite, tolerate=tolerate)
    )
    warning = "" if is_finite else "holds NaN or infinity; stored exactly"
    energy = energy if is_finite else 0.0
    return EncodedTensor(task, False, base_hash, tensor_hash(tuned), energy, results, warning)


def triples_for(task: TensorTask, choices: Sequence[Choice]) -> int:
    """Count the singular triples that the most demanding setting takes of a tensor."""
    if not task.is_treated:
        return 0
    wanted = [
        choice.method.triples(task.codec_shape, choice.options)
        for choice in choices
        if choice.method.triples is not None
    ]
    return max(wanted, default=0)


def _encoded(
    pair: TensorPair,
    task: TensorTask,
    choices: Sequence[Choice],
    trained: Sequence[Words | None],
    *,
    is_treatable: bool,
    tolerate: bool,
) -> Iterator[Encoded | BaseException]:
    left_alone: Encoded | None = None
    seen: TensorPair | None = None
    for choice, multiples in zip(choices, trained, strict=True):
        started = time.perf_counter()
        try:
            if choice.method.is_exact:
                encoded = _exact(pair, task, choice.method, choice.options)
            elif task.is_treated and is_treatable:
                seen = seen or _as_methods_see(pair, task)
                mine = seen if multiples is None else seen.with_multiples(multiples)
                encoded = replace(_lossy(mine, choice), is_transposed=task.is_transposed)
            else:
                left_alone = left_alone or _exact(pair, task, EXACT, EXACT.options())
                encoded = left_alone
            yield replace(encoded, seconds=time.perf_counter() - started)
        except CancelledError:
            raise
        except Exception as error:
            if not tolerate:
                raise
            yield placed(error, task.info.name)


def _exact(pair: TensorPair, task: TensorTask, method: CompressionMethod, options: Any) -> Encoded:
    """Store a tensor bit for bit, and check at once that it comes back."""
    assert method.restore is not None
    parts = method.encode(pair, options)
    again = method.restore(pair.base, parts, pair.spec, task.info.dtype)
    if not same_words(tensor_words(again), tensor_words(pair.tuned)):
        raise RuntimeError(f"{method.id} does not give {task.info.name} back bit for bit")
    return Encoded(method.id, parts, method.payload_bits(parts, pair.spec, options))


def _as_methods_see(pair: TensorPair, task: TensorTask) -> TensorPair:
    """Turn what is stored ``(in, out)``, so that rows are outputs; most come as they are."""
    if not task.is_transposed:
        return pair
    base = None if pair.base is None else pair.base.mT.contiguous()
    spec = replace(pair.spec, shape=task.codec_shape)
    return TensorPair(spec, base, pair.tuned.mT.contiguous(), pair.read_gram, pair.triples)


def _lossy(pair: TensorPair, choice: Choice) -> Encoded:
    method, options = choice.method, choice.options
    assert method.decode is not None
    parts = method.encode(pair, options)
    decoded = method.decode(parts, pair.spec, options)
    error = squared_distance(pair.delta, decoded)
    if not isfinite(error):
        raise NotFiniteError(
            f"{method.title} gives NaN or infinity back",
            where=pair.spec.name,
            fix="Choose another setting or method.",
        )
    return Encoded(method.id, parts, method.payload_bits(parts, pair.spec, options), error)


def same_words(one: Words, other: Words) -> bool:
    """Compare bit for bit, NaN included, and stop at the first difference."""
    a, b = _plain(one), _plain(other)
    return len(a) == len(b) and all(np.array_equal(a[span], b[span]) for span in spans(len(a)))


def _plain(words: Words) -> Words:
    flat = np.ascontiguousarray(words).reshape(-1)
    return flat.view(f"u{flat.dtype.itemsize}")


def squared_distance(one: Tensor, other: Tensor) -> float:
    """Subtract in float32, as deltas are; sum squares piece by piece.

    Inside a piece the sum is one of float32, which is right to about 1e-7 and better over
    many pieces; their sums are added exactly. Where one has more rows, those that both
    have count.
    """
    import torch

    a, b = one.reshape(-1), other.reshape(-1)
    n_common = min(len(a), len(b))
    left, right = torch.empty(2, min(n_common, _BUFFER))
    found: list[float] = []
    for span in spans(n_common, _BUFFER):
        piece = left[: span.stop - span.start].copy_(a[span])
        piece.sub_(right[: len(piece)].copy_(b[span]))
        found += _squares(piece)
    return _sum(found)


def squared_norm(delta: Tensor) -> float:
    """Sum squares like ``squared_distance``, of a float32 tensor."""
    return _sum(_squares(delta.reshape(-1)))


def _squares(numbers: Tensor) -> list[float]:
    return [_square(numbers[span]) for span in spans(len(numbers), _PIECE)]


def _square(piece: Tensor) -> float:
    """Sum the squares of a piece, in float64 where float32 could run out of its range."""
    square = float(piece.dot(piece))
    if _LEAST_SQUARE < square < inf:
        return square
    wide = piece.double()
    return float(wide.dot(wide))


def _sum(values: Iterable[float]) -> float:
    """Sum exactly; NaN when any is not finite, where ``fsum`` may raise."""
    found = list(values)
    return fsum(found) if all(map(isfinite, found)) else nan
