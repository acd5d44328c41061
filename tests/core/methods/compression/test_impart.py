from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from deltaworks.errors import FileError, MismatchError
from deltaworks.methods.compression import impart, impart_qt, low_rank
from deltaworks.methods.compression.impart import METHOD, ImpartOptions, encode
from deltaworks.methods.compression.impart_qt import ImpartQtOptions
from deltaworks.methods.compression.triples import exact_svd, thinned
from deltaworks.methods.compression_record import Parts, TensorPair
from deltaworks.methods.method import TensorSpec
from deltaworks.numerics.column_masks import column_masks
from deltaworks.numerics.importance import sparsities
from deltaworks.numerics.low_rank import Svd, thin_svd
from deltaworks.numerics.matrices import Stack
from deltaworks.numerics.seeds import raw_words

SIZE = (48, 80)


def _falling(rows: int, cols: int, *, rank: int = 0, seed: int = 0) -> Tensor:
    """A delta whose singular values fall like 1 / k."""
    rng = torch.Generator().manual_seed(seed)
    rank = rank or min(rows, cols)
    left, right = (torch.linalg.qr(torch.randn(n, rank, generator=rng)).Q for n in (rows, cols))
    return (left / torch.arange(1.0, rank + 1)) @ right.T


def _reference(delta: Tensor, p: np.ndarray, seed: int) -> np.ndarray:
    """Every vector masked and divided by what is kept of it, one at a time in float64."""
    left, sigma, right = np.linalg.svd(delta.double().numpy(), full_matrices=False)
    out = np.zeros(delta.shape)
    rows, cols = delta.shape
    words = [
        raw_words(seed, "w", len(p) * n, f"impart-{s}-0") for s, n in (("u", rows), ("v", cols))
    ]
    for k, share in enumerate(p):
        vectors = []
        for vector, word in ((left[:, k], words[0]), (right[k], words[1])):
            keep = len(vector) - int(np.floor(len(vector) * share))
            mask = np.zeros(len(vector))
            mask[np.argsort(word[k * len(vector) : (k + 1) * len(vector)])[:keep]] = 1
            vectors.append(vector * mask * len(vector) / keep)
        out += sigma[k] * np.outer(*vectors)
    return out


def _shares(parts: Parts, rows: int) -> np.ndarray:
    return 1 - parts["cU"] / rows


def test_decoding_equals_the_obvious_way(round_trip: Any) -> None:
    delta = _falling(*SIZE)

    parts, decoded = round_trip(METHOD, delta, seed=3, ratio=4.0, cut=0.2)

    rank = int(parts["rank"][0])
    assert 1 < rank < 48
    sigma = torch.linalg.svdvals(delta.double()).numpy()
    p = sparsities(sigma, 1 - 48 * 80 / (4 * 48 * 128), 1 - 0.8 * 2 * 80 / 128, 0.5)
    np.testing.assert_allclose(
        decoded.numpy(), _reference(delta, p[p < 1], seed=3), rtol=0, atol=2e-3
    )


def test_all_triples_within_the_budget_are_kept_whole(round_trip: Any, error_of: Any) -> None:
    delta = _falling(*SIZE, rank=7)

    for ratio in (1.0, 4.0):
        parts, decoded = round_trip(METHOD, delta, ratio=ratio)

        assert parts["cU"].tolist() == [48] * 7
        assert parts["cV"].tolist() == [80] * 7
        assert error_of(delta, decoded) < 4e-6


@pytest.mark.parametrize("ratio", [2.0, 32.0, 4000.0])
def test_one_triple_is_never_thinned(round_trip: Any, error_of: Any, ratio: float) -> None:
    delta = _falling(*SIZE, rank=1)

    _, decoded = round_trip(METHOD, delta, ratio=ratio)

    assert error_of(delta, decoded) < 1e-6


def test_equal_importance_is_truncation(round_trip: Any, error_of: Any) -> None:
    delta = _falling(*SIZE)
    energies = torch.linalg.svdvals(delta.double()).square()

    parts, decoded = round_trip(METHOD, delta, ratio=6.0, exponent=0.0)

    rank = int(parts["rank"][0])
    assert rank == 48 * 80 // (6 * 128)
    assert error_of(delta, decoded) == pytest.approx(
        float(energies[rank:].sum() / energies.sum()), rel=1e-4
    )


@pytest.mark.parametrize("shape", [SIZE, (80, 48), (64, 64), (3, 48, 80)])
@pytest.mark.parametrize("ratio", [2.0, 6.0, 13.0])
def test_values_stay_in_the_budget(
    round_trip: Any, gaussian: Any, shape: tuple[int, ...], ratio: float
) -> None:
    delta = gaussian(*shape)

    parts, _ = round_trip(METHOD, delta, ratio=ratio)

    n_values = len(parts["U_vals"]) + len(parts["V_vals"])
    one_triple = delta.numel() / delta.shape[-1] + delta.numel() / delta.shape[-2]
    assert delta.numel() / ratio - one_triple < n_values
    assert n_values <= delta.numel() / ratio + 2 * len(parts["S"])


def test_weaker_vectors_are_thinned_more(round_trip: Any) -> None:
    parts, _ = round_trip(METHOD, _falling(200, 200), ratio=4.0, cut=0.5)

    p = _shares(parts, 200)
    assert p[0] == 0
    assert (np.diff(p) >= 0).all()
    assert 0 < p[-1] < 1


def test_mean_over_seeds_is_the_truncation(round_trip: Any, monkeypatch: Any) -> None:
    delta = _falling(10, 8)
    known = exact_svd(delta)
    monkeypatch.setattr("deltaworks.methods.compression.triples.exact_svd", lambda _: known)
    n_seeds = 2000

    total, squares = torch.zeros(10, 8).double(), torch.zeros(10, 8).double()
    for seed in range(n_seeds):
        parts, decoded = round_trip(METHOD, delta, seed=seed, ratio=1.5, cut=0.0, exponent=1.0)
        total += decoded
        squares += decoded.double() ** 2

    mean = total / n_seeds
    rank = int(parts["rank"][0])
    assert (_shares(parts, 10)[1:] > 0).any()
    left, sigma, right = torch.linalg.svd(delta.double(), full_matrices=False)
    best = (left[:, :rank] * sigma[:rank]) @ right[:rank]
    error = ((squares / n_seeds - mean**2).clamp_min(0) / n_seeds).sqrt()
    assert ((mean - best).abs() <= 4 * error + 1e-4).all()


def test_a_half_kept_triple_has_three_times_its_energy_as_error() -> None:
    rng = np.random.default_rng(0)
    left, right = (v / np.linalg.norm(v) for v in (rng.normal(size=40), rng.normal(size=60)))
    errors = []
    for seed in range(4000):
        u = left * column_masks(seed, "w", "u", np.array([20], dtype="i4"), 40)[0] * 2
        v = right * column_masks(seed, "w", "v", np.array([30], dtype="i4"), 60)[0] * 2
        errors.append(1 - 2 * (u @ left) * (v @ right) + (u @ u) * (v @ v))

    assert np.mean(errors) == pytest.approx(3.0, abs=0.1)


def test_rescaling_trades_bias_for_error(round_trip: Any, error_of: Any) -> None:
    delta = _falling(96, 96)
    kw = {"ratio": 4.0, "cut": 0.2}

    errors = {
        rescale: error_of(delta, round_trip(METHOD, delta, rescale=rescale, **kw)[1])
        for rescale in ("unbiased", "none", "lsq")
    }

    assert errors["lsq"] <= min(1.0, errors["unbiased"])
    assert errors["none"] < errors["unbiased"]


def test_least_squares_is_the_best_multiple(round_trip: Any, error_of: Any) -> None:
    delta = _falling(60, 40)

    _, decoded = round_trip(METHOD, delta, ratio=4.0, rescale="lsq")

    for factor in (0.99, 1.01):
        assert error_of(delta, decoded * factor) > error_of(delta, decoded)


def test_stored_masks_give_the_same_delta(round_trip: Any, gaussian: Any) -> None:
    delta = gaussian(2, 64, 64)

    seeded, one = round_trip(METHOD, delta, ratio=3.0)
    stored, two = round_trip(METHOD, delta, ratio=3.0, store_mask=True)

    assert torch.equal(one, two)
    assert set(seeded) == {"U_vals", "V_vals", "S", "rank", "cU", "cV", "check"}
    assert "check" not in stored
    assert {"mask", "gaps"} & set(stored)


def test_another_seed_is_refused(pair_of: Any, gaussian: Any) -> None:
    options = ImpartOptions(ratio=3.0)
    parts = encode(pair_of(gaussian(64, 64), seed=1), options)
    assert METHOD.decode is not None

    with pytest.raises(MismatchError, match=r"^w: seed 2 gives other masks"):
        METHOD.decode(parts, TensorSpec("w", (64, 64), seed=2), options)


@pytest.mark.parametrize(
    ("name", "value"), [("rank", 65), ("rank", -1), ("cU", 0), ("cU", 65), ("cV", -3)]
)
def test_impossible_counts_are_refused(pair_of: Any, gaussian: Any, name: str, value: int) -> None:
    options = ImpartOptions(ratio=3.0)
    pair = pair_of(gaussian(64, 64))
    parts = encode(pair, options)
    broken = parts[name].copy()
    broken[0] = value
    assert METHOD.decode is not None

    with pytest.raises(FileError, match=rf"^w: part '{name}'"):
        METHOD.decode(parts | {name: broken}, pair.spec, options)


def test_low_rank_and_impart_share_one_decomposition(
    pair_of: Any, gaussian: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def counted(matrix: Tensor) -> Svd:
        calls.append(1)
        return thin_svd(matrix)

    monkeypatch.setattr("deltaworks.methods.compression.triples.thin_svd", counted)
    pair = pair_of(gaussian(24, 24))

    encode(pair, ImpartOptions())
    low_rank.METHOD.encode(pair, low_rank.LowRankOptions())

    assert len(calls) == 1


@pytest.mark.parametrize("shape", [(64, 64), (300, 200), (3, 64, 96)])
def test_the_size_is_expected_from_the_shape(gaussian: Any, shape: tuple[int, ...]) -> None:
    options = ImpartOptions(ratio=8.0)
    spec = TensorSpec("w", shape)

    parts = encode(TensorPair(spec, None, gaussian(*shape)), options)

    stored = 8 * sum(part.nbytes for part in parts.values())
    assert stored <= 1.1 * METHOD.stored_bits(shape, options)
    assert stored >= 0.5 * METHOD.stored_bits(shape, options)


@pytest.mark.parametrize("ratio", [2.0, 32.0])
@pytest.mark.parametrize("exponent", [0.0, 0.5])
def test_the_largest_triples_give_what_all_give(
    gaussian: Any, ratio: float, exponent: float
) -> None:
    delta = gaussian(60, 40) + 3.0 * gaussian(60, 2) @ gaussian(2, 40, seed=1)
    stack = Stack(1, 60, 40)
    for make, method in ((ImpartOptions, impart), (ImpartQtOptions, impart_qt)):
        options = make(ratio=ratio, exponent=exponent)
        whole = exact_svd(delta)
        part = [whole[0].first(method.triples((60, 40), options))]

        all_kept = thinned(whole, stack, method.schedule_for(stack, options))
        kept = thinned(part, stack, method.schedule_for(stack, options))

        assert kept.ranks.tolist() == all_kept.ranks.tolist()
        assert np.array_equal(kept.left, all_kept.left)
        assert np.array_equal(kept.right, all_kept.right)
