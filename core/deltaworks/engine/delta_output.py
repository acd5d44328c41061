"""The delta files of one expert while they are written: one a setting."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from deltaworks.checkpoints.delta_writer import DeltaWriter
from deltaworks.engine.accounts import Account
from deltaworks.engine.compress_plan import Choice, CompressJob, ExpertJob, stored_bytes
from deltaworks.engine.encoding import Encoded, EncodedTensor, entry_of
from deltaworks.engine.journal import Journal
from deltaworks.engine.provenance import lasting_recipe
from deltaworks.engine.reports import Artefact
from deltaworks.errors import AppError
from deltaworks.progress import JobControl
from deltaworks.recipes.schema import Setting


class DeltaOutput:
    """One delta file: writer, journal and account, kept or dropped together."""

    def __init__(
        self, job: CompressJob, expert: ExpertJob, choice: Choice, target: Path, job_id: str
    ) -> None:
        self.choice = choice
        self.fault: BaseException | None = None
        self._job, self._expert = job, expert
        self._account = Account(choice, expert.checkpoint)
        recipe = job.recipe
        place = job.experts.index(expert)
        recipe = recipe.model_copy(
            update={
                "experts": (recipe.experts[place],),
                "settings": (Setting(method=choice.method.id, options=choice.values),),
                "output": str(target),
            }
        )
        lasting = lasting_recipe(recipe)
        self._writer = DeltaWriter(
            target,
            base=job.base,
            expert=expert.checkpoint,
            method=choice.method.id,
            options=choice.values,
            seed=recipe.seed,
            recipe=lasting,
            job_id=job_id,
            expected_bytes=sum(stored_bytes(task, choice, high=True) for task in expert.tasks),
        )
        try:
            self._journal = Journal(target, job_id, lasting)
        except BaseException:
            self._writer.abort()
            raise

    def add(self, tensor: EncodedTensor, encoded: Encoded | BaseException | None) -> None:
        """Store a tensor; after a fault of this setting, nothing more."""
        if self.fault is not None:
            return
        if isinstance(encoded, BaseException):
            self.fault = encoded
            self.drop()
            return
        info = tensor.task.info
        if tensor.alias:
            self._writer.alias(info.name, tensor.alias)
        elif encoded is None:
            self._writer.same(info.name, tensor.base_hash)
        else:
            self._writer.add(
                info,
                encoded.codec,
                encoded.parts,
                base_hash=tensor.base_hash,
                tuned_hash=tensor.tuned_hash,
                transposed=encoded.is_transposed,
                base_rows=tensor.task.base_rows,
            )
        self._account.add(tensor, encoded)
        self._journal.add(entry_of(tensor.task.item.id, encoded))

    def finish(self, control: JobControl) -> Artefact:
        """Give the file its name and tell what it is."""
        written: dict[str, Any] = {}

        def report(sizes: dict[str, Any]) -> dict[str, Any]:
            written.update(sizes)
            return self._account.facts(sizes)

        path = self._writer.finish(report, control)
        self._journal.remove()
        sizes = self._account.sizes(written)
        label = f" · {self.choice.label}" if self.choice.label else ""
        name = f"{self._expert.name} · {self.choice.method.title}{label}"
        expert, base = self._expert.checkpoint, self._job.base
        return self._account.artefact(path, name, expert, base, sizes)

    def drop(self) -> None:
        """Leave nothing on disk."""
        self._journal.remove()  # first, so that the writer can take its folders away
        self._writer.abort()


class DeltaOutputs:
    """Every file of one expert. Use as a context: an error drops all of them.

    Args:
        job: the whole job.
        expert: whose files these are.
        job_id: names temporary files and journals.
    """

    def __init__(self, job: CompressJob, expert: ExpertJob, job_id: str) -> None:
        self._job, self._expert, self._job_id = job, expert, job_id
        self._open: list[DeltaOutput] = []
        self._made: list[Path] = []

    def add(self, tensor: EncodedTensor) -> None:
        """Store a tensor in every file."""
        results: Sequence[Encoded | BaseException | None] = tensor.results
        if tensor.is_same or tensor.alias:
            results = [None] * len(self._open)
        for output, encoded in zip(self._open, results, strict=True):
            output.add(tensor, encoded)

    def finish(self, control: JobControl) -> list[Artefact | BaseException]:
        """Finish every file; a setting that failed gives its error."""
        results: list[Artefact | BaseException] = []
        for output in self._open:
            if output.fault is not None:
                results.append(output.fault)
                continue
            artefact = output.finish(control)
            self._made.append(Path(artefact.path))
            results.append(artefact)
        self._open = []
        return results

    def __enter__(self) -> DeltaOutputs:
        try:
            for choice, target in zip(self._job.choices, self._expert.targets, strict=True):
                output = DeltaOutput(self._job, self._expert, choice, target, self._job_id)
                self._open.append(output)
        except BaseException:
            self._drop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Drop everything after an error."""
        if error is not None:
            self._drop()

    def _drop(self) -> None:
        for output in self._open:
            with contextlib.suppress(AppError, OSError):
                output.drop()
        for path in self._made:
            path.unlink(missing_ok=True)
