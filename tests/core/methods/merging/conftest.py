"""How a merge is asked for in a test."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from deltaworks.methods import merging_method
from deltaworks.methods.merging_record import MergeExpert, MergeInputs
from deltaworks.methods.method import TensorSpec


def run_merge(
    method_id: str, base: Any, experts: list[tuple[Any, dict[str, Any]]], **options: Any
) -> Tensor:
    """Merge lists or tensors; ``base`` None for none."""
    method = merging_method(method_id)
    tensors = [_tensor(expert) for expert, _ in experts]
    inputs = MergeInputs(
        TensorSpec("w", tuple(tensors[0].shape)),
        None if base is None else _tensor(base),
        tuple(
            MergeExpert(tensor, method.expert_options(**own))
            for tensor, (_, own) in zip(tensors, experts, strict=True)
        ),
    )
    return method.merge(inputs, method.options(**options))


def _tensor(values: Any) -> Tensor:
    return values if isinstance(values, Tensor) else torch.tensor(values, dtype=torch.float32)


@pytest.fixture
def merged() -> Any:
    return run_merge
