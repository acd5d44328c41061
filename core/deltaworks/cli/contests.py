"""Commands that compare merges."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deltaworks import formatting
from deltaworks.cli.flags import MEMORY, Json, Memory, Out, Seed, Threads, common, reference
from deltaworks.cli.measuring import data_folder
from deltaworks.cli.output import print_json, print_table, say
from deltaworks.cli.session import job

if TYPE_CHECKING:
    from deltaworks.studies.contest_record import Contest, Entry, Line

PLOT, SEARCH_PLOT = "comparison.png", "search.png"


def compare_merges(
    base: Annotated[Path, typer.Argument(metavar="BASE", help="The base model.")],
    experts: Annotated[list[Path], typer.Argument(help="Fine-tunes of it.", metavar="EXPERT...")],
    out: Out,
    data: Annotated[
        Path | None, typer.Option(help="Folder with suite.json, or a .jsonl file.")
    ] = None,
    suite: Annotated[str, typer.Option(help="A bundled set: demo.")] = "",
    methods: Annotated[
        str, typer.Option(help="Ids of methods, with commas; all whose needs are met if not given.")
    ] = "",
    search: Annotated[
        str, typer.Option(help="Ids of methods to search coefficients of, or: best.")
    ] = "",
    trials: Annotated[int, typer.Option(min=4, help="Merges a search tries.")] = 24,
    keep: Annotated[
        str, typer.Option(help="Which merged models stay: best, all or none.")
    ] = "best",
    memory: Memory = MEMORY,
    threads: Threads = 0,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Merge the same fine-tunes by every method, measure each result, keep the best."""
    from deltaworks.recipes import parse_recipe
    from deltaworks.studies.contest_record import Contest
    from deltaworks.studies.jobs import run_job

    recipe = parse_recipe(
        {
            "kind": "compare-merges",
            "base": reference(base),
            "experts": [{"model": reference(expert)} for expert in experts],
            "settings": _settings(_words(methods)),
            "evaluation": str(data_folder(data, suite) or ""),
            "search": _search(search, trials),
            "keep": keep,
            "output": str(out.absolute()),
            **common(seed, "cpu", memory, threads),
        },
        where="compare-merges",
    )
    with job() as control:
        report = run_job(recipe, control)
    contest = Contest.from_json(report.results["contest"])
    plots = save_plots(contest, out)
    if as_json:
        document: dict[str, Any] = report.as_json()
        print_json(document | {"plots": [str(plot) for plot in plots]})
        return
    show_contest(contest)
    for plot in plots:
        say(f"Plot: {plot}")
    say(f"Done in {formatting.duration(report.seconds.get('total'))}")


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _settings(methods: list[str]) -> list[dict[str, Any]]:
    """Give the usual settings of the methods that were named; none means all."""
    from deltaworks.methods import merging_method
    from deltaworks.studies.contest_defaults import default_settings

    known = [merging_method(name).id for name in methods]
    return [
        setting.model_dump()
        for setting in default_settings()
        if setting.method in known and setting.pre is None
    ]


def _search(methods: str, trials: int) -> dict[str, Any] | None:
    if not methods:
        return None
    return {"methods": [] if methods == "best" else _words(methods), "trials": trials}


def show_contest(contest: Contest) -> None:
    """Print the table, the reference lines, what was left out, and the winner."""
    tasks = list(contest.tasks)
    headers = ("#", "Method", "Settings", *tasks, "Average", "Of experts", "Norm", "Time", "Memory")
    rows = [_row(entry, tasks) for entry in _ranked(contest)]
    rows += [_line_row(line, tasks) for line in contest.lines]
    print_table(
        (*headers, "Bytes", "Note"),
        rows,
        right=("#", *tasks, "Average", "Of experts", "Norm", "Time", "Memory", "Bytes"),
    )
    if contest.experts_average is not None:
        share = formatting.percent(contest.experts_average)
        say(f"Experts, each on its own task: {share} on average.")
    for name, reason in contest.skipped.items():
        say(f"Left out: {name} ({reason}).")
    if contest.search:
        _show_search(contest)
    if contest.best is not None:
        _show_winner(contest, contest.best)


def _ranked(contest: Contest) -> list[Entry]:
    """The best first; those that were not measured last."""
    return sorted(contest.entries, key=lambda one: -2.0 if one.average is None else -one.average)


def _row(entry: Entry, tasks: list[str]) -> tuple[str, ...]:
    notes = [
        word
        for word, holds in (
            ("best", entry.winner),
            ("one model an expert", entry.switches),
            (entry.reason or entry.state, entry.state != "done"),
        )
        if holds
    ]
    ratio = entry.geometry.get("norm_ratio")
    return (
        str(entry.number),
        entry.title,
        entry.settings,
        *(formatting.percent(entry.scores[t].value) if t in entry.scores else "" for t in tasks),
        formatting.percent(entry.average) if entry.average is not None else "",
        formatting.percent(entry.normalised) if entry.normalised is not None else "",
        f"{ratio:.2f}" if ratio is not None else "",
        f"{entry.seconds:.2f} s" if entry.seconds else "",
        formatting.size(entry.peak_bytes) if entry.peak_bytes else "",
        formatting.size(entry.n_bytes) if entry.n_bytes else "",
        ", ".join(notes),
    )


def _line_row(line: Line, tasks: list[str]) -> tuple[str, ...]:
    scores = (formatting.percent(line.scores[t].value) if t in line.scores else "" for t in tasks)
    shares = (
        formatting.percent(value) if value is not None else ""
        for value in (line.average, line.normalised)
    )
    return ("", f"{line.id}: {line.name}", "", *scores, *shares, "", "", "", "", "")


def _show_search(contest: Contest) -> None:
    say("Search (on items that do not count above):")
    print_table(
        ("Trial", "Method", "Score", "Coefficients", ""),
        [
            (
                str(trial.number),
                trial.method,
                formatting.percent(trial.score) if trial.score is not None else "failed",
                ", ".join(f"{name} {value:g}" for name, value in trial.values.items()),
                "best so far" if trial.is_best else "",
            )
            for trial in contest.search
        ],
        right=("Trial", "Score"),
    )


def _show_winner(contest: Contest, best: Entry) -> None:
    base = next((line for line in contest.lines if line.id == "base"), None)
    text = f"Best: {best.title} {best.settings}".rstrip()
    text += f", {formatting.percent(best.average)} on average"
    if base is not None and base.average is not None:
        text += f" (base {formatting.percent(base.average)}"
        text += f", {formatting.percent(best.normalised)} of the experts)"
    say(text + ".")
    if best.artefact:
        say(f"  {best.artefact}")


def save_plots(contest: Contest, folder: Path) -> list[Path]:
    """Draw the comparison, and the search where there was one."""
    from matplotlib.figure import Figure

    from deltaworks.figures.contest import draw_contest, draw_search, height_of
    from deltaworks.figures.saving import save_figure

    figure = Figure(figsize=(10, height_of(contest) / 100), dpi=100)
    draw_contest(figure, contest)
    plots = [save_figure(figure, folder / PLOT, 150, {"comparison": contest.id})]
    if contest.search:
        figure = Figure(figsize=(10, 5), dpi=100)
        draw_search(figure, contest)
        plots.append(save_figure(figure, folder / SEARCH_PLOT, 150, {"comparison": contest.id}))
    return plots
