"""A comparison of merges in words: who won, what was left out."""

from __future__ import annotations

from PySide6.QtCore import QCoreApplication

from deltaworks.methods import MERGING
from deltaworks.studies.contest_record import Contest, Entry
from deltaworks_gui.formats import format_percent


def _tr(text: str) -> str:
    return QCoreApplication.translate("plots", text)


def entry_name(entry: Entry) -> str:
    """``TIES, scale 0.5``."""
    return ", ".join(part for part in (entry.title, entry.settings) if part)


def winner_text(contest: Contest) -> str:
    """Who won, with its average, its share of the experts', and the base beside it."""
    best = contest.best
    if best is None or best.average is None:
        return ""
    text = _tr("Best: {0} with {1} right on average").format(
        entry_name(best), format_percent(best.average)
    )
    if best.normalised is not None:
        text = _tr("{0}, {1} of the experts").format(text, format_percent(best.normalised))
    base = next((line.average for line in contest.lines if line.id == "base"), None)
    return text if base is None else _tr("{0}; base {1}").format(text, format_percent(base))


def skipped_text(contest: Contest) -> str:
    """What was left out, and why."""
    names = (
        f"{MERGING[one].title if one in MERGING else one} ({why})"
        for one, why in contest.skipped.items()
    )
    return "; ".join(names)
