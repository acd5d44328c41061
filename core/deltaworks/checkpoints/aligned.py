"""A model whose token matrices have the rows of another vocabulary."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from deltaworks.checkpoints.checkpoint import Checkpoint, Identity
from deltaworks.checkpoints.file_state import FileState
from deltaworks.checkpoints.tensors import TensorInfo
from deltaworks.numerics.words import from_float, tensor_words, to_float32, words_tensor

if TYPE_CHECKING:
    from torch import Tensor

    Words = np.ndarray[Any, Any]

MEAN = -2
"""A row that is the mean of all rows that have a token."""
GIVEN = -1
"""A row that comes from elsewhere."""


@dataclass(frozen=True)
class RowPlan:
    """Where the rows of one model's token matrices come from.

    Args:
        own: the model's own row for every row of the result, ``GIVEN`` or ``MEAN``.
        given: for rows that come from elsewhere, the rows of other models whose mean they
            are, as pairs of place and row; nothing for a row of zeros.
    """

    own: npt.NDArray[np.int64]
    given: Mapping[int, Sequence[tuple[int, int]]]

    @property
    def is_same(self) -> bool:
        """Whether nothing moves."""
        return bool(np.array_equal(self.own, np.arange(len(self.own))))


Rows = Callable[[int, int], tuple["Words", str]]
"""Gives one row of another model's matrix, by the model's place, and its dtype."""


class AlignedCheckpoint(Checkpoint):
    """Another checkpoint, whose token matrices are seen through a plan of rows.

    Args:
        model: what is seen; not closed with this.
        plan: of its rows.
        tables: names of its token matrices, and who gives rows of the others'.
    """

    def __init__(self, model: Checkpoint, plan: RowPlan, tables: Mapping[str, Rows]) -> None:
        self.model = model
        self.path: Path = model.path
        self.kind = model.kind
        self.config = model.config
        self.side_files = model.side_files
        self.weight_files = model.weight_files
        self._plan, self._tables = plan, tables
        self._means: dict[str, Words] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """Every tensor, in file order."""
        return self.model.names

    def __contains__(self, name: str) -> bool:
        """Whether there is a tensor of that name."""
        return name in self.model

    def info(self, name: str) -> TensorInfo:
        """Shape and dtype as they are seen."""
        found = self.model.info(name)
        if name not in self._tables:
            return found
        return TensorInfo(name, (len(self._plan.own), *found.shape[1:]), found.dtype)

    def read_words(self, name: str, rows: slice | None = None) -> Words:
        """Gather rows of a token matrix; read any other tensor as it is."""
        if name not in self._tables:
            return self.model.read_words(name, rows)
        wanted = np.arange(len(self._plan.own))[slice(None) if rows is None else rows]
        own = self._plan.own[wanted]
        stored = self.model.read_words(name)
        out = stored[np.maximum(own, 0)]
        for place in np.flatnonzero(own < 0).tolist():
            out[place] = self._row(name, int(wanted[place]), stored)
        return out

    def _row(self, name: str, row: int, stored: Words) -> Words:
        """Give a row that the model does not have."""
        dtype = self.model.info(name).dtype
        if self._plan.own[row] == MEAN:
            if name not in self._means:
                self._means[name] = self._mean(name, stored, dtype)
            return self._means[name]
        rows = [self._tables[name](*source) for source in self._plan.given[row]]
        if len(rows) == 1:
            words, stored_as = rows[0]
            return words if stored_as == dtype else from_float(to_float32(words, stored_as), dtype)
        total = np.zeros(stored.shape[1:], dtype=np.float32)
        for words, stored_as in rows:
            total = _rounded(total + to_float32(words, stored_as), dtype)
        return from_float(total / max(1, len(rows)), dtype)

    def _mean(self, name: str, stored: Words, dtype: str) -> Words:
        """Give the mean of all rows that are no padding, summed as torch does it."""
        own = self._plan.own
        rows = stored[np.maximum(own, 0)]
        for row in np.flatnonzero(own == GIVEN).tolist():
            rows[row] = self._row(name, row, stored)
        return tensor_words(words_tensor(rows[own != MEAN], dtype).mean(dim=0))

    def read(self, name: str, rows: slice | None = None) -> Tensor:
        """Read a tensor as it is seen."""
        return words_tensor(self.read_words(name, rows), self.info(name).dtype)

    def release(self, name: str) -> None:
        """Let the system take back memory."""
        self.model.release(name)

    @property
    def identity(self) -> Identity:
        """Facts of the model itself."""
        return self.model.identity

    @property
    def file_states(self) -> Mapping[Path, FileState]:
        """The model's files."""
        return self.model.file_states

    def close(self) -> None:
        """Nothing: whoever opened the model closes it."""


def _rounded(values: npt.NDArray[np.float32], dtype: str) -> npt.NDArray[np.float32]:
    return np.asarray(to_float32(from_float(values, dtype), dtype), dtype=np.float32)
