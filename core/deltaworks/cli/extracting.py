"""The command that makes an adapter of a fine-tune: extract-lora."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from deltaworks.cli.flags import MEMORY, Json, Memory, Out, Threads, common, reference
from deltaworks.cli.reports import show_report
from deltaworks.cli.session import job


def extract_lora(
    base: Annotated[Path, typer.Argument(metavar="BASE", help="The base model.")],
    expert: Annotated[Path, typer.Argument(metavar="EXPERT", help="A fine-tune of it.")],
    out: Out,
    rank: Annotated[int, typer.Option(min=1, help="Rank of every layer at most.")] = 128,
    energy: Annotated[
        float,
        typer.Option(
            min=0.0, max=1.0, help="Share of each change's energy to keep; 0 takes the rank."
        ),
    ] = 0.0,
    memory: Memory = MEMORY,
    threads: Threads = 0,
    as_json: Json = False,
) -> None:
    """Make a PEFT LoRA adapter of a fine-tune."""
    from deltaworks.recipes import parse_recipe
    from deltaworks.studies.jobs import run_job

    recipe = parse_recipe(
        {
            "kind": "extract",
            "base": reference(base),
            "expert": reference(expert),
            "rank": rank,
            "energy": energy,
            "output": str(out.absolute()),
            **common(0, "cpu", memory, threads),
        },
        where="extract-lora",
    )
    with job() as control:
        report = run_job(recipe, control)
    show_report(report, as_json=as_json)
