"""BitDelta: the sign of every change and scales that a text has helped to choose.

Source: Liu et al., "BitDelta: Your Fine-Tune May Only Be Worth One Bit", arXiv:2402.10193,
and its code. Signs never change; scales begin at the mean magnitude and are then trained so
that the compressed model scores tokens as the expert does. Departures: scales alone are
trained (the code also trains embeddings, norms and head); they are trained as multiples of
where they begin; with inputs at hand they begin at the least-squares ones of the layer's
outputs, in closed form; a scale for each row, on request. Without a text it is sign coding.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from deltaworks.methods.compression import sign
from deltaworks.methods.compression.calibrated import CALIBRATED, grams_for
from deltaworks.methods.compression.parts import finite_delta
from deltaworks.methods.compression_record import CompressionMethod, Fit
from deltaworks.methods.method import Needs
from deltaworks.numerics.matrices import Stack, as_stack
from deltaworks.options import Options, option

if TYPE_CHECKING:
    from torch import Tensor

    from deltaworks.methods.compression_record import Parts, TensorPair
    from deltaworks.methods.method import TensorSpec


class BitDeltaOptions(Options):
    """Options of BitDelta."""

    scale: Literal["matrix", "row"] = option(
        "matrix",
        title="One scale for each",
        help="How many weights share a scale. A scale for each row follows the delta better and "
        "costs 32 bits a row.",
        sweepable=True,
        sweep=("matrix", "row"),
        labels={"matrix": "Matrix (as in the paper)", "row": "Row (output channel)"},
    )
    start: Literal["magnitude", "outputs"] = option(
        "outputs",
        title="Scales begin at",
        help="Mean magnitudes are best in squared error of the weights, as in the paper. With a "
        "text, scales can begin where the layer's outputs are best.",
        sweepable=True,
        labels={"magnitude": "Mean magnitude", "outputs": "Best for the outputs"},
    )
    steps: int = option(
        200,
        ge=0,
        le=100_000,
        unit="steps",
        title="Training steps",
        help="How long scales are trained on the job's text; 0 does not train. Three models are "
        "in memory meanwhile.",
        sweepable=True,
    )
    learning_rate: float = option(
        0.01,
        gt=0.0,
        le=1.0,
        title="Learning rate",
        help="How fast scales move, relative to where they begin.",
        log=True,
        advanced=True,
    )
    calibrated: bool = CALIBRATED

    @property
    def coding(self) -> sign.SignOptions:
        """How the parts are laid out."""
        return sign.SignOptions(scale=self.scale)


def encode(pair: TensorPair, options: BitDeltaOptions) -> Parts:
    """Store signs, and the scales that inputs and training have given."""
    parts = sign.encode(pair, options.coding)
    stack = as_stack(pair.spec.shape)
    grams = grams_for(pair, stack, calibrated=options.calibrated and options.start == "outputs")
    if grams is not None:
        parts["scale"] = _best_for_outputs(finite_delta(pair), grams, stack, options, parts)
    if pair.multiples is not None and options.calibrated:
        parts["scale"] = (parts["scale"] * pair.multiples).astype(np.float32)
    return parts


def _best_for_outputs(
    delta: Tensor, grams: list[Tensor], stack: Stack, options: BitDeltaOptions, parts: Parts
) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """Least squares of the outputs: ``s G d / s G s`` of each row, or summed over rows."""
    import torch

    wanted, have = [], []
    for number, matrix in enumerate(delta.reshape(stack.shape)):
        signs = torch.where(matrix >= 0, 1.0, -1.0)
        seen = signs @ grams[number % len(grams)]
        wanted.append((seen * matrix).double().sum(dim=1))
        have.append((seen * signs).double().sum(dim=1))
    above, below = torch.stack(wanted), torch.stack(have)
    if options.scale == "matrix":
        above, below = above.sum(dim=1), below.sum(dim=1)
    above, below = above.reshape(-1), below.reshape(-1)
    usual = torch.from_numpy(parts["scale"]).double()
    return torch.where(below > 0, above / below.clamp(min=1e-300), usual).float().numpy()


def decode(parts: Parts, spec: TensorSpec, options: BitDeltaOptions) -> Tensor:
    """Give plus or minus the scale."""
    return sign.decode(parts, spec, options.coding)


def fit(options: BitDeltaOptions) -> Fit | None:
    """Ask for training."""
    if not options.steps or not options.calibrated:
        return None
    return Fit(options.steps, options.learning_rate, per_row=options.scale == "row")


def stored_bits(shape: tuple[int, ...], options: BitDeltaOptions) -> float:
    """Bits of signs and scales."""
    return sign.stored_bits(shape, options.coding)


def payload_bits(parts: Parts, spec: TensorSpec, options: BitDeltaOptions) -> float:
    """Give one bit a weight."""
    return sign.payload_bits(parts, spec, options.coding)


METHOD = CompressionMethod(
    id="bitdelta",
    title="BitDelta",
    family="compression",
    summary="Keeps the sign of every change; a text helps to choose the scales.",
    source="arXiv:2402.10193",
    options=BitDeltaOptions,
    needs=Needs(helped_by=("gram",)),
    evidence="The authors' code was read. Scales alone are trained; scales that begin at the best "
    "for the layer's outputs, and scales for each row, are ours.",
    encode=encode,
    decode=decode,
    stored_bits=stored_bits,
    payload_bits=payload_bits,
    fit=fit,
    working_bytes=24,
)
