from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from deltaworks.calibration import Sequences, collect_grams, gram_cost
from deltaworks.checkpoints import open_checkpoint
from deltaworks.progress import JobControl


def test_matrices_take_what_was_told(
    tiny_expert: Path, few_texts: Sequences, tmp_path: Path
) -> None:
    with open_checkpoint(tiny_expert) as model:
        told = gram_cost(model, few_texts.n_tokens)
        collect_grams(model, few_texts, JobControl(), cache=tmp_path)

    stored = sum(path.stat().st_size for path in tmp_path.rglob("*.safetensors"))
    assert told.disk_bytes == 2 * 4 * (3 * 32**2 + 48**2)
    assert told.disk_bytes <= stored <= told.disk_bytes + 2 * 1024
    assert told.memory_bytes > told.disk_bytes // 2


def test_the_room_is_there_without_torch() -> None:
    code = "import deltaworks.calibration, sys; assert 'torch' not in sys.modules"

    subprocess.run([sys.executable, "-c", code], check=True)
