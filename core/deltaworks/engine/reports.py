"""What a finished job says of itself. JSON, also stored inside the artefact."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class TensorReport:
    """How one tensor fared.

    Args:
        name: parameter name.
        codec: method id that stored it; ``same`` when identical to the base.
        stored_bytes: bytes of all its parts.
        payload_bits: bits of the codes alone.
        n_elements: count of numbers.
        error: squared error of the delta relative to its energy; 0 when exact.
    """

    name: str
    codec: str
    stored_bytes: int
    payload_bits: float
    n_elements: int
    error: float
    delta_energy: float = 0.0


@dataclass(frozen=True, slots=True)
class Sizes:
    """The four honest size figures, and what they are made of (bytes).

    Args:
        bpp_payload: bits of codes over parameters of compressed tensors.
        bpp_linear: bits of everything stored for them over the same.
        bpp_model: bits of the file over all parameters of the fine-tuned model.
        cr_model: bytes of the fine-tuned model as distributed over bytes of the file.
        file_bytes: the artefact.
        original_bytes: the fine-tuned model's weight files.
        by_kind: bytes by codes, exact tensors, side files, header.
    """

    bpp_payload: float
    bpp_linear: float
    bpp_model: float
    cr_model: float
    file_bytes: int
    original_bytes: int
    by_kind: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Artefact:
    """One file or folder that a job made.

    Args:
        path: final place.
        kind: ``delta``, ``model``.
        name: for people.
        expert: path of the model it stands for; empty for merges.
        base: path of the base it needs or came from.
        method: id; ``options`` its options in full.
        sizes: None for full models.
        file_bytes: bytes on disk.
        is_exact: rebuilds bit for bit.
        error: pooled relative squared error of the delta; None for merges.
        tensors: one report a tensor.
        seconds: time that encoding it took, over all threads; what several settings share
            counts for the first.
    """

    path: str
    kind: str
    name: str
    expert: str
    base: str
    method: str
    options: dict[str, Any]
    file_bytes: int
    sizes: Sizes | None = None
    is_exact: bool = False
    error: float | None = None
    tensors: tuple[TensorReport, ...] = ()
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Report:
    """A job's whole record.

    Args:
        job: recipe kind.
        recipe: the document that makes it again.
        artefacts: what was made.
        seconds: wall time by stage.
        peak_bytes: largest resident memory of the process.
        warnings: what the user should know.
        versions: of the app, Python, torch and so on.
        results: measures of studies and evaluations, as plain JSON data.
    """

    job: str
    recipe: dict[str, Any]
    artefacts: tuple[Artefact, ...] = ()
    seconds: dict[str, float] = field(default_factory=dict)
    peak_bytes: int = 0
    warnings: tuple[str, ...] = ()
    versions: dict[str, str] = field(default_factory=dict)
    results: dict[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Give plain data for JSON."""
        return asdict(self)
