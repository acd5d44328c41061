"""Fisher importance of weights: squared gradients of the loss on answers.

Source: the importance of IRR (arXiv:2412.11041), as in the authors' code: for batches of
pairs, the gradient of the batch's mean loss over answer tokens is squared; the mean over
batches is kept. The model is in evaluation mode. Gradients are taken for a few blocks at a
time, the forward pass being repeated for each, so that they never fill the memory at once.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from deltaworks.calibration.grams import model_facts
from deltaworks.calibration.sequences import Sequences
from deltaworks.calibration.store import Writer, key_of, read_index, read_tensor
from deltaworks.calibration.targets import linear_names
from deltaworks.checkpoints.checkpoint import Checkpoint
from deltaworks.errors import FileError, NotFiniteError
from deltaworks.inference.running import RunningModel, load_model
from deltaworks.inference.slots import match
from deltaworks.progress import JobControl, Progress

if TYPE_CHECKING:
    from torch import Tensor

GROUP_BYTES = 2_000_000_000
"""Bytes of sums and gradients that are held at once."""
_A_WEIGHT = 8
"""Bytes of a sum and a gradient in float32."""
_NO_TARGET = -100


class Fisher:
    """Importance of weights on disk, read one tensor at a time. Use as a context.

    Attributes:
        batches: that went into the mean.
        from_cache: whether an earlier pass had found it.
    """

    def __init__(
        self, folder: Path, index: Mapping[str, Any], *, is_temporary: bool, from_cache: bool
    ) -> None:
        self._folder, self._is_temporary = folder, is_temporary
        self._files: dict[str, str] = index["files"]
        self.batches: int = index["batches"]
        self.from_cache = from_cache

    @property
    def names(self) -> tuple[str, ...]:
        """Weights whose importance is known, by their names in the checkpoint."""
        return tuple(self._files)

    def __contains__(self, name: object) -> bool:
        """Whether the importance of a weight is known."""
        return name in self._files

    def read(self, name: str) -> Tensor:
        """Read the importance of every weight, float32, shape as stored."""
        return read_tensor(self._folder, self._files[name], name)

    def close(self) -> None:
        """Let go; what was not to be cached goes away."""
        if self._is_temporary:
            shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close."""
        self.close()


def collect_fisher(
    checkpoint: Checkpoint,
    sequences: Sequences,
    control: JobControl,
    *,
    cache: Path | None,
    device: str = "cpu",
    names: Collection[str] | None = None,
    batch: int = 8,
    group_bytes: int = GROUP_BYTES,
) -> Fisher:
    """Sum squared gradients over pairs, or read what an earlier run found.

    Args:
        checkpoint: the model; it is in memory as a whole, in float32.
        sequences: pairs; of running text every token counts as answer.
        control: progress, in bytes of the model, and Stop.
        cache: folder of finished passes; None keeps nothing.
        device: where to compute.
        names: weights wanted; the matrices inside blocks when None.
        batch: pairs whose mean loss is differentiated at once.
        group_bytes: bytes of sums and gradients held at once.

    Raises:
        FileError: no sequence has an answer token to predict.
        NotFiniteError: a gradient is not finite.
        MismatchError: no architecture that can be run fits the config.
        CancelledError: stopped; nothing is left.
    """
    wanted = tuple(linear_names(checkpoint) if names is None else names)
    facts = {"what": "fisher", "tokens": sequences.hash, "names": sorted(wanted), "batch": batch}
    key = key_of({**facts, **model_facts(checkpoint, control)})
    known = read_index(cache, key)
    if cache is not None and known is not None:
        control.step(Progress(checkpoint.nbytes, checkpoint.nbytes, "importance"))
        return Fisher(cache / key, known, is_temporary=False, from_cache=True)
    batches = _batches(sequences, batch)
    writer = Writer(cache, key)
    try:
        running = load_model(checkpoint, device=device, control=control.silent())
        groups = _groups(checkpoint, wanted, group_bytes)
        files: dict[str, str] = {}
        for number, group in enumerate(groups):
            part = _Part(control, checkpoint.nbytes, number, len(groups), len(batches))
            found = _importance(running, checkpoint, group, batches, part)
            file = f"part-{number:05d}"
            writer.write(file, found)
            files |= dict.fromkeys(found, file)
        index = {"files": files, "batches": len(batches), "source": sequences.source}
        folder = writer.finish(index)
    except BaseException:
        writer.drop()
        raise
    return Fisher(folder, index, is_temporary=writer.is_temporary, from_cache=False)


class _Part:
    """Progress of one group of weights."""

    def __init__(
        self, control: JobControl, total: int, number: int, n_groups: int, n_batches: int
    ) -> None:
        self._control, self._total = control, total
        self._number, self._n_groups, self._n_batches = number, n_groups, n_batches

    def tell(self, batch: int) -> None:
        """Say which batch begins."""
        share = (self._number * self._n_batches + batch) / (self._n_groups * self._n_batches)
        stage = f"importance · part {self._number + 1}/{self._n_groups}"
        self._control.step(Progress(int(self._total * share), self._total, stage))


def _groups(checkpoint: Checkpoint, names: Sequence[str], most: int) -> list[list[str]]:
    """Put neighbouring weights together until their sums and gradients fill the room."""
    groups: list[list[str]] = []
    room = 0
    for name in names:
        n_bytes = _A_WEIGHT * checkpoint.info(name).n_elements
        if not groups or room < n_bytes:
            groups.append([])
            room = most
        groups[-1].append(name)
        room -= n_bytes
    return groups


def _batches(sequences: Sequences, size: int) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Token ids, mask and targets of each batch, padded on the right.

    Raises:
        FileError: there is nothing to predict.
    """
    import torch

    pairs = [
        (ids, max(1, answer))
        for ids, answer in zip(sequences.ids, sequences.answers, strict=True)
        if max(1, answer) < len(ids)
    ]
    if not pairs:
        raise FileError(
            "no answer token is left to predict",
            where=sequences.source,
            fix="Give pairs of prompt and answer, or more tokens a sequence",
        )
    found = []
    for start in range(0, len(pairs), size):
        some = pairs[start : start + size]
        width = max(len(ids) for ids, _ in some)
        tokens = torch.zeros(len(some), width, dtype=torch.long)
        mask = torch.zeros(len(some), width, dtype=torch.long)
        targets = torch.full((len(some), width), _NO_TARGET, dtype=torch.long)
        for row, (ids, answer) in enumerate(some):
            tokens[row, : len(ids)] = torch.tensor(ids)
            mask[row, : len(ids)] = 1
            targets[row, answer - 1 : len(ids) - 1] = torch.tensor(ids[answer:])
        found.append((tokens, mask, targets))
    return found


def _importance(
    running: RunningModel,
    checkpoint: Checkpoint,
    names: Sequence[str],
    batches: Sequence[tuple[Tensor, Tensor, Tensor]],
    part: _Part,
) -> dict[str, Tensor]:
    """Mean over batches of the squared gradient of some weights.

    Raises:
        NotFiniteError: a gradient is not finite.
    """
    import torch

    weights = dict(_weights(running, checkpoint, names))
    sums = {name: torch.zeros_like(weight) for name, weight in weights.items()}
    for weight in weights.values():
        weight.requires_grad_(True)
    try:
        for number, one in enumerate(batches):
            part.tell(number)
            loss = _loss(running, one)
            found = torch.autograd.grad(loss, list(weights.values()), allow_unused=True)
            for name, gradient in zip(weights, found, strict=True):
                if gradient is not None:  # an expert that no token reached has none
                    sums[name].addcmul_(gradient, gradient)
    finally:
        for weight in weights.values():
            weight.requires_grad_(False)
    for name, total in sums.items():
        if not bool(torch.isfinite(total).all()):
            raise NotFiniteError("a gradient is not finite", where=name, fix="Check the model")
    return {name: total / len(batches) for name, total in sums.items()}


def _weights(
    running: RunningModel, checkpoint: Checkpoint, names: Sequence[str]
) -> Iterator[tuple[str, Tensor]]:
    wanted = set(names)
    for filling in match(running.model, checkpoint):
        for stored in (filling.source, *filling.twins):
            if stored in wanted:
                yield stored, filling.slot.tensor


def _loss(running: RunningModel, batch: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    """Mean cross-entropy over the answer tokens of a batch."""
    import torch

    tokens, mask, targets = (part.to(running.device) for part in batch)
    with torch.enable_grad():
        out = running.model(input_ids=tokens, attention_mask=mask, use_cache=False)
        found: Tensor = torch.nn.functional.cross_entropy(
            out.logits.float().flatten(0, 1), targets.flatten(), ignore_index=_NO_TARGET
        )
    return found
