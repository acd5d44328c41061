"""Copying a checkpoint's numbers into a model's own storage."""

from __future__ import annotations

from collections.abc import Sequence

from deltaworks.checkpoints.checkpoint import Checkpoint
from deltaworks.errors import MismatchError
from deltaworks.inference.slots import Filling
from deltaworks.progress import JobControl, Progress


def fill(fillings: Sequence[Filling], source: Checkpoint, control: JobControl) -> None:
    """Copy every tensor in place, with one rounding to the model's dtype.

    Storage addresses stay, so tied weights and captured graphs survive. Bytes of the
    stored tensors are the unit of progress.

    Raises:
        MismatchError: two stored tensors that the model ties differ.
    """
    sizes = [source.info(filling.source).nbytes for filling in fillings]
    total, done = sum(sizes), 0
    for filling, size in zip(fillings, sizes, strict=True):
        control.step(Progress(done, total, "loading weights"))
        _copy(filling, source)
        done += size
    control.step(Progress(done, total, "loading weights"))


def _copy(filling: Filling, source: Checkpoint) -> None:
    import torch

    value = source.read(filling.source)
    for twin in filling.twins:
        if not torch.equal(source.read(twin), value):
            raise MismatchError(
                f"differs from {filling.source}, but the config ties the two",
                where=twin,
                fix='Set "tie_word_embeddings" to false in config.json if they are separate',
            )
    with torch.no_grad():
        filling.slot.tensor.data.copy_(value)
