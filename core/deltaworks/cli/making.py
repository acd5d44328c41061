"""Commands that make files: compress, rebuild, merge."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

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
from deltaworks.cli.reports import show_report
from deltaworks.cli.session import job
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
    resume: Resume = False,
    as_json: Json = False,
) -> None:
    """Merge models as a file describes."""
    from deltaworks.errors import OptionError
    from deltaworks.recipes import load_recipe
    from deltaworks.recipes.schema import MergeRecipe
    from deltaworks.studies.jobs import run_job

    recipe = load_recipe(config, output=str(out.absolute()))
    if not isinstance(recipe, MergeRecipe):
        raise OptionError(
            f"this recipe is of kind '{recipe.kind}'", where=str(config), fix="Use 'run' for it"
        )
    if out_dtype:
        recipe = recipe.model_copy(update={"out_dtype": out_dtype.upper()})
    with job() as control:
        report = run_job(recipe, control, resume=resume)
    show_report(report, as_json=as_json)
