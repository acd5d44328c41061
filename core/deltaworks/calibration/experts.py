"""Inputs of experts that are kept as one stacked weight, so that no module sees them apart."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

    from deltaworks.calibration.moments import Watcher

FIRST, SECOND = "gate_up_proj", "down_proj"


def is_known(module: Module) -> bool:
    """Whether the inputs of both stacked weights can be told: ``(experts, out, in)`` each."""
    first, second = getattr(module, FIRST, None), getattr(module, SECOND, None)
    if first is None or second is None or not hasattr(module, "act_fn"):
        return False
    if getattr(module, "gate_up_proj_bias", None) is not None:
        return False
    is_halved = first.shape[1] == 2 * second.shape[2] and first.shape[2] == second.shape[1]
    return bool(first.ndim == second.ndim == 3 and is_halved and first.shape[2] != first.shape[1])


def expert_name(name: str, expert: int) -> str:
    """Name of one expert's input among the sums."""
    return f"{name}#{expert}"


@contextmanager
def watching(module: Module, first: str, second: str, watcher: Watcher) -> Iterator[None]:
    """Listen to a module called as ``(hidden, chosen experts, their weights)``.

    Args:
        module: with ``is_known`` weights.
        first: stored name of the gate and up weights; ``second`` of the down weights.
        second: see ``first``.
        watcher: gets the rows of every expert.
    """

    def before(_: Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        values = [*args, *kwargs.values()]
        hidden, chosen = values[0], values[1]
        _add(module, hidden.reshape(-1, hidden.shape[-1]), chosen, (first, second), watcher)

    handle = module.register_forward_pre_hook(before, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()


def _add(
    module: Module, hidden: Tensor, chosen: Tensor, names: tuple[str, str], watcher: Watcher
) -> None:
    import torch

    weights: Any = getattr(module, FIRST)
    act: Any = module.act_fn
    chosen = chosen.reshape(len(hidden), -1)
    for expert in range(len(weights)):
        rows = hidden[(chosen == expert).any(dim=1)]
        if len(rows):
            watcher.add(expert_name(names[0], expert), rows)
            gate, up = torch.nn.functional.linear(rows, weights[expert]).chunk(2, dim=-1)
            watcher.add(expert_name(names[1], expert), act(gate) * up)
