"""Record small outputs of mergekit 0.1.5; see README.md for the command.

Not run by the tests: mergekit is not a dependency. It uses mergekit's public
``merge_tensors`` only.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch
from mergekit.merge_methods import merge_tensors  # type: ignore[import-not-found]
from safetensors.torch import save_file

CASES: list[dict[str, Any]] = [
    {"method": "linear", "weights": [0.3, 0.7]},
    {"method": "linear", "weights": [1.0, 3.0, -0.5]},
    {"method": "linear", "weights": [1.0, 3.0], "options": {"normalize": False}},
    {"method": "slerp", "weights": [1.0], "options": {"t": 0.25}},
    {"method": "slerp", "weights": [1.0], "options": {"t": 0.6}, "far": True},
    {"method": "task_arithmetic", "weights": [0.3, 0.7]},
    {"method": "task_arithmetic", "weights": [1.0, -0.4, 0.9], "options": {"lambda": 0.6}},
    {"method": "task_arithmetic", "weights": [1.0, 2.0], "options": {"normalize": True}},
    {"method": "ties", "weights": [1.0, 1.0], "densities": [1.0, 1.0]},
    {"method": "ties", "weights": [0.3, 0.7], "densities": [0.5, 0.2]},
    {"method": "ties", "weights": [1.0, 0.8, -0.5], "densities": [0.4, 0.3, 0.9]},
    {
        "method": "ties",
        "weights": [1.0, 1.0, 1.0],
        "densities": [0.2, 0.2, 0.2],
        "options": {"normalize": False, "lambda": 0.7},
    },
    {
        "method": "ties",
        "weights": [1.0, 0.5],
        "densities": [0.5, 0.25],
        "options": {"rescale": True},
    },
    *(
        {"method": method, "weights": [1.0, -0.4, 0.9], "densities": [1.0, 1.0, 1.0]}
        for method in ("dare_linear", "dare_ties", "della", "della_linear")
    ),
    {
        "method": "breadcrumbs",
        "weights": [1.0, 0.8, -0.5],
        "densities": [0.9, 0.5, 0.3],
        "gammas": [0.01, 0.1, 0.0],
    },
    {
        "method": "breadcrumbs",
        "weights": [1.0, 0.5],
        "densities": [0.9, 0.6],
        "gammas": [0.3, 0.05],
        "options": {"normalize": True, "rescale": True, "lambda": 0.7},
    },
    {
        "method": "breadcrumbs_ties",
        "weights": [1.0, 0.8, -0.5],
        "densities": [0.9, 0.5, 0.3],
        "gammas": [0.01, 0.1, 0.0],
    },
    {"method": "sce", "n_experts": 3},
    {"method": "sce", "n_experts": 3, "options": {"select_topk": 0.3}},
    {"method": "sce", "n_experts": 3, "options": {"select_topk": 0.3}, "far": True},
    {"method": "ram", "n_experts": 3},
    {"method": "ram", "n_experts": 3, "options": {"epsilon": 0.003}},
    {"method": "ramplus_tl", "n_experts": 3, "options": {"epsilon": 0.003}},
    {"method": "ramplus_tl", "n_experts": 2, "options": {"epsilon": 0.005, "r": 0.7, "alpha": 3.0}},
    {"method": "model_stock", "n_experts": 2},
    {"method": "model_stock", "n_experts": 3, "far": True},
    {"method": "model_stock", "n_experts": 3, "options": {"filter_wise": True}, "far": True},
    *(
        {"method": "nuslerp", "weights": [0.3, 0.9], "options": options, "far": far, "bare": bare}
        for options in (
            {"nuslerp_flatten": True},
            {"nuslerp_flatten": False},
            {"nuslerp_flatten": False, "nuslerp_row_wise": True},
        )
        for far in (False, True)
        for bare in (False, True)
    ),
    {"method": "multislerp", "weights": [0.3, 0.9, 0.5], "bare": True},
    {"method": "multislerp", "weights": [0.3, 0.9, 0.5], "far": True},
    {
        "method": "multislerp",
        "weights": [0.3, 0.9, 0.5],
        "options": {"normalize_weights": False},
        "far": True,
        "bare": True,
    },
    {"method": "karcher", "n_experts": 3, "bare": True},
    {"method": "karcher", "n_experts": 3, "far": True, "bare": True},
    {
        "method": "karcher",
        "n_experts": 3,
        "options": {"max_iter": 2, "tol": 1e-3},
        "far": True,
        "bare": True,
    },
    {"method": "nearswap", "n_experts": 1, "options": {"t": 0.001}},
    {"method": "nearswap", "n_experts": 1, "options": {"t": 0.01}, "far": True},
    {"method": "arcee_fusion", "n_experts": 1, "far": True},
    {"method": "arcee_fusion", "n_experts": 1, "undecided": 4},
]


def inputs() -> dict[str, torch.Tensor]:
    rng = torch.Generator().manual_seed(5)
    base = torch.randn(24, 40, generator=rng) * 0.02
    found = {"base": base}
    for name in ("a", "b", "c"):
        found[name] = base + torch.randn(24, 40, generator=rng) * 0.003
    found["far"] = torch.randn(24, 40, generator=rng) * 0.03
    return found


def main(path: Path) -> None:
    tensors = inputs()
    cases = []
    for number, case in enumerate(CASES):
        for dtype in ("float32", "bfloat16"):
            if dtype == "bfloat16" and case["method"] not in {"linear", "slerp"}:
                continue  # mergekit computes these in bfloat16, we do not.
            name = f"out{number:02d}.{dtype}"
            tensors[name] = run(case, tensors, getattr(torch, dtype))
            cases.append({**case, "dtype": dtype, "output": name})
    save_file(tensors, path, metadata={"peer": "mergekit 0.1.5", "cases": json.dumps(cases)})


def run(case: dict[str, Any], tensors: dict[str, torch.Tensor], dtype: torch.dtype) -> torch.Tensor:
    """Merge the first experts; ``far`` puts the far one first, ``bare`` leaves the base out."""
    names = ["far", "a", "b", "c"] if case.get("far") else ["a", "b", "c"]
    count = case.get("n_experts", len(case.get("weights", ())))
    mine = [tensors[name] for name in names[:count]]
    has_base = case["method"] != "linear" and not case.get("bare")
    if has_base:
        mine = [tensors["base"], *mine]
    parameters: dict[str, Any] = dict(case.get("options", {}))
    if case["method"] == "linear":
        parameters["weight"] = case["weights"]
    elif case["method"] != "slerp":
        for ours, theirs in (("weights", "weight"), ("densities", "density"), ("gammas", "gamma")):
            if ours in case:
                parameters[theirs] = {i + has_base: v for i, v in enumerate(case[ours])}
    merged: torch.Tensor = merge_tensors(
        [tensor.to(dtype) for tensor in mine],
        case["method"],
        parameters=parameters,
        ids=list(range(len(mine))),
        base_index=0 if has_base else None,
    )
    return merged


if __name__ == "__main__":
    main(Path(sys.argv[1]))
