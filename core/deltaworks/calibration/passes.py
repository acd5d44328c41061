"""One pass of texts through a model, block by block or as a whole, watching inputs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from deltaworks.calibration import experts
from deltaworks.calibration.blocks import SPILL_BYTES, BlockRun, Skeleton
from deltaworks.calibration.moments import Moments, Watcher
from deltaworks.calibration.sequences import Sequences
from deltaworks.calibration.targets import Targets, find_targets
from deltaworks.checkpoints.checkpoint import Checkpoint
from deltaworks.inference.running import load_model
from deltaworks.progress import JobControl, Progress

if TYPE_CHECKING:
    from torch import Tensor

BATCH_TOKENS = 4096
"""Tokens that run through a block at once."""


@dataclass(frozen=True)
class Pass:
    """What runs through what.

    Args:
        checkpoint: the model.
        sequences: the texts.
        names: weights to be watched.
        device: where to compute.
        diagonal: sum squares only.
        spill: bytes of hidden states above which they are kept in a file.
    """

    checkpoint: Checkpoint
    sequences: Sequences
    names: tuple[str, ...]
    device: str = "cpu"
    diagonal: bool = False
    spill: int = SPILL_BYTES

    def batches(self) -> list[Tensor]:
        """Token ids, sequences of one length together."""
        import torch

        ids = self.sequences.ids
        groups = self.sequences.batches(BATCH_TOKENS)
        return [torch.tensor([ids[place] for place in group]) for group in groups]


@dataclass(frozen=True)
class Watched:
    """What was found in one block, or in a whole model.

    Args:
        number: of the block; 0 for a whole model.
        leaders: stored name of every weight that was reached to that of its sum.
        found: sums by that name; of stacked experts one each, ``name#number``.
        n_experts: stored name of a stacked weight to how many it holds.
    """

    number: int
    leaders: dict[str, str]
    found: dict[str, Moments]
    n_experts: dict[str, int] = field(default_factory=dict)


def run_blocks(
    job: Pass,
    control: JobControl,
    take: Callable[[Watched], Mapping[str, Tensor] | None],
    *,
    replaces: bool = False,
) -> None:
    """Run all texts through a model, one block in memory at a time.

    Args:
        job: what runs through what.
        control: progress, in bytes of the model, and Stop.
        take: gets what was found in each block.
        replaces: whether ``take`` gives new weights of the block, by stored name, with
            which its outputs are computed then.

    Raises:
        NoBlocksError: the network cannot be run so.
    """
    skeleton = Skeleton.build(job.checkpoint, job.device)
    targets = find_targets(skeleton.model, job.checkpoint, job.names)
    batches = job.batches()
    total = job.checkpoint.nbytes
    with BlockRun(skeleton, batches, spill=job.spill) as run:
        run.start(control)
        for number in range(run.n_blocks):
            mine = _inside(targets, f"{skeleton.path}.{number}.")
            told = _teller(control, total, number, run.n_blocks, len(batches))
            with run.block(number):
                with _watching(mine, job) as watcher:
                    run.forward(number, told, watcher.next_batch, keep=not replaces)
                weights = take(_watched(number, mine, watcher))
                if replaces:
                    run.replace(weights or {})
                    run.forward(number, told, lambda: None)
    control.step(Progress(total, total, "inputs of layers"))


def _teller(
    control: JobControl, total: int, number: int, n_blocks: int, n_batches: int
) -> Callable[[int], None]:
    def tell(batch: int) -> None:
        share = (number * n_batches + batch) / (n_blocks * n_batches)
        stage = f"inputs of layers · block {number + 1}/{n_blocks}"
        control.step(Progress(int(total * share), total, stage))

    return tell


def run_whole(job: Pass, control: JobControl) -> Watched:
    """Run all texts through a model that is in memory as a whole."""
    import torch

    running = load_model(job.checkpoint, device=job.device, control=control.silent())
    targets = find_targets(running.model, job.checkpoint, job.names)
    batches = job.batches()
    keep = {"logits_to_keep": 1} if running.keeps_last else {}
    told = _teller(control, job.checkpoint.nbytes, 0, 1, len(batches))
    with _watching(targets, job) as watcher, torch.inference_mode():
        for number, ids in enumerate(batches):
            told(number)
            watcher.next_batch()
            running.model(input_ids=ids.to(job.device), use_cache=False, **keep)
    return _watched(0, targets, watcher)


def _inside(targets: Targets, prefix: str) -> Targets:
    """Give the targets of one block."""
    return replace(
        targets,
        modules={
            name: module
            for name, module in targets.modules.items()
            if targets.places[name].startswith(prefix)
        },
        stacks={
            stack: module for stack, module in targets.stacks.items() if stack.startswith(prefix)
        },
    )


@contextmanager
def _watching(targets: Targets, job: Pass) -> Iterator[Watcher]:
    watcher = Watcher(targets.modules, diagonal=job.diagonal)
    with ExitStack() as listening:
        listening.enter_context(watcher.watching())
        for stack, module in targets.stacks.items():
            if experts.is_known(module):
                first, second = _stacked(targets, stack)
                listening.enter_context(experts.watching(module, first, second, watcher))
        yield watcher


def _stacked(targets: Targets, stack: str) -> tuple[str, str]:
    """Stored names of the two weights of a module of stacked experts."""
    stored = {place: name for name, place in targets.places.items()}
    return stored[f"{stack}.{experts.FIRST}"], stored[f"{stack}.{experts.SECOND}"]


def _watched(number: int, targets: Targets, watcher: Watcher) -> Watched:
    n_experts = {}
    for stack, module in targets.stacks.items():
        if experts.is_known(module):
            for name in _stacked(targets, stack):
                n_experts[name] = len(getattr(module, experts.FIRST))
    return Watched(number, watcher.leaders, watcher.found, n_experts)
