from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from deltaworks.errors import FileError
from deltaworks.methods.compression import delta_come, impart_qt
from deltaworks.methods.compression.rank_codes import (
    bits_of_places,
    code_vectors,
    decode_vectors,
    rank_for_bits,
)
from deltaworks.methods.compression.triples import (
    Kept,
    full_masks,
    products,
    scales_of,
    survivors,
    triples_of,
    whole,
)
from deltaworks.methods.method import TensorSpec
from deltaworks.numerics.column_masks import column_masks
from deltaworks.numerics.importance import sparsities, sparsity_at_cost
from deltaworks.numerics.matrices import Stack

COME, QT = delta_come.METHOD, impart_qt.METHOD


def _falling(rows: int, cols: int) -> Tensor:
    rng = torch.Generator().manual_seed(0)
    rank = min(rows, cols)
    left, right = (torch.linalg.qr(torch.randn(n, rank, generator=rng)).Q for n in (rows, cols))
    return (left / torch.arange(1.0, rank + 1)) @ right.T


def _nearest(values: np.ndarray, bits: int, size: int) -> np.ndarray:
    """Round to a grid with zero in it, one group and one value at a time."""
    out = np.zeros(len(values))
    for start in range(0, len(values), size):
        group = values[start : start + size]
        low, high = min(0.0, group.min()), max(0.0, group.max())
        scale = (high - low) / ((1 << bits) - 1)
        zero = round(-low / scale)
        for place, value in enumerate(group):
            code = min(max(round(value / scale) + zero, 0), (1 << bits) - 1)
            out[start + place] = scale * (code - zero)
    return out


@pytest.mark.parametrize(
    ("rows", "cols", "ranks", "bits"),
    [(4096, 4096, 2 + 32 + 968, 1.0), (11008, 4096, 2 + 32 + 1428, 0.994)],
)
def test_known_ranks_cost_the_known_bits(rows: int, cols: int, ranks: int, bits: float) -> None:
    spent = bits_of_places(ranks).sum() * (rows + cols) / (rows * cols)

    assert spent == pytest.approx(bits, abs=5e-4)


def test_ranks_follow_from_the_budget() -> None:
    options = delta_come.DeltaComeOptions(bits=1.0)

    assert delta_come.rank_for(Stack(1, 4096, 4096), options) == 2 + 32 + 968
    # 2985 bits for a row and a column: (2985.2 - 112) / 2 ranks of two bits.
    assert delta_come.rank_for(Stack(1, 11008, 4096), options) == 34 + 1436
    # Too small for all classes: two of 8 bits, then (64 - 16) / 3 of 3 bits.
    assert delta_come.rank_for(Stack(1, 128, 128), options) == 2 + 16
    assert delta_come.rank_for(Stack(1, 8, 8), options) == 1
    assert delta_come.rank_for(Stack(1, 64, 64), delta_come.DeltaComeOptions(bits=8.0)) == 64
    assert rank_for_bits(7.0, 10) == 0
    assert rank_for_bits(1e9, 10) == 10


def test_codes_equal_the_obvious_way(round_trip: Any) -> None:
    delta = _falling(40, 60)

    parts, decoded = round_trip(COME, delta, bits=2.0, group_size=16)

    left, sigma, right = (
        one.numpy() for one in torch.linalg.svd(delta.double(), full_matrices=False)
    )
    rank = int(parts["rank"][0])
    assert rank == 2 + (48 - 16) // 3
    expected = np.zeros((40, 60))
    for k in range(rank):
        bits = 8 if k < 2 else 3
        expected += sigma[k] * np.outer(
            _nearest(left[:, k], bits, 16), _nearest(right[k], bits, 16)
        )
    # Signs of singular vectors are free, and grids are not symmetric: compare the errors.
    exact = delta.double().numpy()
    errors = [np.square(one - exact).sum() for one in (decoded.numpy(), expected)]
    assert errors[0] == pytest.approx(errors[1], rel=0.1)


def test_vectors_are_rounded_to_their_grids(gaussian: Any) -> None:
    kept = whole(Stack(2, 30, 20), [3, 40])
    values = gaussian(43 * 30).numpy() * 1000

    parts = code_vectors("U", values, kept.left, kept, 16)
    decoded = decode_vectors("U", parts, kept.left, kept, 16, TensorSpec("w", ()))

    widths = np.concatenate([bits_of_places(3), bits_of_places(40)])
    assert widths.tolist() == [8, 8, 3] + [8, 8] + [3] * 32 + [2] * 6
    expected = [
        _nearest(vector, int(bits), 16)
        for vector, bits in zip(values.reshape(43, 30).astype(np.float64), widths, strict=True)
    ]
    gap = np.abs(decoded - np.concatenate(expected))
    # A value halfway between two codes may go either way.
    assert (gap < 2.0).mean() > 0.99


@pytest.mark.parametrize("shape", [(40, 60), (2, 33, 20)])
def test_sixteen_bits_are_the_truncation(
    pair_of: Any, error_of: Any, gaussian: Any, shape: tuple[int, ...]
) -> None:
    classes = ((16, 2), (16, 4), (16, 0))
    pair = pair_of(gaussian(*shape))
    svds = triples_of(pair, 9)
    kept = whole(Stack(len(svds), *shape[-2:]), [9] * len(svds))
    masks = full_masks(kept)
    sides = []
    for name, values, counts in zip(
        "UV", survivors(svds, kept, masks), (kept.left, kept.right), strict=True
    ):
        parts = code_vectors(name, values, counts, kept, 128, classes)
        sides.append(decode_vectors(name, parts, counts, kept, 128, pair.spec, classes))

    found = products(*sides, scales_of(svds, kept, rescale=False), kept, masks)

    for svd, matrix in zip(svds, found, strict=True):
        best = (svd.left[:, :9] * svd.sigma[:9]) @ svd.right[:, :9].T
        assert error_of(best, matrix) < 1e-7


def test_more_bits_and_smaller_groups_follow_the_delta_better(
    round_trip: Any, error_of: Any
) -> None:
    delta = _falling(200, 160)

    few, more = (error_of(delta, round_trip(COME, delta, bits=b)[1]) for b in (0.25, 2.0))
    coarse, fine = (error_of(delta, round_trip(COME, delta, group_size=g)[1]) for g in (128, 16))

    assert more < few
    assert fine < coarse


@pytest.mark.parametrize("shape", [(64, 64), (200, 96), (3, 40, 50), (1, 9)])
def test_the_size_of_whole_vectors_is_known(
    round_trip: Any, gaussian: Any, shape: tuple[int, ...]
) -> None:
    parts, _ = round_trip(COME, gaussian(*shape), bits=1.5)

    stored = 8 * sum(part.nbytes for part in parts.values())
    assert stored == COME.stored_bits(shape, delta_come.DeltaComeOptions(bits=1.5))


@pytest.mark.parametrize("ratio", [20.0, 32.0, 100.0])
def test_the_search_charges_true_bits(ratio: float) -> None:
    sigma = np.arange(1, 4097) ** -0.5
    costs = bits_of_places(4096) / 16
    keep = 1 / (2 * ratio)

    alpha = sparsity_at_cost(sigma, costs, 4096 * keep, 0.8, 0.5)

    spent = float((costs * (1 - sparsities(sigma, alpha, 0.8, 0.5))).sum()) / 4096
    assert keep - 1e-3 <= spent <= keep


@pytest.mark.parametrize("shape", [(256, 256), (300, 180), (2, 128, 256)])
@pytest.mark.parametrize("ratio", [16.0, 32.0])
def test_thinned_codes_stay_in_the_budget(
    round_trip: Any, gaussian: Any, shape: tuple[int, ...], ratio: float
) -> None:
    delta = gaussian(*shape)

    parts, _ = round_trip(QT, delta, ratio=ratio)

    codes = sum(part.nbytes * 8 for name, part in parts.items() if name in QT_CODES)
    # At most one entry more than its share a vector, of at most 8 bits.
    slack = 16 * len(parts["S"]) + 8 * 6
    assert codes <= 16 * delta.numel() / ratio + slack
    assert codes >= 0.7 * 16 * delta.numel() / ratio
    stored = 8 * sum(part.nbytes for part in parts.values())
    expected = QT.stored_bits(shape, impart_qt.ImpartQtOptions(ratio=ratio))
    assert 0.5 * expected <= stored <= 1.15 * expected


QT_CODES = {f"{side}{bits}" for side in "UV" for bits in (8, 3, 2)}


def test_masked_entries_stay_zero(pair_of: Any) -> None:
    pair = pair_of(_falling(256, 256), seed=7)
    options = impart_qt.ImpartQtOptions(ratio=40.0)

    parts = impart_qt.encode(pair, options)

    kept = Kept(Stack(1, 256, 256), parts["rank"], parts["cU"], parts["cV"])
    mask = column_masks(7, "w", "impart-u-0", kept.left, 256)
    assert 0 < mask.mean() < 0.95
    vectors = np.zeros(mask.shape)
    vectors[mask] = decode_vectors("U", parts, kept.left, kept, 128, pair.spec)
    assert not vectors[~mask].any()
    column = parts["S"] * 2.0**-28
    other = column_masks(7, "w", "impart-v-0", kept.right, 256)
    right = np.zeros(other.shape)
    right[other] = decode_vectors("V", parts, kept.right, kept, 128, pair.spec)
    np.testing.assert_allclose(
        impart_qt.decode(parts, pair.spec, options).numpy(),
        (vectors.T * column) @ right,
        atol=1e-4,
    )


def test_least_squares_is_the_best_multiple(round_trip: Any, error_of: Any) -> None:
    delta = _falling(256, 200)

    _, decoded = round_trip(QT, delta, rescale="lsq")

    for factor in (0.99, 1.01):
        assert error_of(delta, decoded * factor) > error_of(delta, decoded)


@pytest.mark.parametrize("method", [COME, QT], ids=lambda method: method.id)
def test_damaged_codes_are_refused(method: Any, pair_of: Any, gaussian: Any) -> None:
    pair = pair_of(gaussian(64, 64))
    options = method.options()
    parts = method.encode(pair, options)
    names = [name for name in parts if name.startswith(("U", "V"))]
    assert len(names) >= 6

    for name in names:
        with pytest.raises(FileError, match=rf"^w: part '{name}'"):
            method.decode(parts | {name: parts[name][:-1]}, pair.spec, options)
