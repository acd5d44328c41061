"""Record what the authors' functions for Safe Delta and IRR give on small matrices.

    python make_safety_goldens.py SAFEDELTA IRR safety-authors.safetensors

SAFEDELTA and IRR are clones of ColinLu50/SafeDelta at 3a4ea35 and pikepokenew/IRR at cc431b6.
Their classes are cut out of their files and run as they are, on the CPU, with stand-ins for
``torch.cuda`` and modules that the arithmetic does not use. Sorting is made stable: all rows
of a column have one key, and which of them go first is left open otherwise.
"""

from __future__ import annotations

import ast
import json
import math
import sys
import time
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from safetensors.torch import save_file

ROWS, COLUMNS, SAMPLES, TOKENS = 12, 40, 10, 16
BLOCKS = {"safe-delta": 16, "irr": 16}


class Conv1D:
    """Stands in for transformers' layer, which is not used."""


def class_of(path: Path, name: str) -> Any:
    """Run one class of a file, with what its body names."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    body: list[ast.stmt] = [
        node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name
    ]
    names: dict[str, Any] = {
        "torch": torch,
        "nn": torch.nn,
        "math": math,
        "time": time,
        "transformers": SimpleNamespace(Conv1D=Conv1D),
        "DEBUG": False,
    }
    exec(compile(ast.Module(body, []), str(path), "exec"), names)
    return names[name]


def linear(weight: torch.Tensor) -> torch.nn.Linear:
    layer = torch.nn.Linear(weight.shape[1], weight.shape[0], bias=False)
    layer.weight.data = weight.clone()
    return layer


def made() -> dict[str, torch.Tensor]:
    """Inputs and weights, without equal values, so that an unstable sort cannot matter."""
    rng = torch.Generator().manual_seed(6)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=rng)

    mix = normal(COLUMNS, COLUMNS) / COLUMNS**0.5
    scale = torch.linspace(0.2, 3.0, COLUMNS)
    aligned = normal(ROWS, COLUMNS)
    vector = 0.1 * normal(ROWS, COLUMNS)
    vector[:, 7] = 0.0
    return {
        "texts": normal(SAMPLES, TOKENS, COLUMNS) @ mix * scale,
        "aligned": aligned,
        "tuned": aligned + 0.1 * normal(ROWS, COLUMNS),
        "vector": vector,
        "fisher": normal(ROWS, COLUMNS).square(),
    }


def _nothing(_device: Any = None) -> None:
    """There is no GPU to wait for."""


def fed(runner: Any, texts: torch.Tensor) -> Any:
    for text in texts:
        runner.add_batch(text, None)
    return runner


def main(safe_delta: Path, irr: Path, out: Path) -> None:
    torch.cuda.synchronize = _nothing  # type: ignore[assignment]
    torch.argsort = partial(torch.argsort, stable=True)
    torch.manual_seed(0)
    tensors, cases = made(), []
    delta_runner = class_of(safe_delta / "llama2/safedelta/safedelta_runner.py", "SafeDeltaRunner")
    tensors["h"] = fed(
        delta_runner(linear(tensors["aligned"]), linear(tensors["tuned"])), tensors["texts"]
    ).H
    for block in (COLUMNS, 16):
        for s in (5.0, 60.0, 400.0, 1e6):
            layer = linear(tensors["aligned"])
            runner = fed(delta_runner(layer, linear(tensors["tuned"])), tensors["texts"])
            runner.adjust_delta(s, blocksize=block)
            name = f"safe-delta {block} {s:g}"
            tensors[name] = layer.weight.data
            cases.append({"method": "safe-delta", "output": name, "block": block, "s": s})
    pruner = class_of(irr / "IRR/sparsegpt.py", "SparseGPT")
    for method in ("IRR", "IRR_wo_sign"):
        for more in (False, True):
            for keep in (0.0, 0.5, 0.9):
                for recalibrate in (True, False):
                    if method != "IRR" and more:
                        continue
                    layer = linear(tensors["tuned"])
                    runner = fed(pruner(layer), tensors["texts"])
                    runner.fasterprune(
                        keep,
                        blocksize=BLOCKS["irr"],
                        base_W=tensors["aligned"],
                        FIM_score=tensors["fisher"],
                        safety_vector=tensors["vector"],
                        decorate=recalibrate,
                        method=method,
                        remove_more=more,
                    )
                    name = f"{method} {more} {keep:g} {recalibrate}"
                    tensors[name] = layer.weight.data
                    ranking = "importance" if method != "IRR" else "interference"
                    cases.append(
                        {
                            "method": "irr",
                            "output": name,
                            "block": BLOCKS["irr"],
                            "keep_fraction": keep,
                            "recalibrate": recalibrate,
                            "ranking": "remove-more" if more else ranking,
                        }
                    )
    del tensors["texts"]
    save_file(
        {name: tensor.contiguous() for name, tensor in tensors.items()},
        out,
        metadata={"cases": json.dumps(cases)},
    )


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]))
