"""The command that fuses vision."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from deltaworks import formatting
from deltaworks.cli.flags import MEMORY, Device, Json, Memory, Out, Resume, Seed, Threads, reference
from deltaworks.cli.flags import common as common_fields
from deltaworks.cli.output import print_json, print_table, say
from deltaworks.cli.session import job
from deltaworks.errors import OptionError


def fuse(
    base: Annotated[Path, typer.Argument(help="The language model that all models stand on.")],
    models: Annotated[
        list[Path], typer.Argument(metavar="MODEL...", help="Two or more LLaVA models.")
    ],
    out: Out,
    method: Annotated[
        str, typer.Option("-m", "--method", help="Merging method of the language models.")
    ] = "task-arithmetic",
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="One option of it; may be repeated."),
    ] = None,
    weights: Annotated[
        str, typer.Option(help="Of each model, 0.5,0.5; one Nth each when not given.")
    ] = "",
    order: Annotated[
        str, typer.Option(help="Whose tokens come first: fewest-first or listed.")
    ] = "fewest-first",
    largest_norm: Annotated[
        float, typer.Option(min=0, help="Warn of a larger change, as a share of the base.")
    ] = 0.2,
    largest_ratio: Annotated[
        float, typer.Option(min=1, help="Warn when changes differ by more than this.")
    ] = 5.0,
    out_dtype: Annotated[
        str, typer.Option(help="Type of the language model: F32, F16, BF16; else the base's.")
    ] = "",
    shard_bytes: Annotated[int, typer.Option(min=1000, help="Largest weight file.")] = (
        5_000_000_000
    ),
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Measure family and costs; write nothing.")
    ] = False,
    device: Device = "cpu",
    memory: Memory = MEMORY,
    threads: Threads = 0,
    seed: Seed = 0,
    resume: Resume = False,
    as_json: Json = False,
) -> None:
    """Give one merged language model the eyes of several multimodal models."""
    from deltaworks.recipes import parse_recipe
    from deltaworks.studies.jobs import run_job

    each = _weights(weights, len(models))
    given = {"order": order, "largest_norm": largest_norm, "largest_ratio": largest_ratio}
    recipe: Any = parse_recipe(
        {
            "kind": "fuse",
            "base": reference(base),
            "models": [
                {"model": reference(model), "weight": weight}
                for model, weight in zip(models, each, strict=True)
            ],
            "setting": {"method": method, "options": _options(method, settings or [])},
            "options": given,
            "out_dtype": out_dtype.upper(),
            "shard_bytes": shard_bytes,
            "output": str(out.absolute()),
            **common_fields(seed, device, memory, threads),
        },
        where="fuse",
    )
    if dry_run:
        from deltaworks.engine.fuse import examine_fusion

        with job() as control:
            found = examine_fusion(recipe, control)
        _show(found, as_json=as_json)
        return
    with job() as control:
        report = run_job(recipe, control, resume=resume)
    if as_json:
        print_json(report.as_json())
        return
    _show(report.results["fusion"], as_json=False)
    for artefact in report.artefacts:
        say(f"{artefact.path} ({formatting.size(artefact.file_bytes)})")
    say(f"Done in {formatting.duration(report.seconds.get('total'))}")


def _options(method: str, pairs: list[str]) -> dict[str, Any]:
    """Read options of the merge; those of each model hold for all."""
    from deltaworks.cli.flags import read_option_pairs
    from deltaworks.methods import merging_method

    record = merging_method(method)
    known = record.expert_options.model_fields
    each = [pair for pair in pairs if pair.partition("=")[0].strip() in known]
    common = [pair for pair in pairs if pair not in each]
    as_common = replace(record, options=record.expert_options)
    return {**read_option_pairs(record, common), **read_option_pairs(as_common, each)}


def _weights(text: str, count: int) -> list[float | None]:
    if not text:
        return [None] * count
    try:
        found: list[float | None] = [float(word) for word in text.split(",")]
    except ValueError as error:
        raise OptionError(
            f"'{text}' is no list of numbers", where="--weights", fix="Write 0.5,0.5"
        ) from error
    if len(found) != count:
        raise OptionError(f"{len(found)} weights for {count} models", where="--weights")
    return found


def _show(found: dict[str, Any], *, as_json: bool) -> None:
    """Print what was measured of the family, and what the result costs."""
    if as_json:
        print_json(found)
        return
    family, overhead = found["family"], found["overhead"]
    labels = family["labels"]
    print_table(
        ("Model", "Weight", "Change / base", *(f"Cosine with {label}" for label in labels)),
        [
            (label, f"{weight:.3g}", f"{norm:.4f}", *(f"{cosine:.3f}" for cosine in row))
            for label, weight, norm, row in zip(
                labels, found["weights"], family["norms"], family["cosines"], strict=True
            )
        ],
        right=("Weight", "Change / base", *(f"Cosine with {label}" for label in labels)),
    )
    say("")
    rows = [
        (title, *_cost(overhead[name]))
        for title, name in (
            ("Fused", "fused"),
            ("One model", "single"),
            ("All models apart", "separate"),
        )
    ]
    columns = ("Parameters", "Tokens a picture", "Cache", "Reading", "A token")
    print_table(("", *columns), rows, right=columns)
    for warning in family["warnings"]:
        say(f"Warning: {warning}")


def _cost(cost: dict[str, Any]) -> tuple[str, ...]:
    return (
        f"{cost['parameters']:,}",
        f"{cost['picture_tokens']:,}",
        formatting.size(cost["kv_bytes"]),
        _work(cost["prefill_flops"]),
        _work(cost["decode_flops"]),
    )


def _work(operations: float) -> str:
    """Write a count of operations with the largest unit that fits."""
    for unit, factor in (("T", 1e12), ("G", 1e9), ("M", 1e6)):
        if operations >= factor:
            return f"{operations / factor:,.3g} {unit}FLOP"
    return f"{operations / 1e3:,.3g} kFLOP"
