"""The command that transfers: parameters of a larger model into a smaller one, beside controls."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deltaworks import formatting
from deltaworks.cli.flags import MEMORY, Device, Json, Memory, Out, Resume, Seed, Threads, reference
from deltaworks.cli.flags import common as common_fields
from deltaworks.cli.output import print_json, print_table, say
from deltaworks.cli.session import job
from deltaworks.errors import OptionError

if TYPE_CHECKING:
    from deltaworks.engine.reports import Report

NO_PROMISE = (
    "A lower loss than the controls' on these texts is all that this shows; "
    "measure the model you mean to use."
)
Texts = Annotated[Path | None, typer.Option(metavar="FILE", help="Texts of the task, .jsonl.")]


def transfer(
    source: Annotated[Path, typer.Argument(help="The larger model.")],
    target: Annotated[Path, typer.Argument(help="The smaller model of the same family.")],
    out: Out,
    method: Annotated[str, typer.Option("-m", "--method", help="seeking.")] = "seeking",
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="One option; may be repeated."),
    ] = None,
    seed_data: Annotated[
        Path | None, typer.Option(metavar="FILE", help="What the source is to be sensitive to.")
    ] = None,
    training: Texts = None,
    held_out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Texts to measure on, not trained on.")
    ] = None,
    control_data: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Texts of another task, to see what is lost."),
    ] = None,
    arms: Annotated[
        str,
        typer.Option(
            help="Controls with commas: gaussian, pissa, pissa-left, random-same-norm; or none."
        ),
    ] = "gaussian,pissa,random-same-norm",
    steps: Annotated[int, typer.Option(min=1, help="Of every arm.")] = 48,
    rate: Annotated[float, typer.Option(help="Highest learning rate.")] = 3e-4,
    warmup: Annotated[float, typer.Option(help="Share of steps in which the rate rises.")] = 0.03,
    decay: Annotated[str, typer.Option(help="constant, linear or cosine.")] = "linear",
    batch: Annotated[int, typer.Option(min=1, help="Texts that run together.")] = 8,
    accumulate: Annotated[int, typer.Option(min=1, help="Batches of one step.")] = 8,
    measure_every: Annotated[int, typer.Option(min=0, help="Steps; 0: at the end only.")] = 12,
    save_every: Annotated[int, typer.Option(min=0, help="Steps between saved states.")] = 12,
    seed_samples: Annotated[int, typer.Option(min=1, help="Seed texts at most.")] = 32,
    samples: Annotated[int, typer.Option(min=1, help="Other texts at most.")] = 1000,
    tokens: Annotated[int, typer.Option(min=2, help="Tokens of a text at most.")] = 2048,
    similarity: Annotated[
        bool, typer.Option("--similarity", help="Compare activations of both models first.")
    ] = False,
    similarity_only: Annotated[
        bool, typer.Option("--similarity-only", help="Compare activations and train nothing.")
    ] = False,
    merged: Annotated[bool, typer.Option(help="Write the transferred model whole, too.")] = True,
    shard_bytes: Annotated[int, typer.Option(min=1000, help="Largest weight file.")] = (
        5_000_000_000
    ),
    device: Device = "cpu",
    memory: Memory = MEMORY,
    threads: Threads = 0,
    seed: Seed = 0,
    resume: Resume = False,
    as_json: Json = False,
) -> None:
    """Try whether a larger model's parameters help a smaller one, beside controls."""
    from deltaworks.cli.flags import read_option_pairs
    from deltaworks.methods import transfer_method
    from deltaworks.recipes import parse_recipe
    from deltaworks.studies.jobs import run_job

    record = transfer_method(method)
    document = {
        "kind": "transfer",
        "source": reference(source),
        "target": reference(target),
        "setting": {"method": record.id, "options": read_option_pairs(record, settings or [])},
        **_files(seed_data=seed_data, training=training, held_out=held_out),
        **_files(control_data=control_data),
        "arms": _arms(arms),
        "steps": steps,
        "rate": rate,
        "warmup": warmup,
        "decay": decay,
        "batch": batch,
        "accumulate": accumulate,
        "measure_every": measure_every,
        "save_every": save_every,
        "seed_samples": seed_samples,
        "samples": samples,
        "tokens": tokens,
        "similarity": "only" if similarity_only else "full" if similarity else "weights",
        "merged": merged,
        "shard_bytes": shard_bytes,
        "output": str(out.absolute()),
        **common_fields(seed, device, memory, threads),
    }
    recipe = parse_recipe(document, where="transfer")
    with job() as control:
        report = run_job(recipe, control, resume=resume)
    show_transfer(report, out.absolute(), as_json=as_json)


def _files(**paths: Path | None) -> dict[str, str]:
    return {name: str(path.absolute()) if path else "" for name, path in paths.items()}


def _arms(text: str) -> list[str]:
    words = [word.strip() for word in text.split(",") if word.strip()]
    if "none" in words and len(words) > 1:
        raise OptionError(f"'{text}' names arms and none", where="--arms", fix="Write one of both.")
    return [] if words == ["none"] else words


# --- what is shown --------------------------------------------------------------------------


def show_transfer(report: Report, out: Path, *, as_json: bool) -> None:
    """Save the plots of a transfer and print what it found."""
    facts = report.results["transfer"]
    plots = save_plots(facts, out)
    if as_json:
        print_json(report.as_json() | {"plots": [str(path) for path in plots]})
        return
    if "similarity" in facts:
        _show_similarity(facts["similarity"])
    if "arms" in facts:
        _show_arms(facts)
    for artefact in report.artefacts:
        say(f"{artefact.path} ({formatting.size(artefact.file_bytes)})")
    for path in plots:
        say(f"Plot: {path}")
    say(f"Done in {formatting.duration(report.seconds.get('total'))}")


def _show_similarity(found: dict[str, Any]) -> None:
    rows = []
    for kind in found["kinds"]:
        cells = [value for row in kind["cka"] for value in row]
        other = [value for row in kind.get("unbiased", ()) for value in row]
        rows.append((kind["layer"], *_spread(cells), *_spread(other)))
    columns = ("CKA, mean", "largest", "unbiased, mean", "largest ")
    print_table(("Module", *columns), rows, right=columns)
    say(f"{found['n_texts']} texts, last token of each; every layer against every layer.")


def _spread(values: list[float]) -> tuple[str, str]:
    if not values:
        return "", ""
    return f"{sum(values) / len(values):.3f}", f"{max(values):.3f}"


def _show_arms(facts: dict[str, Any]) -> None:
    has_control = "control_data" in facts["untouched"]
    more = ("Other task before", "after ") if has_control else ()
    headers = ("Start", "Held-out loss before", "after", *more)
    rows = [
        _row(arm["title"], arm["measures"][0][1], arm["measures"][-1][1]) for arm in facts["arms"]
    ]
    rows.append(_row("Added, nothing trained", facts["untouched"], facts["unaligned"]))
    print_table(headers, rows, right=headers[1:])
    say(f"Layers of the source: {', '.join(map(str, facts['layers']))}.")
    say(NO_PROMISE)


def _row(title: str, before: dict[str, float], after: dict[str, float]) -> tuple[str, ...]:
    names = [name for name in ("held_out", "control_data") if name in before]
    return (title, *(f"{one[name]:.4f}" for name in names for one in (before, after)))


def save_plots(facts: dict[str, Any], out: Path) -> list[Path]:
    """Draw what there is to draw, beside the record."""
    from matplotlib.figure import Figure

    from deltaworks.figures import transfer as figures
    from deltaworks.figures.saving import save_figure

    wide, drawn = (9, 5), []
    if "similarity" in facts:
        figure = Figure(figsize=(max(6, 4 * len(facts["similarity"]["kinds"])), 4.2), dpi=100)
        figures.draw_similarity(figure, facts["similarity"])
        drawn.append(("similarity.png", figure))
    if "arms" in facts:
        figure = Figure(figsize=wide, dpi=100)
        figures.draw_arm_losses(figure, facts["arms"])
        drawn.append(("losses.png", figure))
        figure = Figure(figsize=wide, dpi=100)
        figures.draw_layer_scores(figure, facts["layer_scores"], facts["layers"])
        drawn.append(("layers.png", figure))
        figure = Figure(figsize=wide, dpi=100)
        figures.draw_window(figure, facts["heat"])
        drawn.append(("window.png", figure))
        figure = Figure(figsize=wide, dpi=100)
        figures.draw_start_cosines(figure, facts["matrices"])
        drawn.append(("cosines.png", figure))
    return [save_figure(figure, out / name, 150) for name, figure in drawn]
