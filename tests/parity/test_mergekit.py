"""Our merges against recorded outputs of mergekit 0.1.5."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open

from deltaworks.methods import merging_method
from deltaworks.methods.method import MergeExpert, MergeInputs, TensorSpec

GOLDENS = Path(__file__).with_name("mergekit-0.1.5.safetensors")
OURS = {"task_arithmetic": "task-arithmetic"}
RENAMED = {"lambda": "scale"}


def _cases() -> list[dict[str, Any]]:
    with safe_open(GOLDENS, framework="pt") as file:
        cases: list[dict[str, Any]] = json.loads(file.metadata()["cases"])
    return cases


def _merged(case: dict[str, Any], tensors: dict[str, torch.Tensor]) -> torch.Tensor:
    dtype = getattr(torch, case["dtype"])
    method = merging_method(OURS.get(case["method"], case["method"]))
    weights = case["weights"]
    names = ["far"] if case.get("far") else ["a", "b", "c"][: len(weights)]
    experts = []
    for number, name in enumerate(names):
        own: dict[str, Any] = {} if case["method"] == "slerp" else {"weight": weights[number]}
        if "densities" in case:
            own["density"] = case["densities"][number]
        experts.append(MergeExpert(tensors[name].to(dtype), method.expert_options(**own)))
    options = {RENAMED.get(name, name): value for name, value in case.get("options", {}).items()}
    base = tensors["base"].to(dtype)
    inputs = MergeInputs(TensorSpec("w", tuple(base.shape)), base, tuple(experts))
    return method.merge(inputs, method.options(**options)).to(dtype)


@pytest.mark.parametrize("case", _cases(), ids=lambda case: f"{case['method']}-{case['output']}")
def test_merge_gives_what_mergekit_gives(case: dict[str, Any]) -> None:
    with safe_open(GOLDENS, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118

    merged = _merged(case, tensors)

    golden = tensors[case["output"]]
    if case["dtype"] == "bfloat16":
        assert torch.equal(merged, golden)
    else:
        torch.testing.assert_close(merged, golden, rtol=2e-6, atol=1e-8)
