"""The command that repairs: once, or over budgets with a table and plots."""

from __future__ import annotations

from collections.abc import Callable
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
    from deltaworks.methods.safety_record import SafetyMethod
    from deltaworks.studies.trials import Sweep

TRADEOFF, LAYERS = "tradeoff.png", "layers.png"


def repair(
    aligned: Annotated[Path, typer.Argument(help="The model that still refuses.")],
    finetuned: Annotated[Path, typer.Argument(help="Its fine-tune: a model or an adapter.")],
    methods: Annotated[
        list[str], typer.Option("-m", "--method", help="Id of a safety method; may be repeated.")
    ],
    out: Out,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="One option; may be repeated."),
    ] = None,
    budgets: Annotated[
        str,
        typer.Option(help="Values of the method's budget, 0,0.3,0.5 or 'all': repair with each."),
    ] = "",
    safety: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Prompts to refuse, refusals if you have.")
    ] = None,
    task: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Texts of the fine-tune's task.")
    ] = None,
    harmful: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Harmful texts, for Antidote.")
    ] = None,
    unaligned: Annotated[
        Path | None, typer.Option(metavar="MODEL", help="The aligned model, made to not refuse.")
    ] = None,
    pretrained: Annotated[
        Path | None, typer.Option(metavar="MODEL", help="The model before its alignment.")
    ] = None,
    sibling: Annotated[
        Path | None, typer.Option(metavar="MODEL", help="Another fine-tune, tuned to be safe.")
    ] = None,
    samples: Annotated[int, typer.Option(min=1, help="Texts to read at most.")] = 128,
    tokens: Annotated[int, typer.Option(min=8, help="Tokens of a text at most.")] = 512,
    others: Annotated[
        str, typer.Option(help="Untreated tensors from: method, aligned, finetuned.")
    ] = "method",
    save: Annotated[str, typer.Option(help="Repaired adapters as: auto, dense, adapter.")] = "auto",
    rank: Annotated[int, typer.Option(min=0, help="Of an adapter cut from a dense repair.")] = 0,
    out_dtype: Annotated[str, typer.Option(help="Type of the result: F32, F16, BF16.")] = "",
    shard_bytes: Annotated[int, typer.Option(min=1000, help="Largest weight file.")] = (
        5_000_000_000
    ),
    cache: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Keep statistics of texts here.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="With --budgets: folder with suite.json to measure on.")
    ] = None,
    refuse: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Prompts to refuse when measuring.")
    ] = None,
    answer: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Harmless prompts when measuring.")
    ] = None,
    phrases: Annotated[
        Path | None, typer.Option(metavar="FILE", help="What counts as a refusal, one a line.")
    ] = None,
    target: Annotated[
        float, typer.Option(min=0, max=1, help="Refusal rate that the pick must reach.")
    ] = 0.95,
    keep: Annotated[str, typer.Option(help="With --budgets: best, front, all or none.")] = "best",
    device: Device = "cpu",
    memory: Memory = MEMORY,
    threads: Threads = 0,
    seed: Seed = 0,
    resume: Resume = False,
    as_json: Json = False,
) -> None:
    """Bring refusals back into a fine-tune, and keep its skill."""
    sources = {
        "aligned": reference(aligned),
        "tuned": reference(finetuned),
        **_models(unaligned=unaligned, pretrained=pretrained, sibling=sibling),
        **_files(safety=safety, task=task, harmful=harmful, cache=cache),
        "samples": samples,
        "tokens": tokens,
        "other_tensors": others,
        "output": str(out.absolute()),
        **common_fields(seed, device, memory, threads),
    }
    from deltaworks.recipes import parse_recipe
    from deltaworks.studies.jobs import run_job

    if budgets or len(methods) > 1:
        measuring = {"should_refuse": refuse, "should_answer": answer, "phrases": phrases}
        document = {
            "kind": "repair-sweep",
            "settings": _sweep_settings(methods, settings or [], budgets),
            "evaluation": str(data.absolute()) if data else "",
            **_files(**measuring),
            "target": target,
            "keep": keep,
        }
    else:
        record, options = _setting(methods[0], settings or [])
        document = {
            "kind": "repair",
            "setting": {"method": record.id, "options": options},
            "save": save,
            "rank": rank,
            "out_dtype": out_dtype.upper(),
            "shard_bytes": shard_bytes,
        }
    recipe = parse_recipe({**sources, **document}, where="repair")
    with job() as control:
        report = run_job(recipe, control, resume=resume)
    show_repairs(report, out.absolute(), as_json=as_json)


def _models(**paths: Path | None) -> dict[str, Any]:
    return {name: reference(path) if path else None for name, path in paths.items()}


def _files(**paths: Path | None) -> dict[str, str]:
    return {name: str(path.absolute()) if path else "" for name, path in paths.items()}


def _setting(method: str, pairs: list[str]) -> tuple[SafetyMethod, dict[str, Any]]:
    """Read a method and its options."""
    from deltaworks.cli.flags import read_option_pairs
    from deltaworks.methods import safety_method

    record = safety_method(method)
    return record, read_option_pairs(record, pairs)


def _sweep_settings(methods: list[str], pairs: list[str], budgets: str) -> list[dict[str, Any]]:
    from deltaworks.studies.safety_plan import budget_settings

    values = None if budgets in {"", "all"} else _numbers(budgets)
    found = []
    for method in methods:
        record, options = _setting(method, _own(method, pairs))
        found += [one.model_dump() for one in budget_settings(record, options, values)]
    return found


def _own(method: str, pairs: list[str]) -> list[str]:
    """Options of one of several methods are written ``method.key=value``."""
    own = []
    for pair in pairs:
        name, dot, rest = pair.partition(".")
        is_named = bool(dot) and "=" not in name
        if not is_named:
            own.append(pair)
        elif name == method:
            own.append(rest)
    return own


def _numbers(text: str) -> list[float]:
    try:
        return [float(word) for word in text.split(",")]
    except ValueError as error:
        raise OptionError(
            f"'{text}' is no list of numbers", where="--budgets", fix="Write 0,0.3,0.5 or all"
        ) from error


# --- what is shown --------------------------------------------------------------------------


def show_repairs(report: Report, out: Path, *, as_json: bool) -> None:
    """Print a repair's or a sweep's report; save the plots of a sweep."""
    plots = _save_plots(report, out) if "sweep" in report.results else []
    if as_json:
        print_json(report.as_json() | {"plots": [str(path) for path in plots]})
        return
    if plots:
        _show_sweep(report)
    _show_facts(report.results["repair"])
    for artefact in report.artefacts:
        say(f"{artefact.path} ({formatting.size(artefact.file_bytes)})")
    for path in plots:
        say(f"Plot: {path}")
    say(f"Done in {formatting.duration(report.seconds.get('total'))}")


def _show_facts(facts: dict[str, Any]) -> None:
    words: dict[str, tuple[str, Callable[[float], str]]] = {
        "layers": ("Layers repaired", "{:g}".format),
        "change_kept": ("Share of the change kept", formatting.percent),
        "damage_share": ("Share of the damage left", formatting.percent),
    }
    rows = [
        (title, show(facts["total"][name]))
        for name, (title, show) in words.items()
        if name in facts["total"]
    ]
    print_table((facts["title"], ""), rows, right=("",))
    for text in facts["warnings"]:
        say(f"Note: {text}")
    say(facts["limits"])


def _show_sweep(report: Report) -> None:
    from deltaworks.studies.trials import Sweep

    sweep = Sweep.from_json(report.results["sweep"])
    rows = [(one.label, "", *_cells(one.measures), "") for one in sweep.references]
    rows += [_row(trial) for trial in sweep.trials]
    columns = ("Refusals", "95 % interval", "Over-refusals", "Empty", "Repetitive", "Skill")
    print_table(("Method", "Settings", *columns, "Note"), rows, right=(*columns,))
    chosen = next((trial for trial in sweep.trials if trial.recommended), None)
    if chosen:
        say(f"Pick: {chosen.title} {chosen.settings}: {sweep.rule}.")


def _row(trial: Any) -> tuple[str, ...]:
    done = trial.state == "done"
    pairs = (("pick", trial.recommended), ("front", trial.on_front), ("kept", trial.kept))
    notes = [word for word, holds in pairs if holds] if done else [trial.reason or trial.state]
    return (trial.title, trial.settings, *_cells(trial.measures), ", ".join(notes))


def _cells(measures: dict[str, dict[str, Any]]) -> tuple[str, ...]:
    def share(name: str) -> str:
        one = measures.get(name)
        if one is None:
            return ""
        return ("\u2248 " if one["is_estimate"] else "") + formatting.percent(one["value"])

    refusal = measures.get("refusal", {})
    ends = [refusal.get("low"), refusal.get("high")]
    interval = "" if None in ends else " to ".join(formatting.percent(end) for end in ends)
    rest = ("over-refusal", "empty", "degenerate", "utility")
    return (share("refusal"), interval, *(share(name) for name in rest))


def _save_plots(report: Report, out: Path) -> list[Path]:
    from matplotlib.figure import Figure

    from deltaworks.figures.safety_layers import draw_safety_layers
    from deltaworks.figures.safety_tradeoff import draw_safety_tradeoff
    from deltaworks.figures.saving import save_figure
    from deltaworks.studies.trials import Sweep

    sweep: Sweep = Sweep.from_json(report.results["sweep"])
    figure = Figure(figsize=(12, 6), dpi=100)
    draw_safety_tradeoff(figure, [sweep], target=report.recipe.get("target"))
    paths = [save_figure(figure, out / TRADEOFF, 150, {"sweep": sweep.id})]
    figure = Figure(figsize=(12, 5), dpi=100)
    draw_safety_layers(figure, report.results["repair"]["layers"])
    return [*paths, save_figure(figure, out / LAYERS, 150, {"sweep": sweep.id})]
