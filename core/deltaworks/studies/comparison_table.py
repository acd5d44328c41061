"""A comparison of methods as Markdown."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from deltaworks.formatting import size

if TYPE_CHECKING:
    from deltaworks.studies.comparison import Comparison, Entry


def as_markdown(found: Comparison) -> str:
    """Give a table of the best at every budget, then every setting, expert by expert."""
    lines = ["# Compression methods at equal bits", "", *_preface(found)]
    for expert in dict.fromkeys(entry.expert for entry in found.entries):
        lines += ["", f"## {expert}", "", *_references(found, expert), *_best(found, expert)]
        lines += ["", *_settings(found, expert)]
    return "\n".join(lines) + "\n"


def _preface(found: Comparison) -> Iterator[str]:
    where = f"measured on {found.measured_on}" if found.measured_on else "from weights alone"
    yield (
        f"Base: {found.base}. Quality {where}. Bits count everything that is stored for the "
        "compressed tensors, a weight of theirs; a method counts at a budget with its best "
        "setting within it, or at most half a percent above."
    )
    if found.left_out:
        yield ""
        yield "Left out: " + "; ".join(f"{name} ({why})" for name, why in found.left_out) + "."


def _references(found: Comparison, expert: str) -> Iterator[str]:
    for one in found.references:
        if one["expert"] == expert:
            kl = one["measures"].get("kl")
            more = f", KL {kl['value']:.4f}" if kl else ""
            yield f"{one['label']}: {size(one['file_bytes'])}{more}."
            yield ""


def _best(found: Comparison, expert: str) -> Iterator[str]:
    measured = any(one.recovered is not None for one in found.entries if one.expert == expert)
    what = "Recovered fraction (accuracy on its task)" if measured else "1 - relative squared error"
    yield f"{what} at most so many bits a weight:"
    yield ""
    yield "| Method | " + " | ".join(f"{budget:g}" for budget in found.budgets) + " |"
    yield "|---|" + "---:|" * len(found.budgets)
    titles = {one.method: one.title for one in found.entries if one.expert == expert}
    tops = [
        max(
            (best.quality for name in titles if (best := found.best(expert, name, budget))),
            default=0.0,
        )
        for budget in found.budgets
    ]
    for name, title in titles.items():
        cells = []
        for budget, top in zip(found.budgets, tops, strict=True):
            best = found.best(expert, name, budget)
            cells.append(_cell(best, is_top=best is not None and best.quality >= top))
        yield f"| {title} | " + " | ".join(cells) + " |"


def _cell(entry: Entry | None, *, is_top: bool) -> str:
    if entry is None:
        return "-"
    text = f"{entry.quality:.4f}"
    text = f"**{text}**" if is_top else text
    return text if entry.accuracy is None else f"{text} ({entry.accuracy:.3f})"


def _settings(found: Comparison, expert: str) -> Iterator[str]:
    yield "Every setting:"
    yield ""
    yield "| Method | Options | Bits | File | 1 - error | KL | Recovered | Accuracy | Seconds |"
    yield "|---|---|---:|---:|---:|---:|---:|---:|---:|"
    for one in found.entries:
        if one.expert != expert:
            continue
        options = ", ".join(f"{name}={_value(value)}" for name, value in one.options.items())
        if one.reason:
            yield f"| {one.title} | {options} | {one.reason} | | | | | | |"
            continue
        measured = " | ".join(_number(value) for value in (one.kl, one.recovered, one.accuracy))
        yield (
            f"| {one.title} | {options} | {one.bits:.4f} | {size(one.file_bytes)} | "
            f"{one.fidelity:.4f} | {measured} | {one.seconds:.2f} |"
        )


def _value(value: object) -> str:
    return f"{value:.5g}" if isinstance(value, float) else str(value)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
