"""Scanning a folder of many models: a new index, then the same index again."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from benchmarks.contests import Contestant, Result, Setup, hold, remove

from deltaworks.checkpoints.headers import build_header
from deltaworks.checkpoints.tensors import TensorInfo

COUNTS = {"tiny": 50}
_USUAL = 1000
_BLOCKS = 8
_WIDTH = 16


def results(setup: Setup) -> Iterator[Result]:
    """Measure both scans, each in a process of its own."""
    count = COUNTS.get(setup.size, _USUAL)
    root = setup.cache / f"library-{count}"
    if not (root / "whole").exists():
        remove(root)
        _make(root, count)
        (root / "whole").touch()
    script = [sys.executable, str(Path(__file__).with_name("scan_library.py"))]
    home = setup.cache / "library-home"
    remove(home)
    scans = [
        Contestant("new index", lambda _out: [*script, str(home), str(root), "new"]),
        Contestant("same index again", lambda _out: [*script, str(home), str(root), "again"]),
    ]
    for result in hold(f"scan {count:,} models", scans, setup):
        rows = {run.told["rows"] for run in result.runs}
        result.note = f"{min(rows):,} models listed" if len(rows) == 1 else f"listed: {rows}"
        yield result
    remove(home)


def _make(root: Path, count: int) -> None:
    """Write small models of four shapes, ten fine-tunes to a base."""
    for number in range(count):
        width = _WIDTH * (1 + number % 4)
        infos = [
            TensorInfo(f"model.layers.{block}.mlp.up_proj.weight", (width, width), "F32")
            for block in range(_BLOCKS)
        ]
        rng = np.random.default_rng(number // 10)
        values = rng.standard_normal(_BLOCKS * width * width, dtype=np.float32)
        values += np.random.default_rng(number).standard_normal(len(values)) * 1e-3
        folder = root / f"model-{number:04}"
        folder.mkdir(parents=True)
        header = build_header(infos, {"format": "pt"})
        (folder / "model.safetensors").write_bytes(header + values.tobytes())
        config = {"model_type": "llama", "hidden_size": width, "num_hidden_layers": _BLOCKS}
        (folder / "config.json").write_text(json.dumps(config))
