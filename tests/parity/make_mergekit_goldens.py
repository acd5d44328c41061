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
    experts = [tensors["far"]] if case.get("far") else [tensors[n] for n in "abc"]
    mine = [tensors["base"], *experts[: len(case["weights"])]]
    parameters: dict[str, Any] = dict(case.get("options", {}))
    base_index: int | None = 0
    if case["method"] == "linear":
        mine, base_index = mine[1:], None
        parameters["weight"] = case["weights"]
    elif case["method"] != "slerp":
        parameters["weight"] = {i + 1: w for i, w in enumerate(case["weights"])}
    if "densities" in case:
        parameters["density"] = {i + 1: d for i, d in enumerate(case["densities"])}
    merged: torch.Tensor = merge_tensors(
        [tensor.to(dtype) for tensor in mine],
        case["method"],
        parameters=parameters,
        ids=list(range(len(mine))),
        base_index=base_index,
    )
    return merged


if __name__ == "__main__":
    main(Path(sys.argv[1]))
