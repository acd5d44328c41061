"""Task arithmetic: add the experts' deltas to the base.

Source: Ilharco et al., "Editing Models with Task Arithmetic", arXiv:2212.04089;
arcee-ai/mergekit 0.1.5, method ``task_arithmetic``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from deltaworks.methods.merging.fields import scale_field, weight_field
from deltaworks.methods.merging.task_vectors import N_BUFFERS, Rule, stream_task_vectors
from deltaworks.methods.merging_record import MergingMethod
from deltaworks.options import Options, option

if TYPE_CHECKING:
    from deltaworks.methods.merging_record import Fill, StreamInputs


class TaskArithmeticOptions(Options):
    """Options of task arithmetic."""

    normalize: bool = option(
        False,
        title="Normalize",
        help="Divide the summed deltas by the sum of the weights.",
    )
    scale: float = scale_field(
        "Multiplies the summed delta before it is added to the base.", sweep=(0.3, 0.5, 0.7, 1.0)
    )


class TaskArithmeticExpertOptions(Options):
    """Options of each expert."""

    weight: float = weight_field("Multiplies the delta of this model. Negative weights unlearn.")


def stream(inputs: StreamInputs, options: TaskArithmeticOptions) -> Fill:
    """Give ``base + scale * sum(weight * (expert - base))``."""
    return stream_task_vectors(inputs, Rule(normalize=options.normalize, scale=options.scale))


METHOD = MergingMethod(
    id="task-arithmetic",
    title="Task arithmetic",
    family="merging",
    group="direct",
    cost="N n",
    summary="Adds what each model learned to the base, each with its own weight.",
    source="arXiv:2212.04089, mergekit 0.1.5",
    options=TaskArithmeticOptions,
    expert_options=TaskArithmeticExpertOptions,
    evidence="Compared with outputs of mergekit 0.1.5 in float32.",
    stream=stream,
    working_bytes=0,
    n_buffers=N_BUFFERS,
    is_elementwise=True,
)
