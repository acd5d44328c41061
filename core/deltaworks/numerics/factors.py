"""The triangular factor of an inverse, by one Cholesky decomposition.

Methods that round or drop weights column by column need the upper triangular U with
``H^-1 = U^T U``. Inverting H first and decomposing that takes three times the work and
loses digits; decomposing H with its order reversed gives U by one triangular solve.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from deltaworks.errors import AppError, NotFiniteError

if TYPE_CHECKING:
    from torch import Tensor

_RETRIES = 3


@dataclass(frozen=True, slots=True)
class Factor:
    """U of a damped matrix.

    Args:
        upper: U, upper triangular, of the dtype of the matrix.
        damping: share of the mean diagonal that was added at last.
        dead: rows and columns whose diagonal was 0; it was raised to the mean.
        in_double: whether float64 was needed.
    """

    upper: Tensor
    damping: float
    dead: Tensor
    in_double: bool = False

    @property
    def n_dead(self) -> int:
        """How many diagonal entries were 0."""
        return int(self.dead.sum())


def upper_factor(
    gram: Tensor, *, damping: float = 0.01, dead_value: float | None = None, where: str = ""
) -> Factor:
    """Factor ``H = gram + damping mean(diag) I``: give U with ``H^-1 = U^T U``.

    When a matrix is not positive definite, ten times the damping is tried, three times,
    and all of that again in float64.

    Args:
        gram: symmetric, ``(n, n)``, not changed.
        damping: share of the mean of the diagonal.
        dead_value: what zeros on the diagonal become; their mean when None.
        where: what the message names, such as a layer and the tokens it saw.

    Raises:
        NotFiniteError: it holds NaN or infinity.
        AppError: it is not positive definite even so.
    """
    import torch

    if not bool(torch.isfinite(gram).all()):
        raise NotFiniteError(
            "the second moments of the inputs hold NaN or infinity",
            where=where,
            fix="Check the model, or calibrate on another text",
        )
    diagonal = gram.diagonal()
    dead = diagonal == 0
    mean = float(diagonal.double().mean()) if len(gram) else 0.0
    level = (mean or 1.0) if dead_value is None else dead_value
    kinds = (gram.dtype,) if gram.dtype == torch.float64 else (gram.dtype, torch.float64)
    for kind in kinds:
        for attempt in range(_RETRIES + 1):
            share = damping * 10.0**attempt
            damped = gram.to(kind, copy=True)
            damped.diagonal()[dead] = level
            damped.diagonal().add_(share * (mean or 1.0))
            upper = _reversed_factor(damped)
            if upper is not None:
                return Factor(upper.to(gram.dtype), share, dead, kind != gram.dtype)
    raise AppError(
        f"the second moments of its inputs are not positive definite, even with "
        f"{damping * 10.0**_RETRIES:g} of the mean on the diagonal",
        where=where,
        fix="Calibrate on more text, or with more damping",
    )


def _reversed_factor(matrix: Tensor) -> Tensor | None:
    """Factor a matrix; None when it is not positive definite."""
    import torch

    lower, failed = torch.linalg.cholesky_ex(matrix.flip(0, 1))
    if int(failed):
        return None
    root = lower.flip(0, 1)  # upper, with H = R R^T, so that U = R^-1
    eye = torch.eye(len(root), dtype=root.dtype, device=root.device)
    upper: Tensor = torch.linalg.solve_triangular(root, eye, upper=True)
    is_sound = bool(torch.isfinite(upper).all()) and bool((upper.diagonal() > 0).all())
    return upper if is_sound else None
