"""What a repair knows of texts: Gram matrices, their factors, importance; read lazily."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from deltaworks.calibration import Grams, Sequences, collect_grams
from deltaworks.calibration.fisher import Fisher, collect_fisher
from deltaworks.calibration.store import halved, whole
from deltaworks.engine.environment import n_workers
from deltaworks.engine.execution import Run
from deltaworks.engine.repair_texts import RepairTexts, safety_sequences, task_sequences
from deltaworks.engine.repair_types import RepairJob
from deltaworks.progress import Event, JobControl, Progress

if TYPE_CHECKING:
    from torch import Tensor

    from deltaworks.checkpoints.checkpoint import Checkpoint
    from deltaworks.numerics.factors import Factor

_WIDEST_DOUBLE = 4096
"""Inputs of a layer up to which its matrix is factored in float64."""


class Statistics:
    """Statistics of a job's texts, collected when entered. Use as a context.

    Attributes:
        facts: what was read, for the report.
    """

    def __init__(self, job: RepairJob, run: Run) -> None:
        self._job, self._run = job, run
        self._files = ExitStack()
        self._grams: Grams | None = None
        self._fisher: Fisher | None = None
        self._locks: dict[str, threading.Lock] = {}
        self._lock = threading.Lock()
        self.sequences: dict[str, RepairTexts] = {}
        self.facts: dict[str, Any] = {}

    def __enter__(self) -> Self:
        """Collect what the method needs."""
        import torch

        before = torch.get_num_threads()
        torch.set_num_threads(n_workers(self._job.recipe.threads))
        try:
            with self._run.stage("statistics"):
                self._collect()
        except BaseException:
            self._files.close()
            raise
        finally:
            torch.set_num_threads(before)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Let go; what was not to be cached goes away."""
        self._files.close()

    def _collect(self) -> None:
        job = self._job
        if "fisher" in job.statistics:
            texts = self._texts("safety", job.aligned)
            found = collect_fisher(
                job.aligned,
                texts,
                told(self._run, job.aligned.nbytes),
                cache=self._cache,
                device=device_of(job),
                names=job.repaired,
            )
            self._fisher = self._files.enter_context(found)
        if "gram" in job.statistics:
            self.gram_sequences()
            if not self.recomputes:
                self._collect_grams()

    @property
    def recomputes(self) -> bool:
        """Whether Gram matrices are taken block by block, with repairs between."""
        recomputes = self._job.method.recomputes
        return "gram" in self._job.statistics and bool(recomputes and recomputes(self._job.options))

    def _collect_grams(self) -> None:
        job = self._job
        model, sequences = self.gram_sequences()
        is_diagonal = job.method.is_diagonal
        grams = collect_grams(
            model,
            sequences,
            told(self._run, model.nbytes),
            cache=self._cache,
            device=device_of(job),
            names=job.repaired,
            diagonal=bool(is_diagonal and is_diagonal(job.options)),
        )
        self._grams = self._files.enter_context(grams)
        for note in grams.notes:
            self._run.warn(note)

    def gram_sequences(self) -> tuple[Checkpoint, Sequences]:
        """Give the model whose inputs count, and the texts that it reads."""
        job = self._job
        assert job.method.gram_of is not None
        role, kind = job.method.gram_of
        model = job.aligned if role == "aligned" else job.tuned
        sequences = self._texts(kind, model)
        self._warn_of_few(sequences)
        return model, sequences

    def _texts(self, kind: str, model: Checkpoint) -> Sequences:
        if kind not in self.sequences:
            recipe = self._job.recipe
            if kind == "safety":
                found = safety_sequences(recipe, self._job.aligned, self._run.control)
            else:
                found = task_sequences(recipe, getattr(recipe, kind), model)
            self.sequences[kind] = found
            self.facts[kind] = {
                "file": Path(getattr(recipe, kind)).name,
                "content": _hash(Path(getattr(recipe, kind))),
                "sequences": len(found.sequences.ids),
                "tokens": found.sequences.n_tokens,
                "written_by_the_aligned_model": found.written,
            }
        return self.sequences[kind].sequences

    def _warn_of_few(self, sequences: Sequences) -> None:
        """With fewer tokens than inputs a Gram matrix is singular before damping."""
        widest = max((width_of(self._job, name) for name in self._job.repaired), default=0)
        if sequences.n_tokens < widest:
            self._run.warn(
                f"only {sequences.n_tokens} tokens for layers of up to {widest} inputs: the "
                "repair leans on its damping; give more or longer texts"
            )

    @property
    def _cache(self) -> Path | None:
        return Path(self._job.recipe.cache) if self._job.recipe.cache else None

    # --- what methods read ------------------------------------------------------------------

    def has_gram(self, name: str) -> bool:
        """Whether a text reached a layer."""
        return self._grams is not None and name in self._grams

    def tokens(self, name: str) -> int:
        """Tokens that a layer saw."""
        return self._grams.seen(name) if self._grams is not None and name in self._grams else 0

    def gram(self, name: str) -> Callable[[], Tensor] | None:
        """Give what reads a layer's Gram matrix, or its diagonal."""
        grams = self._grams
        if grams is None or name not in grams:
            return None
        is_diagonal = self._job.method.is_diagonal
        if is_diagonal and is_diagonal(self._job.options):
            return lambda: grams.diagonal(name)
        return lambda: grams.read(name)

    def fisher(self, name: str) -> Callable[[], Tensor] | None:
        """Give what reads the importance of a layer's weights, as stored."""
        fisher = self._fisher
        return None if fisher is None or name not in fisher else lambda: fisher.read(name)

    def factor(self, name: str) -> Callable[[float], Factor] | None:
        """Give what reads the factor of a layer's Gram matrix, made when first asked for.

        It lies beside the Gram matrices, so it is kept as long as they are.
        """
        if self._grams is None or name not in self._grams:
            return None
        grams, leader = self._grams, self._grams.leader(name)
        with self._lock:
            lock = self._locks.setdefault(leader, threading.Lock())

        def read(damping: float) -> Factor:
            with lock:
                return _kept_factor(grams, leader, damping, f"{leader}, {grams.seen(name)} tokens")

        return read


def width_of(job: RepairJob, name: str) -> int:
    """Inputs of a layer."""
    task = job.tasks[name]
    return task.info.shape[-2] if task.is_transposed else task.info.shape[-1]


def device_of(job: RepairJob) -> str:
    """Where models run."""
    return "cpu" if job.recipe.device == "auto" else job.recipe.device


def _kept_factor(grams: Grams, name: str, damping: float, where: str) -> Factor:
    """Read a factor, or make and keep it; what is read is what was kept, to the bit."""
    import torch
    from safetensors.torch import load_file, save_file

    from deltaworks.numerics.factors import Factor, upper_factor

    path = grams.folder / f"factor-{_short(name)}-{damping:g}.safetensors"
    if not path.is_file():
        gram = grams.read(name)
        if len(gram) <= _WIDEST_DOUBLE:
            gram = gram.double()
        made = upper_factor(gram, damping=damping, where=where)
        lower = halved(made.upper.float().T.contiguous())
        facts = torch.tensor([made.damping], dtype=torch.float64)
        partial = path.with_suffix(f".partial-{threading.get_ident()}")
        save_file({"upper": lower, "damping": facts, "dead": made.dead}, partial)
        partial.replace(path)
    found = load_file(path)
    upper = whole(found["upper"], len(found["dead"])).tril_().T
    return Factor(upper, float(found["damping"]), found["dead"])


def _short(name: str) -> str:
    from blake3 import blake3

    return blake3(name.encode()).hexdigest()[:16]


def _hash(path: Path) -> str:
    from blake3 import blake3

    return blake3(path.read_bytes()).hexdigest()


def told(run: Run, n_bytes: int) -> JobControl:
    """Give a control whose progress counts as so many bytes of the run's."""
    done = 0

    def forward(event: Event) -> None:
        nonlocal done
        if not isinstance(event, Progress):
            run.control.report(event)
            return
        now = min(n_bytes, n_bytes * event.done // event.total) if event.total else done
        if now > done:
            run.tally.add(now - done)
            done = now
        run.tally.tell(event.stage)

    return run.control.reporting_to(forward)


def inputs_facts(models: Mapping[str, Checkpoint], control: JobControl) -> dict[str, Any]:
    """Say which models were read, by content."""
    from deltaworks.checkpoints import content_hash

    facts = {}
    for role, model in models.items():
        kinds = sorted({model.info(name).dtype for name in model.names})
        facts[role] = {
            "name": model.path.name,
            "content": model.identity.content or content_hash(model, control.silent()),
            "dtypes": kinds,
            "bytes": model.nbytes,
        }
    return facts
