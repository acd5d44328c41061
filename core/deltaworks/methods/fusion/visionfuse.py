"""VisionFuse: several vision towers before one merged language model.

Source: Chen et al., "Enhancing Perception Capabilities of Multimodal LLMs with
Training-Free Fusion", arXiv:2412.01289, by its abstract: no official code was found, so
the defaults here (equal coefficients that sum to one, everything of the language model
merged, fewest tokens first) are our design.
"""

from __future__ import annotations

from typing import Literal

from deltaworks.methods.fusion.record import FusionMethod
from deltaworks.methods.method import Needs
from deltaworks.options import Options, option

Order = Literal["fewest-first", "listed"]


class VisionFuseOptions(Options):
    """Options of the fusion itself; those of the merge belong to its operator."""

    order: Order = option(
        "fewest-first",
        title="Token order",
        help="Which model's picture tokens come first: of the fewest tokens, or as listed.",
        labels={"fewest-first": "Fewest first", "listed": "As listed"},
    )
    largest_norm: float = option(
        0.2,
        title="Largest change",
        help="Warn of a model whose change is a larger share of the base's norm.",
        ge=0.0,
        le=10.0,
    )
    largest_ratio: float = option(
        5.0,
        title="Largest ratio of changes",
        help="Warn when the largest change is this many times the smallest.",
        ge=1.0,
        le=1000.0,
    )


METHOD = FusionMethod(
    id="visionfuse",
    title="VisionFuse",
    family="fusion",
    summary="Gives one merged language model the eyes of several multimodal models.",
    source="arXiv:2412.01289",
    options=VisionFuseOptions,
    needs=Needs(base=True, min_experts=2),
    evidence="Design after the abstract; no official code was found to compare with.",
    merged="language model",
    kept="vision towers and projectors",
    operator="task-arithmetic",
)
