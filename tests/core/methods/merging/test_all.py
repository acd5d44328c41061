"""What holds for every merging method."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from deltaworks.errors import MismatchError, NotFiniteError
from deltaworks.methods import MERGING
from deltaworks.methods.merging.surveys import pooled_for
from deltaworks.methods.merging_record import MergeExpert, MergeInputs, MergingMethod
from deltaworks.methods.method import TensorSpec

METHODS = pytest.mark.parametrize("method", MERGING.values(), ids=MERGING.keys())
VARIANTS = pytest.mark.parametrize(
    ("method_id", "options"),
    [
        ("sce", {"select_topk": 0.3}),
        ("model-stock", {"filter_wise": True}),
        ("nuslerp", {"vectors": "rows"}),
        ("nuslerp", {"vectors": "columns"}),
        ("dare-linear", {"rescale": "l1"}),
        ("dare-ties", {"rescale": "none", "normalize": True}),
        ("breadcrumbs", {"rescale": True}),
        ("ties", {"rescale": True}),
        ("iso-cts", {"common": 0.5}),
    ],
)
SHAPES = [(), (1,), (0,), (5, 0), (7,), (37, 53), (3, 4, 5)]


def _random(shape: tuple[int, ...], seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).bfloat16()


def _inputs(method: MergingMethod, shape: tuple[int, ...], tensors: list[Tensor]) -> MergeInputs:
    most = method.needs.max_experts or len(tensors)
    experts = tuple(MergeExpert(tensor, method.expert_options()) for tensor in tensors[:most])
    return MergeInputs(TensorSpec("w", shape), _random(shape, 0), experts)


@METHODS
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_shape_survives_and_the_result_is_float32(
    method: MergingMethod, shape: tuple[int, ...]
) -> None:
    inputs = _inputs(method, shape, [_random(shape, seed) for seed in (1, 2, 3)])

    merged = method.merge(inputs, method.options())

    assert (tuple(merged.shape), merged.dtype) == (shape, torch.float32)
    assert torch.isfinite(merged).all()


@METHODS
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_inputs_stay_unchanged(method: MergingMethod, dtype: torch.dtype) -> None:
    tensors = [_random((300, 500), seed).to(dtype) for seed in range(4)]
    before = [tensor.clone() for tensor in tensors]
    most = method.needs.max_experts or 3
    experts = tuple(MergeExpert(t, method.expert_options()) for t in tensors[1 : most + 1])

    method.merge(MergeInputs(TensorSpec("w", (300, 500)), tensors[0], experts), method.options())

    assert all(torch.equal(one, two) for one, two in zip(tensors, before, strict=True))


@METHODS
def test_experts_equal_to_the_base_give_the_base(method: MergingMethod) -> None:
    base = _random((40, 30), 0)

    merged = method.merge(_inputs(method, (40, 30), [base, base, base]), method.options())

    torch.testing.assert_close(merged, base.float(), rtol=2e-7, atol=0)


@METHODS
def test_all_zeros_give_zeros(method: MergingMethod) -> None:
    zero = torch.zeros(4, 4)
    most = method.needs.max_experts or 2
    experts = tuple(MergeExpert(zero, method.expert_options()) for _ in range(most))

    merged = method.merge(MergeInputs(TensorSpec("w", (4, 4)), zero, experts), method.options())

    assert torch.equal(merged, zero)


@METHODS
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("nan")])
def test_inputs_that_are_not_finite_are_refused(method: MergingMethod, value: float) -> None:
    tensors = [_random((40, 30), seed) for seed in (1, 2)]
    tensors[0][3, 4] = value

    with pytest.raises(NotFiniteError, match=r"^w: the merged tensor would hold NaN"):
        method.merge(_inputs(method, (40, 30), tensors), method.options())


@VARIANTS
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_other_options_give_finite_tensors_of_every_shape(
    method_id: str, options: dict[str, Any], shape: tuple[int, ...]
) -> None:
    method = MERGING[method_id]
    inputs = _inputs(method, shape, [_random(shape, seed) for seed in (1, 2, 3)])

    merged = method.merge(inputs, method.options(**options))

    assert (tuple(merged.shape), merged.dtype) == (shape, torch.float32)
    assert torch.isfinite(merged).all()


@VARIANTS
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("is_base", [False, True])
def test_other_options_refuse_what_is_not_finite(
    method_id: str, options: dict[str, Any], value: float, is_base: bool
) -> None:
    method = MERGING[method_id]
    inputs = _inputs(method, (40, 30), [_random((40, 30), seed) for seed in (1, 2)])
    tensor = inputs.base if is_base else inputs.experts[1].tensor
    assert tensor is not None
    tensor[3, 4] = value

    with pytest.raises(NotFiniteError, match=r"^w: the merged tensor would hold NaN"):
        method.merge(inputs, method.options(**options))


@METHODS
def test_another_shape_is_refused(method: MergingMethod) -> None:
    with pytest.raises(MismatchError, match=r"^w: an expert has shape \[3, 4\]"):
        method.merge(_inputs(method, (4, 3), [_random((3, 4), 1)]), method.options())


@METHODS
def test_a_missing_base_is_refused_where_it_is_needed(method: MergingMethod) -> None:
    expert = MergeExpert(torch.ones(2, 2), method.expert_options())
    inputs = MergeInputs(TensorSpec("w", (2, 2)), None, (expert,))

    if method.needs.base:
        with pytest.raises(MismatchError, match="the base has no such tensor"):
            method.merge(inputs, method.options())
    else:
        assert torch.equal(method.merge(inputs, method.options()), torch.ones(2, 2))


@METHODS
def test_rows_may_be_merged_apart_where_the_method_says_so(method: MergingMethod) -> None:
    if not method.is_elementwise:
        return
    shape = (300, 700)
    tensors = [_random(shape, seed) for seed in (1, 2, 3)][: method.needs.max_experts]
    inputs = _inputs(method, shape, tensors)
    pooled = pooled_for(inputs, method.surveys, method.options())
    whole = method.merge(inputs, method.options())
    base = _random(shape, 0)

    halves: list[Any] = []
    for rows in (slice(0, 117), slice(117, 300)):
        experts = tuple(MergeExpert(t[rows], method.expert_options()) for t in tensors)
        spec = TensorSpec("w", tuple(base[rows].shape))
        half = MergeInputs(spec, base[rows], experts, pooled)
        halves.append(method.merge(half, method.options()))

    assert torch.equal(torch.cat(halves), whole)
