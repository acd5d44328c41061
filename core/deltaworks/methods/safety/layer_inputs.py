"""What methods that look at a layer's inputs share: its factor, damage, and the facts of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from deltaworks.errors import MismatchError

if TYPE_CHECKING:
    from torch import Tensor
    from torch import dtype as TorchDtype  # noqa: N812 - a type, not a constant

    from deltaworks.methods.safety_record import RepairInputs
    from deltaworks.numerics.factors import Factor

_WIDEST_DOUBLE = 4096
"""Inputs of a layer up to which float64 is used; wider ones would take too much memory."""
_ROWS = 1024
"""Rows that are treated at once where each row is for itself."""


def work_dtype(n_inputs: int) -> TorchDtype:
    """Give the dtype to compute in."""
    import torch

    return torch.float64 if n_inputs <= _WIDEST_DOUBLE else torch.float32


def gram_of(inputs: RepairInputs, method: str) -> Tensor:
    """Give the Gram matrix of a layer's inputs, or its diagonal.

    Raises:
        MismatchError: none was collected.
    """
    if inputs.gram is None:
        raise MismatchError(
            f"{method} needs what flows into this layer, and no text was run through it",
            where=inputs.spec.name,
            fix="Give the texts that this method asks for",
        )
    return inputs.gram()


def factor_of(inputs: RepairInputs, damping: float, method: str) -> Factor:
    """Give the factor of the damped Gram matrix: the one that is kept, or a new one."""
    from deltaworks.numerics.factors import upper_factor

    if inputs.factor is not None:
        return inputs.factor(damping)
    gram = gram_of(inputs, method)
    return upper_factor(gram.to(work_dtype(len(gram))), damping=damping, where=inputs.spec.name)


def chunks(n_rows: int, rows: int = _ROWS) -> Iterator[slice]:
    """Cut rows into pieces that fit into memory as float64."""
    for start in range(0, n_rows, rows):
        yield slice(start, min(start + rows, n_rows))


def damage(change: Tensor, upper: Tensor) -> float:
    """Give ``L(E) = 1/2 sum_r E_r H E_r^T``, from the factor of H alone.

    ``H = R R^T`` with ``R = U^-1``, so it is half the squared norm of ``E U^-1``.

    Args:
        change: E, ``(out, in)``.
        upper: U, ``(in, in)``, with ``H^-1 = U^T U``.
    """
    import torch

    total = 0.0
    for rows in chunks(len(change)):
        piece = change[rows].to(upper.dtype)
        moved = torch.linalg.solve_triangular(upper, piece, upper=True, left=False)
        total += float(moved.double().square_().sum())
    return total / 2


def cosine(first: Tensor, second: Tensor) -> float:
    """Give the cosine of two tensors as vectors; 0 where one is all zero."""
    dot = float((first.double() * second.double()).sum())
    size = float(first.double().norm() * second.double().norm())
    return dot / size if size else 0.0


def change_facts(delta: Tensor, out: Tensor) -> dict[str, float]:
    """Say how large the delta was and is, and how much of its direction is left."""
    return {
        "changed": float(delta.count_nonzero()),
        "delta_norm": float(delta.double().norm()),
        "out_norm": float(out.double().norm()),
        "cosine": cosine(delta, out),
    }
