"""Our merges against recorded outputs of mergekit 0.1.5."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open

from deltaworks.methods import merging_method
from deltaworks.methods.merging_record import MergeExpert, MergeInputs
from deltaworks.methods.method import TensorSpec
from deltaworks.numerics.rounding import Arithmetic

GOLDENS = Path(__file__).with_name("mergekit-0.1.5.safetensors")
RENAMED = {"lambda": "scale", "normalize_weights": "normalize"}
DTYPES = {"float32": "F32", "bfloat16": "BF16"}
EACH = {"weights": "weight", "densities": "density", "gammas": "gamma"}


def _cases() -> list[dict[str, Any]]:
    with safe_open(GOLDENS, framework="pt") as file:
        cases: list[dict[str, Any]] = json.loads(file.metadata()["cases"])
    return cases


def _options(case: dict[str, Any]) -> dict[str, Any]:
    given: dict[str, Any] = dict(case.get("options", {}))
    if case["method"] == "nuslerp":
        lines = "columns" if given.get("nuslerp_row_wise", False) else "rows"
        given = {"vectors": "tensor" if given["nuslerp_flatten"] else lines}
    return {RENAMED.get(name, name): value for name, value in given.items()}


def _merged(case: dict[str, Any], tensors: dict[str, torch.Tensor]) -> torch.Tensor:
    dtype = getattr(torch, case["dtype"])
    method = merging_method(case["method"].replace("_", "-"))
    names = ["far", "a", "b", "c"] if case.get("far") else ["a", "b", "c"]
    experts = []
    for number in range(case.get("n_experts", len(case.get("weights", ())))):
        own = {
            ours: case[theirs][number]
            for theirs, ours in EACH.items()
            if theirs in case and ours in method.expert_options.model_fields
        }
        tensor = tensors[names[number]].to(dtype)
        experts.append(MergeExpert(tensor, method.expert_options(**own)))
    base = tensors["base"].to(dtype)
    shape = tuple(base.shape)
    arithmetic = Arithmetic("mergekit-0.1.5", DTYPES[case["dtype"]])
    bare = None if case.get("bare") else base
    inputs = MergeInputs(TensorSpec("w", shape), bare, tuple(experts), arithmetic=arithmetic)
    return method.merge(inputs, method.options(**_options(case))).to(dtype)


@pytest.mark.parametrize("case", _cases(), ids=lambda case: f"{case['method']}-{case['output']}")
def test_merge_gives_what_mergekit_gives(case: dict[str, Any]) -> None:
    with safe_open(GOLDENS, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118

    merged = _merged(case, tensors)

    golden = tensors[case["output"]]
    if case["dtype"] == "bfloat16":
        assert torch.equal(merged, golden)
        return
    is_near = torch.isclose(merged, golden, rtol=2e-6, atol=2e-8)
    assert int((~is_near).sum()) <= case.get("undecided", 0)
