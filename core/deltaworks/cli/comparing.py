"""The command that compares compression methods at equal bits."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deltaworks.cli.flags import (
    CalibrationText,
    Device,
    Json,
    Seed,
    Threads,
    calibration_of,
    device_name,
    reference,
)
from deltaworks.cli.measuring import data_folder
from deltaworks.cli.output import print_json, say
from deltaworks.cli.session import job
from deltaworks.errors import OptionError

if TYPE_CHECKING:
    from deltaworks.studies.comparison import Comparison

PLOT = "comparison-{}.png"


def compare_methods(
    base: Annotated[Path, typer.Argument(metavar="BASE", help="The base model.")],
    experts: Annotated[list[Path], typer.Argument(help="Fine-tunes of it.", metavar="EXPERT...")],
    bits: Annotated[
        str, typer.Option(help="Budgets in bits a weight, with commas.")
    ] = "4,2,1,0.5,0.25",
    methods: Annotated[
        list[str] | None,
        typer.Option("-m", "--method", help="Id of a method; may be repeated. All without."),
    ] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for table and plots.")] = Path(
        "comparison"
    ),
    data: Annotated[
        Path | None, typer.Option(help="Folder with suite.json, or a .jsonl or .txt file.")
    ] = None,
    suite: Annotated[str, typer.Option(help="A bundled set: demo.")] = "",
    calibration: CalibrationText = "",
    scope: Annotated[
        str, typer.Option(help="linear2d: matrices inside blocks; all: every floating tensor.")
    ] = "linear2d",
    device: Device = "cpu",
    threads: Threads = 0,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Compress by every method at equal honest bits; table, record and plots."""
    from deltaworks.recipes import parse_recipe
    from deltaworks.studies.comparison import TABLE, Comparison
    from deltaworks.studies.jobs import run_job

    recipe = parse_recipe(
        {
            "kind": "compare-methods",
            "base": reference(base),
            "experts": [reference(expert) for expert in experts],
            "methods": list(methods or []),
            "bits": _budgets(bits),
            "scope": scope,
            "evaluation": str(data_folder(data, suite) or ""),
            "calibration": calibration_of(calibration, None, None),
            "device": device_name(device),
            "threads": threads,
            "seed": seed,
            "output": str(out.absolute()),
        },
        where="compare-methods",
    )
    with job() as control:
        report = run_job(recipe, control)
    found = Comparison.from_json(report.results["comparison"])
    plots = save_plots(found, out)
    if as_json:
        print_json(report.as_json() | {"plots": [str(plot) for plot in plots]})
        return
    say((out / TABLE).read_text(encoding="utf-8"))
    for plot in plots:
        say(f"Plot: {plot}")


def _budgets(text: str) -> list[float]:
    try:
        return [float(each) for each in text.split(",")]
    except ValueError:
        raise OptionError(
            f"'{text}' is no list of bits", where="--bits", fix="Write 4,2,1"
        ) from None


def save_plots(found: Comparison, folder: Path) -> list[Path]:
    """Draw bits against what is recovered for every expert."""
    from matplotlib.figure import Figure

    from deltaworks.figures.comparison import draw_comparison
    from deltaworks.figures.saving import save_figure

    plots = []
    for expert in dict.fromkeys(entry.expert for entry in found.entries):
        measured = any(one.recovered is not None for one in found.entries if one.expert == expert)
        figure = Figure(figsize=(10, 6), dpi=100)
        y = "recovered" if measured else "fidelity"
        draw_comparison(figure, found, expert=expert, y=y)
        plots.append(save_figure(figure, folder / PLOT.format(expert), 150))
    return plots
