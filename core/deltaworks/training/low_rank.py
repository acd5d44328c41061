"""Linear layers with a frozen weight and a trained product of two factors beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

    from deltaworks.methods.transfer.record import Factors

LEFT, RIGHT = "left", "right"


@contextmanager
def adapted(
    modules: Mapping[str, Module],
    frozen: Callable[[str], Tensor],
    start: Mapping[str, Factors],
    scale: float,
    device: str,
) -> Iterator[dict[str, Tensor]]:
    """Put frozen weights in and factors beside them.

    Args:
        modules: linear layers by the name of their weight.
        frozen: gives the weight without the factors' product, float32.
        start: first values of the factors; copied.
        scale: multiplies their product.
        device: where the model computes.

    Yields:
        The factors by ``name.left`` and ``name.right``, requiring gradients. Afterwards the
        layers compute without them; whoever needs other weights puts them in.
    """
    import torch

    tensors: dict[str, Tensor] = {}
    with ExitStack() as hooks:
        for name, module in modules.items():
            weight: Any = module.weight
            with torch.no_grad():
                weight.copy_(frozen(name))
            left = start[name].left.to(device, torch.float32, copy=True).requires_grad_()
            right = start[name].right.to(device, torch.float32, copy=True).requires_grad_()
            tensors |= {f"{name}.{LEFT}": left, f"{name}.{RIGHT}": right}
            hooks.callback(module.register_forward_hook(_adding(left, right, scale)).remove)
        yield tensors


def _adding(left: Tensor, right: Tensor, scale: float) -> Callable[..., Tensor]:
    import torch

    def add(_: Module, args: tuple[Tensor, ...], out: Tensor) -> Tensor:
        linear = torch.nn.functional.linear
        return out + linear(linear(args[0], right), left) * scale

    return add
