"""What a finished job shows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deltaworks import formatting
from deltaworks.cli.output import print_json, print_table, say

if TYPE_CHECKING:
    from deltaworks.engine.reports import Artefact, Report
    from deltaworks.studies.trials import Sweep, Trial

PLOT = "tradeoff.png"


def show_report(report: Report, *, as_json: bool) -> None:
    """Print a job's report: as a document, or as what a person wants to know of its kind."""
    if as_json:
        print_json(report.as_json())
        return
    if "repair" in report.results:
        from deltaworks.cli.repairing import show_repairs

        show_repairs(report, Path(report.recipe["output"]), as_json=False)
        return
    if "transfer" in report.results:
        from deltaworks.cli.transferring import show_transfer

        show_transfer(report, Path(report.recipe["output"]), as_json=False)
        return
    deltas = [artefact for artefact in report.artefacts if artefact.kind == "delta"]
    if "sweep" in report.results:
        from deltaworks.studies.trials import Sweep

        show_sweep(Sweep.from_json(report.results["sweep"]))
    elif "evaluation" in report.results:
        _show_evaluation(report.results["evaluation"])
    elif deltas:
        _show_deltas(deltas)
    for artefact in report.artefacts if not deltas else ():
        say(f"{artefact.path} ({formatting.size(artefact.file_bytes)})")
    say(f"Done in {formatting.duration(report.seconds.get('total'))}")


def _show_deltas(deltas: Sequence[Artefact]) -> None:
    print_table(
        ("Delta file", "Size", "Full model", "Ratio", "Bits per weight", "Error"),
        [
            (
                delta.path,
                formatting.size(delta.file_bytes),
                formatting.size(delta.sizes.original_bytes if delta.sizes else None),
                formatting.ratio(delta.sizes.cr_model if delta.sizes else None),
                formatting.significant(delta.sizes.bpp_model) if delta.sizes else "",
                "exact" if delta.is_exact else formatting.percent(delta.error),
            )
            for delta in deltas
        ],
        right=("Size", "Full model", "Ratio", "Bits per weight", "Error"),
    )


def _show_evaluation(results: dict[str, Any]) -> None:
    print_table(
        ("Measure", "Value", "95 % interval", "On", "Items"),
        [
            (
                measure["title"],
                _value(measure["value"], _unit(measure)),
                _interval(measure),
                measure["data"] + (" (estimate)" if measure["is_estimate"] else ""),
                str(measure["n"]),
            )
            for measure in results["measures"].values()
        ],
        right=("Value", "Items"),
    )
    quality = results.get("quality")
    if quality:
        say(f"Quality kept: {formatting.percent(quality['value'])} ({quality['measured_on']})")


def _unit(measure: dict[str, Any]) -> str:
    """The unit, unless the title says it already."""
    unit = str(measure["unit"])
    return "" if unit == str(measure["title"]).lower() else unit


def _value(number: float, unit: str) -> str:
    if unit == "fraction":
        return formatting.percent(number)
    return f"{formatting.significant(number)} {unit}".rstrip()


def _interval(measure: dict[str, Any]) -> str:
    if measure["low"] is None or measure["high"] is None:
        return ""
    ends = (_value(measure[end], _unit(measure)) for end in ("low", "high"))
    return " to ".join(ends)


def show_sweep(sweep: Sweep) -> None:
    """Print the trade-off table and what is recommended."""
    print_table(
        ("#", "Expert", "Method", "Settings", "Size", "Ratio", "Quality", "Measured on", "Note"),
        [_trial_row(trial) for trial in sweep.trials],
        right=("#", "Size", "Ratio", "Quality"),
    )
    for reference in sweep.references:
        say(f"{reference.expert or sweep.base}: {reference.label}")
    for trial in sweep.trials:
        if trial.recommended:
            say(_recommendation(trial, sweep.rule))


def _trial_row(trial: Trial) -> tuple[str, ...]:
    done = trial.state == "done"
    estimate = "≈ " if done and not trial.measured_on else ""
    quality = trial.quality if trial.quality is not None else trial.fidelity
    notes = [
        word
        for word, holds in (
            ("recommended", trial.recommended),
            ("front", trial.on_front),
            ("kept", trial.kept),
            (trial.reason or trial.state, not done),
        )
        if holds
    ]
    return (
        str(trial.number),
        trial.expert,
        trial.title,
        trial.settings,
        formatting.size(trial.file_bytes) if trial.file_bytes else "",
        formatting.ratio(trial.original_bytes / trial.file_bytes) if trial.file_bytes else "",
        estimate + formatting.percent(quality) if done else "",
        trial.measured_on or ("weights" if done else ""),
        ", ".join(notes),
    )


def _recommendation(trial: Trial, rule: str) -> str:
    quality = trial.quality if trial.quality is not None else trial.fidelity
    how = f"on {trial.measured_on}" if trial.measured_on else "by weights, an estimate"
    text = (
        f"Recommended: {trial.title} {trial.settings}".rstrip() + f" for {trial.expert}: "
        f"{formatting.size(trial.file_bytes)} instead of {formatting.size(trial.original_bytes)}, "
        f"{formatting.percent(quality)} of quality kept ({how})"
    )
    reason = f"; {rule}" if rule else ""
    place = f"\n  {trial.artefact}" if trial.artefact else ""
    return f"{text}{reason}.{place}"


def save_plot(sweep: Sweep, path: Path) -> Path:
    """Draw size against quality and save it as a PNG."""
    from matplotlib.figure import Figure

    from deltaworks.figures.saving import save_figure
    from deltaworks.figures.tradeoff import draw_tradeoff

    figure = Figure(figsize=(10, 6), dpi=100)
    has_quality = any(trial.quality is not None for trial in sweep.trials)
    draw_tradeoff(figure, [sweep], y="quality" if has_quality else "fidelity")
    return save_figure(figure, path, 150, {"sweep": sweep.id})
