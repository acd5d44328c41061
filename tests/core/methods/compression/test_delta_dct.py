from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from deltaworks.errors import FileError, OptionError
from deltaworks.methods.compression.delta_dct import METHOD, STRATEGIES, DeltaDctOptions
from deltaworks.methods.compression.patch_codes import (
    Layout,
    class_sizes,
    classify,
    code_patches,
    decode_patches,
)
from deltaworks.methods.method import TensorSpec
from deltaworks.numerics.dct import split_patches
from deltaworks.options import read_options


def _patch_error(patches: torch.Tensor, bits: int) -> float:
    classes = ((bits, 1.0),)
    parts = code_patches(patches, classes, "minmax")
    spec = TensorSpec("w", (1, 1))
    layout = Layout(1, len(patches), patches.shape[-1], classes)
    (again,) = decode_patches(parts, spec, layout)
    return float((again - patches).square().sum() / patches.square().sum())


def test_many_bits_are_nearly_exact(gaussian: Any) -> None:
    patches = split_patches(gaussian(128, 128), 16)

    assert _patch_error(patches, 16) < 1e-6
    assert _patch_error(patches, 8) < 1e-3


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("value", [0.25, -3.0])
def test_constant_deltas_come_back_exactly(round_trip: Any, strategy: str, value: float) -> None:
    delta = torch.full((32, 48), value)

    _, decoded = round_trip(METHOD, delta, strategy=strategy, rescale="none")

    torch.testing.assert_close(decoded, delta, rtol=1e-3, atol=0)


def test_zero_bit_patches_are_their_mean(round_trip: Any) -> None:
    delta = torch.zeros(8, 16)
    delta[:, :8] = torch.randn(8, 8, generator=torch.Generator().manual_seed(0))
    delta[:, 8:] = torch.tensor([0.0, 0.25] * 4)

    _, decoded = round_trip(METHOD, delta, patch="8", rescale="none")

    assert torch.equal(decoded[:, 8:], torch.full((8, 8), 0.125))


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("n_patches", [1, 2, 3, 10, 35])
def test_classes_follow_shares_and_norms(gaussian: Any, strategy: str, n_patches: int) -> None:
    classes = STRATEGIES[strategy]
    patches = gaussian(n_patches, 8, 8) * torch.rand(n_patches, 1, 1).add(0.1)

    found = classify(patches, classes)

    norms = patches.flatten(1).norm(dim=1).numpy()
    for number, (_, share) in enumerate(classes):
        mine = norms[found == number]
        assert abs(len(mine) - n_patches * share) <= 1
        later = norms[found > number]
        assert not len(mine) or not len(later) or mine.min() >= later.max()
    assert sum(class_sizes(n_patches, classes)) == n_patches


def test_equal_patches_keep_their_order() -> None:
    found = classify(torch.ones(301, 8, 8), STRATEGIES["2-0"])

    assert found.tolist() == [0] * 151 + [1] * 150


@pytest.mark.parametrize("shape", [(64, 64), (37, 53)])
def test_mean_magnitude_is_restored(round_trip: Any, gaussian: Any, shape: tuple[int, int]) -> None:
    delta = 1e-4 * gaussian(*shape)

    _, decoded = round_trip(METHOD, delta)

    assert float(decoded.abs().mean()) == pytest.approx(float(delta.abs().mean()), rel=1e-5)


@pytest.mark.parametrize(
    ("patch", "strategy", "bits"),
    [
        ("8", "2-0", 1.391),
        ("16", "2-0", 1.0977),
        ("32", "2-0", 1.024),
        ("16", "4-0", 1 + 0.25 * 0.125 + 0.75 * 0.0625 + 1 / 256),
    ],
)
def test_bits_a_weight_are_those_of_the_formula(
    round_trip: Any, gaussian: Any, patch: str, strategy: str, bits: float
) -> None:
    parts, _ = round_trip(METHOD, gaussian(512, 512), patch=patch, strategy=strategy)

    scalars = {"mabs", "unit"}
    stored = 8 * sum(part.nbytes for name, part in parts.items() if name not in scalars)
    assert stored / 512**2 == pytest.approx(bits, abs=6e-4)
    assert METHOD.payload_bits(parts, TensorSpec("w", (512, 512)), DeltaDctOptions()) == 512**2


def test_error_of_noise_is_in_the_known_band(round_trip: Any, error_of: Any, gaussian: Any) -> None:
    delta = gaussian(1024, 1024)

    errors = {
        rescale: error_of(delta, round_trip(METHOD, delta, rescale=rescale)[1])
        for rescale in ("none", "mean_abs", "lsq")
    }

    assert 0.60 <= errors["none"] <= 0.65
    assert 1.04 <= errors["mean_abs"] <= 1.12
    assert errors["lsq"] == pytest.approx(0.585, abs=0.01)


def test_clipped_ranges_are_never_worse(round_trip: Any, error_of: Any, gaussian: Any) -> None:
    delta = gaussian(96, 96)

    errors = [
        error_of(delta, round_trip(METHOD, delta, range=choice, rescale="none")[1])
        for choice in ("mse", "minmax")
    ]

    assert errors[0] < 0.95 * errors[1]


def test_sorting_helps_scattered_rows(round_trip: Any, error_of: Any, gaussian: Any) -> None:
    delta = gaussian(128, 128)
    delta[torch.randperm(128, generator=torch.Generator().manual_seed(1))[:64]] *= 0.01

    plain = error_of(delta, round_trip(METHOD, delta, rescale="lsq")[1])
    _, decoded = round_trip(METHOD, delta, rescale="lsq", sort=True)

    assert error_of(delta, decoded) < 0.8 * plain


def test_decoding_equals_the_obvious_way(round_trip: Any, gaussian: Any) -> None:
    delta = gaussian(24, 16)
    size = 8

    _, decoded = round_trip(METHOD, delta, patch="8")

    rows = np.arange(size)
    basis = np.cos(np.pi * (2 * rows[None, :] + 1) * rows[:, None] / (2 * size))
    basis *= np.where(rows[:, None] == 0, np.sqrt(1 / size), np.sqrt(2 / size))
    exact = delta.double().numpy()
    patches = [exact[r : r + 8, c : c + 8] for r in (0, 8, 16) for c in (0, 8)]
    order = np.argsort([-np.linalg.norm(patch) for patch in patches], kind="stable")
    out = np.empty_like(exact)
    for place, number in enumerate(order):
        coded = np.full((8, 8), patches[number].mean())
        if place < 3:
            plane = basis @ patches[number] @ basis.T
            low, high = plane.min(), plane.max()
            levels = np.round((plane - low) / (high - low) * 3)
            coded = basis.T @ (levels / 3 * (high - low) + low) @ basis
        row, col = divmod(number, 2)
        out[8 * row : 8 * row + 8, 8 * col : 8 * col + 8] = coded
    out *= np.abs(exact).mean() / np.abs(out).mean()
    np.testing.assert_allclose(decoded.numpy(), out, atol=5e-3)


def test_patch_edge_may_be_a_number() -> None:
    assert read_options(DeltaDctOptions, {"patch": 32}, where="").edge == 32
    with pytest.raises(OptionError, match="patch"):
        read_options(DeltaDctOptions, {"patch": 12}, where="")


def test_classes_of_another_count_are_refused(pair_of: Any, gaussian: Any) -> None:
    options = DeltaDctOptions()
    pair = pair_of(gaussian(32, 32))
    parts = METHOD.encode(pair, options)
    assert METHOD.decode is not None

    with pytest.raises(FileError, match="'cls' does not hold 2 patches"):
        METHOD.decode(parts | {"cls": np.array([[0b1110]], dtype=np.uint8)}, pair.spec, options)


def test_an_order_that_is_none_is_refused(pair_of: Any, gaussian: Any) -> None:
    options = DeltaDctOptions(sort=True)
    pair = pair_of(gaussian(32, 32))
    parts = METHOD.encode(pair, options)
    assert METHOD.decode is not None

    with pytest.raises(FileError, match="'rows' is not an order of 32"):
        METHOD.decode(parts | {"rows": np.zeros((1, 32), dtype=np.int32)}, pair.spec, options)
