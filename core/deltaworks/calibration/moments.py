"""Second moments of layers' inputs, shared by the layers that see the same tensor."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

FEWEST = 32
"""An expert of a mixture that saw fewer tokens gets a diagonal: the mean over inputs."""


@dataclass(slots=True)
class Moments:
    """What is known of one input.

    Args:
        total: sum over tokens of ``x x^T``, ``(in, in)``, or of ``x^2``, ``(in,)``.
        seen: tokens in the sum.
    """

    total: Tensor
    seen: int = 0

    def mean(self) -> Tensor:
        """Give the mean over tokens; zeros when there was none."""
        return self.total / max(1, self.seen)


class Watcher:
    """Sums the moments of the inputs of some modules while a model runs.

    Modules that are given the same tensor object in a batch share one sum: query, key and
    value projections see one input, gate and up projections another.

    Args:
        modules: name of the weight to the module it belongs to.
        diagonal: keep squares only.
    """

    def __init__(self, modules: Mapping[str, Module], *, diagonal: bool = False) -> None:
        self._modules = dict(modules)
        self._diagonal = diagonal
        self._leader: dict[str, str] = {}
        self._found: dict[str, Moments] = {}
        self._batch: dict[int, tuple[Tensor, str]] = {}

    @contextmanager
    def watching(self) -> Iterator[Watcher]:
        """Listen inside the context."""
        with ExitStack() as hooks:
            for name, module in self._modules.items():
                handle = module.register_forward_pre_hook(self._hook(name), with_kwargs=True)
                hooks.callback(handle.remove)
            yield self

    def next_batch(self) -> None:
        """Forget the tensors of the last batch, by whose identity inputs are told apart."""
        self._batch.clear()

    @property
    def leaders(self) -> dict[str, str]:
        """Every weight that was reached, and the weight whose sum it shares."""
        return dict(self._leader)

    @property
    def found(self) -> dict[str, Moments]:
        """Sums by leader."""
        return self._found

    def _hook(self, name: str) -> Any:
        def before(module: Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:  # noqa: ARG001
            self._see(name, args[0] if args else next(iter(kwargs.values())))

        return before

    def _see(self, name: str, value: Tensor) -> None:
        shared = self._batch.get(id(value))
        leader = self._leader.setdefault(name, shared[1] if shared else name)
        if shared is None:
            self._batch[id(value)] = (value, leader)  # held, so that its id stays its own
        if leader == name:
            self.add(name, value.detach().reshape(-1, value.shape[-1]))

    def add(self, name: str, rows: Tensor) -> None:
        """Add rows ``(tokens, in)`` to the sum of a name."""
        import torch

        rows = rows.float()
        size = rows.shape[-1]
        if name not in self._found:
            shape = (size,) if self._diagonal else (size, size)
            self._found[name] = Moments(torch.zeros(shape, device=rows.device))
        moments = self._found[name]
        if self._diagonal:
            moments.total += rows.square().sum(dim=0)
        else:
            moments.total.addmm_(rows.T, rows)
        moments.seen += len(rows)
