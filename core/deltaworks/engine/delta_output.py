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
from deltaworks.engine.encoding import Encoded, EncodedTensor
from deltaworks.engine.journal import Journal
from deltaworks.engine.pipeline import Tally
from deltaworks.engine.provenance import output_recipe
from deltaworks.engine.reports import Artefact
from deltaworks.engine.resuming import Finished, artefact_name, entry_of, finished_of
from deltaworks.errors import AppError
from deltaworks.progress import JobControl


class DeltaOutput:
    """One delta file: writer, journal and account, kept or dropped together."""

    def __init__(
        self, job: CompressJob, expert: ExpertJob, choice: Choice, target: Path, *, resume: bool
    ) -> None:
        self.choice = choice
        self.fault: BaseException | None = None
        self._job, self._expert = job, expert
        self._account = Account(choice, expert.checkpoint)
        lasting = output_recipe(job, expert, choice, target)
        inputs = (job.base, expert.checkpoint)
        self.journal = Journal(target, lasting, inputs, resume=resume)
        try:
            self._writer = DeltaWriter(
                target,
                base=job.base,
                expert=expert.checkpoint,
                method=choice.method.id,
                options=choice.values,
                seed=job.recipe.seed,
                recipe=lasting,
                job_id=self.journal.job_id,
                expected_bytes=sum(stored_bytes(task, choice, high=True) for task in expert.tasks),
                goes_on=bool(self.journal.found),
            )
        except BaseException:
            self.journal.drop_unless_found()
            raise

    def read_again(self, number: int) -> Finished | None:
        """Give what an earlier run has finished of a tensor, unless it is damaged."""
        if number >= len(self.journal.found):
            return None
        task = self._expert.tasks[number]
        return finished_of(self.journal.found[number], task, self._writer.read_back)

    def cut(self, n_finished: int) -> None:
        """Go on after as many tensors as were added again."""
        if self.journal.found:
            self._writer.cut()
            self.journal.keep(self.journal.found[:n_finished])

    def add(
        self,
        tensor: EncodedTensor,
        encoded: Encoded | BaseException | None,
        *,
        is_there: bool = False,
    ) -> None:
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
                is_there=is_there,
            )
        self._account.add(tensor, encoded)
        if not is_there:
            self.journal.add(entry_of(tensor, encoded))

    def finish(self, control: JobControl) -> Artefact:
        """Give the file its name and tell what it is."""
        written: dict[str, Any] = {}

        def report(sizes: dict[str, Any]) -> dict[str, Any]:
            written.update(sizes)
            return self._account.facts(sizes)

        self.journal.check_inputs()
        path = self._writer.finish(report, control)
        self.journal.remove()
        sizes = self._account.sizes(written)
        name = artefact_name(self._expert, self.choice)
        expert, base = self._expert.checkpoint, self._job.base
        return self._account.artefact(path, name, expert, base, sizes)

    def drop(self) -> None:
        """Leave nothing on disk."""
        self._writer.abort()
        self.journal.remove()


class DeltaOutputs:
    """Every file of one expert. Use as a context: an error drops all of them.

    Args:
        job: the whole job.
        expert: whose files these are.
        wanted: settings and files that are to be made.
        resume: whether to go on from what an earlier run has left.
    """

    def __init__(
        self,
        job: CompressJob,
        expert: ExpertJob,
        wanted: Sequence[tuple[Choice, Path]],
        *,
        resume: bool = False,
    ) -> None:
        self._job, self._expert, self._wanted, self._resume = job, expert, wanted, resume
        self._open: list[DeltaOutput] = []
        self._made: list[Path] = []

    def go_on(self, tally: Tally) -> list[EncodedTensor]:
        """Take over what an earlier run has finished in every file and is still as it was.

        Args:
            tally: told of every tensor; its control stops.

        Returns:
            The tensors that need not be done again: the first ones of the plan.
        """
        finished: list[EncodedTensor] = []
        for number, item in enumerate(task.item for task in self._expert.tasks):
            tally.tell("reading back")
            found = [one for output in self._open if (one := output.read_again(number))]
            if len(found) < len(self._open):
                break
            for output, one in zip(self._open, found, strict=True):
                output.add(one.tensor, one.encoded, is_there=True)
            finished.append(found[0].tensor)
            tally.add(item.read_bytes + item.write_bytes)
        for output in self._open:
            output.cut(len(finished))
        return finished

    @property
    def warnings(self) -> list[str]:
        """Why there is nothing to go on from although something was left."""
        return list(dict.fromkeys(filter(None, (one.journal.warning for one in self._open))))

    @property
    def n_found(self) -> int:
        """Tensors that an earlier run says it has finished in every file."""
        return min((len(output.journal.found) for output in self._open), default=0)

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
            for choice, target in self._wanted:
                output = DeltaOutput(self._job, self._expert, choice, target, resume=self._resume)
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
            journals = [output.journal for output in self._open]
            self._drop()
            if isinstance(error, Exception) and journals:
                journals[0].blame_inputs(error)

    def _drop(self) -> None:
        for output in self._open:
            with contextlib.suppress(AppError, OSError):
                output.drop()
        for path in self._made:
            path.unlink(missing_ok=True)
