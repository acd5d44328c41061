"""Repairs that change what later layers read: block by block, results kept until written."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from deltaworks.calibration import for_each_block
from deltaworks.engine.execution import Run
from deltaworks.engine.repair_layers import (
    read_words,
    repair_tensor,
    rounded,
    statistics_of,
    tensors_of,
)
from deltaworks.engine.repair_statistics import Statistics, device_of, told
from deltaworks.engine.repair_types import RepairJob
from deltaworks.methods.safety_record import Repaired

if TYPE_CHECKING:
    from torch import Tensor


class RepairedBlocks:
    """Repaired tensors on disk, as they will be stored, until they are written.

    Args:
        job: whose method takes each block's inputs after the blocks before are repaired.
        statistics: of its texts.
    """

    def __init__(self, job: RepairJob, statistics: Statistics) -> None:
        self._job, self._statistics = job, statistics
        self._folder = Path(tempfile.mkdtemp(prefix="deltaworks-repair-"))
        self._facts: dict[str, Mapping[str, float]] = {}

    def collect(self, run: Run) -> None:
        """Run the texts and repair on the way.

        Raises:
            MismatchError: the network cannot be run block by block.
        """
        model, sequences = self._statistics.gram_sequences()
        with run.stage("statistics"):
            for_each_block(
                model,
                sequences,
                told(run, model.nbytes),
                self._replaced,
                device=device_of(self._job),
                names=self._job.repaired,
            )

    def _replaced(
        self, _number: int, names: tuple[str, ...], read: Callable[[str], Tensor]
    ) -> dict[str, Tensor]:
        from safetensors.torch import save_file

        done = {}
        for name in names:
            found = self._one(name, read)
            self._facts[name] = found.facts
            save_file({"tensor": found.tensor}, self._path(name))
            done[name] = found.tensor
        return done

    def _one(self, name: str, read: Callable[[str], Tensor]) -> Repaired:
        job = self._job
        inputs = replace(statistics_of(job, name, self._statistics), gram=lambda: read(name))
        tensors = tensors_of(job, name, read_words(job, name))
        found = repair_tensor(job, name, tensors, inputs)
        return Repaired(rounded(found.tensor, job.tasks[name].info.dtype, name), found.facts)

    def __contains__(self, name: object) -> bool:
        """Whether a tensor was reached by a text and repaired."""
        return name in self._facts

    def read(self, name: str) -> Repaired:
        """Give a repaired tensor as it will be stored."""
        from safetensors.torch import load_file

        return Repaired(load_file(self._path(name))["tensor"], self._facts[name])

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.safetensors"

    def close(self) -> None:
        """Take the results away."""
        shutil.rmtree(self._folder, ignore_errors=True)
