"""A comparison of merges as files: its figure, its table."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

from deltaworks.errors import OptionError
from deltaworks.product import NAME, VERSION
from deltaworks.progress import JobControl
from deltaworks.studies.contest_record import Contest
from deltaworks_gui.pages.results_records import write_whole

_WIDTH, _DPI, _PIXELS = 10.0, 200, 100
_FIELDS = (
    "kind",
    "number",
    "method",
    "settings",
    "state",
    "average",
    "normalised",
    "seconds",
    "peak_bytes",
    "n_bytes",
    "winner",
    "artefact",
    "reason",
)


def write_contest_plot(path: Path, contest: Contest, _control: JobControl) -> Path:
    """Draw the figure, light, into a PNG, SVG or PDF."""
    from matplotlib.figure import Figure

    from deltaworks.figures import save_figure
    from deltaworks.figures.contest import draw_contest, height_of

    figure = Figure(figsize=(_WIDTH, height_of(contest) / _PIXELS))
    draw_contest(figure, contest)
    return save_figure(figure, path, _DPI, {"comparison": contest.id})


def write_contest_table(path: Path, contest: Contest, _control: JobControl) -> Path:
    """Write base, experts and merges as CSV, or the whole record as JSON.

    Raises:
        OptionError: the name ends in something else.
        FileError: the place cannot be written.
    """
    kind = path.suffix.lower()
    if kind == ".json":
        document = {"made_by": f"{NAME} {VERSION}", "comparison": contest.as_json()}
        return write_whole(path, json.dumps(document, indent=2, ensure_ascii=False) + "\n")
    if kind != ".csv":
        raise OptionError(f"unknown ending {path.suffix!r}", fix="Use .csv or .json")
    text = io.StringIO()
    writer = csv.DictWriter(text, [*_FIELDS, *contest.tasks, "options"], extrasaction="ignore")
    writer.writeheader()
    writer.writerows(_records(contest))
    return write_whole(path, text.getvalue())


def _records(contest: Contest) -> list[dict[str, Any]]:
    records: list[dict[str, Any]] = [
        {
            **{task: score.value for task, score in line.scores.items()},
            "kind": line.id,
            "method": line.name,
            "average": line.average,
            "normalised": line.normalised,
        }
        for line in contest.lines
    ]
    for entry in contest.entries:
        scores = {task: score.value for task, score in entry.scores.items()}
        options = json.dumps({**entry.options, "each": entry.each, "pre": entry.pre})
        records.append({**entry.as_json(), **scores, "kind": "merge", "options": options})
    return records
