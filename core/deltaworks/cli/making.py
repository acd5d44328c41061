"""Commands that make files: compress, rebuild, merge."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deltaworks.cli.documents import show_plan
from deltaworks.cli.flags import (
    MEMORY,
    Base,
    CalibrationText,
    Device,
    Json,
    Memory,
    Out,
    Resume,
    Samples,
    Seed,
    Threads,
    Tokens,
    calibration_of,
    common,
    parse_bytes,
    read_settings,
    reference,
)
from deltaworks.cli.output import say
from deltaworks.cli.reports import show_report
from deltaworks.cli.session import job

if TYPE_CHECKING:
    from deltaworks.recipes.schema import Recipe
from deltaworks.cli.targets import read_target, show_fit


def compress(
    base: Annotated[Path, typer.Argument(metavar="BASE", help="The base model.")],
    experts: Annotated[list[Path], typer.Argument(help="Fine-tunes of it.", metavar="EXPERT...")],
    method: Annotated[str, typer.Option("-m", "--method", help="Id of a compression method.")],
    out: Out = Path(),
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="One option; may be repeated."),
    ] = None,
    scope: Annotated[
        str, typer.Option(help="linear2d: matrices inside blocks; all: every floating tensor.")
    ] = "linear2d",
    calibration: CalibrationText = "",
    samples: Samples = None,
    tokens: Tokens = None,
    bits: Annotated[
        float | None,
        typer.Option(min=0.0, help="Bits a weight that compressed tensors may take: 0.5."),
    ] = None,
    size: Annotated[
        int | None,
        typer.Option(
            parser=parse_bytes, metavar="SIZE", help="What all files together may take: 40MB."
        ),
    ] = None,
    quality: Annotated[
        str,
        typer.Option(
            metavar="recovered=SHARE", help="Smallest files that recover so much: recovered=0.98."
        ),
    ] = "",
    data: Annotated[
        Path | None, typer.Option(help="What --quality is measured on: a set or texts.")
    ] = None,
    device: Device = "cpu",
    memory: Memory = MEMORY,
    threads: Threads = 0,
    seed: Seed = 0,
    resume: Resume = False,
    as_json: Json = False,
) -> None:
    """Store fine-tunes as small delta files over their base."""
    options = read_settings(method, settings or [])
    from deltaworks.recipes import parse_recipe
    from deltaworks.studies.jobs import run_job

    recipe = parse_recipe(
        {
            "kind": "compress",
            "base": reference(base),
            "experts": [reference(expert) for expert in experts],
            "settings": [{"method": method, "options": options}],
            "scope": scope,
            "calibration": calibration_of(calibration, samples, tokens),
            "target": read_target(bits, size, quality, data),
            "output": str(out.absolute()),
            **common(seed, device, memory, threads),
        },
        where="compress",
    )
    with job() as control:
        report = run_job(recipe, control, resume=resume)
    show_report(report, as_json=as_json)
    show_fit(report, as_json=as_json)


def rebuild(
    delta: Annotated[Path, typer.Argument(metavar="DELTA", help="A delta file.")],
    out: Out,
    base: Base = None,
    memory: Memory = MEMORY,
    threads: Threads = 0,
    resume: Resume = False,
    as_json: Json = False,
) -> None:
    """Make the full model again from a delta file and its base."""
    from deltaworks.recipes import parse_recipe
    from deltaworks.studies.jobs import run_job

    recipe = parse_recipe(
        {
            "kind": "rebuild",
            "delta": reference(delta),
            "base": reference(base) if base else None,
            "output": str(out.absolute()),
            **common(0, "cpu", memory, threads),
        },
        where="rebuild",
    )
    with job() as control:
        report = run_job(recipe, control, resume=resume)
    show_report(report, as_json=as_json)


def merge(
    config: Annotated[
        Path, typer.Argument(metavar="CONFIG", help="A mergekit file or a recipe of ours.")
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder of the merged model.")],
    out_dtype: Annotated[
        str, typer.Option(help="Type of the result: F32, F16, BF16; the base's when not given.")
    ] = "",
    numerics: Annotated[
        str, typer.Option(help="app-fp32 or mergekit-0.1.5; as the file says when not given.")
    ] = "",
    vocabulary: Annotated[
        str,
        typer.Option(help="Models of different vocabularies: align, pad, truncate or refuse."),
    ] = "",
    unsafe_truncate_embeddings: Annotated[
        bool, typer.Option("--unsafe-truncate-embeddings", help="The same as truncate.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check the models and show the plan; merge nothing.")
    ] = False,
    resume: Resume = False,
    as_json: Json = False,
) -> None:
    """Merge models as a file describes."""
    from deltaworks.recipes import parse_recipe
    from deltaworks.recipes.mergekit_documents import load_merges

    changes = {
        "out_dtype": out_dtype.upper(),
        "numerics": numerics,
        "vocabulary": "truncate" if unsafe_truncate_embeddings else vocabulary,
    }
    changes = {name: value for name, value in changes.items() if value}
    recipes = [
        parse_recipe(recipe.model_dump(mode="json") | changes, where=str(config))
        for recipe in load_merges(config, output=str(out.absolute()))
    ]
    for number, recipe in enumerate(recipes):
        if dry_run and number:
            say(f"Merge {number + 1} of the file can be planned once the others are made.")
        elif dry_run:
            _show_dry_run(recipe, as_json=as_json)
        else:
            _run(recipe, resume=resume, as_json=as_json)


def _run(recipe: Recipe, *, resume: bool, as_json: bool) -> None:
    from deltaworks.studies.jobs import run_job

    with job() as control:
        report = run_job(recipe, control, resume=resume)
    show_report(report, as_json=as_json)


def _show_dry_run(recipe: Recipe, *, as_json: bool) -> None:
    from deltaworks.studies.jobs import plan_job

    show_plan(plan_job(recipe), as_json=as_json)
