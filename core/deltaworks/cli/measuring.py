"""Commands that measure: evaluate, sweep, demo."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deltaworks.cli.documents import Elsewhere, RecipeFile, read_recipe
from deltaworks.cli.flags import (
    Base,
    CalibrationText,
    Device,
    Json,
    Resume,
    Samples,
    Threads,
    Tokens,
    calibration_of,
    device_name,
    reference,
)
from deltaworks.cli.output import print_json, say
from deltaworks.cli.reports import PLOT, save_plot, show_report, show_sweep
from deltaworks.cli.session import job
from deltaworks.errors import OptionError

if TYPE_CHECKING:
    from deltaworks.engine.reports import Report


def evaluate(
    model: Annotated[
        Path, typer.Argument(metavar="MODEL", help="A model, or a delta file with --base.")
    ],
    expert: Annotated[
        Path | None, typer.Option("--reference", help="The fine-tune that it stands for.")
    ] = None,
    base: Base = None,
    data: Annotated[
        Path | None, typer.Option(help="Folder with suite.json, or a .jsonl or .txt file.")
    ] = None,
    suite: Annotated[str, typer.Option(help="A bundled set: demo.")] = "",
    device: Device = "cpu",
    as_json: Json = False,
) -> None:
    """Measure a model on data, and against the fine-tune that it stands for."""
    from deltaworks.recipes import parse_recipe
    from deltaworks.studies.jobs import run_job

    recipe = parse_recipe(
        {
            "kind": "evaluate",
            "model": reference(model),
            "base": reference(base) if base else None,
            "reference": reference(expert) if expert else None,
            "evaluation": str(data_folder(data, suite) or ""),
            "device": device_name(device),
        },
        where="evaluate",
    )
    with job() as control:
        report = run_job(recipe, control)
    show_report(report, as_json=as_json)


def data_folder(data: Path | None, suite: str) -> Path | None:
    """Give the evaluation set of two flags, of which at most one may be used."""
    if not suite:
        return data.absolute() if data else None
    if data is not None:
        raise OptionError("both --data and --suite are given", fix="Give one of them")
    if suite != "demo":
        raise OptionError(f"no bundled set '{suite}' (known: demo)", where="--suite")
    return _bundle() / "evaluation"


def _bundle() -> Path:
    from deltaworks_resources import demo_folder

    return demo_folder()


def sweep(
    recipe: RecipeFile,
    out: Elsewhere = None,
    calibration: CalibrationText = "",
    samples: Samples = None,
    tokens: Tokens = None,
    resume: Resume = False,
    as_json: Json = False,
) -> None:
    """Try many settings, print the trade-off table, save the plot."""
    from deltaworks.recipes.schema import SweepRecipe
    from deltaworks.studies.jobs import run_job

    document = read_recipe(recipe, out)
    if not isinstance(document, SweepRecipe):
        raise OptionError(
            f"this recipe is of kind '{document.kind}'", where=str(recipe), fix="Use 'run' for it"
        )
    if changed := calibration_of(calibration, samples, tokens):
        texts = document.calibration.model_copy(update=changed)
        document = document.model_copy(update={"calibration": texts})
    with job() as control:
        report = run_job(document, control, resume=resume)
    _show(report, Path(document.output) / PLOT, as_json=as_json)


def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for everything.")] = Path(
        "deltaworks-demo"
    ),
    threads: Threads = 0,
    as_json: Json = False,
) -> None:
    """Compress the bundled models with every method; table, plot, kept delta files."""
    from deltaworks.library.demo import unpack_demo
    from deltaworks.studies.defaults import demo_recipe
    from deltaworks.studies.jobs import run_job

    models = unpack_demo(_bundle(), out.absolute() / "models")
    target = _free_folder(out.absolute())
    recipe = demo_recipe(
        base=models.base,
        experts=models.experts,
        evaluation=models.evaluation,
        output=target,
        threads=threads,
    )
    with job() as control:
        report = run_job(recipe, control)
    _show(report, target / PLOT, as_json=as_json)


def _free_folder(folder: Path) -> Path:
    """Give a folder for this run; earlier runs keep theirs."""
    number = 1
    while (folder / f"sweep-{number}").exists():
        number += 1
    return folder / f"sweep-{number}"


def _show(report: Report, plot: Path, *, as_json: bool) -> None:
    from deltaworks.studies.trials import Sweep

    found = Sweep.from_json(report.results["sweep"])
    save_plot(found, plot)
    if as_json:
        data: dict[str, Any] = report.as_json()
        print_json(data | {"plot": str(plot)})
        return
    show_sweep(found)
    say(f"Plot: {plot}")
