"""How much a loss leans on each weight: ``|weight x gradient|``, summed over samples.

Source: Zhong et al., arXiv:2310.11451, after their code: the absolute value is taken sample
by sample, so that gradients of opposite sign do not cancel. Departure: each gradient is
used and freed as soon as it is there, so that never more than one is held.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from deltaworks.errors import NotFiniteError
from deltaworks.progress import JobControl, Progress
from deltaworks.training.answers import Lesson, mean_loss

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module


@dataclass
class Sensitivity:
    """What samples lean on.

    Args:
        matrices: float32 sums of the tensors that were asked for, entry by entry.
        totals: sum over all entries of every tensor.
        counts: entries of every tensor.
    """

    matrices: dict[str, Tensor] = field(default_factory=dict)
    totals: dict[str, float] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)


def accumulate(
    tensors: Mapping[str, Tensor],
    losses: Sequence[Callable[[], Tensor]],
    kept: Collection[str],
    control: JobControl,
) -> Sensitivity:
    """Differentiate one loss after the other.

    Args:
        tensors: leaves that the losses depend on; they require gradients only in here.
        losses: one a sample.
        kept: names whose scores are kept entry by entry.
        control: progress in samples, Stop.

    Raises:
        NotFiniteError: a gradient is NaN or infinite.
    """
    import torch

    found = Sensitivity()
    for name, tensor in tensors.items():
        found.totals[name], found.counts[name] = 0.0, tensor.numel()
        if name in kept:
            found.matrices[name] = torch.zeros_like(tensor, dtype=torch.float32)
    try:
        with ExitStack() as hooks, torch.enable_grad():
            for name, tensor in tensors.items():
                tensor.requires_grad_(True)
                hook = tensor.register_post_accumulate_grad_hook(  # type: ignore[no-untyped-call]
                    _adding(name, found)
                )
                hooks.callback(hook.remove)
            for number, loss in enumerate(losses):
                stage = f"sensitivity · sample {number + 1}/{len(losses)}"
                control.step(Progress(number, len(losses), stage))
                loss().backward()  # type: ignore[no-untyped-call]
    finally:
        for tensor in tensors.values():
            tensor.requires_grad_(False)
            tensor.grad = None
    for name, total in found.totals.items():
        if not total < float("inf"):
            raise NotFiniteError("a gradient is not finite", where=name, fix="Check the model.")
    return found


def _adding(name: str, found: Sensitivity) -> Callable[[Tensor], None]:
    """Add up a tensor's scores the moment its gradient is whole, and let go of that."""
    import torch

    def add(tensor: Tensor) -> None:
        gradient = tensor.grad
        if gradient is None:
            return
        with torch.no_grad():
            score = gradient.mul_(tensor).abs_()  # in place: the gradient is ours and used once
            found.totals[name] += float(score.sum(dtype=torch.float64))
            if name in found.matrices:
                found.matrices[name] += score
        tensor.grad = None

    return add


def sensitivity(
    model: Module,
    tensors: Mapping[str, Tensor],
    lessons: Sequence[Lesson],
    kept: Collection[str],
    control: JobControl,
    *,
    device: str = "cpu",
) -> Sensitivity:
    """Run each lesson through a model, forwards and backwards.

    Raises:
        NotFiniteError: a gradient is NaN or infinite.
    """

    def loss_of(lesson: Lesson) -> Callable[[], Tensor]:
        return lambda: mean_loss(model, [lesson], device)

    return accumulate(tensors, [loss_of(one) for one in lessons], kept, control)
