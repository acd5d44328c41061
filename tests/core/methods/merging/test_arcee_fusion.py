from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from deltaworks.errors import OptionError
from deltaworks.methods.merging.arcee_fusion import threshold
from deltaworks.methods.method import TensorSpec


def test_a_threshold_of_zero_takes_everything(merged: Any) -> None:
    other = [[0.1, 0, 0, 0], [0, 0, 0, 2.0]]

    found = merged("arcee-fusion", torch.zeros(2, 4), [(other, {})])

    assert torch.equal(found, torch.tensor(other))


def test_only_what_stands_out_is_taken(merged: Any) -> None:
    other = [[1.0, 2, 3, 4, 5, 6, 7, 80]]

    found = merged("arcee-fusion", torch.zeros(1, 8), [(other, {})])

    assert found.tolist() == [[0, 0, 0, 0, 0, 0, 0, 80]]


def test_merge_equals_float64(merged: Any, gaussian: Any) -> None:
    base, other = 0.1 * gaussian(300, 500), 0.1 * gaussian(300, 500, seed=1)

    found = merged("arcee-fusion", base, [(other, {})])

    start, end = base.double(), other.double()
    after, before = torch.softmax(end, 1) + 1e-8, torch.softmax(start, 1) + 1e-8
    score = (end - start).abs() * (after * (after / before).log()).sum(1, keepdim=True)
    ranked = score.reshape(-1).sort().values
    first, median, third = (ranked[int(q * (len(ranked) - 1))] for q in (0.25, 0.5, 0.75))
    mask = score >= median + 1.5 * (third - first)
    assert 0 < int(mask.sum()) < 50_000
    torch.testing.assert_close(found, torch.where(mask, other, base))


def test_quartiles_of_many_scores_come_from_a_seeded_sample() -> None:
    scores = np.random.default_rng(0).random(1_200_000).astype(np.float32)

    first, again, other = (
        threshold(scores, TensorSpec("w", (1_200_000,), seed)) for seed in (1, 1, 2)
    )

    assert first == again
    assert first != other
    # 0.5 + 1.5 (0.75 - 0.25), sampled: standard error below 0.001.
    assert first == pytest.approx(1.25, abs=0.005)


def test_quartiles_of_a_million_scores_are_exact() -> None:
    scores = np.random.default_rng(0).random(1_000_000).astype(np.float32)

    found = threshold(scores, TensorSpec("w", (1_000_000,)))

    first, median, third = np.sort(scores)[[249_999, 499_999, 749_999]].astype(float)
    assert found == pytest.approx(median + 1.5 * (third - first), abs=1e-12)


def test_more_than_one_other_model_is_refused(merged: Any) -> None:
    with pytest.raises(OptionError, match="not to 2"):
        merged("arcee-fusion", [1.0], [([1.0], {}), ([2.0], {})])
