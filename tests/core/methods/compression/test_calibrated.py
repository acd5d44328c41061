"""GPTQ, DeltaZip and BitDelta: what they do with a layer's inputs, and without."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from deltaworks.errors import FileError
from deltaworks.methods.compression import (
    base_shift,
    bitdelta,
    delta_come,
    deltazip,
    gptq,
    impart_qt,
    sign,
)
from deltaworks.methods.compression_record import CompressionMethod, TensorPair
from deltaworks.methods.method import TensorSpec
from deltaworks.numerics.factors import upper_factor
from deltaworks.numerics.gptq import output_error

METHODS = {one.id: one for one in (gptq.METHOD, deltazip.METHOD, bitdelta.METHOD)}
SHAPES = [(1, 9), (9, 1), (37, 53), (4, 130), (2, 5, 12), (0, 6), (6, 0), (7,)]


def calibrated_pair(delta: Tensor, gram: Tensor | None) -> TensorPair:
    spec = TensorSpec("w", tuple(delta.shape))
    return TensorPair(spec, torch.zeros(delta.shape), delta, None if gram is None else lambda: gram)


def correlated(size: int, seed: int = 0) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    mix = torch.randn(size, size, generator=rng) / size**0.5
    rows = torch.randn(4 * size, size, generator=rng) @ mix
    rows += 0.1 * torch.randn(4 * size, size, generator=rng)
    found: Tensor = rows.T @ rows / len(rows)
    return found


def decoded(method: CompressionMethod, pair: TensorPair, **options: Any) -> Tensor:
    chosen = method.options(**options)
    assert method.decode is not None
    found: Tensor = method.decode(method.encode(pair, chosen), pair.spec, chosen)
    return found


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", METHODS)
def test_odd_shapes_take_the_bits_that_were_told(name: str, shape: tuple[int, ...]) -> None:
    method = METHODS[name]
    delta = 1e-4 * torch.randn(shape, generator=torch.Generator().manual_seed(1))
    size = shape[-1]
    gram = correlated(size) if len(shape) < 3 else torch.stack([correlated(size)] * shape[0])
    options = method.options()

    for pair in (calibrated_pair(delta, None), calibrated_pair(delta, gram if size else None)):
        parts = method.encode(pair, options)
        assert method.decode is not None
        found = method.decode(parts, pair.spec, options)

        assert found.shape == delta.shape
        assert found.dtype == torch.float32
        assert bool(torch.isfinite(found).all())
        assert 8 * sum(part.nbytes for part in parts.values()) == method.stored_bits(shape, options)


@pytest.mark.parametrize("name", METHODS)
def test_no_change_comes_back_as_none(name: str) -> None:
    pair = calibrated_pair(torch.zeros(8, 12), correlated(12))

    assert not decoded(METHODS[name], pair).any()


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("seed", range(5))
def test_outputs_err_less_with_inputs_than_without(name: str, seed: int) -> None:
    gram = correlated(64, seed)
    delta = 1e-3 * torch.randn(32, 64, generator=torch.Generator().manual_seed(seed))

    errors = [
        output_error(delta - decoded(METHODS[name], calibrated_pair(delta, one)), gram)
        for one in (gram, None)
    ]

    assert errors[0] < errors[1]


@pytest.mark.parametrize("name", METHODS)
def test_an_option_does_without_the_inputs(name: str) -> None:
    delta = torch.randn(16, 24, generator=torch.Generator().manual_seed(0))

    without = decoded(METHODS[name], calibrated_pair(delta, correlated(24)), calibrated=False)

    assert torch.equal(without, decoded(METHODS[name], calibrated_pair(delta, None)))


@pytest.mark.parametrize("name", METHODS)
def test_powers_of_two_scale_through(name: str) -> None:
    delta = torch.randn(16, 24, generator=torch.Generator().manual_seed(0))
    gram = correlated(24)

    small, large = (
        decoded(METHODS[name], calibrated_pair(factor * delta, gram)) for factor in (2**-9, 1.0)
    )

    assert torch.equal(small * 2**9, large)


# --- GPTQ --------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ["given", "activation"])
def test_inputs_that_are_all_alike_give_nearest_rounding(order: str) -> None:
    delta = torch.randn(20, 40, generator=torch.Generator().manual_seed(2))

    with_inputs, without = (
        decoded(gptq.METHOD, calibrated_pair(delta, gram), order=order, clip="always")
        for gram in (3.0 * torch.eye(40), None)
    )

    assert torch.equal(with_inputs, without)


def test_gptq_is_what_a_slow_version_says() -> None:
    """One row, one group, a grid known before: solve for the later columns after each step."""
    delta = torch.tensor([[0.9, -0.4, 0.3, -0.9, 0.55, 0.1]]).repeat(8, 1)
    gram = correlated(6)
    options = gptq.GptqOptions(bits=4, clip="never", order="activation", damping=0.05)
    parts = gptq.encode(calibrated_pair(delta, gram), options)
    unit, scale = float(parts["unit"][0]), float(parts["s"][0, 0])
    zero = float(parts["z"][0, 0])

    damped = gram.double() + 0.05 * gram.diagonal().double().mean() * torch.eye(6).double()
    order = gram.diagonal().argsort(descending=True).tolist()
    left = delta[0].double() / unit
    for place, column in enumerate(order):
        code = ((left[column] / scale).round() + zero).clamp(0, 15)
        rounded = (code - zero) * scale
        later = order[place + 1 :]
        if later:
            best = torch.linalg.solve(damped[later][:, later], damped[later, column])
            left[later] += (left[column] - rounded) * best
        left[column] = rounded

    found = gptq.decode(parts, TensorSpec("w", (8, 6)), options)
    torch.testing.assert_close(found[0].double(), left * unit, rtol=1e-5, atol=1e-7)


def test_error_is_at_most_half_a_step_where_ranges_are_whole() -> None:
    delta = torch.randn(30, 64, generator=torch.Generator().manual_seed(3))

    for bits in (2, 3, 8):
        options = gptq.GptqOptions(bits=bits, clip="never", group_size=16)
        parts = gptq.encode(calibrated_pair(delta, None), options)
        found = gptq.decode(parts, TensorSpec("w", (30, 64)), options)
        step = torch.from_numpy(parts["s"].astype(np.float32)) * float(parts["unit"][0])

        gap = (delta - found).abs().view(30, 4, 16).amax(dim=2)
        # The grid is float16 and its zero a whole code, so an end may lie a little outside.
        assert bool((gap <= 1.01 * step).all())
        assert float((gap / step).mean()) < 0.55


def test_dead_inputs_take_no_part() -> None:
    gram = correlated(16)
    gram[3], gram[:, 3] = 0.0, 0.0
    delta = torch.randn(8, 16, generator=torch.Generator().manual_seed(4))

    found = decoded(gptq.METHOD, calibrated_pair(delta, gram))

    assert not found[:, 3].any()


def test_every_expert_of_a_stack_has_its_inputs() -> None:
    grams = [correlated(16, 1), correlated(16, 2)]
    deltas = [torch.randn(8, 16, generator=torch.Generator().manual_seed(at)) for at in (1, 2)]
    pair = calibrated_pair(torch.stack(deltas), torch.stack(grams))

    together = decoded(gptq.METHOD, pair, bits=4, group_size=16)

    top = max(float(one.abs().max()) for one in deltas)
    assert all(0.5 * top <= float(one.abs().max()) for one in deltas)  # one unit for both
    for delta, gram, found in zip(deltas, grams, together, strict=True):
        alone = decoded(gptq.METHOD, calibrated_pair(delta, gram), bits=4, group_size=16)
        torch.testing.assert_close(found, alone, rtol=0, atol=1e-3)


# --- Base shift --------------------------------------------------------------------------------


@pytest.mark.parametrize("second", ["sign", "low-rank", "dare"])
def test_the_shift_that_is_found_is_no_worse_than_none(second: str) -> None:
    """B4: the search's own error, against the second method alone with its scale of 1."""
    gram = correlated(32)
    delta = torch.randn(24, 32, generator=torch.Generator().manual_seed(11))
    pair = calibrated_pair(delta, gram)
    options = base_shift.BaseShiftOptions.model_validate({"second": second, "second_bits": 2.0})

    found = decoded(base_shift.METHOD, pair, second=second, second_bits=2.0)

    plain = base_shift.encode_tuned(pair, options, base_shift.Tuning(0.0, 1.0))
    usual = base_shift.encode_tuned(pair, options, base_shift.Tuning())
    for other in (plain, usual):
        gap = delta - base_shift.decode(other, pair.spec, options)
        assert output_error(delta - found, gram) <= output_error(gap, gram)


# --- Delta-CoMe and ImPart-Qt ------------------------------------------------------------------

FACTORED: list[tuple[CompressionMethod, dict[str, Any]]] = [
    (delta_come.METHOD, {"bits": 2.0}),
    (impart_qt.METHOD, {"ratio": 8.0, "rescale": "none"}),
]
BY_FACTORS = pytest.mark.parametrize(("method", "options"), FACTORED, ids=["come", "impart"])


@BY_FACTORS
@pytest.mark.parametrize("seed", range(5))
def test_vectors_coded_with_inputs_err_less_in_outputs(
    method: CompressionMethod, options: dict[str, Any], seed: int
) -> None:
    gram = correlated(64, seed)
    delta = 1e-3 * torch.randn(48, 64, generator=torch.Generator().manual_seed(seed))

    errors = [
        output_error(delta - decoded(method, calibrated_pair(delta, one), **options), gram)
        for one in (gram, None)
    ]

    assert errors[0] < errors[1]


@BY_FACTORS
def test_the_file_is_the_same_but_for_its_codes(
    method: CompressionMethod, options: dict[str, Any]
) -> None:
    delta = torch.randn(48, 64, generator=torch.Generator().manual_seed(1))

    with_inputs, without = (
        method.encode(calibrated_pair(delta, gram), method.options(**options))
        for gram in (correlated(64), None)
    )

    assert list(map(str, with_inputs)) != []
    assert set(with_inputs) == set(without)
    for name, part in without.items():
        assert with_inputs[name].shape == part.shape
        if not name[1:].isdigit():
            assert np.array_equal(with_inputs[name], part)


@BY_FACTORS
def test_vectors_of_inputs_that_are_all_alike_are_rounded_to_nearest(
    method: CompressionMethod, options: dict[str, Any]
) -> None:
    """V is: its factor is diagonal. U is not, because rounded vectors of V are not orthogonal."""
    delta = torch.randn(48, 64, generator=torch.Generator().manual_seed(2))

    with_inputs, without = (
        method.encode(calibrated_pair(delta, gram), method.options(**options))
        for gram in (2.0 * torch.eye(64), None)
    )

    assert all(np.array_equal(with_inputs[f"V{bits}"], without[f"V{bits}"]) for bits in (8, 3))


# --- DeltaZip ----------------------------------------------------------------------------------


@pytest.mark.parametrize("positions", ["indices", "tight"])
def test_two_of_four_are_kept(positions: str) -> None:
    delta = torch.randn(16, 40, generator=torch.Generator().manual_seed(5))

    found = decoded(
        deltazip.METHOD, calibrated_pair(delta, correlated(40)), bits=4, positions=positions
    )

    assert bool(((found.view(16, 10, 4) != 0).sum(dim=2) == 2).all())


def test_the_two_largest_are_kept_without_inputs() -> None:
    delta = torch.tensor([[1.0, -4.0, 0.5, 3.0, 2.0, 0.0, -1.0, 0.1]])

    found = decoded(deltazip.METHOD, calibrated_pair(delta, None), bits=8)

    assert (found[0] != 0).tolist() == [False, True, False, True, True, False, True, False]


def test_what_is_kept_costs_most_to_drop() -> None:
    """The first four columns, where nothing was made good before, against every choice."""
    gram = correlated(8, 3).double()
    delta = torch.randn(6, 8, generator=torch.Generator().manual_seed(6))
    diagonal = upper_factor(gram.float()).upper.diagonal()

    found = decoded(deltazip.METHOD, calibrated_pair(delta, gram.float()), bits=8)

    for row, kept in zip(delta, (found[:, :4] != 0).tolist(), strict=True):
        costs = (row[:4] / diagonal[:4]).square()
        best = max(combinations(range(4), 2), key=lambda two: float(costs[list(two)].sum()))
        assert tuple(at for at in range(4) if kept[at]) == best


def test_places_that_cannot_be_are_refused() -> None:
    options = deltazip.DeltaZipOptions()
    pair = calibrated_pair(torch.randn(2, 8), None)
    parts = deltazip.encode(pair, options)
    parts["idx"] = np.zeros_like(parts["idx"])

    with pytest.raises(FileError, match="idx"):
        deltazip.decode(parts, pair.spec, options)


# --- BitDelta ----------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", ["matrix", "row"])
def test_without_a_text_it_is_sign_coding(scale: str) -> None:
    pair = calibrated_pair(torch.randn(6, 10, generator=torch.Generator().manual_seed(7)), None)

    ours = bitdelta.encode(pair, bitdelta.BitDeltaOptions.model_validate({"scale": scale}))
    usual = sign.encode(pair, sign.SignOptions.model_validate({"scale": scale}))

    assert {name: part.tolist() for name, part in ours.items()} == {
        name: part.tolist() for name, part in usual.items()
    }


def test_inputs_that_are_all_alike_give_mean_magnitudes() -> None:
    delta = torch.randn(6, 10, generator=torch.Generator().manual_seed(8))

    parts = bitdelta.encode(
        calibrated_pair(delta, torch.eye(10)), bitdelta.BitDeltaOptions(scale="row")
    )

    np.testing.assert_allclose(parts["scale"], delta.abs().mean(dim=1).numpy(), rtol=1e-6)


@pytest.mark.parametrize("scale", ["matrix", "row"])
def test_no_other_scale_is_better_for_the_outputs(scale: str) -> None:
    gram = correlated(24)
    delta = torch.randn(9, 24, generator=torch.Generator().manual_seed(9))

    found = decoded(bitdelta.METHOD, calibrated_pair(delta, gram), scale=scale)

    least = output_error(delta - found, gram)
    for factor in (0.99, 1.01):
        assert output_error(delta - factor * found, gram) > least


def test_training_changes_scales_and_never_signs() -> None:
    delta = torch.randn(5, 12, generator=torch.Generator().manual_seed(10))
    pair = calibrated_pair(delta, correlated(12))
    options = bitdelta.BitDeltaOptions(scale="row")
    multiples = np.array([0.5, 1.0, 2.0, -1.0, 1.5], dtype=np.float32)

    before = bitdelta.encode(pair, options)
    after = bitdelta.encode(pair.with_multiples(multiples), options)

    assert np.array_equal(after["sign"], before["sign"])
    np.testing.assert_allclose(after["scale"], before["scale"] * multiples, rtol=1e-6)


FITS: list[tuple[dict[str, Any], bool]] = [({}, True), ({"steps": 0}, False)]


@pytest.mark.parametrize(("options", "trains"), [*FITS, ({"calibrated": False}, False)])
def test_training_is_asked_for(options: dict[str, Any], trains: bool) -> None:
    fit: Callable[[Any], Any] = bitdelta.fit

    assert (fit(bitdelta.BitDeltaOptions(**options)) is not None) is trains
