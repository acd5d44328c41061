"""Compare merges: the same experts by many methods, measured on the same items.

Merged models are made in rounds that fit on the disk, each tensor being read once a pass
for all of a round. Then every model is measured, and the best is kept.
"""

from __future__ import annotations

import contextlib
import json
import logging
import secrets
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deltaworks.checkpoints import open_checkpoint
from deltaworks.engine.checks import check_device, raise_together
from deltaworks.engine.environment import resident_bytes, versions
from deltaworks.engine.inputs import open_input
from deltaworks.engine.merge_fan import Fan, FanModel
from deltaworks.engine.plan_types import OutputPlan, Plan, WorkItem
from deltaworks.engine.reports import Artefact, Report
from deltaworks.errors import AppError, CancelledError, FileError
from deltaworks.methods import merging_method
from deltaworks.methods.method import MergingMethod
from deltaworks.options import read_options
from deltaworks.progress import JobControl, Measured, Progress
from deltaworks.recipes import dump_recipe
from deltaworks.recipes.naming import display_name, distinct, setting_labels, slug
from deltaworks.recipes.schema import ContestRecipe, MergeInput, MergeRecipe, MergeSetting, Setting
from deltaworks.studies.coefficient_search import Search, as_options, axes_of
from deltaworks.studies.contest_defaults import default_settings, why_not
from deltaworks.studies.contest_record import Contest, Entry, Line, Score, SearchTrial
from deltaworks.studies.contest_scores import (
    Scores,
    average,
    normalised,
    owners,
    scores_of,
    switched,
)

if TYPE_CHECKING:
    from deltaworks.checkpoints.checkpoint import Checkpoint
    from deltaworks.evaluation import Evaluator, Suite

log = logging.getLogger(__name__)

CONTEST_FILE = "comparison.json"
_TASKS_SHOWN = 3


def expert_names(recipe: ContestRecipe) -> list[str]:
    """Name the experts for people."""
    return distinct([display_name(one.model.path, one.model.name) for one in recipe.experts])


def plan_contest(recipe: ContestRecipe) -> Plan:
    """Say what will be read and written at most at once, from headers alone.

    Raises:
        AppError: it cannot run; every fault that was found is in the text.
    """
    faults: list[AppError] = list(check_device(recipe.device))
    with ExitStack() as open_files:
        base = open_input(recipe.base.path, None, open_files, faults)
        experts = [open_input(one.model.path, base, open_files, faults) for one in recipe.experts]
        for setting in recipe.settings:
            faults += _setting_faults(setting)
        for path in filter(None, [recipe.evaluation, *(one.texts for one in recipe.experts)]):
            if not Path(path).exists():
                faults.append(FileError("is not there", where=path))
        target = Path(recipe.output) / CONTEST_FILE
        if target.exists():
            faults.append(
                FileError("exists already", where=str(target), fix="Choose another folder.")
            )
        raise_together(faults)
        models = [one for one in (base, *experts) if one is not None]
        settings = recipe.settings or default_settings()
        read = sum(model.nbytes for model in models)
        write = min(recipe.disk_bytes, models[0].nbytes * len(settings))
        items = (WorkItem("merges", "merging", read, write, recipe.memory_bytes),)
        outputs = (OutputPlan(recipe.output, models[0].nbytes, write),)
        title = recipe.title or f"Compare {len(settings)} merges of {len(experts)} experts"
        return Plan(title, items, outputs, original_bytes=read)


def _setting_faults(setting: MergeSetting) -> Iterator[AppError]:
    try:
        method = merging_method(setting.method)
        read_options(method.options, setting.options, where=f"method '{method.id}'")
        read_options(method.expert_options, setting.each, where=f"experts of '{method.id}'")
    except AppError as error:
        yield error


def run_contest(recipe: ContestRecipe, control: JobControl) -> Report:
    """Run every merge, measure it, search coefficients if asked to, and keep the best.

    A merge that fails does not stop the others.

    Raises:
        CancelledError: nothing is left behind.
        AppError: the comparison cannot start, or every merge failed.
    """
    plan_contest(recipe)
    return _Running(recipe, control).run()


@dataclass(frozen=True)
class _Entrant:
    """A merge to be made: its place in the record, its method, and one recipe a model."""

    number: int
    method: MergingMethod
    recipes: tuple[MergeRecipe, ...]


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
        self._lines: list[Line] = []
        self._own: list[Scores] = []
        self._whose: dict[str, int] = {}
        self._search: list[SearchTrial] = []
        self._skipped: dict[str, str] = {}
        self._tasks: dict[str, str] = {}
        self._texts: list[str] = [one.texts for one in recipe.experts]
        self._evaluator: Evaluator | None = None
        self._chooser: Evaluator | None = None
        self._base: Checkpoint | None = None
        self._choosing: Suite | None = None
        self._data = ""
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
                self._measure_references(open_files)
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

    # --- references -------------------------------------------------------------------------

    def _measure_references(self, open_files: ExitStack) -> None:
        base = open_files.enter_context(open_checkpoint(self._recipe.base.path))
        self._base = base
        experts = [
            open_files.enter_context(open_checkpoint(one.model.path, base=base))
            for one in self._recipe.experts
        ]
        suite = self._suite()
        if suite is None:
            self._say("contest", self._contest().as_json())
            return
        from deltaworks.evaluation import Effort, Evaluator
        from deltaworks.studies.contest_items import split

        choosing, counting = split(suite)
        self._at("measuring base and experts")
        effort = Effort(max_tokens=4_096)
        evaluator = Evaluator(base, None, counting, control=self._control, effort=effort)
        if evaluator.reason:
            self._data = f"not measured on data: {evaluator.reason}"
            return
        self._evaluator = evaluator
        self._tasks = {task.id: task.title for task in counting.tasks}
        self._data = ", ".join(f"{one.title} ({len(one.items):,} items)" for one in counting.tasks)
        self._note_references(experts)
        if choosing is not None:
            self._write_texts(choosing)
        self._choosing = choosing

    def _suite(self) -> Suite | None:
        if not self._recipe.evaluation:
            return None
        from deltaworks.evaluation import load_suite

        suite = load_suite(self._recipe.evaluation)
        return suite if suite.tasks else None

    def _note_references(self, experts: Sequence[Checkpoint]) -> None:
        assert self._evaluator is not None
        of_base = scores_of(self._evaluator.base_measures())
        self._own = []
        for expert in experts:
            self._own.append(scores_of(self._evaluator.measure(expert, self._control)))
        self._whose = owners(of_base, self._own)
        name = display_name(self._recipe.base.path, self._recipe.base.name)
        lines = [("base", name, of_base, "")]
        for place, (label, scores) in enumerate(zip(self._names, self._own, strict=True)):
            tasks = [task for task, owner in self._whose.items() if owner == place]
            lines.append(("expert", label, scores, ", ".join(tasks)))
        self._lines = [
            Line(kind, label, scores, average(scores), self._normalised(scores), own)
            for kind, label, scores, own in lines
        ]
        self._say("contest", self._contest().as_json())

    def _normalised(self, scores: Mapping[str, Score]) -> float | None:
        return normalised(scores, self._own, self._whose)

    def _write_texts(self, choosing: Suite) -> None:
        """Give every expert the items of its own tasks that do not count."""
        from deltaworks.studies.contest_items import write_texts

        for place, given in enumerate(self._texts):
            own = [task for task in choosing.tasks if self._whose.get(task.id) == place]
            if given or not own:
                continue
            path = self._work / f"texts-{place + 1}.jsonl"
            write_texts(own, path)
            self._texts[place] = str(path)

    # --- merges -----------------------------------------------------------------------------

    def _entrants(self) -> list[_Entrant]:
        """Enter every setting whose needs are met; note the others."""
        chosen = list(self._recipe.settings) or default_settings()
        n_experts, has_texts = len(self._names), all(self._texts)
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
    ) -> list[_Entrant]:
        labels = _labels(settings)
        found = []
        for place, (setting, label) in enumerate(zip(settings, labels, strict=True)):
            own = each[place] if each else [dict(setting.each) for _ in self._names]
            found.append(self._enter(setting, own, label, origin="search" if each else "grid"))
        return found

    def _enter(
        self, setting: MergeSetting, each: list[dict[str, Any]], label: str, *, origin: Any
    ) -> _Entrant:
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

    def _entrant(self, number: int, setting: MergeSetting, each: list[dict[str, Any]]) -> _Entrant:
        method = merging_method(setting.method)
        variants: list[dict[str, Any]] = [{}]
        if method.switches:
            variants = [{"expert": place + 1} for place in range(len(self._names))]
        recipes = tuple(
            self._merge_recipe(
                Setting(method=method.id, options={**setting.options, **variant}),
                each,
                setting.pre,
                self._work / f"{number:03d}-{place}-{slug(method.id)}",
            )
            for place, variant in enumerate(variants)
        )
        return _Entrant(number, method, recipes)

    def _merge_recipe(
        self, setting: Setting, each: list[dict[str, Any]], pre: Setting | None, target: Path
    ) -> MergeRecipe:
        recipe = self._recipe
        return MergeRecipe(
            base=recipe.base,
            experts=tuple(
                MergeInput(
                    model=one.model.model_copy(update={"name": name}),
                    options=own,
                    texts=texts,
                )
                for one, name, own, texts in zip(
                    recipe.experts, self._names, each, self._texts, strict=True
                )
            ),
            setting=setting,
            pre=pre,
            calibration=recipe.calibration,
            seed=recipe.seed,
            device=recipe.device,
            memory_bytes=recipe.memory_bytes,
            threads=recipe.threads,
            output=str(target),
        )

    def _run_all(self, entrants: Sequence[_Entrant]) -> None:
        self._total = max(1, 2 * len(entrants))
        for entries in self._rounds(entrants):
            with self._merged(entries) as results:
                for entrant, models in results:
                    self._finish(entrant, models)

    def _rounds(self, entrants: Sequence[_Entrant]) -> Iterator[list[_Entrant]]:
        """Cut the merges into rounds whose models fit on the disk together."""
        with open_checkpoint(self._recipe.base.path) as base:
            most = max(1, self._recipe.disk_bytes // max(1, base.nbytes))
        found: list[_Entrant] = []
        for entrant in entrants:
            if found and sum(len(one.recipes) for one in [*found, entrant]) > most:
                yield found
                found = []
            found.append(entrant)
        if found:
            yield found

    @contextlib.contextmanager
    def _merged(
        self, entrants: Sequence[_Entrant]
    ) -> Iterator[list[tuple[_Entrant, list[FanModel | AppError]]]]:
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

    def _finish(self, entrant: _Entrant, models: list[FanModel | AppError]) -> None:
        """Measure the models of one entrant and write down what was found."""
        self._done += 1
        errors = [one if isinstance(one, AppError) else one.error for one in models]
        error = next((one for one in errors if one is not None), None)
        if error is not None:
            self._fail(entrant.number, error)
            return
        good = [one for one in models if isinstance(one, FanModel)]
        self._change(entrant.number, state="running", **_merge_facts(entrant, good))
        entry = self._entries[entrant.number - 1]
        self._at(f"measuring {entry.title} {entry.settings}".rstrip())
        try:
            scores = self._scores(entrant, self._evaluator)
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
            normalised=self._normalised(scores) if scores else None,
        )
        self._hold(entrant, value)

    def _scores(self, entrant: _Entrant, evaluator: Evaluator | None) -> Scores | None:
        if evaluator is None:
            return None
        started = time.perf_counter()
        found = []
        for recipe in entrant.recipes:
            with open_checkpoint(recipe.output) as model:
                found.append(scores_of(evaluator.measure(model, self._control)))
        self._seconds["measuring"] = (
            self._seconds.get("measuring", 0.0) + time.perf_counter() - started
        )
        return switched(found, self._whose) if entrant.method.switches else found[0]

    def _hold(self, entrant: _Entrant, value: float | None) -> None:
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
        if self._evaluator is None or self._choosing is None:
            self._skipped["search"] = "needs tasks of at least 40 items"
            return
        methods = wanted.methods or self._best_to_search()
        for method_id in methods:
            method = merging_method(method_id)
            axes = axes_of(method, len(self._names))
            if not axes or method.switches:
                self._skipped[f"search of {method_id}"] = "has no coefficients"
                continue
            self._search_one(method, wanted.trials)

    def _best_to_search(self) -> tuple[str, ...]:
        """The best method that has coefficients."""
        ranked = sorted(
            (one for one in self._entries if one.average is not None and not one.switches),
            key=lambda one: -(one.average or 0.0),
        )
        found = [one.method for one in ranked if axes_of(merging_method(one.method), 1)]
        return tuple(found[:1])

    def _search_one(self, method: MergingMethod, trials: int) -> None:
        axes = axes_of(method, len(self._names))
        start, base_options = self._start(method)
        search = Search(axes, trials, self._recipe.seed, start)
        evaluator = self._choosing_evaluator()
        while points := search.ask():
            entrants = []
            for place, point in enumerate(points):
                shared, each = as_options(method, point, axes, len(self._names))
                setting = MergeSetting(method=method.id, options={**base_options, **shared})
                entrants.append(self._entrant(900 + place, setting, each))
            scores = self._choose(entrants, evaluator)
            for point, score in zip(points, scores, strict=True):
                known = [one for _, one in search.tried if one is not None]
                is_best = score is not None and score > max(known, default=-1.0)
                search.tell([point], [score])
                trial = SearchTrial(len(self._search) + 1, method.id, point, score, is_best)
                self._search.append(trial)
                self._say("search", {"method": method.id, "score": score, "values": point})
        if search.best is not None:
            shared, each = as_options(method, search.best[0], axes, len(self._names))
            setting = MergeSetting(method=method.id, options={**base_options, **shared})
            label = ", ".join(f"{name} {value:g}" for name, value in search.best[0].items())
            entrant = self._enter(setting, each, f"searched: {label}", origin="search")
            self._run_all([entrant])

    def _start(self, method: MergingMethod) -> tuple[dict[str, float], dict[str, Any]]:
        """Begin where the method did best; keep its other options."""
        done = [
            one
            for one in self._entries
            if one.method == method.id and one.average is not None and one.pre is None
        ]
        if not done:
            return {}, {}
        best = max(done, key=lambda one: one.average or 0.0)
        own = {**method.expert_options().model_dump(), **(best.each[0] if best.each else {})}
        start: dict[str, float] = {}
        for axis in axes_of(method, len(self._names)):
            value = best.options.get(axis.option, own.get(axis.option))
            if value is not None:
                start[axis.name] = float(value)
        return start, dict(best.options)

    def _choosing_evaluator(self) -> Evaluator:
        """Give the evaluator of the items for choosing; loaded at the first search."""
        if self._chooser is None:
            from deltaworks.evaluation import Effort, Evaluator

            assert self._base is not None
            self._chooser = Evaluator(
                self._base, None, self._choosing, control=self._control, effort=Effort(max_tokens=0)
            )
        return self._chooser

    def _choose(self, entrants: Sequence[_Entrant], evaluator: Evaluator) -> list[float | None]:
        scores: list[float | None] = []
        with self._merged(entrants) as results:
            for entrant, models in results:
                self._at(f"search, trial {len(self._search) + len(scores) + 1}")
                if any(isinstance(one, AppError) or one.error for one in models):
                    scores.append(None)
                    continue
                found = self._scores(entrant, evaluator)
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
        _write_json(self._output / CONTEST_FILE, self._contest().as_json())
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
        own = {task: self._own[place][task] for task, place in self._whose.items()}
        name = display_name(recipe.base.path, recipe.base.name)
        return Contest(
            id=self._id,
            title=recipe.title or f"Merges of {', '.join(self._names)}",
            created=self._created,
            base=name,
            base_path=recipe.base.path,
            experts=tuple(self._names),
            tasks=self._tasks,
            entries=tuple(self._entries),
            lines=tuple(self._lines),
            experts_average=average(own),
            skipped=self._skipped,
            search=tuple(self._search),
            winner=self._winner,
            state=self._state,
            data=self._data,
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


def _labels(settings: Sequence[MergeSetting]) -> list[str]:
    """Say what tells a setting from its siblings, the experts' options and sparsifiers too."""
    pairs = []
    for setting in settings:
        method = merging_method(setting.method)
        values = method.options(**setting.options).model_dump(mode="json")
        own = method.expert_options(**setting.each).model_dump(mode="json")
        pairs.append((method.id, {**own, **values}))
    labels = setting_labels(pairs)
    for place, setting in enumerate(settings):
        if setting.pre is not None:
            given = ", ".join(f"{name} {value:g}" for name, value in setting.pre.options.items())
            after = f"after {setting.pre.method} {given}".rstrip()
            labels[place] = ", ".join(part for part in (after, labels[place]) if part)
    return labels


def _merge_facts(entrant: _Entrant, models: Sequence[FanModel]) -> dict[str, Any]:
    """Take time, memory, bytes and geometry from the finished models."""
    job = models[0].job
    n_bytes = models[0].n_bytes
    if entrant.method.stored_models is not None:
        weights = sum(task.info.n_elements for task in job.tasks.values() if task.copied is None)
        options = next(task.options for task in job.tasks.values() if task.copied is None)
        share = entrant.method.stored_models(len(models), options, 8 * n_bytes / max(1, weights))
        n_bytes = int(share * n_bytes)
    found = [model.geometry.as_json() for model in models]
    return {
        "seconds": round(sum(model.seconds for model in models), 4),
        "peak_bytes": max(model.job.plan().peak_bytes for model in models),
        "n_bytes": n_bytes,
        "geometry": found[0] if len(found) == 1 else _switched_geometry(found),
    }


def _switched_geometry(found: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Hold every model of a switching method against its own expert."""

    def mean(values: Sequence[float | None]) -> float | None:
        known = [value for value in values if value is not None]
        return sum(known) / len(known) if known else None

    return {
        "norm_ratio": mean([one["norm_ratio"] for one in found]),
        "cosines": [one["cosines"][place] for place, one in enumerate(found)],
        "sign_agreement": [one["sign_agreement"][place] for place, one in enumerate(found)],
        "changed": mean([one["changed"] for one in found]),
        "effective_rank": mean([one["effective_rank"] for one in found]),
    }


def _write_json(path: Path, data: dict[str, Any]) -> None:
    """Write a record under a temporary name first."""
    partial = path.with_name(f"{path.name}.partial-{secrets.token_hex(3)}")
    partial.write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    partial.replace(path)
