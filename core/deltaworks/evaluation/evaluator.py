"""Base, expert and every result of it, measured on the same items in the same way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deltaworks.checkpoints.checkpoint import Checkpoint
from deltaworks.errors import MismatchError
from deltaworks.evaluation.measures import Measure
from deltaworks.evaluation.own_task import own_task
from deltaworks.evaluation.quality import Quality, quality_of
from deltaworks.evaluation.recovered import recovered
from deltaworks.evaluation.reference import KEPT_BYTES, Reference, reference_of
from deltaworks.evaluation.suite import Suite
from deltaworks.evaluation.tasks import Prepared, accuracy, mean_accuracy, right_answers, spread
from deltaworks.evaluation.tasks import prepare as prepare_task
from deltaworks.evaluation.text_pass import measure_text
from deltaworks.evaluation.windows import Windows, cut
from deltaworks.inference.architecture import can_generate
from deltaworks.inference.running import RunningModel, load_model
from deltaworks.progress import JobControl, Warned

_BATCH_BYTES = 32_000_000
_BATCH_TOKENS = 4096


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is measured; every limit shows in the measures' ``n``.

    Args:
        max_items: items a task at most, evenly spaced; None takes all.
        other_items: items at most of tasks that are not the expert's own.
        max_tokens: predicted tokens of text at most.
        window: tokens the model reads at once, never more than its context.
        stride: tokens from window to window; every token is predicted once.
        kept_bytes: most bytes of the expert's logits to hold.
    """

    max_items: int | None = None
    other_items: int | None = None
    max_tokens: int = 20_480
    window: int = 256
    stride: int = 256
    kept_bytes: int = KEPT_BYTES


FULL = Effort()
"""All items, 20 480 tokens."""

SWEEP = Effort(max_items=500, other_items=100, max_tokens=4_096)
"""For many trials: the expert's own task whole, the rest sampled."""


class Evaluator:
    """Loads once, swaps weights, measures.

    Attributes:
        reason: why nothing can be measured on data; empty when it can.
        own_task: id of the task the expert was tuned for, or None.
    """

    def __init__(
        self,
        base: Checkpoint,
        expert: Checkpoint | None,
        suite: Suite | None,
        *,
        control: JobControl | None = None,
        device: str = "cpu",
        effort: Effort = FULL,
        like: Evaluator | None = None,
        expert_name: str = "",
    ) -> None:
        """Load the architecture, measure expert and base.

        Args:
            base: stays open as long as this is used.
            expert: what results are held against; None measures ``base`` alone.
            suite: tasks and text; None leaves only weights to compare.
            control: Stop and pause; no progress is reported, only warnings.
            device: where to compute.
            effort: limits.
            like: an evaluator of another expert of the same base and suite, whose model
                is taken over; it must not be used afterwards.
            expert_name: for labels; empty takes the file name.
        """
        self._base, self._expert, self._suite = base, expert, suite
        self._effort, self._name = effort, expert_name
        self._running: RunningModel | None = None
        self._tasks: tuple[Prepared, ...] = ()
        self._windows: Windows | None = None
        self._reference: Reference | None = None
        self._of_base: dict[str, Measure] = {}
        self._of_expert: dict[str, Measure] = {}
        self._chosen: dict[str, frozenset[int]] = {}
        self._base_answers: dict[str, list[bool]] = {}
        self.own_task: str | None = None
        self.reason = self._why_not()
        if not self.reason:
            self._start(control or JobControl(), device, like)

    def _why_not(self) -> str:
        if self._suite is None:
            return "no evaluation set was given"
        if not can_generate(self._base):
            kind = self._base.config.get("model_type") or "no config"
            return f"the base does not write text ({kind})"
        return ""

    def _start(self, control: JobControl, device: str, like: Evaluator | None) -> None:
        try:
            self._load(control, device, like)
            self._measure_both(control)
        except MismatchError as error:
            self.reason = str(error)

    def _load(self, control: JobControl, device: str, like: Evaluator | None) -> None:
        if like is not None and like._running is not None and like._serves(self):
            self._running, self._tasks = like._running, like._tasks
            self._windows, self._base_answers = like._windows, like._base_answers
            return
        self._running = load_model(self._base, device=device, control=_quiet(control))
        if not self._running.has_tokenizer and self._expert is not None:
            self._running.take_tokenizer(self._expert)
        self._tokenise(self._running)
        for task in self._tasks:
            if task.left_out:
                text = f"{task.left_out} items are longer than the model's context; left out"
                control.report(Warned(text, task.task.title))

    def _serves(self, other: Evaluator) -> bool:
        """Whether another evaluator would load and tokenise the very same."""
        same = self._base.path == other._base.path and self._suite == other._suite
        return same and self._effort == other._effort

    def _tokenise(self, running: RunningModel) -> None:
        assert self._suite is not None
        tokenizer, effort = running.text_tokenizer, self._effort
        self._tasks = tuple(
            prepare_task(
                task,
                tokenizer,
                end_id=next(iter(running.end_ids), None),
                context=running.context,
                max_items=effort.max_items,
            )
            for task in self._suite.tasks
        )
        if self._suite.text is not None:
            width = min(effort.window, running.context)
            self._windows = cut(
                self._suite.text,
                tokenizer,
                max_tokens=effort.max_tokens,
                width=width,
                stride=min(effort.stride, width),
                batch_tokens=self._batch_tokens(running),
            )

    def _measure_both(self, control: JobControl) -> None:
        """Measure expert and base on all items, then settle which items trials get."""
        answers: dict[str, list[bool]] = {}
        if self._expert is not None:
            answers = self._put_and_answer(self._expert, control)
            self._keep_reference(control)
            self._of_expert = self._text(control) | self._scores(answers)
        if self._base_answers:  # another expert's evaluator had them
            self._put(self._base, control)
        else:
            self._base_answers = self._put_and_answer(self._base, control)
        self._of_base = self._text(control) | self._scores(self._base_answers)
        if self._expert is not None:
            self._settle(answers)
        self._complete(self._of_base)

    def _settle(self, answers: dict[str, list[bool]]) -> None:
        """Choose the trials' items, and count expert and base on the same ones."""
        self.own_task = own_task(self._of_base, self._of_expert)
        self._choose_items()
        self._of_expert.update(self._scores(answers))
        self._of_base.update(self._scores(self._base_answers))
        self._complete(self._of_expert)

    def _put(self, checkpoint: Checkpoint, control: JobControl) -> RunningModel:
        assert self._running is not None
        self._running.put(checkpoint, _quiet(control))
        return self._running

    def _put_and_answer(self, checkpoint: Checkpoint, control: JobControl) -> dict[str, list[bool]]:
        running = self._put(checkpoint, control)
        size, answers = self._batch_tokens(running), {}
        for prepared in self._tasks:
            chosen = self._chosen.get(prepared.task.id)
            rows = [row for row in prepared.rows if chosen is None or row.place in chosen]
            answers[prepared.task.id] = right_answers(running, rows, control, batch_tokens=size)
        return answers

    def _keep_reference(self, control: JobControl) -> None:
        if self._windows is not None and self._windows.n:
            assert self._expert is not None
            assert self._running is not None
            self._reference = reference_of(
                self._expert,
                self._running,
                self._windows,
                control,
                kept_bytes=self._effort.kept_bytes,
            )

    def _text(self, control: JobControl) -> dict[str, Measure]:
        if self._windows is None or self._running is None:
            return {}
        return measure_text(self._running, self._windows, self._reference, control)

    def _scores(self, answers: Mapping[str, list[bool]]) -> dict[str, Measure]:
        """Turn answers into measures; those of all items are cut to the chosen ones."""
        found = {}
        for prepared in self._tasks:
            right, chosen = answers[prepared.task.id], self._chosen.get(prepared.task.id)
            if chosen is not None and len(right) == len(prepared.rows):
                pairs = zip(prepared.rows, right, strict=True)
                right = [hit for row, hit in pairs if row.place in chosen]
            measure = accuracy(prepared.task, right)
            found[measure.id] = measure
        return found

    def _choose_items(self) -> None:
        limit = self._effort.other_items
        if limit is None:
            return
        for prepared in self._tasks:
            if prepared.task.id != self.own_task:
                places = spread(len(prepared.rows), limit)
                self._chosen[prepared.task.id] = frozenset(prepared.rows[i].place for i in places)

    def _complete(self, measures: dict[str, Measure]) -> None:
        """Add what follows from other measures."""
        parts = [value for name, value in measures.items() if name.startswith("accuracy:")]
        mean = mean_accuracy(parts)
        if mean is not None:
            measures[mean.id] = mean
        kl, of_base = measures.get("kl"), self._of_base.get("kl")
        fraction = recovered(kl, of_base) if kl is not None and of_base is not None else None
        if fraction is not None:
            measures[fraction.id] = fraction

    def _batch_tokens(self, running: RunningModel) -> int:
        """Tokens a batch, so that its logits stay small beside the model."""
        return max(1, min(_BATCH_TOKENS, _BATCH_BYTES // (4 * running.vocabulary_size)))

    @property
    def running(self) -> RunningModel | None:
        """The model, with the weights that were measured last; None when nothing can be."""
        return self._running

    @property
    def can_measure(self) -> bool:
        """Whether results can be measured on data."""
        return not self.reason

    def base_measures(self) -> dict[str, Measure]:
        """Give the base's measures by id; empty when nothing can be measured."""
        return dict(self._of_base)

    def expert_measures(self) -> dict[str, Measure]:
        """Give the expert's measures by id."""
        return dict(self._of_expert)

    def measure(
        self, checkpoint: Checkpoint, control: JobControl | None = None
    ) -> dict[str, Measure]:
        """Swap a result's weights in and measure it.

        Args:
            checkpoint: a delta file over the base, a merge, any model of this shape.
            control: Stop is taken at every tensor and every batch.

        Returns:
            Measures by id; empty when nothing can be measured (see ``reason``).

        Raises:
            MismatchError: the weights do not fit the base's architecture.
        """
        if not self.can_measure:
            return {}
        control = control or JobControl()
        answers = self._put_and_answer(checkpoint, control)
        measures = self._text(control) | self._scores(answers)
        self._complete(measures)
        return measures

    def quality(self, measures: Mapping[str, Measure]) -> Quality | None:
        """Give the share of the expert's quality in some measures; None when unknown."""
        if self._expert is None or not measures:
            return None
        return quality_of(measures, self._of_expert, self.own_task)

    def references(self) -> list[dict[str, Any]]:
        """Give expert and base as lines for a plot, in the shape of ``studies.Reference``."""
        if self._expert is None:
            return []
        name = self._name or Path(self._expert.path).stem
        lines = []
        for kind, words, checkpoint, measures in (
            ("expert", "full expert", self._expert, self._of_expert),
            ("base", "base alone", self._base, self._of_base),
        ):
            quality = self.quality(measures)
            lines.append(
                {
                    "id": kind,
                    "expert": name,
                    "label": words + self._score_words(measures),
                    "file_bytes": checkpoint.identity.size_bytes,
                    "quality": quality.value if quality else (1.0 if kind == "expert" else None),
                    "measures": {key: value.as_json() for key, value in measures.items()},
                }
            )
        return lines

    def _score_words(self, measures: Mapping[str, Measure]) -> str:
        if self.own_task is None:
            return ""
        measure = measures[f"accuracy:{self.own_task}"]
        title = next(p.task.title for p in self._tasks if p.task.id == self.own_task)
        return f", {measure.value:.1%} on {title}".replace("%", " %")


def _quiet(control: JobControl) -> JobControl:
    """Share Stop and pause, but keep quiet: loading is no progress of the caller's job."""
    return control.silent()
