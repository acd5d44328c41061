"""Sizes and errors of one delta file, tensor by tensor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from math import fsum
from pathlib import Path
from typing import Any

from deltaworks.checkpoints.checkpoint import Checkpoint
from deltaworks.engine.compress_plan import EXACT, Choice
from deltaworks.engine.encoding import Encoded, EncodedTensor
from deltaworks.engine.environment import versions
from deltaworks.engine.reports import Artefact, Sizes, TensorReport

SAME = "same"
ALIAS = "alias"


class Account:
    """Adds up what one setting stores of one expert.

    Args:
        choice: the setting.
        expert: the model it stands for.
    """

    def __init__(self, choice: Choice, expert: Checkpoint) -> None:
        self._choice = choice
        self._n_parameters = expert.n_parameters
        self._tensors: list[TensorReport] = []
        self._errors: list[float] = []
        self._energies: list[float] = []
        self._seconds = 0.0
        self._compressed = [0.0, 0.0, 0.0]  # parameters, bytes, payload bits

    def add(self, tensor: EncodedTensor, encoded: Encoded | None) -> None:
        """Count a tensor; None when it is the base's, or another one of the expert.

        Tied tensors are one matrix: its error counts once.
        """
        stored = encoded.n_bytes if encoded else 0
        self._seconds += encoded.seconds if encoded else 0.0
        error = encoded.error if encoded else 0.0
        info = tensor.task.info
        self._errors.append(error)
        self._energies.append(tensor.energy)
        self._tensors.append(
            TensorReport(
                name=info.name,
                codec=encoded.codec if encoded else ALIAS if tensor.alias else SAME,
                stored_bytes=stored,
                payload_bits=encoded.payload_bits if encoded else 0.0,
                n_elements=info.n_elements,
                error=error / tensor.energy if error else 0.0,
                delta_energy=tensor.energy,
            )
        )
        if encoded is not None and encoded.codec == self._choice.method.id:
            for place, value in enumerate((info.n_elements, stored, encoded.payload_bits)):
                self._compressed[place] += value

    @property
    def error(self) -> float:
        """Squared error of the whole delta relative to its energy; 0 when nothing moved."""
        energy, error = fsum(self._energies), fsum(self._errors)
        return error / energy if error else 0.0

    @property
    def is_exact(self) -> bool:
        """Whether every tensor comes back bit for bit; each was decoded and compared."""
        return all(tensor.codec in {SAME, ALIAS, EXACT.id} for tensor in self._tensors)

    def facts(self, written: Mapping[str, Any]) -> dict[str, Any]:
        """Give the report that is stored in the file itself.

        It holds nothing that differs between two runs of one recipe, and leaves out the
        tensors of which nothing is stored: the manifest names them.

        Args:
            written: what the writer counted, as for ``sizes``.
        """
        return {
            "job": "compress",
            "method": self._choice.method.id,
            "options": self._choice.values,
            "is_exact": self.is_exact,
            "error": self.error,
            "sizes": asdict(self.sizes(written)),
            "tensors": [
                asdict(tensor) for tensor in self._tensors if tensor.codec not in {SAME, ALIAS}
            ],
            "versions": versions(),
        }

    def sizes(self, written: Mapping[str, Any]) -> Sizes:
        """Give the four figures.

        Args:
            written: ``file_bytes``, ``original_bytes`` and ``by_kind`` from the writer.
        """
        parameters, stored, payload = self._compressed
        file_bytes, original = written["file_bytes"], written["original_bytes"]
        return Sizes(
            bpp_payload=payload / parameters if parameters else 0.0,
            bpp_linear=8 * stored / parameters if parameters else 0.0,
            bpp_model=8 * file_bytes / max(1, self._n_parameters),
            cr_model=original / max(1, file_bytes),
            file_bytes=file_bytes,
            original_bytes=original,
            by_kind=dict(written["by_kind"]),
        )

    def artefact(
        self, path: Path, name: str, expert: Checkpoint, base: Checkpoint, sizes: Sizes
    ) -> Artefact:
        """Give the record of the finished file."""
        return Artefact(
            path=str(path),
            kind="delta",
            name=name,
            expert=str(expert.path),
            base=str(base.path),
            method=self._choice.method.id,
            options=self._choice.values,
            file_bytes=sizes.file_bytes,
            sizes=sizes,
            is_exact=self.is_exact,
            error=self.error,
            tensors=tuple(self._tensors),
            seconds=self._seconds,
        )
