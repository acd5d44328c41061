"""Compressing to a target: a size, bits a weight, or a recovered fraction.

One value of the method's size option holds for all tensors of all experts: with RDC, whose
option is its step, that is the same slope of error over bits everywhere, and so the best
way to spread a total over experts. The search runs on a sample; then whole files are made
until they fit.
"""

from __future__ import annotations

import shutil
import time
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deltaworks.checkpoints import open_checkpoint
from deltaworks.engine import plan
from deltaworks.engine.compress import run_compress
from deltaworks.engine.plan_types import OutputPlan, Plan
from deltaworks.engine.reports import Artefact, Report
from deltaworks.errors import AppError, MismatchError, OptionError
from deltaworks.formatting import size as in_words
from deltaworks.methods import compression_method
from deltaworks.progress import JobControl, Progress
from deltaworks.recipes import dump_recipe
from deltaworks.recipes.naming import display_name
from deltaworks.recipes.schema import CompressRecipe, Target

if TYPE_CHECKING:
    from deltaworks.studies.measuring import Measurer
    from deltaworks.studies.size_curve import SizeCurve

_PASSES = 6
_QUALITY_PASSES = 9
_GOOD = 0.99
"""Share of a budget that is enough."""
_AIM = 0.997
_MOST_BITS, _LEAST_BITS = 8.0, 0.02
_NEAR_BITS = 1.03


@dataclass(frozen=True)
class Made:
    """Files of one pass, in a folder of their own.

    Args:
        place: of the size option on the curve.
        folder: of the files.
        report: of the pass.
        measured: recovered fraction, the least of the experts; None when not measured.
    """

    place: float
    folder: Path
    report: Report
    measured: float | None = None

    @property
    def file_bytes(self) -> int:
        """Bytes of all files."""
        return sum(artefact.file_bytes for artefact in self.report.artefacts)

    @property
    def weights(self) -> int:
        """Weights of the tensors that the method compressed."""
        return sum(_compressed(artefact)[0] for artefact in self.report.artefacts)

    @property
    def stored_bytes(self) -> int:
        """Bytes stored of them."""
        return sum(_compressed(artefact)[1] for artefact in self.report.artefacts)

    @property
    def bits(self) -> float:
        """Bits a weight of those tensors."""
        return 8.0 * self.stored_bytes / max(1, self.weights)


def _compressed(artefact: Artefact) -> tuple[int, int]:
    mine = [tensor for tensor in artefact.tensors if tensor.codec == artefact.method]
    return sum(one.n_elements for one in mine), sum(one.stored_bytes for one in mine)


def plan_fit(recipe: CompressRecipe) -> Plan:
    """Say what a search for a target will do: from headers alone, without torch.

    Raises:
        OptionError: the method has no option that settles its size.
    """
    target = _checked(recipe)
    whole = plan(recipe.model_copy(update={"target": None}))
    outputs = whole.outputs
    if target.kind == "size":
        each = int(target.value) // len(outputs)
        outputs = tuple(OutputPlan(one.path, min(each, one.bytes_low), each) for one in outputs)
    option = compression_method(recipe.settings[0].method).size_option
    assert option is not None
    note = f"Searches {option.name} until the files {_words(target)}; makes them a few times."
    return replace(
        whole,
        title=f"{whole.title} to {_words(target)}",
        outputs=outputs,
        notes=(note, *whole.notes),
    )


def _words(target: Target) -> str:
    if target.kind == "bits":
        return f"take {target.value:g} bits a weight"
    if target.kind == "size":
        return f"take {in_words(int(target.value))}"
    return f"recover {target.value:g}"


def _checked(recipe: CompressRecipe) -> Target:
    target = recipe.target
    assert target is not None
    if len(recipe.settings) != 1:
        raise OptionError("a target needs exactly one setting", fix="Give one method.")
    method = compression_method(recipe.settings[0].method)
    if method.size_option is None:
        raise OptionError(
            "has no option that settles its size",
            where=f"method '{method.id}'",
            fix="Choose rdc, which meets any size, or give no target.",
        )
    if method.size_option.name in recipe.settings[0].options:
        raise OptionError(
            f"{method.size_option.name} is what the search for a target sets",
            where=f"method '{method.id}'",
            fix="Give either the option or the target.",
        )
    if target.kind == "recovered" and not target.evaluation:
        raise OptionError("a recovered fraction is measured on data", fix="Give --data.")
    return target


def run_fit(recipe: CompressRecipe, control: JobControl) -> Report:
    """Search the size option, make the files, and keep those that meet the target.

    Raises:
        MismatchError: no setting meets the target; the text says what is nearest.
        AppError: the files cannot be made; nothing is left behind.
    """
    from deltaworks.studies.size_curve import SizeCurve

    target = _checked(recipe)
    started = time.perf_counter()
    plain = recipe.model_copy(update={"target": None})
    whole = plan(plain)  # checks everything
    targets = [Path(output.path) for output in whole.outputs]
    work = targets[0].parent / f".{targets[0].stem}.fit"
    made = [path for path in (targets[0].parent, *targets[0].parent.parents) if not path.exists()]
    shutil.rmtree(work, ignore_errors=True)
    control.report(Progress(0, 0, "looking for the setting"))
    try:
        search = _Search(plain, target, SizeCurve(plain, control), work, control, whole)
        best = search.by_quality() if target.kind == "recovered" else search.by_size()
        artefacts = [
            replace(artefact, path=str(path))
            for artefact, path in zip(best.report.artefacts, targets, strict=True)
        ]
        for before, after in zip(best.report.artefacts, artefacts, strict=True):
            Path(before.path).rename(after.path)
    except BaseException:
        shutil.rmtree(work, ignore_errors=True)
        for path in made:
            if path.exists() and not any(path.iterdir()):
                path.rmdir()
        raise
    shutil.rmtree(work, ignore_errors=True)
    return replace(
        best.report,
        recipe=dump_recipe(recipe),
        artefacts=tuple(artefacts),
        seconds={**best.report.seconds, "total": round(time.perf_counter() - started, 3)},
        results={"fit": search.facts(best)},
    )


class _Search:
    """The passes of one search."""

    def __init__(
        self,
        recipe: CompressRecipe,
        target: Target,
        curve: SizeCurve,
        work: Path,
        control: JobControl,
        whole: Plan,
    ) -> None:
        self._recipe, self._target, self._curve = recipe, target, curve
        self._work, self._control, self._plan = work, control, whole
        self.passes: list[Made] = []

    # --- to a size --------------------------------------------------------------------------

    def by_size(self) -> Made:
        """Make files until they fill the budget to 99 %, and give the fullest that fit."""
        place = self._curve.place_of(_AIM * self._wanted_bits(1.0, self._fixed_bytes()))
        for _ in range(_PASSES):
            made = self._make(place)
            if _GOOD <= self._share(made) <= 1.0:
                return made
            ratio = made.bits / self._curve.bits(place)
            wanted = _AIM * self._wanted_bits(ratio, made.file_bytes - made.stored_bytes)
            if wanted <= 0:
                break
            # Steps of ranks and counts make curves stairs: never ask for the same twice.
            following = self._curve.place_of(wanted)
            if any(abs(following - one.place) < 1e-7 for one in self.passes):
                break
            place = following
        fitting = [made for made in self.passes if self._share(made) <= 1.0]
        if fitting:
            return max(fitting, key=lambda made: made.file_bytes)
        raise self._unreachable()

    def _share(self, made: Made) -> float:
        """How much of the budget files take."""
        have = made.bits if self._target.kind == "bits" else made.file_bytes
        return have / self._target.value

    def _fixed_bytes(self) -> int:
        """Expected bytes of what is stored exactly, headers included."""
        lossy = self._curve.method.stored_bits((1, self._curve.n_weights), _defaults(self._curve))
        expected = sum(output.bytes_low for output in self._plan.outputs)
        return max(0, expected - int(lossy / 8))

    def _wanted_bits(self, ratio: float, fixed: int) -> float:
        """Bits of the sample at which the budget is used up.

        Args:
            ratio: bits of all tensors over those of the sample.
            fixed: bytes that the size option does not change.
        """
        if self._target.kind == "bits":
            return self._target.value / ratio
        weights = self.passes[-1].weights if self.passes else self._curve.n_weights
        return max(_LEAST_BITS / 8, 8.0 * (self._target.value - fixed) / max(1, weights) / ratio)

    def _unreachable(self) -> MismatchError:
        smallest = min(self.passes, key=lambda made: made.file_bytes)
        fixed = smallest.file_bytes - smallest.stored_bytes
        if self._target.kind == "bits":
            what = f"{self._target.value:g} bits a weight cannot be reached"
            least = f"the nearest found is {smallest.bits:.3g}"
        else:
            what = f"{in_words(int(self._target.value))} cannot be reached"
            least = f"{in_words(fixed)} are stored exactly whatever the setting is"
        return MismatchError(
            f"{what}: {least}",
            where=f"method '{self._curve.method.id}'",
            fix="Ask for more, or let it treat more with --scope all.",
        )

    # --- to a quality -----------------------------------------------------------------------

    def by_quality(self) -> Made:
        """Bisect on the measured fraction; give the smallest files that reach it."""
        with ExitStack() as open_files:
            measurers = self._measurers(open_files)
            low = self._curve.place_of(_MOST_BITS)
            high = self._curve.place_of(_LEAST_BITS)
            best: Made | None = None
            for _ in range(_QUALITY_PASSES):
                place = (low + high) / 2.0
                made = self._measured(self._make(place), measurers)
                assert made.measured is not None
                if made.measured >= self._target.value:
                    if best is not None:
                        shutil.rmtree(best.folder)
                    best, low = made, place
                else:
                    shutil.rmtree(made.folder)
                    high = place
                if self._curve.bits(low) < _NEAR_BITS * self._curve.bits(high):
                    break
        if best is None:
            nearest = max(made.measured or 0.0 for made in self.passes)
            raise MismatchError(
                f"a recovered fraction of {self._target.value:g} is not reached; the nearest is "
                f"{nearest:.4f} at {_MOST_BITS:g} bits",
                where=f"method '{self._curve.method.id}'",
                fix="Ask for less, or store it exactly with lossless.",
            )
        return best

    def _measurers(self, open_files: ExitStack) -> list[tuple[Any, Measurer]]:
        from deltaworks.evaluation import load_suite
        from deltaworks.studies.measuring import DataMeasurer, make_measurer

        suite = load_suite(self._target.evaluation)
        found: list[tuple[Any, Measurer]] = []
        for ref in self._recipe.experts:
            base = open_files.enter_context(open_checkpoint(self._recipe.base.path))
            expert = open_files.enter_context(open_checkpoint(ref.path, base=base))
            name = display_name(ref.path, ref.name)
            measurer = make_measurer(
                base, expert, name, suite, self._control, device=self._recipe.device, like=None
            )
            if not isinstance(measurer, DataMeasurer):
                raise AppError("its quality cannot be measured on data", where=name)
            found.append((base, measurer))
        return found

    def _measured(self, made: Made, measurers: list[tuple[Any, Measurer]]) -> Made:
        values = []
        for artefact, (base, measurer) in zip(made.report.artefacts, measurers, strict=True):
            with open_checkpoint(artefact.path, base=base) as result:
                measures = measurer.measure(result, self._control.silent()).measures or {}
            if "recovered" not in measures:
                raise AppError(
                    "the evaluation set has no text to measure a recovered fraction on",
                    where=self._target.evaluation,
                    fix="Give a set with text, or a .txt file.",
                )
            values.append(float(measures["recovered"]["value"]))
        made = replace(made, measured=min(values))
        self.passes[-1] = made
        return made

    # --- both -------------------------------------------------------------------------------

    def _make(self, place: float) -> Made:
        number = len(self.passes)
        folder = self._work / str(number + 1)
        if number and self._target.kind != "recovered" and self._share(self.passes[-1]) > 1.0:
            shutil.rmtree(self.passes[-1].folder)
        output = folder / Path(self._recipe.output).name
        setting = self._curve.setting(place)
        recipe = self._recipe.model_copy(update={"settings": (setting,), "output": str(output)})
        total = _PASSES * max(1, self._plan.work_bytes)
        done = min(number, _PASSES - 1) * self._plan.work_bytes
        part = self._control.part(done, total, f"pass {number + 1}")
        self.passes.append(Made(place, folder, run_compress(recipe, part)))
        return self.passes[-1]

    def facts(self, best: Made) -> dict[str, Any]:
        """Give what the search found, as plain data."""
        name = self._curve.option.name
        return {
            "target": self._target.model_dump(mode="json"),
            "method": self._curve.method.id,
            "option": name,
            "value": self._curve.setting(best.place).options[name],
            "bits": best.bits,
            "file_bytes": best.file_bytes,
            "recovered": best.measured,
            "passes": [
                {
                    "value": self._curve.setting(made.place).options[name],
                    "bits": made.bits,
                    "file_bytes": made.file_bytes,
                    "recovered": made.measured,
                }
                for made in self.passes
            ],
        }


def _defaults(curve: SizeCurve) -> Any:
    return curve.method.options()
