"""Seeking: the most sensitive block of a larger model's matrix as the start of low-rank training.

Source: Zhong et al., "Seeking Neural Nuggets", arXiv:2310.11451, and as a control of Tan et
al., "Neural Incompatibility", arXiv:2505.14436; steps after both repositories' code.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from deltaworks.methods.method import Needs
from deltaworks.methods.transfer.layers import LayerMode, choose_layers
from deltaworks.methods.transfer.record import Block, Factors, Scores, TransferMethod
from deltaworks.methods.transfer.starts import factors_of
from deltaworks.methods.transfer.windows import random_block, row_column_block, window_block
from deltaworks.options import Options, option

if TYPE_CHECKING:
    from torch import Tensor

Structure = Literal["window", "rows-columns", "random"]


class SeekingOptions(Options):
    """Options of Seeking."""

    rank: int = option(
        16,
        title="Rank",
        help="Of the factors of every matrix. The change that is saved has twice this rank.",
        ge=1,
        le=1024,
        unit="rank",
    )
    alpha: float = option(
        16.0,
        title="Alpha",
        help="Alpha over rank multiplies the factors' product; as large as the rank is a factor "
        "of one.",
        gt=0.0,
        le=4096.0,
    )
    attention: bool = option(
        True, title="Attention", help="Transfer and train the attention's matrices."
    )
    ffn: bool = option(
        True, title="Feed-forward", help="Transfer and train the feed-forward matrices."
    )
    layers: LayerMode = option(
        "sensitivity",
        title="Layers",
        help="Which layers of the source feed those of the target. It mattered little to the "
        "authors.",
        labels={
            "sensitivity": "Most sensitive",
            "first": "First",
            "last": "Last",
            "random": "Random",
        },
    )
    structure: Structure = option(
        "window",
        title="Structure",
        help="Which part of a source matrix is taken: the most sensitive window, the most "
        "sensitive rows and columns, or a window anywhere.",
        labels={"window": "Window", "rows-columns": "Rows and columns", "random": "Random window"},
    )


def layers(scores: Sequence[float], count: int, seed: int, options: SeekingOptions) -> list[int]:
    """Choose the source's layers."""
    return choose_layers(scores, count, seed, options.layers)


def block(
    scores: Scores, shape: tuple[int, int], seed: int, name: str, options: SeekingOptions
) -> Block:
    """Choose the part of one matrix."""
    if options.structure == "random":
        return random_block(scores, *shape, seed, name)
    if options.structure == "rows-columns":
        return row_column_block(scores, *shape)
    return window_block(scores, *shape)


def start(extracted: Tensor, name: str, options: SeekingOptions) -> Factors:
    """Truncate the block to the rank; all singular values go to B."""
    return factors_of(extracted, options.rank, name)


METHOD = TransferMethod(
    id="seeking",
    title="Seeking",
    family="transfer",
    summary="Starts low-rank training from the most sensitive block of a larger model.",
    source="arXiv:2310.11451, arXiv:2505.14436",
    options=SeekingOptions,
    needs=Needs(base=False, min_experts=2, max_experts=2),
    evidence="Steps and defaults after the authors' code; their figures are not reproduced here.",
    is_random=True,
    decomposes=True,
    aligned="after",
    layers=layers,
    block=block,
    start=start,
)
