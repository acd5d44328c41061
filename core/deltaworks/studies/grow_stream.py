"""A stream of tasks through one backbone: train, thin, add up, classify, compare.

Knows nothing of files of images or of recipes, so that an experiment with a network of its
own runs through the same code as a job.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from deltaworks.methods.continual.sotu import thin
from deltaworks.methods.method import TensorSpec
from deltaworks.numerics.heads import ClassMeans, Head
from deltaworks.progress import Event, JobControl, Measured, Progress
from deltaworks.studies.grow_arms import Judge, LateRidge, variants_of
from deltaworks.studies.grow_changes import change_facts
from deltaworks.studies.grow_record import GrowResult, Row, StoredTask
from deltaworks.studies.grow_types import Course, Grown, Joined, Task
from deltaworks.training.backbones import (
    Backbone,
    Examples,
    LinearHead,
    Weights,
    features_of,
    put_weights,
    tune,
    weights_of,
)

Floats = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]


def run_stream(
    backbone: Backbone,
    tasks: Sequence[Task],
    course: Course,
    control: JobControl,
    work: Path,
    *,
    class_names: Sequence[str] = (),
    keep: Callable[[Task, dict[str, Floats]], int] = lambda _task, _values: 0,
) -> Grown:
    """Run all tasks; the backbone ends with the merged weights in it.

    Args:
        backbone: at the base's weights.
        tasks: in their order.
        course: how.
        control: progress in steps of work, ``Measured("arm", …)``, Stop and pause.
        work: folder for changes and training states; what lies there is taken over.
        class_names: by number, for the record.
        keep: stores a task's thinned values by tensor name, and gives the bytes of the file.
    """
    return _Stream(backbone, tasks, course, control, work, class_names, keep).run()


class _Stream:
    """One stream while it runs."""

    def __init__(
        self,
        backbone: Backbone,
        tasks: Sequence[Task],
        course: Course,
        control: JobControl,
        work: Path,
        class_names: Sequence[str],
        keep: Callable[[Task, dict[str, Floats]], int],
    ) -> None:
        self._backbone, self._tasks, self._course = backbone, tasks, course
        self._control, self._work, self._keep = control, work, keep
        self._class_names = class_names
        self._base = weights_of(backbone)
        self._specs = {
            name: TensorSpec(name, one.shape, course.seed) for name, one in self._base.items()
        }
        options = course.options
        self._classifiers = course.classifiers or (options.classifier,)
        self._statistics = course.statistics or (options.statistics,)
        self.variants_of = variants_of(course)
        self._judges: dict[tuple[str, str, str], Judge] = {}
        self._width = 0
        self._notes: list[str] = []
        self._done, self._total = 0, self._n_units()

    def run(self) -> Grown:
        stored = []
        for at, task in enumerate(self._tasks):
            delta = self._delta(at, task)
            for variant in self.variants_of:
                variant.add(delta, self._specs, task.number)
            stored.append(self._stored(task, delta))
            for variant in self.variants_of:
                self._step(f"{task.name} · measuring {variant.title}")
                put_weights(self._backbone, variant.weights(self._base, at + 1))
                self._measure(variant.id, variant.title, at)
        self._trained_baselines()
        main = self.variants_of[0]
        weights = main.weights(self._base, len(self._tasks))
        put_weights(self._backbone, weights)
        options = self._course.options
        head = self._judge(main.id, main.title, options.classifier, options.statistics).head
        return Grown(self._result(stored), weights, head)

    # --- changes ----------------------------------------------------------------------------

    def _delta(self, at: int, task: Task) -> Weights:
        self._step(f"{task.name} · change")
        path = self._delta_path(at)
        if path.exists():
            return _load(path)
        if task.tuned is not None:
            tuned = task.tuned()
        else:
            assert task.train is not None
            put_weights(self._backbone, self._base)
            self._tune(task.train, task.classes, f"task {task.number}", title=task.name)
            tuned = weights_of(self._backbone)
        delta = {name: tuned[name] - one for name, one in self._base.items()}
        _save(path, delta)
        return delta

    def _delta_path(self, at: int) -> Path:
        return self._work / f"change-{at:04d}.safetensors"

    def _stored(self, task: Task, delta: Weights) -> StoredTask:
        options = self._course.options
        values = {
            name: thin(one, self._specs[name], task.number, options) for name, one in delta.items()
        }
        file_bytes = self._keep(task, values)
        kept = sum(len(one) for one in values.values())
        names = [self._class_names[one] if self._class_names else str(one) for one in task.classes]
        return StoredTask(
            name=task.name,
            number=task.number,
            classes=tuple(names),
            n_train=len(task.train.labels) if task.train else 0,
            n_test=len(task.test.labels) if task.test else 0,
            kept=kept,
            n_weights=sum(one.size for one in delta.values()),
            value_bytes=4 * kept,
            file_bytes=file_bytes,
        )

    def _tune(
        self,
        examples: Examples,
        classes: Sequence[int],
        name: str,
        *,
        title: str,
        head: LinearHead | None = None,
    ) -> LinearHead:
        found, _ = tune(
            self._backbone,
            examples,
            classes,
            self._course.tuning,
            self._inside(title),
            seed=self._course.seed,
            name=name,
            folder=self._work / f"training-{name.replace(' ', '-')}",
            head=head,
        )
        return found

    # --- measuring --------------------------------------------------------------------------

    def _judge(self, name: str, title: str, classifier: str, statistics: str) -> Judge:
        key = (name, classifier, statistics)
        if key not in self._judges:
            self._judges[key] = Judge(name, title, classifier, statistics)
        return self._judges[key]

    def _measure(self, name: str, title: str, at: int) -> None:
        """Let the heads of one arm learn what they may after a task, and ask them."""
        test = self._test_features(at)
        train: dict[int, Floats] = {}
        is_last = at == len(self._tasks) - 1
        for statistics in self._statistics:
            first = 0 if statistics == "re-pass" else at
            is_due = statistics == "streaming" or is_last or statistics == self._chosen
            for classifier in self._classifiers:
                judge = self._judge(name, title, classifier, statistics)
                if not is_due:
                    judge.skip(len(self._tasks))
                    continue
                if statistics == "re-pass" or judge.head is None:
                    judge.head = self._fresh(classifier)
                self._teach(judge.head, train, range(first, at + 1))
                self._ask(judge, test, judge.head.predict)

    @property
    def _chosen(self) -> str:
        return self._course.options.statistics

    def _teach(self, head: Head, known: dict[int, Floats], places: Sequence[int]) -> None:
        for place in places:
            examples = self._tasks[place].train
            if examples is None:
                continue
            if place not in known:
                known[place] = features_of(self._backbone, examples, self._control)
            self._width = known[place].shape[1]
            head.add(known[place], examples.labels)

    def _fresh(self, classifier: str) -> Head:
        if classifier == "class-mean":
            return ClassMeans()
        course, columns = self._course, self._course.options.projection
        return LateRidge(columns, course.seed, course.projection_scale, course.strengths)

    def _test_features(self, at: int) -> list[Floats | None]:
        """Give features of the test examples of all tasks so far; None for the others."""
        found: list[Floats | None] = [None] * len(self._tasks)
        for place in range(at + 1):
            examples = self._tasks[place].test
            if examples is not None and len(examples.labels):
                found[place] = features_of(self._backbone, examples, self._control)
        return found

    def _ask(
        self,
        judge: Judge,
        test: Sequence[Floats | None],
        predict: Callable[[Floats], Labels],
    ) -> None:
        right: list[npt.NDArray[np.bool_] | None] = []
        for task, features in zip(self._tasks, test, strict=True):
            if features is None or task.test is None:
                right.append(None)
                continue
            right.append(predict(features) == task.test.labels)
        judge.note(right)
        values = {
            "arm": judge.id,
            "classifier": judge.classifier,
            "statistics": judge.statistics,
            "task": len(judge.curve),
            "accuracy": judge.curve[-1],
        }
        self._control.report(Measured("arm", values))

    # --- baselines that are trained ---------------------------------------------------------

    def _trained_baselines(self) -> None:
        if self._course.baselines != "all":
            return
        if any(task.train is None for task in self._tasks):
            lacking = next(task.name for task in self._tasks if task.train is None)
            self._notes.append(f"Sequential and joint training need data, and {lacking} has none.")
            return
        self._sequential()
        self._joint()

    def _sequential(self) -> None:
        """Train task after task on the same weights, the head of all classes along."""
        classes = sorted({one for task in self._tasks for one in task.classes})
        head: LinearHead | None = None
        put_weights(self._backbone, self._base)
        for at, task in enumerate(self._tasks):
            self._step(f"{task.name} · sequential fine-tuning")
            assert task.train is not None
            path = self._work / f"sequential-{at:04d}.safetensors"
            if path.exists():
                head = self._loaded(path, classes)
            else:
                name = f"sequential {task.number}"
                head = self._tune(task.train, classes, name, title="sequential", head=head)
                _save(path, {**weights_of(self._backbone), **_parts(head)})
            self._measure("sequential", "Sequential", at)
            known = [one for before in self._tasks[: at + 1] for one in before.classes]
            self._ask_linear("sequential", "Sequential", head, known, at)

    def _joint(self) -> None:
        """Train once on all data: what is possible when nothing has to come in turn."""
        self._step("joint training")
        classes = sorted({one for task in self._tasks for one in task.classes})
        path, last = self._work / "joint.safetensors", len(self._tasks) - 1
        put_weights(self._backbone, self._base)
        if path.exists():
            head = self._loaded(path, classes)
        else:
            every = Joined([task.train for task in self._tasks if task.train is not None])
            head = self._tune(every, classes, "joint", title="joint")
            _save(path, {**weights_of(self._backbone), **_parts(head)})
        test, known = self._test_features(last), dict[int, Floats]()
        for classifier in self._classifiers:
            judge = self._judge("joint", "Joint", classifier, "re-pass")
            for _ in range(last):
                judge.skip(len(self._tasks))
            judge.head = self._fresh(classifier)
            self._teach(judge.head, known, range(last + 1))
            self._ask(judge, test, judge.head.predict)
        for _ in range(last):
            self._judge("joint", "Joint", "linear", "re-pass").skip(len(self._tasks))
        self._ask_linear("joint", "Joint", head, classes, last)

    def _ask_linear(
        self, name: str, title: str, head: LinearHead, known: Sequence[int], at: int
    ) -> None:
        statistics = "re-pass" if name == "joint" else "streaming"
        judge = self._judge(name, title, "linear", statistics)
        self._ask(judge, self._test_features(at), lambda rows: head.predict(rows, known))

    def _loaded(self, path: Path, classes: Sequence[int]) -> LinearHead:
        found = _load(path)
        head = LinearHead(tuple(classes), found.pop("head weight"), found.pop("head bias"))
        put_weights(self._backbone, found)
        return head

    # --- the record -------------------------------------------------------------------------

    def _result(self, stored: Sequence[StoredTask]) -> GrowResult:
        self._step("comparing changes")
        known = [_lazy(self._delta_path(at)) for at in range(len(self._tasks))]
        facts = change_facts(
            self._specs.values(),
            lambda at, name: known[at](name),
            tuple(task.number for task in self._tasks),
            self._course.options,
        )
        if lacking := [task.name for task in self._tasks if task.train is None]:
            what = f"No data were given for {', '.join(lacking)}: the head has none of its classes."
            self._notes.append(what)
        return GrowResult(
            tasks=tuple(stored),
            arms=tuple(judge.arm() for judge in self._judges.values()),
            cosines=_plain(facts.cosines),
            thinned_cosines=_plain(facts.thinned_cosines),
            norms=tuple(float(one) for one in facts.norms),
            sum_norms=facts.sum_norms,
            touched=facts.touched,
            expected_touched=facts.expected_touched,
            notes=tuple(self._notes),
        )

    # --- progress ---------------------------------------------------------------------------

    def _n_units(self) -> int:
        trained = len(self._tasks) + 1 if self._course.baselines == "all" else 0
        return len(self._tasks) * (1 + len(self.variants_of)) + trained + 1

    def _inside(self, title: str) -> JobControl:
        """Give a control for a training: it says what it does, and counts no work."""

        def forward(event: Event) -> None:
            if isinstance(event, Progress):
                event = Progress(self._done, self._total, f"{title} · {event.stage}")
            self._control.report(event)

        return self._control.reporting_to(forward)

    def _step(self, stage: str) -> None:
        self._control.step(Progress(self._done, self._total, stage))
        self._done = min(self._done + 1, self._total)


def _plain(rows: npt.NDArray[np.float64]) -> tuple[Row, ...]:
    return tuple(tuple(float(one) for one in row) for row in rows)


def _parts(head: LinearHead) -> Weights:
    return {"head weight": head.weight, "head bias": head.bias}


def _save(path: Path, weights: Weights) -> None:
    from safetensors.numpy import save_file

    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial")
    save_file({name: np.ascontiguousarray(one) for name, one in weights.items()}, partial)
    partial.replace(path)


def _load(path: Path) -> Weights:
    from safetensors.numpy import load_file

    return load_file(path)


def _lazy(path: Path) -> Callable[[str], Floats]:
    from safetensors import safe_open

    file: Any = safe_open(path, framework="np")
    read: Callable[[str], Floats] = file.get_tensor
    return read
