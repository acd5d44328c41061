"""RDC: every bit where it takes away most error, with a head of singular triples.

Source: our design. One step for all weights of a model means one slope of error over
bits everywhere. A matrix is a head of quantised singular triples, where they pay, and a
rest; all numbers are entropy-constrained and entropy-coded by contexts of size.
"""

from __future__ import annotations

from dataclasses import replace
from math import exp2, log2
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import model_validator

from deltaworks.methods.compression.calibrated import CALIBRATED
from deltaworks.methods.compression.parts import damaged, finite_delta
from deltaworks.methods.compression.rdc_format import (
    NAMES,
    matrix_values,
    read_matrix,
    write_matrix,
)
from deltaworks.methods.compression.rdc_matrix import (
    MOST_TRIPLES,
    Trial,
    best_trial,
    estimate_bits,
)
from deltaworks.methods.compression.triples import triples_of
from deltaworks.methods.compression_record import CompressionMethod, Fit, SizeOption
from deltaworks.numerics.byte_coding import DamagedError
from deltaworks.numerics.matrices import Stack, as_stack
from deltaworks.options import Options, option

if TYPE_CHECKING:
    from torch import Tensor

    from deltaworks.methods.compression_record import Parts, TensorPair
    from deltaworks.methods.method import TensorSpec
    from deltaworks.numerics.dead_zone import Floats
    from deltaworks.numerics.low_rank import Svd

_BITS = 1.0
_ETA = 0.12
_SKETCH_FROM = 1024
_LENGTHS = "off"
_SEARCH = 8
_NEAR = 0.98
_FIRST_OCTAVES, _STRIDE = 1.75, 0.75
_LARGEST_BITS = 16.0


class RdcOptions(Options):
    """Options of the rate-distortion codec."""

    bits: float = option(
        _BITS,
        gt=0.0,
        le=_LARGEST_BITS,
        unit="bits",
        title="Bits per weight",
        help="What every matrix may cost, nearly. A target for the whole file, with --bits or "
        "--size, is better: it gives every matrix what it needs.",
        step=0.25,
        sweepable=True,
        sweep=(0.25, 0.5, 1.0, 2.0),
    )
    step: float = option(
        0.0,
        ge=0.0,
        le=1e6,
        title="Step",
        help="Distance of neighbouring values, the same in all matrices. At 0 each matrix gets "
        "the step that meets its bits; a target finds the one that meets it. More makes "
        "smaller files.",
        log=True,
        advanced=True,
    )
    restore: float = option(
        0.4,
        ge=0.0,
        le=1.0,
        title="Restore the size",
        help="Few bits shrink a change. At 0 it stays so, which is best in squared error; at "
        "0.5 it gets back its norm; at 1 it is right on average. Models do best near 0.4.",
        step=0.1,
        advanced=True,
        sweepable=True,
    )
    head: bool = option(
        True,
        title="Singular triples",
        help="Code the strongest directions by themselves where that saves bits. Off, it is "
        "faster and mostly worse.",
        advanced=True,
        sweepable=True,
    )

    steps: int = option(
        200,
        ge=0,
        le=100_000,
        unit="steps",
        title="Training steps",
        help="With a text, how long the size of every matrix's change is trained on it; 0 does "
        "not train. It costs no bits. Three models are in memory meanwhile.",
        sweepable=True,
    )
    learning_rate: float = option(
        0.01,
        gt=0.0,
        le=1.0,
        title="Learning rate",
        help="How fast sizes move, relative to where they begin.",
        log=True,
        advanced=True,
    )
    calibrated: bool = CALIBRATED

    @model_validator(mode="after")
    def _one_of_two(self) -> RdcOptions:
        """Refuse bits that would have no effect."""
        if self.step and self.bits != _BITS:
            raise ValueError(
                f"step {self.step:g} and bits {self.bits:g} are both chosen; "
                f"give one, with step 0 or bits {_BITS:g}"
            )
        return self


def encode(pair: TensorPair, options: RdcOptions) -> Parts:
    """Quantise every matrix at its step and code the numbers."""
    stack = as_stack(pair.spec.shape)
    matrices = finite_delta(pair).reshape(stack.shape).numpy()
    rank = triples(pair.spec.shape, options) if stack.n_elements else 0
    svds = triples_of(pair, rank) if rank else [None] * stack.count
    multiple = _multiple(pair, options)
    found = [
        _encode_matrix(matrix, svd, options, multiple)
        for matrix, svd in zip(matrices, svds, strict=True)
    ]
    parts: Parts = {
        name: np.concatenate([each[name] for each in found] or [np.zeros(0, dtype=np.uint8)])
        for name in NAMES
    }
    parts = {name: part for name, part in parts.items() if len(part) or name == "tables"}
    if stack.count != 1:
        lengths = [[len(each[name]) for name in NAMES] for each in found]
        parts[_LENGTHS] = np.array(lengths, dtype=np.int64).reshape(stack.count, len(NAMES))
    return parts


def _multiple(pair: TensorPair, options: RdcOptions) -> float:
    """What training has found for the size of the change; 1 without."""
    if pair.multiples is None or not options.calibrated:
        return 1.0
    return float(pair.multiples.reshape(-1)[0])


def fit(options: RdcOptions) -> Fit | None:
    """Ask for training of one size a matrix."""
    if not options.steps or not options.calibrated:
        return None
    return Fit(options.steps, options.learning_rate, per_row=False)


def triples(shape: tuple[int, ...], options: RdcOptions) -> int:
    """Triples of each matrix that the head may take."""
    stack = as_stack(shape)
    return min(stack.rows, stack.cols, MOST_TRIPLES) if options.head else 0


def _encode_matrix(
    matrix: Floats, svd: Svd | None, options: RdcOptions, multiple: float
) -> dict[str, Any]:
    energy = float(np.vdot(matrix, matrix))
    if energy == 0.0:
        return {name: np.zeros(0, dtype=np.uint8) for name in NAMES}
    step = options.step or step_for(matrix, svd, options)
    trial = best_trial(matrix, svd, step, _ETA)
    unit = multiple * step * _gain(matrix, trial, step, options.restore)
    return write_matrix(replace(trial.coded, unit=unit))


def _gain(matrix: Floats, trial: Trial, step: float, restore: float) -> float:
    """How far what was shrunk is scaled up again."""
    if not restore:
        return 1.0
    decoded = matrix_values(trial.coded)
    kept = step * float(np.vdot(decoded, matrix)) / float(np.vdot(matrix, matrix))
    return float(max(kept, 1e-3) ** -restore)


def step_for(matrix: Floats, svd: Svd | None, options: RdcOptions) -> float:
    """Find the step at which a matrix takes its bits."""
    budget = options.bits * matrix.size
    rms = float(np.sqrt(np.mean(np.square(matrix, dtype=np.float64))))
    place = log2(rms) - options.bits + _FIRST_OCTAVES
    low: tuple[float, float] | None = None
    high: tuple[float, float] | None = None
    for _ in range(_SEARCH):
        bits = estimate_bits(matrix, svd, exp2(place), _ETA)
        if _NEAR * budget <= bits <= budget:
            return exp2(place)
        if bits > budget:
            low = place, bits
        else:
            high = place, bits
        place = _between(low, high, budget)
    return exp2(high[0] if high else place)


def _between(
    low: tuple[float, float] | None, high: tuple[float, float] | None, budget: float
) -> float:
    """Guess where the budget is met; between two places, logarithms of bits are near a line."""
    if low is None or high is None:
        return low[0] + _STRIDE if low else high[0] - _STRIDE if high else 0.0
    aim = (1.0 + _NEAR) / 2.0 * budget
    share = log2(low[1] / aim) / log2(low[1] / high[1])
    return low[0] + (high[0] - low[0]) * min(max(share, 0.05), 0.95)


def decode(parts: Parts, spec: TensorSpec, options: RdcOptions) -> Tensor:  # noqa: ARG001
    """Read every matrix and put head and rest together."""
    import torch

    stack = as_stack(spec.shape)
    out = np.zeros(stack.shape, dtype=np.float32)
    for number, mine in enumerate(_pieces(parts, stack, spec)):
        if not any(len(part) for part in mine.values()):
            continue
        try:
            out[number] = matrix_values(read_matrix(mine, (stack.rows, stack.cols)))
        except DamagedError as error:
            raise damaged(spec, f"matrix {number + 1} {error}") from error
    return torch.from_numpy(out).reshape(spec.shape)


def _pieces(parts: Parts, stack: Stack, spec: TensorSpec) -> list[dict[str, Any]]:
    """Give the parts of every matrix."""
    if "tables" not in parts:
        raise damaged(spec, "part 'tables' is missing")
    whole = {name: parts.get(name, np.zeros(0, dtype=np.uint8)) for name in NAMES}
    if any(part.dtype != np.uint8 or part.ndim != 1 for part in whole.values()):
        raise damaged(spec, "a part is not a row of bytes")
    if stack.count == 1:
        return [whole]
    lengths = parts.get(_LENGTHS, np.zeros(0, dtype=np.int64))
    if lengths.shape != (stack.count, len(NAMES)) or lengths.min(initial=0) < 0:
        raise damaged(spec, f"part '{_LENGTHS}' does not fit {stack.count} matrices")
    ends = np.cumsum(lengths, axis=0)
    wanted = [len(whole[name]) for name in NAMES]
    if stack.count and ends[-1].tolist() != wanted:
        raise damaged(spec, f"part '{_LENGTHS}' does not add up to what is stored")
    starts = ends - lengths
    return [
        {name: whole[name][a:b] for name, a, b in zip(NAMES, start, end, strict=True)}
        for start, end in zip(starts.tolist(), ends.tolist(), strict=True)
    ]


def stored_bits(shape: tuple[int, ...], options: RdcOptions) -> float:
    """Bits as asked; with a step they depend on the weights, and the usual bits are told."""
    stack = as_stack(shape)
    return options.bits * stack.n_elements + 8.0 * 64 * stack.count


def payload_bits(parts: Parts, spec: TensorSpec, options: RdcOptions) -> float:  # noqa: ARG001
    """Bits of the coded numbers."""
    return 8.0 * parts["blob"].nbytes if "blob" in parts else 0.0


METHOD = CompressionMethod(
    id="rdc",
    title="RDC (rate-distortion codec)",
    family="compression",
    summary="Our own: puts every bit where it saves most error. Meets any size.",
    source="ours; docs/methods/rdc.md",
    decomposes=True,
    options=RdcOptions,
    evidence="Our design; every figure is measured, none is a paper's.",
    encode=encode,
    decode=decode,
    stored_bits=stored_bits,
    payload_bits=payload_bits,
    fit=fit,
    working_bytes=48,
    triples=triples,
    size_option=SizeOption("step", 1e-9, 1e3),
)
