"""DeltaZip: two of every four weights of a delta, in few bits, chosen by a text's inputs.

Source: Yao et al., "DeltaZip", arXiv:2312.05215, and its code, which follows SparseGPT
(arXiv:2301.00774): in each group of four columns the two entries that cost least are
dropped, the others rounded, and later columns make both errors good. Departures: what is
kept lies on a grid without zero, which survivors do not need; scales are fitted before
rounding; inputs are those of the unchanged model; embeddings and norms are stored exactly,
where the authors leave norms out. Without inputs the two largest are kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from deltaworks.methods.compression.calibrated import CALIBRATED, DAMPING, Ordered, factors_for
from deltaworks.methods.compression.parts import damaged, finite_delta, one_float, take
from deltaworks.methods.compression_record import CompressionMethod
from deltaworks.methods.method import Needs
from deltaworks.numerics.gptq import round_apart, round_columns
from deltaworks.numerics.halves import unit_for
from deltaworks.numerics.matrices import Stack, as_stack
from deltaworks.numerics.packing import pack, packed_width, unpack
from deltaworks.options import Options, option

if TYPE_CHECKING:
    from torch import Tensor

    from deltaworks.methods.compression_record import Parts, TensorPair
    from deltaworks.methods.method import TensorSpec

_FOUR, _TWO = 4, 2
_PLACES = np.array([(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)], dtype=np.int64)
_SHRINKS = tuple(0.1 * step for step in range(2, 11))


class DeltaZipOptions(Options):
    """Options of DeltaZip."""

    bits: int = option(
        2,
        ge=1,
        le=8,
        unit="bits",
        title="Bits per kept weight",
        help="Half of the weights are kept, each in so many bits; where they are costs another "
        "bit a weight, or three quarters.",
        sweepable=True,
        sweep=(2, 4),
    )
    group_size: int = option(
        0,
        ge=0,
        le=65536,
        unit="weights",
        title="Group size",
        help="Weights of a row that share a scale, a multiple of 4; 0 for the whole row, as the "
        "authors do. Smaller groups follow the delta better and cost 16 bits each.",
        step=64,
        advanced=True,
        sweepable=True,
    )
    positions: Literal["indices", "tight"] = option(
        "indices",
        title="How places are stored",
        help="Two bits for each kept weight is what graphics processors read. Tight takes three "
        "bits for both places of a group, a quarter of a bit a weight less.",
        advanced=True,
        labels={"indices": "Two bits each", "tight": "Three bits for two"},
    )
    damping: float = DAMPING
    calibrated: bool = CALIBRATED

    def group(self, columns: int) -> int:
        """Columns that share a scale, a multiple of four."""
        size = self.group_size or max(1, columns)
        return -(-size // _FOUR) * _FOUR


class _Pruner:
    """Chooses two of four columns in every row, and rounds them."""

    def __init__(self, weights: Tensor, options: DeltaZipOptions, diagonal: Tensor) -> None:
        import torch

        rows, columns = weights.shape
        self._bits, self._group = options.bits, options.group(columns)
        self._middle = ((1 << options.bits) - 1) / 2
        self.places = torch.zeros(rows, columns // _FOUR, _TWO, dtype=torch.long)
        self.codes = torch.zeros(rows, columns // _FOUR, _TWO, dtype=torch.uint8)
        self._kept = torch.zeros(rows, _FOUR, dtype=torch.bool)
        self.scale = self._scales(weights, diagonal)

    def _scales(self, weights: Tensor, diagonal: Tensor) -> Tensor:
        """Fit scales to what would be kept if nothing were made good."""
        import torch

        scales = []
        for start in range(0, weights.shape[1], self._group):
            some = weights[:, start : start + self._group]
            fours = some.reshape(len(some), some.shape[1] // _FOUR, _FOUR)
            costs = (fours / diagonal[start : start + self._group].reshape(-1, _FOUR)).square()
            mine = fours.gather(2, costs.topk(_TWO, dim=2).indices).flatten(1)
            top = mine.abs().amax(dim=1) / max(self._middle, 0.5)
            tried = torch.stack([(top * share).half().float() for share in _SHRINKS])
            errors = torch.stack([self._error(mine, one) for one in tried])
            scales.append(tried.gather(0, errors.argmin(dim=0, keepdim=True))[0])
        return torch.stack(scales, dim=1) if scales else torch.zeros(len(weights), 0)

    def _error(self, values: Tensor, scale: Tensor) -> Tensor:
        scale = scale[:, None]
        found = (self._code(values, scale) - self._middle) * scale
        return (found - values).square().sum(dim=1)

    def _code(self, values: Tensor, scale: Tensor) -> Tensor:
        codes = (values / scale.where(scale != 0, 1.0) + self._middle).round()
        return codes.clamp_(0, 2 * self._middle)

    def begin(self, start: int, columns: Tensor, diagonal: Tensor) -> None:
        """Choose what is kept of the next four columns."""
        costs = (columns / diagonal).square()
        # A stable sort, so that of equal ones the first are kept.
        found = costs.argsort(dim=1, descending=True, stable=True)[:, :_TWO]
        self.places[:, start // _FOUR] = found.sort(dim=1).values
        self._kept.zero_().scatter_(1, found, value=True)

    def round(self, column: int, values: Tensor) -> Tensor:
        """Round a column where it is kept."""
        four, at = divmod(column, _FOUR)
        scale = self.scale[:, column // self._group]
        codes = self._code(values, scale)
        for slot in range(_TWO):
            mine = self.places[:, four, slot] == at
            self.codes[mine, four, slot] = codes[mine].to(self.codes.dtype)
        return ((codes - self._middle) * scale).where(self._kept[:, at], 0.0)


def encode(pair: TensorPair, options: DeltaZipOptions) -> Parts:
    """Store codes, places and scales."""
    stack = as_stack(pair.spec.shape)
    delta = finite_delta(pair)
    unit = unit_for(float(delta.abs().max()) if delta.numel() else 0.0)
    factors = factors_for(pair, stack, calibrated=options.calibrated, damping=options.damping)
    found = [
        _pruned(matrix / unit, options, None if factors is None else factors[number % len(factors)])
        for number, matrix in enumerate(delta.reshape(stack.shape))
    ]
    fours, groups = _counts(stack, options)
    pairs = np.zeros((0, fours, _TWO), dtype=np.uint8)
    codes = np.concatenate([pairs, *(one.codes.numpy() for one in found)])
    places = np.concatenate([pairs, *(one.places.numpy() for one in found)]).astype(np.int64)
    scales = np.concatenate(
        [np.zeros((0, groups), dtype=np.float32), *(one.scale.numpy() for one in found)]
    )
    return {
        "q": pack(codes.reshape(len(codes), _TWO * fours), options.bits),
        "idx": pack(_written(places, options), _place_bits(options)),
        "s": scales.astype(np.float16),
        "unit": one_float(unit),
    }


def _pruned(weights: Tensor, options: DeltaZipOptions, factor: Ordered | None) -> _Pruner:
    """Prune and round one matrix, widened to whole groups of four."""
    import torch

    columns = weights.shape[1]
    spare = -columns % _FOUR
    diagonal = torch.ones(columns + spare)
    if factor is not None:
        weights = weights.masked_fill(factor.dead, 0.0)
        diagonal[:columns] = factor.factor.upper.diagonal()
    wide = torch.nn.functional.pad(weights, (0, spare))
    pruner = _Pruner(wide, options, diagonal)
    if factor is None:
        round_apart(wide, pruner, group=_FOUR)
    else:
        upper = torch.block_diag(factor.factor.upper, torch.eye(spare)) if spare else None  # type: ignore[no-untyped-call]
        round_columns(wide, factor.factor.upper if upper is None else upper, pruner, group=_FOUR)
    return pruner


def _counts(stack: Stack, options: DeltaZipOptions) -> tuple[int, int]:
    """Groups of four, and groups that share a scale, of a row."""
    fours = -(-stack.cols // _FOUR)
    return fours, -(-fours * _FOUR // options.group(fours * _FOUR)) if fours else 0


def _place_bits(options: DeltaZipOptions) -> int:
    return 4 if options.positions == "indices" else 3


def _written(
    places: np.ndarray[tuple[int, ...], np.dtype[np.int64]], options: DeltaZipOptions
) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    """Both places of each group as one number."""
    first, second = places[:, :, 0], places[:, :, 1]
    if options.positions == "indices":
        return first + 4 * second
    table = np.zeros((_FOUR, _FOUR), dtype=np.int64)
    table[_PLACES[:, 0], _PLACES[:, 1]] = np.arange(len(_PLACES))
    found: np.ndarray[tuple[int, ...], np.dtype[np.int64]] = table[first, second]
    return found


def decode(parts: Parts, spec: TensorSpec, options: DeltaZipOptions) -> Tensor:
    """Put the kept weights back.

    Raises:
        FileError: the parts are damaged.
    """
    import torch

    stack = as_stack(spec.shape)
    rows = stack.count * stack.rows
    fours, groups = _counts(stack, options)
    packed = take(parts, "q", np.uint8, (rows, packed_width(_TWO * fours, options.bits)), spec)
    width = _place_bits(options)
    where = take(parts, "idx", np.uint8, (rows, packed_width(fours, width)), spec)
    scale = take(parts, "s", np.float16, (rows, groups), spec).astype(np.float32)
    unit = float(take(parts, "unit", np.float32, (1,), spec)[0])
    codes = unpack(packed, options.bits, _TWO * fours).astype(np.float32)
    values = codes.reshape(rows, fours, _TWO) - np.float32(((1 << options.bits) - 1) / 2)
    spread = np.repeat(scale, options.group(fours * _FOUR) // _FOUR, axis=1)[:, :fours]
    values *= (spread * np.float32(unit))[:, :, None]
    out = np.zeros((rows, fours, _FOUR), dtype=np.float32)
    np.put_along_axis(out, _read_places(unpack(where, width, fours), options, spec), values, axis=2)
    whole = out.reshape(rows, fours * _FOUR)[:, : stack.cols]
    return torch.from_numpy(np.ascontiguousarray(whole)).reshape(spec.shape)


def _read_places(
    written: np.ndarray[tuple[int, ...], np.dtype[np.uint16]],
    options: DeltaZipOptions,
    spec: TensorSpec,
) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    """Undo ``_written``.

    Raises:
        FileError: they are no two places of four.
    """
    numbers = written.astype(np.int64)
    if options.positions == "tight":
        if numbers.size and int(numbers.max()) >= len(_PLACES):
            raise damaged(spec, f"part 'idx' holds {int(numbers.max())}, of {len(_PLACES)} places")
        found: np.ndarray[tuple[int, ...], np.dtype[np.int64]] = _PLACES[numbers]
        return found
    places = np.stack([numbers % 4, numbers // 4], axis=2)
    if places.size and not bool((places[:, :, 0] < places[:, :, 1]).all()):
        raise damaged(spec, "part 'idx' names a place twice")
    return places


def stored_bits(shape: tuple[int, ...], options: DeltaZipOptions) -> float:
    """Bits of codes, places and scales."""
    stack = as_stack(shape)
    fours, groups = _counts(stack, options)
    codes = packed_width(_TWO * fours, options.bits) + packed_width(fours, _place_bits(options))
    return stack.count * stack.rows * (8.0 * codes + 16.0 * groups) + 32


def payload_bits(parts: Parts, spec: TensorSpec, options: DeltaZipOptions) -> float:  # noqa: ARG001
    """Bits of the codes alone: of half of the weights."""
    return options.bits * as_stack(spec.shape).n_elements / 2


METHOD = CompressionMethod(
    id="deltazip",
    title="DeltaZip (2 of 4)",
    family="compression",
    summary="Keeps two of every four changes in few bits and makes errors good with a text.",
    source="arXiv:2312.05215",
    options=DeltaZipOptions,
    needs=Needs(helped_by=("gram",)),
    evidence="The authors' code was read. Kept weights lie on a grid without zero, and inputs are "
    "those of the unchanged model. Without a text the two largest of four are kept.",
    encode=encode,
    decode=decode,
    stored_bits=stored_bits,
    payload_bits=payload_bits,
    working_bytes=48,
)
