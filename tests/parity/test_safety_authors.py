"""Our Safe Delta and IRR against recorded outputs of their authors' functions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open

from deltaworks.methods import safety_method
from deltaworks.methods.method import TensorSpec
from deltaworks.methods.safety_record import Repaired, RepairInputs

GOLDENS = Path(__file__).with_name("safety-authors.safetensors")


def _cases() -> list[dict[str, Any]]:
    with safe_open(GOLDENS, framework="pt") as file:
        cases: list[dict[str, Any]] = json.loads(file.metadata()["cases"])
    return cases


def _tensors() -> dict[str, torch.Tensor]:
    with safe_open(GOLDENS, framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def _repaired(case: dict[str, Any], tensors: dict[str, torch.Tensor], **more: Any) -> Repaired:
    method = safety_method(case["method"])
    options = {name: case[name] for name in case if name not in {"method", "output"}} | more
    if case["method"] == "safe-delta":
        options |= {"budget": "authors"}
    else:
        options |= {"zero_policy": "official"}
    aligned = tensors["aligned"]
    inputs = RepairInputs(
        TensorSpec("layer", tuple(aligned.shape)),
        aligned,
        tensors["tuned"],
        unaligned=aligned - tensors["vector"],
        gram=lambda: tensors["h"],
        fisher=lambda: tensors["fisher"],
    )
    return method.repair(inputs, method.options(**options))


@pytest.mark.parametrize("case", _cases(), ids=lambda case: case["output"])
def test_our_arithmetic_is_the_authors(case: dict[str, Any]) -> None:
    tensors = _tensors()

    found = _repaired(case, tensors)

    golden = tensors[case["output"]]
    assert float((found.tensor - golden).norm() / golden.norm()) < 2e-6
    assert float((found.tensor - golden).abs().max()) < 2e-5


def test_the_cases_admit_little_and_much() -> None:
    tensors = _tensors()
    cases = [case for case in _cases() if case["method"] == "safe-delta"]

    shares = {_repaired(case, tensors).facts["admitted_share"] for case in cases}

    assert min(shares) < 0.1
    assert max(shares) == pytest.approx(0.85, abs=0.01)
    assert len(shares) >= 5


def test_single_columns_differ_from_groups_of_four() -> None:
    tensors = _tensors()
    cases = [case for case in _cases() if case["method"] == "safe-delta"]
    golden = tensors[cases[-1]["output"]]

    found = _repaired(cases[-1], tensors, group=1).tensor

    assert 1e-5 < float((found - golden).norm() / golden.norm()) < 5e-2
