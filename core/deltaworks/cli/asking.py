"""Asking a model on the terminal."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from deltaworks.cli.flags import Base, Device, Json, Seed, Threads, device_name, reference
from deltaworks.cli.output import print_json
from deltaworks.cli.session import job
from deltaworks.progress import Event, Measured


def ask(
    model: Annotated[
        Path, typer.Argument(metavar="MODEL", help="A model, or a delta file with --base.")
    ],
    prompt: Annotated[str, typer.Argument(help="What it is asked, or goes on from.")],
    base: Base = None,
    image: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A picture, for LLaVA and fused models."),
    ] = None,
    max_tokens: Annotated[int, typer.Option(min=1, help="Most tokens it writes.")] = 128,
    temperature: Annotated[
        float, typer.Option(min=0.0, max=10.0, help="0 always takes the likeliest token.")
    ] = 0.0,
    seed: Seed = 0,
    chat: Annotated[
        bool, typer.Option(help="Wrap the prompt in the model's chat template, if it has one.")
    ] = True,
    device: Device = "cpu",
    threads: Threads = 0,
    as_json: Json = False,
) -> None:
    """Let a model answer; the text appears as it is written."""
    from deltaworks.recipes import parse_recipe
    from deltaworks.studies.jobs import run_job

    recipe = parse_recipe(
        {
            "kind": "generate",
            "model": reference(model),
            "base": reference(base) if base else None,
            "prompt": prompt,
            "image": str(image.absolute()) if image else "",
            "max_tokens": max_tokens,
            "temperature": temperature,
            "seed": seed,
            "is_chat": chat,
            "device": device_name(device),
            "threads": threads,
        },
        where="ask",
    )

    def show(event: Event) -> None:
        if isinstance(event, Measured) and event.subject == "text" and not as_json:
            sys.stdout.write(event.values["text"])
            sys.stdout.flush()

    with job(show) as control:
        report = run_job(recipe, control)
    if as_json:
        print_json(report.as_json())
    else:
        sys.stdout.write("\n")
