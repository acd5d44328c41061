"""Every compression method on the same experts at equal honest bits.

For each expert and budget, a method's size option is searched for the largest files within
the budget; methods without one run at the values they declare, and count for every budget
that they fit. All settings of an expert are compressed in one pass and measured alike.
"""

from __future__ import annotations

import json
import shutil
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deltaworks.checkpoints import open_checkpoint
from deltaworks.engine import plan
from deltaworks.engine.compress import try_compress
from deltaworks.engine.environment import versions
from deltaworks.engine.plan_types import OutputPlan, Plan
from deltaworks.engine.reports import Artefact, Report
from deltaworks.errors import AppError, FileError, OptionError
from deltaworks.methods import compression_method
from deltaworks.methods.compression import COMPRESSION
from deltaworks.progress import JobControl, Measured, Progress, Warned
from deltaworks.recipes import dump_recipe
from deltaworks.recipes.naming import display_name
from deltaworks.recipes.schema import ComparisonRecipe, CompressRecipe, ModelRef, Setting
from deltaworks.studies.comparison_table import as_markdown
from deltaworks.studies.defaults import default_settings

if TYPE_CHECKING:
    from deltaworks.methods.compression_record import CompressionMethod
    from deltaworks.studies.measuring import Measurer

RECORD, TABLE = "comparison.json", "comparison.md"
_DIGITS = 6
_MOST_VALUES = 3
_CAUTION = 0.98
"""A sample's bits may be so far below those of all tensors."""
_LENIENT = 1.005
"""Scales of a one-bit method do not put it past one bit."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One expert, one method, one setting.

    Args:
        expert: name for people.
        method: id; ``title`` its name.
        options: those that were set.
        bits: of everything stored for compressed tensors, a weight of theirs.
        file_bytes: of the whole delta file.
        fidelity: 1 - relative squared error of the delta.
        kl: nats a token from the expert's predictions; None when not measured.
        recovered: ``1 - kl / kl of the base``.
        accuracy: share right on the expert's own task.
        seconds: of encoding, checked; what settings share counts for the first.
        reason: why it failed; empty when it did not.
    """

    expert: str
    method: str
    title: str
    options: dict[str, Any]
    bits: float = 0.0
    file_bytes: int = 0
    fidelity: float = 0.0
    kl: float | None = None
    recovered: float | None = None
    accuracy: float | None = None
    seconds: float = 0.0
    reason: str = ""

    @property
    def quality(self) -> float:
        """Recovered fraction; fidelity where nothing was measured."""
        return self.fidelity if self.recovered is None else self.recovered


@dataclass(frozen=True, slots=True)
class Comparison:
    """All entries, what they are held against, and what was left out.

    Args:
        base: name of the base.
        budgets: in bits a weight, most first.
        entries: expert by expert, method by method.
        references: experts and bases as measured; see ``studies.trials.Reference``.
        left_out: method id to the reason.
        measured_on: evaluation set, for people; empty for weights only.
    """

    base: str
    budgets: tuple[float, ...]
    entries: tuple[Entry, ...]
    references: tuple[dict[str, Any], ...] = ()
    left_out: tuple[tuple[str, str], ...] = ()
    measured_on: str = ""

    def best(self, expert: str, method: str, budget: float) -> Entry | None:
        """Give a method's best entry within a budget."""
        fitting = [
            one
            for one in self.entries
            if (one.expert, one.method) == (expert, method)
            and not one.reason
            and one.bits <= _LENIENT * budget
        ]
        return max(fitting, key=lambda one: one.quality, default=None)

    def as_json(self) -> dict[str, Any]:
        """Give plain data for JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Comparison:
        """Build one again from ``as_json``."""
        entries = tuple(Entry(**one) for one in data["entries"])
        left_out = tuple((name, reason) for name, reason in data["left_out"])
        plain = {"budgets": tuple(data["budgets"]), "references": tuple(data["references"])}
        return cls(**{**data, **plain, "entries": entries, "left_out": left_out})


def plan_comparison(recipe: ComparisonRecipe) -> Plan:
    """Say what will be read, from headers alone and without torch."""
    folder = Path(recipe.output)
    for name in (RECORD, TABLE):
        if (folder / name).exists():
            raise FileError(
                "exists already", where=str(folder / name), fix="Choose another folder."
            )
    chosen, _ = _methods(recipe)
    settings = tuple(Setting(method=method.id) for method in chosen)
    whole = plan(_compression(recipe, recipe.experts, settings, folder / "work"))
    title = f"Compare {len(chosen)} methods on {len(recipe.experts)} experts"
    outputs = (OutputPlan(str(folder / TABLE), 1_000, 100_000),)
    return replace(whole, title=title, outputs=outputs)


def _methods(
    recipe: ComparisonRecipe,
) -> tuple[list[CompressionMethod], list[tuple[str, str]]]:
    """Give the methods that can run, and why others cannot."""
    wanted = [compression_method(name) for name in recipe.methods] or [
        method for method in COMPRESSION.values() if not method.is_exact
    ]
    chosen, left_out = [], []
    for method in wanted:
        if method.is_exact:
            left_out.append((method.id, "it is exact and has no budget"))
        elif method.needs.statistics and not recipe.calibration.text:
            left_out.append((method.id, "it needs texts for calibration"))
        else:
            chosen.append(method)
    if not chosen:
        raise OptionError("no method to compare", fix="Name lossy methods, or give texts.")
    return chosen, left_out


def _compression(
    recipe: ComparisonRecipe,
    experts: tuple[ModelRef, ...],
    settings: tuple[Setting, ...],
    output: Path,
) -> CompressRecipe:
    return CompressRecipe(
        base=recipe.base,
        experts=experts,
        settings=settings,
        scope=recipe.scope,
        calibration=recipe.calibration,
        output=str(output),
        seed=recipe.seed,
        device=recipe.device,
        memory_bytes=recipe.memory_bytes,
        threads=recipe.threads,
    )


def run_comparison(recipe: ComparisonRecipe, control: JobControl) -> Report:
    """Compress and measure everything; leave a table and a record.

    Raises:
        CancelledError: nothing is left behind.
        AppError: it cannot start.
    """
    plan_comparison(recipe)
    started = time.perf_counter()
    folder = Path(recipe.output)
    is_new = not folder.exists()
    work = folder / ".comparison"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        found = _Running(recipe, control, work).run()
        record = json.dumps(found.as_json(), indent=1, ensure_ascii=False)
        (folder / RECORD).write_text(record + "\n", encoding="utf-8")
        (folder / TABLE).write_text(as_markdown(found), encoding="utf-8")
    except BaseException:
        shutil.rmtree(folder if is_new else work, ignore_errors=True)
        raise
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return Report(
        job="compare-methods",
        recipe=dump_recipe(recipe),
        seconds={"total": round(time.perf_counter() - started, 3)},
        versions=versions(),
        results={"comparison": found.as_json()},
    )


class _Running:
    """One comparison while it runs."""

    def __init__(self, recipe: ComparisonRecipe, control: JobControl, work: Path) -> None:
        self._recipe, self._control, self._work = recipe, control, work
        self._methods, self._left_out = _methods(recipe)
        self._entries: list[Entry] = []
        self._references: list[dict[str, Any]] = []
        self._measured_on = ""

    def run(self) -> Comparison:
        with ExitStack() as open_files:
            before: Measurer | None = None
            for ref in self._recipe.experts:
                before = self._expert(ref, open_files, before)
        base = self._recipe.base
        return Comparison(
            display_name(base.path, base.name),
            tuple(sorted(self._recipe.bits, reverse=True)),
            tuple(self._entries),
            tuple(self._references),
            tuple(self._left_out),
            self._measured_on,
        )

    def _expert(
        self, ref: ModelRef, open_files: ExitStack, before: Measurer | None
    ) -> Measurer | None:
        name = display_name(ref.path, ref.name)
        settings = self._settings(ref, name)
        recipe = _compression(self._recipe, (ref,), tuple(settings), self._work / name)
        self._control.step(Progress(0, 0, f"{name} · compressing {len(settings)} settings"))
        _, results = try_compress(recipe, self._control.part(0, 0, name))
        base = open_files.enter_context(open_checkpoint(self._recipe.base.path))
        expert = open_files.enter_context(open_checkpoint(ref.path, base=base))
        measurer = self._measurer(base, expert, name, before)
        for setting, result in zip(settings, results, strict=True):
            entry = self._entry(name, setting, result)
            if not entry.reason:
                self._control.step(Progress(0, 0, f"{name} · measuring {entry.title}"))
                assert isinstance(result, Artefact)
                entry = self._measured(entry, result, base, measurer)
                Path(result.path).unlink()
            self._entries.append(entry)
            self._control.report(Measured("entry", asdict(entry)))
        return measurer

    def _settings(self, ref: ModelRef, name: str) -> list[Setting]:
        settings: dict[str, Setting] = {}
        for method in self._methods:
            self._control.step(Progress(0, 0, f"{name} · fitting {method.title}"))
            found = (
                default_settings([method.id], most_values=_MOST_VALUES)
                if method.size_option is None
                else self._fitted(method, ref)
            )
            settings |= {one.model_dump_json(): one for one in found}
        return list(settings.values())

    def _fitted(self, method: CompressionMethod, ref: ModelRef) -> list[Setting]:
        from deltaworks.studies.size_curve import SizeCurve

        setting = (Setting(method=method.id),)
        recipe = _compression(self._recipe, (ref,), setting, self._work / "fit")
        curve = SizeCurve(recipe, self._control)
        found = []
        for budget in self._recipe.bits:
            place = curve.place_of(budget if curve.is_whole else _CAUTION * budget)
            if curve.bits(place) > budget:
                text = f"does not come down to {budget:g} bits"
                self._control.report(Warned(text, method.title))
                continue
            found.append(curve.setting(place))
        return found

    def _measurer(self, base: Any, expert: Any, name: str, before: Measurer | None) -> Measurer:
        from deltaworks.evaluation import load_suite
        from deltaworks.studies.measuring import make_measurer

        evaluation = self._recipe.evaluation
        suite = load_suite(evaluation) if evaluation else None
        self._measured_on = suite.title if suite else ""
        measurer = make_measurer(
            base, expert, name, suite, self._control, device=self._recipe.device, like=before
        )
        self._references += [one.as_json() for one in measurer.references()]
        return measurer

    def _entry(self, name: str, setting: Setting, result: Artefact | BaseException) -> Entry:
        method = compression_method(setting.method)
        entry = Entry(name, method.id, method.title, dict(setting.options))
        if not isinstance(result, Artefact):
            if not isinstance(result, AppError):
                raise result
            return replace(entry, reason=str(result))
        assert result.sizes is not None
        return replace(
            entry,
            bits=result.sizes.bpp_linear,
            file_bytes=result.file_bytes,
            fidelity=round(1.0 - (result.error or 0.0), _DIGITS),
            seconds=round(result.seconds, 3),
        )

    def _measured(self, entry: Entry, artefact: Artefact, base: Any, measurer: Measurer) -> Entry:
        with open_checkpoint(artefact.path, base=base) as result:
            measures = measurer.measure(result, self._control.silent()).measures or {}

        def value(name: str) -> float | None:
            return round(float(measures[name]["value"]), _DIGITS) if name in measures else None

        own = getattr(getattr(measurer, "evaluator", None), "own_task", None)
        return replace(
            entry,
            kl=value("kl"),
            recovered=value("recovered"),
            accuracy=value(f"accuracy:{own}"),
        )
