"""Align, then average; and TIES by activations."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from deltaworks.methods import MERGING
from deltaworks.methods.merging.align import axes_of
from deltaworks.methods.merging_record import MergeExpert, MergeInputs
from deltaworks.methods.method import TensorSpec
from deltaworks.numerics.assignment import assign

CONFIG = {"num_attention_heads": 4, "num_key_value_heads": 2, "hidden_size": 12}
SHAPES = {
    "model.embed_tokens.weight": (30, 12),
    "model.layers.0.input_layernorm.weight": (12,),
    "model.layers.0.self_attn.q_proj.weight": (16, 12),
    "model.layers.0.self_attn.k_proj.weight": (8, 12),
    "model.layers.0.self_attn.v_proj.weight": (8, 12),
    "model.layers.0.self_attn.o_proj.weight": (12, 16),
    "model.layers.0.mlp.gate_proj.weight": (20, 12),
    "model.layers.0.mlp.up_proj.weight": (20, 12),
    "model.layers.0.mlp.down_proj.weight": (12, 20),
    "model.norm.weight": (12,),
    "lm_head.weight": (30, 12),
}


@pytest.mark.parametrize("size", [1, 2, 7, 40, 90])
def test_assignments_are_the_best(size: int) -> None:
    gain = np.random.default_rng(size).standard_normal((size, size))

    columns = assign(gain)

    rows, best = linear_sum_assignment(gain, maximize=True)
    assert sorted(columns) == list(range(size))
    assert gain[np.arange(size), columns].sum() == pytest.approx(gain[rows, best].sum())


def test_assignments_of_equal_gains_are_one_to_one() -> None:
    assert sorted(assign(np.zeros((6, 6)))) == list(range(6))


def _model(seed: int) -> dict[str, Tensor]:
    rng = torch.Generator().manual_seed(seed)
    return {name: torch.randn(shape, generator=rng) for name, shape in SHAPES.items()}


def _shuffled(model: dict[str, Tensor], seed: int) -> dict[str, Tensor]:
    """The same function with its neurons in another order."""
    rng = np.random.default_rng(seed)
    orders = {"width": rng.permutation(12), "mlp 0": rng.permutation(20), "heads 0": [1, 0]}
    found = {}
    for name, tensor in model.items():
        moved = tensor
        for number, axis in enumerate(axes_of(name, tuple(tensor.shape), CONFIG)):
            if axis.kind:
                size = tensor.shape[number] // axis.units
                units = torch.as_tensor(np.asarray(orders[axis.kind]))
                every = (units[:, None] * size + torch.arange(size)).reshape(-1)
                moved = moved.index_select(number, every)
        found[name] = moved
    return found


def _align(models: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    method = MERGING["align"]
    options, pooled = method.options(), None

    def inputs(name: str) -> MergeInputs:
        experts = tuple(MergeExpert(model[name], method.expert_options()) for model in models)
        return MergeInputs(TensorSpec(name, SHAPES[name]), None, experts, pooled, CONFIG)

    for survey in method.surveys:
        total: Any = {}
        for name in SHAPES:
            total = survey.add(total, survey.gather(inputs(name), options))
        pooled = survey.finish(total, options, pooled)
    return {name: method.merge(inputs(name), options) for name in SHAPES}


def test_a_shuffled_twin_is_put_back_in_order() -> None:
    model = _model(0)

    merged = _align([model, _shuffled(model, 1), _shuffled(model, 2)])

    for name, tensor in model.items():
        torch.testing.assert_close(merged[name], tensor, rtol=1e-5, atol=1e-6)


def test_a_shuffled_and_changed_twin_is_averaged_in_order() -> None:
    model = _model(0)
    noisy = {name: t + 0.05 * torch.randn_like(t) for name, t in model.items()}

    merged = _align([model, _shuffled(noisy, 3)])

    for name, tensor in model.items():
        expected = (tensor + noisy[name]) / 2
        torch.testing.assert_close(merged[name], expected, rtol=1e-4, atol=1e-5)


def test_names_that_are_not_known_are_averaged() -> None:
    assert axes_of("encoder.weight", (4, 4), {}) == axes_of("h.0.c_attn.weight", (4, 4), {})
    assert all(not axis.kind for axis in axes_of("encoder.weight", (4, 4), {}))


# --- TIES by activations ------------------------------------------------------------------------


def _by_activations(deltas: list[Tensor], grams: list[Tensor] | None, density: float) -> Tensor:
    method = MERGING["activation-ties"]

    def given(place: int) -> Any:
        return None if grams is None else (lambda: grams[place])

    experts = tuple(
        MergeExpert(delta, method.expert_options(), given(place))
        for place, delta in enumerate(deltas)
    )
    inputs = MergeInputs(TensorSpec("w", (2, 3)), torch.zeros(2, 3), experts)
    options: Any = method.options
    return method.merge(inputs, options(density=density))


def test_changes_of_strong_inputs_are_kept() -> None:
    delta = torch.tensor([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]])
    gram = torch.diag(torch.tensor([100.0, 1.0, 0.0]))

    found = _by_activations([delta], [gram], 1 / 3)

    assert found.tolist() == [[1.0, 0.0, 0.0], [3.0, 0.0, 0.0]]


def test_without_texts_it_trims_by_size_and_elects_signs() -> None:
    one = torch.tensor([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]])
    two = torch.tensor([[-4.0, 0.1, 1.0], [0.2, 0.3, -2.0]])

    found = _by_activations([one, two], None, 0.5)

    assert found.tolist() == [[-4.0, 2.0, 2.0], [3.0, 2.0, -2.0]]
