"""What the Workbench says about its state: guard, cost, counts."""

from __future__ import annotations

from PySide6.QtCore import QT_TRANSLATE_NOOP, QCoreApplication

from deltaworks.library.rows import Match, ModelRow, State
from deltaworks_gui.formats import (
    format_exact_size,
    format_number,
    format_percent,
    format_seconds,
    format_size,
)
from deltaworks_gui.pages.workbench_cost import is_disk_short, memory_word
from deltaworks_gui.pages.workbench_state import (
    Cost,
    ExpertInput,
    Guard,
    WorkbenchState,
    is_usable,
)
from deltaworks_gui.widgets.cost_panel import CostLine
from deltaworks_gui.widgets.expert_list import ExpertLook
from deltaworks_gui.widgets.guard_bar import GuardLook

KEEPS = (
    ("best", str(QT_TRANSLATE_NOOP("Workbench", "Best point"))),
    ("front", str(QT_TRANSLATE_NOOP("Workbench", "Front"))),
    ("all", str(QT_TRANSLATE_NOOP("Workbench", "All"))),
    ("none", str(QT_TRANSLATE_NOOP("Workbench", "None (metrics only)"))),
)
_LEVELS = {
    "checking": str(QT_TRANSLATE_NOOP("Workbench", "Checking")),
    "match": str(QT_TRANSLATE_NOOP("Workbench", "Match")),
    "likely": str(QT_TRANSLATE_NOOP("Workbench", "Likely")),
    "doubtful": str(QT_TRANSLATE_NOOP("Workbench", "Doubtful")),
    "mismatch": str(QT_TRANSLATE_NOOP("Workbench", "Mismatch")),
    "unreadable": str(QT_TRANSLATE_NOOP("Workbench", "Cannot be compared")),
}
_OFFENDERS = 3
_MEMORY_TONES = {"fits": "", "tight": "warn", "will not fit": "bad"}


def tr(text: str) -> str:
    """Translate in the Workbench's context."""
    return QCoreApplication.translate("Workbench", text)


# --- inputs ---------------------------------------------------------------------------------


def under_name(row: ModelRow) -> tuple[str, str]:
    """The line under a model's name, and its tone."""
    if row.state is State.SCANNING:
        return tr("reading…"), ""
    parts = [format_size(row.size_bytes)] if row.size_bytes else []
    if not is_usable(row) or row.state in (State.INCOMPLETE, State.CHANGED):
        parts.append(row.reason or tr(row.state.value))
        return " · ".join(parts), "warn" if is_usable(row) else "bad"
    if row.dtype:
        parts.append(row.dtype)
    if row.content:
        parts.append(tr("hash verified"))
    return " · ".join(parts), ""


def expert_look(state: WorkbenchState, expert: ExpertInput) -> ExpertLook:
    """What an expert's card shows."""
    under, tone = under_name(expert.row)
    return ExpertLook(
        name=expert.row.name,
        under=under,
        path=expert.row.path,
        is_on=expert.is_on,
        guard=guard_look(expert.guard) if expert.guard is not None else None,
        infos=state.expert_infos,
        options=expert.options,
        tone=tone,
    )


def guard_look(guard: Guard) -> GuardLook:
    """What the guard's bar shows."""
    level, match = guard.level, guard.match
    word = tr(_LEVELS[level])
    if level == "unreadable":
        return GuardLook("mismatch", word, (guard.error,))
    if match is None:
        return GuardLook(level, tr("Checking tensors…"))
    if level == "checking":
        text = tr("Checking · {0} of tensors fit").format(format_percent(match.common))
        return GuardLook(level, text, tip=evidence(match))
    offenders = tuple(match.offenders[:_OFFENDERS]) if level == "mismatch" else ()
    return GuardLook(
        level=level,
        text=f"{word} · {_finding(match)}",
        details=offenders,
        better=match.better[1] if match.better else "",
        asks_anyway=level == "doubtful",
        anyway=guard.anyway,
        tip=evidence(match),
    )


def _finding(match: Match) -> str:
    if match.offenders:
        text = tr("{0} of tensors fit").format(format_percent(match.common))
        return f"{text}; {tr('{0} fits better').format(match.better[1])}" if match.better else text
    return match.text


def evidence(match: Match) -> str:
    """Everything that was found, a line each."""
    lines = [tr("{0} of tensors fit by name and shape").format(format_percent(match.common))]
    if match.offenders:
        lines.append(tr("Shapes differ: {0}").format("; ".join(match.offenders)))
    if match.identical is not None:
        lines.append(
            tr("{0} of compared tensors are identical").format(format_percent(match.identical))
        )
    if match.distance is not None:
        lines.append(tr("Median relative distance {0}").format(format_number(match.distance)))
    if match.extra_rows:
        lines.append(tr("{0} extra rows in the vocabulary").format(match.extra_rows))
    if match.same_tokenizer is not None:
        lines.append(tr("The same tokenizer") if match.same_tokenizer else tr("Another tokenizer"))
    return "\n".join(lines)


# --- cost -----------------------------------------------------------------------------------


def cost_lines(state: WorkbenchState) -> list[CostLine]:
    """The facts of the cost panel."""
    labels = {
        "reads": tr("Reads"),
        "writes": tr("Writes"),
        "memory": tr("Peak memory"),
        "time": tr("Time"),
        "result": tr("Result"),
    }
    cost = state.cost
    if cost is None or cost.error:
        unknown = tr("working it out…") if state.is_planning else "—"
        return [CostLine(key, label, unknown) for key, label in labels.items()]
    left = max(0, cost.disk_free - cost.write)
    writes = tr("at most {0} · {1} free after").format(format_size(cost.write), format_size(left))
    short = is_disk_short(cost)
    if short:
        writes = tr("{0} · only {1} free").format(
            format_size(cost.write), format_size(cost.disk_free)
        )
    word = memory_word(cost)
    memory = f"{_of(cost.peak, cost.memory_free)} · {tr(word)}"
    reads = format_size(cost.read)
    return [
        CostLine("reads", labels["reads"], reads, tip=format_exact_size(cost.read)),
        CostLine(
            "writes", labels["writes"], writes, "bad" if short else "",
            f"{format_exact_size(cost.write)}\n{writes}",
        ),
        CostLine("memory", labels["memory"], memory, _MEMORY_TONES[word], _memory_tip(cost)),
        CostLine("time", labels["time"], time_text(state.seconds), tip=_time_tip(state)),
        CostLine("result", labels["result"], *_result(cost)),
    ]  # fmt: skip


def _of(part: int, whole: int) -> str:
    """``9.4 of 24 GB``; the unit once where both have the same."""
    one, other = format_size(part), format_size(whole)
    number, _, unit = one.rpartition(" ")
    return tr("{0} of {1}").format(number if other.endswith(f" {unit}") else one, other)


def _memory_tip(cost: Cost) -> str:
    return tr(
        "{0} free of {1} in all. An estimate: the engine itself, what it holds of the models, "
        "and what it reads ahead."
    ).format(format_size(cost.memory_free), format_size(cost.memory_total))


def _time_tip(state: WorkbenchState) -> str:
    if state.seconds is None:
        return tr("Known after the first job of this kind on this lane")
    return tr("From past jobs of this kind on this lane")


def time_text(seconds: tuple[float, float] | None) -> str:
    """``8 to 11 min``."""
    if seconds is None:
        return tr("no estimate yet")
    low, high = seconds
    if high < 10:
        return tr("a few seconds")
    if low >= 60 and high < 3600:
        return tr("{0} to {1} min").format(
            round(low / 60), max(round(low / 60) + 1, round(high / 60))
        )
    return tr("{0} to {1}").format(format_seconds(low), format_seconds(high))


def _result(cost: Cost) -> tuple[str, str, str]:
    """Range of sizes, no tone, and the tooltip with the ratio."""
    low, high = format_size(cost.low), format_size(cost.high)
    number, _, unit = low.rpartition(" ")
    sizes = low if low == high else f"{number if high.endswith(f' {unit}') else low} – {high}"
    if not cost.original or not cost.low:
        return sizes, "", sizes
    most, least = cost.original / cost.low, cost.original / max(cost.high, 1)
    ratio = f"{format_number(least, 2)}–{format_number(most, 2)}×"
    if format_number(least, 2) == format_number(most, 2):
        ratio = f"{format_number(most, 2)}×"
    tip = tr("Each between {0} and {1}; the full model has {2}").format(
        low, high, format_size(cost.original)
    )
    return f"{sizes} · {ratio}", "", tip
