"""Quality of the demo's experts out of channel-merged packages, against what they take.

    .venv/bin/python benchmarks/channel_curve.py docs/figures/channel-merging.png

Every package is made of the three bundled experts; each expert is looked up and measured on
its own task, on the items that also count in comparisons of merges.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from deltaworks.checkpoints import open_checkpoint
from deltaworks.evaluation import Effort, Evaluator, load_suite
from deltaworks.figures.frame import Margins, add_axes, title_axes
from deltaworks.figures.look import LIGHT, PT
from deltaworks.figures.saving import save_figure
from deltaworks.progress import JobControl
from deltaworks.recipes import parse_recipe
from deltaworks.studies.contest_items import split
from deltaworks.studies.contest_scores import scores_of
from deltaworks.studies.jobs import run_job
from deltaworks_resources import demo_folder

TASKS = {"polder-sums": "sums", "polder-brackets": "brackets", "polder-topics": "topics"}
SERIES = (
    ("mean, cosine", {"geometry": "cosine", "rule": "mean"}),
    ("mean, Euclidean", {"geometry": "euclidean", "rule": "mean"}),
    ("TIES, cosine", {"geometry": "cosine", "rule": "ties"}),
    ("0.7 x sum, cosine", {"geometry": "cosine", "rule": "sum", "scale": 0.7}),
)


def measure(options: dict[str, Any], evaluator: Evaluator, work: Path) -> dict[str, Any]:
    """Make one package, look every expert up, and measure it on its own task."""
    demo = demo_folder()
    recipe = parse_recipe(
        {
            "kind": "channel-merge",
            "base": {"path": str(demo / "polder-base")},
            "experts": [{"path": str(demo / name)} for name in TASKS],
            "options": options,
            "output": str(work / "-".join(map(str, options.values()))),
        }
    )
    report = run_job(recipe, JobControl())
    facts: dict[str, Any] = report.results["channels"]
    scores = {}
    for name, task in TASKS.items():
        with open_checkpoint(f"{report.artefacts[0].path}#{name}") as model:
            scores[task] = scores_of(evaluator.measure(model))[task].value
    return {**facts, "scores": scores, "average": sum(scores.values()) / len(scores)}


def main() -> None:
    """Print the table and save the figure."""
    demo = demo_folder()
    _, suite = split(load_suite(demo / "evaluation"))
    figure = Figure(figsize=(8, 5), dpi=100)
    axes = add_axes(figure, LIGHT, Margins())
    title_axes(axes, LIGHT, "Share of the experts' bytes (%)", "Right answers on own task (%)")
    with (
        open_checkpoint(demo / "polder-base") as base,
        tempfile.TemporaryDirectory() as folder,
    ):
        evaluator = Evaluator(base, None, suite, effort=Effort(max_tokens=0))
        for (label, options), look in zip(SERIES, LIGHT.series, strict=False):
            found = [
                measure({**options, "groups": groups}, evaluator, Path(folder))
                for groups in (1, 2, 3)
            ]
            for groups, one in enumerate(found, start=1):
                cells = [f"{100 * value:.1f}" for value in one["scores"].values()]
                share, as_deltas = one["as_weights"]["ratio"], one["as_deltas"]["ratio"]
                print(
                    f"| {label} | {groups} | {100 * share:.1f} | {100 * as_deltas:.1f} "
                    f"| {100 * one['error']:.1f} | {' | '.join(cells)} "
                    f"| {100 * one['average']:.1f} |"
                )
            axes.plot(
                [100 * one["as_weights"]["ratio"] for one in found],
                [100 * one["average"] for one in found],
                color=look.edge,
                marker=look.marker,
                markersize=8 * PT,
                linewidth=1.6 * PT,
                label=label,
            )
    axes.legend(frameon=False, prop={"family": LIGHT.fonts, "size": LIGHT.small_size * PT})
    save_figure(figure, Path(sys.argv[1]), 120)


if __name__ == "__main__":
    main()
