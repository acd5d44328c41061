from __future__ import annotations

from collections.abc import Callable
from math import inf, log10, sqrt
from pathlib import Path
from typing import Any

import pytest
import torch

from deltaworks.errors import MismatchError
from deltaworks.evaluation import weights
from deltaworks.evaluation.weights import Energies, compare_weights, pooled, weight_measures
from deltaworks.progress import JobControl

Reader = Callable[..., Any]


def test_numbers_are_those_of_the_formulas(
    tiny_base: Path, tiny_expert: Path, in_memory: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    base, expert, result = in_memory(tiny_base), in_memory(tiny_expert), in_memory(tiny_expert)
    result.tensors = {n: (t.float() * 1.02).bfloat16() for n, t in result.tensors.items()}
    monkeypatch.setattr(weights, "_ROWS_BYTES", 4000)  # several blocks a tensor

    whole = pooled(compare_weights(base, expert, result, JobControl()))

    def laid_out(checkpoint: Any) -> torch.Tensor:
        return torch.cat([t.double().flatten() for t in checkpoint.tensors.values()])

    ground = laid_out(base)
    delta, kept = laid_out(expert) - ground, laid_out(result) - ground
    error = float(((delta - kept) ** 2).sum() / (delta**2).sum())
    assert whole.relative_error == pytest.approx(error)
    assert whole.cosine == pytest.approx(float(delta @ kept / sqrt(delta @ delta * kept @ kept)))
    assert whole.snr_db == pytest.approx(-10 * log10(error))
    assert whole.relative_delta == pytest.approx(float(delta.norm() / ground.norm()))
    assert whole.n == ground.numel()


def test_expert_itself_loses_nothing(tiny_base: Path, tiny_expert: Path, in_memory: Reader) -> None:
    expert = in_memory(tiny_expert)

    whole = pooled(compare_weights(in_memory(tiny_base), expert, expert, JobControl()))

    assert (whole.relative_error, whole.snr_db) == (0.0, inf)
    assert whole.cosine == pytest.approx(1.0)


def test_base_keeps_nothing(tiny_base: Path, tiny_expert: Path, in_memory: Reader) -> None:
    base = in_memory(tiny_base)

    whole = pooled(compare_weights(base, in_memory(tiny_expert), base, JobControl()))

    assert (whole.relative_error, whole.cosine) == (1.0, 0.0)


def test_identical_models_have_no_delta_and_no_error() -> None:
    nothing = Energies(n=4, base=1.0)

    assert (nothing.relative_error, nothing.cosine, nothing.relative_delta) == (0.0, 1.0, 0.0)
    assert Energies(n=4, base=1.0, kept=1.0, error=1.0).relative_error == inf


def test_measures_are_marked_as_estimates() -> None:
    measures = weight_measures(Energies(3, 4.0, 1.0, 1.0, 0.9, 0.2))

    assert {m.id: m.value for m in measures}["fidelity"] == pytest.approx(0.8)
    assert all(m.is_estimate and m.n == 3 for m in measures)


def test_missing_tensor_is_named(tiny_base: Path, tiny_expert: Path, in_memory: Reader) -> None:
    result = in_memory(tiny_expert)
    del result.tensors["model.norm.weight"]

    with pytest.raises(MismatchError, match=r"model\.norm\.weight: .*result missing"):
        compare_weights(in_memory(tiny_base), in_memory(tiny_expert), result, JobControl())
