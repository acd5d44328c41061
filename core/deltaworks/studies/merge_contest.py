"""Compare merges: the same experts by many methods, measured on the same items.

Merged models are made in rounds that fit on the disk, each tensor being read once a pass
for all of a round. Then every model is measured, and the best is kept.
"""

from __future__ import annotations

import contextlib
import logging
import secrets
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from deltaworks.checkpoints import open_checkpoint
from deltaworks.engine.environment import resident_bytes, versions
from deltaworks.engine.merge_fan import Fan, FanModel
from deltaworks.engine.reports import Artefact, Report
from deltaworks.errors import AppError, CancelledError
from deltaworks.methods import merging_method
from deltaworks.options import read_options
from deltaworks.progress import JobControl, Measured, Progress
from deltaworks.recipes import dump_recipe
from deltaworks.recipes.naming import display_name, slug
from deltaworks.recipes.schema import ContestRecipe, MergeSetting
from deltaworks.studies.coefficient_search import axes_of
from deltaworks.studies.contest_defaults import default_settings, why_not
from deltaworks.studies.contest_entrants import Entrant, make_entrant
from deltaworks.studies.contest_facts import merge_facts, write_json
from deltaworks.studies.contest_judge import Judge
from deltaworks.studies.contest_plan import CONTEST_FILE, entry_labels, expert_names, plan_contest
from deltaworks.studies.contest_record import Contest, Entry, SearchTrial
from deltaworks.studies.contest_scores import Scores, average
from deltaworks.studies.contest_search import Candidate, best_to_search, search_coefficients

log = logging.getLogger(__name__)

_TRIALS = 900
"""Number of a search's first trial among the folders of a round."""


def run_contest(recipe: ContestRecipe, control: JobControl) -> Report:
    """Run every merge, measure it, search coefficients if asked to, and keep the best.

    A merge that fails does not stop the others.

    Raises:
        CancelledError: nothing is left behind.
        AppError: the comparison cannot start, or every merge failed.
    """
    plan_contest(recipe)
    return _Running(recipe, control).run()


class _Running:
    """One comparison while it runs."""

    def __init__(self, recipe: ContestRecipe, control: JobControl) -> None:
        now = datetime.now(UTC)
        self._recipe, self._control = recipe, control
        self._output = Path(recipe.output)
        self._id = f"{now:%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"
        self._created = now.isoformat(timespec="seconds")
        self._work = self._output / f"comparison.partial-{self._id}"
        self._names = expert_names(recipe)
        self._entries: list[Entry] = []
        self._known: Judge | None = None
        self._search: list[SearchTrial] = []
        self._skipped: dict[str, str] = {}
        self._winner, self._state = 0, "running"
        self._seconds: dict[str, float] = {}
        self._peak = 0
        self._done, self._total = 0, 1
        self._best_folder: Path | None = None
        self._best_score: float | None = None

    def run(self) -> Report:
        started = time.perf_counter()
        made = [path for path in (self._output, *self._output.parents) if not path.exists()]
        try:
            self._work.mkdir(parents=True)
            with ExitStack() as open_files:
                self._known = self._make_judge(open_files)
                self._say("contest", self._contest().as_json())
                self._run_all(self._entrants())
                if self._recipe.search is not None:
                    self._run_search()
            self._check_any()
            kept = self._keep()
        except BaseException as error:
            self._give_up(error, made)
            raise
        self._seconds["total"] = time.perf_counter() - started
        self._say("contest", self._contest().as_json())
        self._control.report(Progress(self._total, self._total, "done"))
        return self._report(kept)

    @property
    def _judge(self) -> Judge:
        assert self._known is not None
        return self._known

    def _make_judge(self, open_files: ExitStack) -> Judge:
        """Open the models and measure what merges are held against."""
        recipe = self._recipe
        base = open_files.enter_context(open_checkpoint(recipe.base.path))
        experts = [
            open_files.enter_context(open_checkpoint(one.model.path, base=base))
            for one in recipe.experts
        ]
        self._at("measuring base and experts")
        return Judge(recipe, self._names, base, experts, self._work, self._control)

    # --- merges -----------------------------------------------------------------------------

    def _entrants(self) -> list[Entrant]:
        """Enter every setting whose needs are met; note the others."""
        chosen = list(self._recipe.settings) or default_settings()
        n_experts, has_texts = len(self._names), all(self._judge.texts)
        settings = []
        for setting in chosen:
            method = merging_method(setting.method)
            reason = why_not(method, n_experts, has_texts=has_texts)
            if reason:
                self._skipped[method.id] = reason
            else:
                settings.append(setting)
        return self._entered(settings)

    def _entered(
        self, settings: Sequence[MergeSetting], each: Sequence[list[dict[str, Any]]] | None = None
    ) -> list[Entrant]:
        labels = entry_labels(settings)
        found = []
        for place, (setting, label) in enumerate(zip(settings, labels, strict=True)):
            own = each[place] if each else [dict(setting.each) for _ in self._names]
            found.append(self._enter(setting, own, label, origin="search" if each else "grid"))
        return found

    def _enter(
        self, setting: MergeSetting, each: list[dict[str, Any]], label: str, *, origin: Any
    ) -> Entrant:
        method = merging_method(setting.method)
        options = read_options(method.options, setting.options, where=f"method '{method.id}'")
        number = len(self._entries) + 1
        self._entries.append(
            Entry(
                number=number,
                method=method.id,
                title=method.title,
                group=method.group,
                settings=label,
                options=options.model_dump(mode="json"),
                each=each,
                pre=setting.pre.model_dump() if setting.pre else None,
                switches=method.switches,
                origin=origin,
            )
        )
        return self._entrant(number, setting, each)

    def _entrant(self, number: int, setting: MergeSetting, each: list[dict[str, Any]]) -> Entrant:
        texts = self._judge.texts
        return make_entrant(self._recipe, self._names, texts, self._work, number, setting, each)

    def _run_all(self, entrants: Sequence[Entrant]) -> None:
        self._total = max(1, 2 * len(entrants))
        for entries in self._rounds(entrants):
            with self._merged(entries) as results:
                for entrant, models in results:
                    self._finish(entrant, models)

    def _rounds(self, entrants: Sequence[Entrant]) -> Iterator[list[Entrant]]:
        """Cut the merges into rounds whose models fit on the disk together."""
        with open_checkpoint(self._recipe.base.path) as base:
            most = max(1, self._recipe.disk_bytes // max(1, base.nbytes))
        found: list[Entrant] = []
        for entrant in entrants:
            if found and sum(len(one.recipes) for one in [*found, entrant]) > most:
                yield found
                found = []
            found.append(entrant)
        if found:
            yield found

    @contextlib.contextmanager
    def _merged(
        self, entrants: Sequence[Entrant]
    ) -> Iterator[list[tuple[Entrant, list[FanModel | AppError]]]]:
        """Make the models of a round; their folders go away at its end, but for the best's."""
        recipes = [recipe for entrant in entrants for recipe in entrant.recipes]
        self._at(f"merging {len(recipes)} models")
        started = time.perf_counter()
        with Fan(recipes, self._control) as fan:
            fan.run()
            self._seconds["merging"] = (
                self._seconds.get("merging", 0.0) + time.perf_counter() - started
            )
            self._peak = max(self._peak, resident_bytes())
            models = iter(fan.models)
            try:
                yield [(entrant, [next(models) for _ in entrant.recipes]) for entrant in entrants]
            finally:
                for recipe in recipes:
                    folder = Path(recipe.output)
                    if folder != self._best_folder and self._recipe.keep != "all":
                        shutil.rmtree(folder, ignore_errors=True)

    def _finish(self, entrant: Entrant, models: list[FanModel | AppError]) -> None:
        """Measure the models of one entrant and write down what was found."""
        self._done += 1
        errors = [one if isinstance(one, AppError) else one.error for one in models]
        error = next((one for one in errors if one is not None), None)
        if error is not None:
            self._fail(entrant.number, error)
            return
        good = [one for one in models if isinstance(one, FanModel)]
        self._change(entrant.number, state="running", **merge_facts(entrant.method, good))
        entry = self._entries[entrant.number - 1]
        self._at(f"measuring {entry.title} {entry.settings}".rstrip())
        try:
            scores = self._scores(entrant)
        except CancelledError:
            raise
        except AppError as fault:
            self._fail(entrant.number, fault)
            return
        self._done += 1
        value = average(scores) if scores else None
        self._change(
            entrant.number,
            state="done",
            scores=scores or {},
            average=value,
            normalised=self._judge.normalised(scores) if scores else None,
        )
        self._hold(entrant, value)

    def _scores(self, entrant: Entrant, *, is_choice: bool = False) -> Scores | None:
        started = time.perf_counter()
        folders = [recipe.output for recipe in entrant.recipes]
        found = self._judge.scores(folders, switches=entrant.method.switches, is_choice=is_choice)
        self._seconds["measuring"] = (
            self._seconds.get("measuring", 0.0) + time.perf_counter() - started
        )
        return found

    def _hold(self, entrant: Entrant, value: float | None) -> None:
        """Hold on to the best single model so far."""
        if value is None or entrant.method.switches:
            return
        if self._best_score is None or value > self._best_score:
            before, self._best_folder = self._best_folder, Path(entrant.recipes[0].output)
            self._best_score, self._winner = value, entrant.number
            if before is not None and self._recipe.keep != "all":
                shutil.rmtree(before, ignore_errors=True)

    def _fail(self, number: int, error: BaseException) -> None:
        reason = str(error)
        if not isinstance(error, AppError):
            log.error("merge %s failed", number, exc_info=error)
            reason = f"Internal error: {error}. See the log."
        self._change(number, state="failed", reason=reason)

    # --- search -----------------------------------------------------------------------------

    def _run_search(self) -> None:
        """Search coefficients on the items for choosing; measure the best on the others."""
        wanted = self._recipe.search
        assert wanted is not None
        if not self._judge.can_choose:
            self._skipped["search"] = "needs tasks of at least 40 items"
            return
        for method_id in wanted.methods or best_to_search(self._entries):
            method = merging_method(method_id)
            if method.switches or not axes_of(method, len(self._names)):
                self._skipped[f"search of {method_id}"] = "has no coefficients"
                continue
            for found in search_coefficients(
                method,
                self._entries,
                self._choose,
                n_experts=len(self._names),
                trials=wanted.trials,
                seed=self._recipe.seed,
            ):
                self._take(found)

    def _take(self, found: SearchTrial | Candidate) -> None:
        """Note a trial; enter what a search has found."""
        if isinstance(found, SearchTrial):
            self._search.append(replace(found, number=len(self._search) + 1))
            self._say("search", asdict(self._search[-1]))
            return
        label = f"searched: {found.label}"
        self._run_all([self._enter(found.setting, found.each, label, origin="search")])

    def _choose(self, candidates: Sequence[Candidate]) -> list[float | None]:
        scores: list[float | None] = []
        entrants = [
            self._entrant(_TRIALS + place, one.setting, one.each)
            for place, one in enumerate(candidates)
        ]
        with self._merged(entrants) as results:
            for entrant, models in results:
                self._at(f"search, trial {len(self._search) + len(scores) + 1}")
                if any(isinstance(one, AppError) or one.error for one in models):
                    scores.append(None)
                    continue
                found = self._scores(entrant, is_choice=True)
                scores.append(average(found) if found else None)
        return scores

    # --- the end ----------------------------------------------------------------------------

    def _check_any(self) -> None:
        if any(entry.state == "done" for entry in self._entries):
            return
        first = next((one.reason for one in self._entries if one.reason), "there was none to run")
        raise AppError(
            f"every merge failed, the first one because: {first}",
            where=self._recipe.title or str(self._output),
        )

    def _keep(self) -> list[Artefact]:
        """Give kept models their final place, drop the others, write the record."""
        if self._winner:
            self._change(self._winner, winner=True)
        kept = []
        for entry in self._entries:
            is_kept = entry.winner if self._recipe.keep == "best" else self._recipe.keep == "all"
            for folder in sorted(self._work.glob(f"{entry.number:03d}-*")) if is_kept else ():
                kept.append(self._place(entry, folder))
        shutil.rmtree(self._work)
        self._state = "done"
        write_json(self._output / CONTEST_FILE, self._contest().as_json())
        return kept

    def _place(self, entry: Entry, folder: Path) -> Artefact:
        name = f"{slug(entry.method)}-{entry.number}"
        if entry.switches:
            name += f"-{slug(self._names[int(folder.name.split('-')[1])])}"
        target = self._output / name
        folder.rename(target)
        self._change(entry.number, artefact=str(target))
        return Artefact(
            path=str(target),
            kind="model",
            name=name,
            expert="",
            base=self._recipe.base.path,
            method=entry.method,
            options=entry.options,
            file_bytes=sum(path.stat().st_size for path in target.rglob("*") if path.is_file()),
            seconds=entry.seconds,
        )

    def _give_up(self, error: BaseException, made: list[Path]) -> None:
        shutil.rmtree(self._work, ignore_errors=True)
        for entry in self._entries:
            if entry.artefact:
                shutil.rmtree(entry.artefact, ignore_errors=True)
        (self._output / CONTEST_FILE).unlink(missing_ok=True)
        for folder in made:
            with contextlib.suppress(OSError):
                folder.rmdir()
        self._state = "cancelled" if isinstance(error, CancelledError) else "failed"
        self._entries = [
            replace(one, artefact="", state="cancelled")
            if one.state in {"waiting", "running"}
            else replace(one, artefact="")
            for one in self._entries
        ]
        self._say("contest", self._contest().as_json())

    # --- words ------------------------------------------------------------------------------

    def _change(self, number: int, **facts: Any) -> None:
        self._entries[number - 1] = replace(self._entries[number - 1], **facts)
        self._say("entry", self._entries[number - 1].as_json())

    def _say(self, subject: str, values: dict[str, Any]) -> None:
        self._control.report(Measured(subject, values))

    def _at(self, stage: str) -> None:
        self._control.step(Progress(min(self._done, self._total), self._total, stage))

    def _contest(self) -> Contest:
        recipe = self._recipe
        judge = self._known
        name = display_name(recipe.base.path, recipe.base.name)
        return Contest(
            id=self._id,
            title=recipe.title or f"Merges of {', '.join(self._names)}",
            created=self._created,
            base=name,
            base_path=recipe.base.path,
            experts=tuple(self._names),
            tasks=judge.tasks if judge else {},
            entries=tuple(self._entries),
            lines=tuple(judge.lines) if judge else (),
            experts_average=judge.experts_average if judge else None,
            skipped=self._skipped,
            search=tuple(self._search),
            winner=self._winner,
            state=self._state,
            data=judge.data if judge else "",
            recipe=dump_recipe(recipe),
        )

    def _report(self, kept: list[Artefact]) -> Report:
        return Report(
            job="compare-merges",
            recipe=dump_recipe(self._recipe),
            artefacts=tuple(kept),
            seconds={name: round(value, 4) for name, value in self._seconds.items()},
            peak_bytes=self._peak,
            warnings=tuple(f"{name}: {reason}" for name, reason in self._skipped.items()),
            versions=versions(),
            results={"contest": self._contest().as_json()},
        )
