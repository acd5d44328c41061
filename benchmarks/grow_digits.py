"""SoTU on scikit-learn's digits: five tasks of two digits, and every baseline.

    python benchmarks/grow_digits.py --seeds 0 1 2

The pictures come from scikit-learn where it is installed, or from ``--data FILE.npz`` with
arrays ``images`` (n, 8, 8) of 0 to 16 and ``target``. The backbone is trained here, on made-up
glyphs and never on digits. Prints the tables of docs/grow.md, and fails when the order of the
arms is not the one that the page states.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from deltaworks.methods.continual.sotu import SotuOptions
from deltaworks.progress import JobControl
from deltaworks.studies.grow_record import GrowResult
from deltaworks.studies.grow_stream import run_stream
from deltaworks.studies.grow_types import Course, Task
from deltaworks.training.backbones import Tuning, tune

DROP_RATES = (0.5, 0.7, 0.8, 0.95)
N_GLYPHS, N_EACH = 48, 80
N_TRAIN, N_DIGITS = 1200, 1797
TUNING = Tuning(epochs=15, rate=2e-3, batch=64, clip=0.0, save_every=0)
ROWS = (
    ("sequential", "sequential fine-tuning"),
    ("frozen", "frozen base"),
    ("dense-sum", "dense sum (p = 0)"),
    ("dense-average", "dense average"),
    *((f"sotu-{rate:g}", f"SoTU p = {rate:g}") for rate in DROP_RATES[:3]),
    ("sotu", "**SoTU p = 0.9**"),
    ("sotu-0.95", "SoTU p = 0.95"),
    ("sotu-rescaled", "SoTU p = 0.9, rescaled"),
    ("joint", "joint training"),
)


class Pictures:
    """Rows of numbers with labels."""

    def __init__(self, rows: npt.NDArray[Any], labels: npt.NDArray[Any]) -> None:
        import torch

        self._rows = torch.from_numpy(np.ascontiguousarray(rows, dtype=np.float32))
        self.labels = labels.astype(np.int64)

    def batch(self, places: Any) -> Any:
        """Give some rows."""
        return self._rows[list(places)]


class Small:
    """64 inputs to 64 features: 128 wide, one residual block."""

    left_out: frozenset[str] = frozenset()

    def __init__(self, seed: int) -> None:
        import torch
        from torch import nn

        class Net(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.into, self.norm = nn.Linear(64, 128), nn.LayerNorm(128)
                self.block, self.block_norm = nn.Linear(128, 128), nn.LayerNorm(128)
                self.out = nn.Linear(128, 64)

            def forward(self, rows: Any) -> Any:
                hidden = nn.functional.gelu(self.norm(self.into(rows)))
                hidden = hidden + nn.functional.gelu(self.block_norm(self.block(hidden)))
                return self.out(hidden)

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.module: Any = Net()

    def features(self, batch: Any) -> Any:
        """Give features."""
        return self.module(batch)


def glyphs(seed: int) -> Pictures:
    """Draw random glyphs: lines through 3 to 5 points, jittered and shifted for each picture."""
    rng = np.random.Generator(np.random.Philox(seed))
    rows, labels = [], []
    for label in range(N_GLYPHS):
        points = rng.uniform(1.0, 6.5, (rng.integers(3, 6), 2))
        for _ in range(N_EACH):
            moved = points + rng.normal(0, 0.45, points.shape) + rng.normal(0, 0.35, 2)
            rows.append(splat(moved).reshape(-1))
            labels.append(label)
    return Pictures(np.array(rows), np.array(labels))


def splat(points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Draw lines on 8 by 8: 16 dots a line, each spread over its four pixels."""
    picture = np.zeros((10, 10))
    for start, end in itertools.pairwise(points):
        for share in np.linspace(0.0, 1.0, 16):
            x, y = np.clip(start + share * (end - start), 0.0, 7.999)
            left, top = int(x), int(y)
            for right, low in ((0, 0), (0, 1), (1, 0), (1, 1)):
                weight = abs(1 - right - (x - left)) * abs(1 - low - (y - top))
                picture[top + low, left + right] += weight
    return np.minimum(picture[:8, :8], 1.0)


def digits(file: Path | None) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Give 1797 pictures as rows from 0 to 1, and their digits."""
    if file is not None:
        with np.load(file, allow_pickle=False) as found:
            images, target = found["images"], found["target"]
    else:
        from sklearn.datasets import load_digits  # type: ignore[import-not-found,unused-ignore]

        data = load_digits()
        images, target = data.images, data.target
    return images.reshape(N_DIGITS, 64).astype(np.float32) / 16.0, target


def tasks_of(rows: npt.NDArray[Any], target: npt.NDArray[Any]) -> list[Task]:
    """Split 1200 / 597 with one fixed order, then by digits 0 1, 2 3, …."""
    order = np.random.Generator(np.random.Philox(0)).permutation(len(rows))
    rows, target = rows[order], target[order]
    found = []
    for number in range(5):
        parts = []
        for part in (slice(None, N_TRAIN), slice(N_TRAIN, None)):
            mine = np.isin(target[part], [2 * number, 2 * number + 1])
            parts.append(Pictures(rows[part][mine], target[part][mine]))
        classes = (2 * number, 2 * number + 1)
        found.append(Task(f"{classes[0]} and {classes[1]}", number, classes, parts[0], parts[1]))
    return found


def experiment(seed: int, file: Path | None) -> GrowResult:
    """Train a backbone on glyphs, then run the stream of digits through it."""
    rows, target = digits(file)
    backbone, shapes = Small(seed), glyphs(seed)
    tune(backbone, shapes, range(N_GLYPHS), TUNING, JobControl(), seed=seed, name="glyphs")
    options = SotuOptions(projection=256)
    course = Course(
        options,
        TUNING,
        seed=seed,
        classifiers=("class-mean", "ridge"),
        statistics=("streaming", "re-pass"),
        drop_rates=DROP_RATES,
        rescaled=True,
        projection_scale=1 / 8,
        strengths=[10.0**power for power in range(-3, 5)],
    )
    with tempfile.TemporaryDirectory() as work:
        return run_stream(backbone, tasks_of(rows, target), course, JobControl(), Path(work)).result


def accuracy(result: GrowResult, name: str, classifier: str, statistics: str) -> float:
    """Give the accuracy after the last task; nan where the arm has none."""
    try:
        last = result.arm(name, classifier, statistics).last
    except KeyError:
        return float("nan")
    return float("nan") if last is None else last


def faults(results: list[GrowResult]) -> list[str]:
    """Hold means over seeds against what the page states; give what is not so."""

    def mean(name: str, classifier: str = "class-mean") -> float:
        return float(np.mean([accuracy(one, name, classifier, "streaming") for one in results]))

    rising = [mean(name, "ridge") for name in ("sotu-0.5", "sotu-0.7", "sotu-0.8", "sotu")]
    checks = {
        "sequential fine-tuning forgets, its own head": mean("sequential", "linear") <= 0.25,
        "sequential fine-tuning forgets, class means": mean("sequential") <= 0.25,
        "SoTU is 0.2 above the dense sum, class means": mean("sotu") >= mean("dense-sum") + 0.2,
        "SoTU is 0.2 above the dense sum, ridge": mean("sotu", "ridge")
        >= mean("dense-sum", "ridge") + 0.2,
        "SoTU is no more than 0.04 below the frozen base": mean("sotu") >= mean("frozen") - 0.04,
        "ridge rises with p": rising == sorted(rising),
        "rescaling costs 0.3": mean("sotu-rescaled") < mean("sotu") - 0.3,
    }
    return [text for text, holds in checks.items() if not holds]


def table(results: list[GrowResult]) -> str:
    """Write all arms as Markdown, one number a seed."""
    kinds = (("class-mean", "streaming"), ("class-mean", "re-pass"), ("ridge", "streaming"))
    lines = ["| backbone | class mean, streaming | class mean, re-pass | ridge, streaming |"]
    lines.append("|---|---|---|---|")
    for name, title in ROWS:
        cells = []
        for classifier, statistics in kinds:
            how = "re-pass" if name == "joint" and classifier == "ridge" else statistics
            found = [accuracy(one, name, classifier, how) for one in results]
            cells.append(" / ".join("–" if np.isnan(one) else f"{one:.3f}" for one in found))
        lines.append(f"| {title} | {' | '.join(cells)} |")
    for name in ("sequential", "joint"):
        how = "re-pass" if name == "joint" else "streaming"
        found = [accuracy(one, name, "linear", how) for one in results]
        numbers = " / ".join(f"{one:.3f}" for one in found)
        lines.append(f"| {name}, its own linear head | {numbers} | – | – |")
    return "\n".join(lines)


def cosines(result: GrowResult) -> str:
    """Give mean |cos| between changes, dense and thinned."""

    def mean(rows: Any) -> float:
        square = np.abs(np.array(rows))
        return float(square[~np.eye(len(square), dtype=bool)].mean())

    return f"{mean(result.cosines):.3f} dense, {mean(result.thinned_cosines):.3f} thinned"


def plot(result: GrowResult, folder: Path) -> None:
    """Draw streaming class means, and the matrices."""
    from matplotlib.figure import Figure

    from deltaworks.figures.grow import draw_curves, draw_matrices
    from deltaworks.figures.saving import save_figure

    chosen = [
        one
        for one in result.arms
        if one.id == "joint" or (one.classifier, one.statistics) == ("class-mean", "streaming")
    ]
    figure = Figure(figsize=(11, 5.5), dpi=100)
    draw_curves(figure, replace(result, arms=tuple(chosen)))
    save_figure(figure, folder / "grow-digits.png", 100)
    figure = Figure(figsize=(15, 5.5), dpi=100)
    draw_matrices(figure, replace(result, arms=tuple(chosen)))
    save_figure(figure, folder / "grow-digits-matrices.png", 100)


def main() -> int:
    """Run and hold against the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--data", type=Path, help=".npz in place of scikit-learn")
    parser.add_argument("--plots", type=Path, help="folder for the first seed's figures")
    wanted = parser.parse_args()
    import torch

    torch.set_num_threads(1)
    results = []
    for seed in wanted.seeds:
        started = time.process_time()
        results.append(experiment(seed, wanted.data))
        seconds = time.process_time() - started
        sys.stderr.write(f"seed {seed}: {seconds:.0f} CPU s; |cos| {cosines(results[-1])}\n")
    broken = [f"not so: {text}" for text in faults(results)]
    sys.stdout.write(table(results) + "\n")
    if wanted.plots:
        plot(results[0], wanted.plots)
    sys.stdout.write("".join(f"{text}\n" for text in broken))
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
