"""Training of scales alone: directions of change stay, how far to go along each is learnt.

Source: the scale distillation of BitDelta (arXiv:2402.10193): the compressed model is to
score tokens as the expert does, in mean squared difference of logits. Departures: scales are
multiples of where they begin, so that one learning rate fits all; what does not lower the
loss is not kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from math import cos, pi
from typing import TYPE_CHECKING, Any

from deltaworks.checkpoints.checkpoint import Checkpoint
from deltaworks.errors import NotFiniteError
from deltaworks.inference.running import RunningModel, load_model
from deltaworks.inference.slots import match
from deltaworks.progress import JobControl, Progress

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

BATCH = 4
TOKENS = 128
"""Tokens of a sequence that training looks at, as in the authors' code."""


@dataclass(frozen=True, slots=True)
class Direction:
    """A change of one weight whose length is trained.

    Args:
        base: the weight without it, as stored.
        change: float32 ``(out, in)``.
        per_row: one multiple for each row, instead of one for all.
        is_transposed: whether the weight is stored ``(in, out)``.
    """

    base: Tensor
    change: Tensor
    per_row: bool
    is_transposed: bool = False


@dataclass(frozen=True, slots=True)
class Trained:
    """What training found.

    Args:
        multiples: of each change, ``(1,)`` or ``(rows,)`` float32; all 1 where nothing helped.
        before: mean squared difference of logits at the start.
        after: at the end.
    """

    multiples: dict[str, Tensor]
    before: float
    after: float


def train_scales(
    expert: Checkpoint,
    directions: Mapping[str, Direction],
    sequences: Sequence[Sequence[int]],
    control: JobControl,
    *,
    steps: int,
    learning_rate: float,
    device: str = "cpu",
) -> Trained:
    """Learn how far to go along each change.

    Args:
        expert: what the compressed model is to be like; its other weights are taken as
            they are.
        directions: by stored name of a weight that a linear layer multiplies by.
        sequences: token ids; each is cut at ``TOKENS``.
        control: progress, in steps, and Stop.
        steps: of Adam, with a rate that falls along a cosine.
        learning_rate: at the start.
        device: where to compute.

    Raises:
        NotFiniteError: the loss is not finite.
    """
    import torch

    teacher = load_model(expert, device=device, control=control.silent())
    student = load_model(expert, device=device, control=control.silent())
    modules = _modules(student, expert, directions)
    moves = {
        name: torch.zeros(
            len(directions[name].change) if directions[name].per_row else 1, device=device
        ).requires_grad_(True)
        for name in modules
    }
    batches = _batches(sequences)
    optimizer = torch.optim.Adam(moves.values(), lr=learning_rate, betas=(0.9, 0.95))
    with _moved(modules, directions, moves, device):
        before = _mean_loss(teacher, student, batches, control)
        for step in range(steps):
            control.step(Progress(step, steps, f"training scales · step {step + 1}/{steps}"))
            for group in optimizer.param_groups:
                group["lr"] = learning_rate * (1 + cos(pi * step / steps)) / 2
            loss = _loss(teacher, student, batches[step % len(batches)])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        after = _mean_loss(teacher, student, batches, control)
    control.step(Progress(steps, steps, "training scales"))
    if not before < float("inf"):
        raise NotFiniteError(
            "the difference of logits is not finite", where=str(expert.path), fix="Check the model"
        )
    kept = after < before
    multiples = {
        name: (1.0 + move.detach()).cpu() if kept else torch.ones(len(move))
        for name, move in moves.items()
    }
    return Trained(multiples, before, min(before, after) if kept else before)


def _modules(
    student: RunningModel, expert: Checkpoint, directions: Mapping[str, Direction]
) -> dict[str, Module]:
    """Find the linear layers of the changes."""
    found: dict[str, Module] = {}
    for filling in match(student.model, expert):
        for stored in (filling.source, *filling.twins):
            parent, _, leaf = filling.slot.names[0].rpartition(".")
            if stored in directions and leaf == "weight":
                found[stored] = student.model.get_submodule(parent)
    return found


@contextmanager
def _moved(
    modules: Mapping[str, Module],
    directions: Mapping[str, Direction],
    moves: Mapping[str, Tensor],
    device: str,
) -> Iterator[None]:
    """Put base weights in, and add the scaled changes to the layers' outputs."""
    with ExitStack() as hooks:
        for name, module in modules.items():
            direction = directions[name]
            weight: Any = module.weight
            weight.data.copy_(direction.base)
            hook = _adding(direction.change.to(device), moves[name])
            hooks.callback(module.register_forward_hook(hook).remove)
        yield


def _adding(change: Tensor, move: Tensor) -> Callable[..., Tensor]:
    import torch

    def add(_: Module, args: tuple[Tensor, ...], out: Tensor) -> Tensor:
        return out + torch.nn.functional.linear(args[0], change) * (1.0 + move)

    return add


def _batches(sequences: Sequence[Sequence[int]]) -> list[tuple[Tensor, Tensor]]:
    """Token ids and mask of each batch, padded on the right."""
    import torch

    found = []
    for start in range(0, len(sequences), BATCH):
        some = [list(ids[:TOKENS]) for ids in sequences[start : start + BATCH]]
        width = max(map(len, some))
        ids = torch.tensor([one + [0] * (width - len(one)) for one in some])
        mask = torch.tensor([[1] * len(one) + [0] * (width - len(one)) for one in some])
        found.append((ids, mask))
    return found


def _loss(teacher: RunningModel, student: RunningModel, batch: tuple[Tensor, Tensor]) -> Tensor:
    """Mean squared difference of logits over tokens that are no padding."""
    import torch

    ids, mask = (part.to(student.device) for part in batch)
    with torch.no_grad():
        wanted = teacher.model(input_ids=ids, attention_mask=mask, use_cache=False).logits
    found = student.model(input_ids=ids, attention_mask=mask, use_cache=False).logits
    gap: Tensor = (found.float() - wanted.float())[mask.bool()]
    return gap.square().mean()


def _mean_loss(
    teacher: RunningModel,
    student: RunningModel,
    batches: Sequence[tuple[Tensor, Tensor]],
    control: JobControl,
) -> float:
    import torch

    total = 0.0
    with torch.no_grad():
        for batch in batches:
            control.check()
            total += float(_loss(teacher, student, batch))
    return total / max(1, len(batches))
