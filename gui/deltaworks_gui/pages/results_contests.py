"""Comparisons of merges on the Results page: their records, their news, one merge again."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from PySide6.QtCore import QCoreApplication

from deltaworks.errors import FileError
from deltaworks.methods import MERGING
from deltaworks.progress import JobControl
from deltaworks.recipes.naming import slug
from deltaworks.recipes.schema import ContestRecipe, MergeRecipe, MergeSetting, Setting
from deltaworks.studies.contest_entrants import make_entrant
from deltaworks.studies.contest_facts import write_json
from deltaworks.studies.contest_plan import CONTEST_FILE
from deltaworks.studies.contest_record import Contest, Entry, SearchTrial, entry_from_json
from deltaworks.studies.trials import Sweep, Trial

log = logging.getLogger(__name__)

KIND = "compare-merges"


def _tr(text: str) -> str:
    return QCoreApplication.translate("Results", text)


def is_contest(sweep: Sweep) -> bool:
    """Whether its trials are merges of the same experts."""
    return sweep.recipe.get("kind") == KIND


def as_sweep(contest: Contest) -> Sweep:
    """What lists, badges and selections know of a comparison."""
    return Sweep(
        id=contest.id,
        title=contest.title,
        created=contest.created,
        base=contest.base,
        base_path=contest.base_path,
        trials=tuple(_trial(contest, entry) for entry in contest.entries),
        state=contest.state,
        rule=_tr("best average over all tasks"),
        recipe={**contest.recipe, "kind": KIND},
    )


def _trial(contest: Contest, entry: Entry) -> Trial:
    return Trial(
        number=entry.number,
        expert=", ".join(contest.experts),
        expert_path="",
        method=entry.method,
        title=entry.title,
        options=entry.options,
        settings=entry.settings,
        state=entry.state,
        file_bytes=entry.n_bytes,
        quality=entry.average,
        measured_on=contest.data if entry.average is not None else "",
        seconds=entry.seconds,
        peak_bytes=entry.peak_bytes,
        artefact=entry.artefact,
        recommended=entry.winner,
        kept=bool(entry.artefact),
        reason=entry.reason,
    )


# --- records and news -----------------------------------------------------------------------


def read_contests(folder: Path, control: JobControl) -> list[Contest]:
    """Read every comparison's record; one that cannot be read is logged and left out."""
    found = []
    for path in sorted(folder.glob(f"*/{CONTEST_FILE}")):
        control.check()
        try:
            found.append(Contest.from_json(json.loads(path.read_text(encoding="utf-8"))))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            log.warning("%s: not a readable record of a comparison (%s)", path, error)
    return found


def write_contest(contest: Contest) -> None:
    """Bring a comparison's record up to date, if it has one.

    Raises:
        FileError: it cannot be written.
    """
    path = Path(contest.recipe.get("output", "")) / CONTEST_FILE
    if path.exists():
        try:
            write_json(path, contest.as_json())
        except OSError as error:
            raise FileError(f"cannot be written ({error})", where=str(path)) from error


def with_news(contest: Contest, subject: str, values: Mapping[str, Any]) -> Contest:
    """A comparison that heard of an entry or of a trial of its search."""
    if subject == "entry":
        return with_entry(contest, entry_from_json(values))
    if subject == "search":
        return replace(contest, search=(*contest.search, SearchTrial(**values)))
    return contest


def with_entry(contest: Contest, fresh: Entry) -> Contest:
    """A comparison with an entry that changed, or a further one."""
    known = {entry.number: entry for entry in contest.entries} | {fresh.number: fresh}
    return replace(contest, entries=tuple(known[number] for number in sorted(known)))


def stopped(contest: Contest, state: str, reason: str) -> Contest:
    """A comparison whose engine went away: what was not done is cancelled."""
    entries = tuple(
        entry
        if entry.state in ("done", "failed")
        else replace(entry, state="cancelled", reason=reason)
        for entry in contest.entries
    )
    return replace(contest, state=state, entries=entries)


# --- one merge again ------------------------------------------------------------------------


def why_no_merge(contest: Contest, entry: Entry) -> str:
    """Why a merge of a comparison cannot be made again alone; empty when it can."""
    if entry.switches:
        return _tr("It makes a model for each expert. Choose one in the Workbench.")
    recipe = ContestRecipe.model_validate(contest.recipe)
    needs = MERGING[entry.method].needs if entry.method in MERGING else None
    if needs is None:
        return _tr("This version does not know the method.")
    if needs.statistics and not all(one.texts for one in recipe.experts):
        return _tr("Its texts were set aside for the comparison only.")
    return ""


def merge_again(contest: Contest, entry: Entry) -> MergeRecipe:
    """The recipe that makes a merge again, where the comparison would have kept it."""
    recipe = ContestRecipe.model_validate(contest.recipe)
    setting = MergeSetting(
        method=entry.method,
        options=entry.options,
        pre=Setting.model_validate(entry.pre) if entry.pre else None,
    )
    texts: Sequence[str] = [one.texts for one in recipe.experts]
    place = Path(recipe.output)
    made = make_entrant(
        recipe, contest.experts, texts, place, entry.number, setting, entry.each
    ).recipes[0]
    output = place / f"{slug(entry.method)}-{entry.number}"
    return made.model_copy(update={"output": str(output)})
