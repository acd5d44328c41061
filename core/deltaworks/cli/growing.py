"""Commands of backbones that learn task after task: grow, classify."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deltaworks import formatting
from deltaworks.cli.flags import Json, Out, Resume, Seed, Threads, read_option_pairs, reference
from deltaworks.cli.output import print_json, print_table, say
from deltaworks.cli.session import job
from deltaworks.errors import OptionError

if TYPE_CHECKING:
    from deltaworks.studies.grow_record import Arm, GrowResult

CURVES, MATRICES = "accuracy.png", "matrices.png"


def grow(
    base: Annotated[Path, typer.Argument(metavar="BASE", help="A vision backbone's folder.")],
    out: Out,
    task: Annotated[
        list[str],
        typer.Option(
            metavar="FOLDER",
            help="A task, in order: folder of class folders, or of a fine-tune; both with a comma.",
        ),
    ],
    test: Annotated[Path, typer.Option(metavar="FOLDER", help="Class folders of test images.")],
    method: Annotated[str, typer.Option("-m", "--method", help="Id of the method.")] = "sotu",
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="One option; may be repeated."),
    ] = None,
    epochs: Annotated[int, typer.Option(min=1, help="Over the images of each task.")] = 5,
    rate: Annotated[float, typer.Option(help="Highest learning rate.")] = 3e-5,
    batch: Annotated[int, typer.Option(min=1, help="Images of a step.")] = 32,
    baselines: Annotated[
        str, typer.Option(help="Measured beside it: all, untrained or none.")
    ] = "all",
    drop_rates: Annotated[
        str, typer.Option(help="Further drop rates to measure, as 0.5,0.7.")
    ] = "",
    threads: Threads = 0,
    seed: Seed = 0,
    resume: Resume = False,
    as_json: Json = False,
) -> None:
    """Teach one vision backbone task after task, and compare with every baseline."""
    from deltaworks.methods import continual_method
    from deltaworks.recipes import parse_recipe
    from deltaworks.studies.grow_record import GrowResult
    from deltaworks.studies.jobs import run_job

    options = read_option_pairs(continual_method(method), settings or [])
    recipe = parse_recipe(
        {
            "kind": "grow",
            "base": reference(base),
            "tasks": [_task(one) for one in task],
            "test": str(test.absolute()),
            "setting": {"method": method, "options": options},
            "training": {"epochs": epochs, "rate": rate, "batch": batch},
            "baselines": baselines,
            "drop_rates": _numbers(drop_rates),
            "output": str(out.absolute()),
            "threads": threads,
            "seed": seed,
        },
        where="grow",
    )
    with job() as control:
        report = run_job(recipe, control, resume=resume)
    found = GrowResult.from_json(report.results["grow"])
    plots = save_plots(found, out)
    if as_json:
        print_json(report.as_json() | {"plots": [str(plot) for plot in plots]})
        return
    show_grown(found)
    for path in (out / "backbone", out / "head", *plots):
        say(str(path))
    say(f"Done in {formatting.duration(report.seconds.get('total'))}")


def _task(text: str) -> dict[str, Any]:
    """Read ``IMAGES``, ``MODEL`` or ``IMAGES,MODEL``; a model's folder has a config.json."""
    found: dict[str, Any] = {}
    for word in [text] if Path(text).exists() else text.split(","):
        path = Path(word)
        is_model = (path / "config.json").is_file()
        key = "model" if is_model else "data"
        if key in found:
            raise OptionError(f"'{text}' names two folders of one kind", where="--task")
        found[key] = reference(path) if is_model else str(path.absolute())
    return found


def _numbers(text: str) -> list[float]:
    try:
        return [float(word) for word in text.split(",") if word]
    except ValueError as error:
        what = f"'{text}' is no list of numbers"
        raise OptionError(what, where="--drop-rates", fix="Write 0.5,0.7") from error


def show_grown(found: GrowResult) -> None:
    """Print arms, bytes and notes."""
    rows = [_row(arm) for arm in found.arms]
    columns = ("Last", "Average", "Forgetting")
    print_table(("Backbone", "Classifier", "Statistics", *columns), rows, right=columns)
    for task in found.tasks:
        share = formatting.percent(task.kept / task.n_weights) if task.n_weights else "nothing"
        say(f"{task.name}: {share} of the change kept, {formatting.size(task.file_bytes)}")
    once, twice = found.touched
    say(f"Touched by any task: {formatting.percent(once)}, by several: {formatting.percent(twice)}")
    for note in found.notes:
        say(f"Note: {note}")


def _row(arm: Arm) -> tuple[str, ...]:
    numbers = (arm.last, arm.average, arm.forgetting)
    cells = ("" if one is None else formatting.percent(one) for one in numbers)
    return (arm.title, arm.classifier, arm.statistics, *cells)


def save_plots(found: GrowResult, out: Path) -> list[Path]:
    """Draw curves and matrices into the output's folder."""
    from matplotlib.figure import Figure

    from deltaworks.figures.grow import draw_curves, draw_matrices
    from deltaworks.figures.saving import save_figure

    figure = Figure(figsize=(11, 5.5), dpi=100)
    draw_curves(figure, found)
    paths = [save_figure(figure, out / CURVES, 150)]
    figure = Figure(figsize=(15, 5.5), dpi=100)
    draw_matrices(figure, found)
    return [*paths, save_figure(figure, out / MATRICES, 150)]


def classify(
    grown: Annotated[Path, typer.Argument(metavar="FOLDER", help="What grow has made.")],
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE...", help="Images to name.")],
    as_json: Json = False,
) -> None:
    """Name the class of images with a grown backbone and its head."""
    from deltaworks.studies.grow_use import classify_images

    with job() as control:
        found = classify_images(grown, images, control)
    if as_json:
        print_json({"results": found})
        return
    rows = [(one["path"], one["class"], f"{one['score']:.3f}") for one in found]
    print_table(("Image", "Class", "Score"), rows, right=("Score",))


def remove_task(
    grown: Annotated[Path, typer.Argument(metavar="FOLDER", help="What grow has made.")],
    task: Annotated[str, typer.Argument(metavar="TASK", help="Name of the task to take out.")],
    out: Out,
    as_json: Json = False,
) -> None:
    """Take one task out of a grown backbone again, its classes too."""
    from deltaworks.studies import grow_removal

    with job() as control:
        found = grow_removal.remove_task(grown, task, out.absolute(), control)
    if as_json:
        print_json(found)
        return
    say(f"Removed {task}: {found['weights']:,} weights set back, {len(found['classes'])} classes")
    say(str(out))
