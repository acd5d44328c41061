"""What one model says of itself: its header, its config and its card."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from deltaworks.checkpoints import open_checkpoint
from deltaworks.checkpoints.checkpoint import Checkpoint
from deltaworks.checkpoints.delta_checkpoint import DeltaCheckpoint
from deltaworks.checkpoints.faults import IncompleteError, UnsafeFormatError
from deltaworks.checkpoints.hub import hub_source
from deltaworks.checkpoints.tensors import DTYPE_BYTES, TensorInfo
from deltaworks.errors import AppError
from deltaworks.library.cards import Card, read_card
from deltaworks.library.files import DiskFile, files_of, fingerprint
from deltaworks.library.rows import State

RECIPE_FILE = "deltaworks_recipe.json"
_JSON_LIMIT = 10_000_000


@dataclass(frozen=True, slots=True)
class Made:
    """What a delta file says of its making.

    Args:
        method: id.
        original_bytes: weight bytes of the model that it stands for.
        is_exact: rebuilds bit for bit.
        bits_per_weight: bits of the whole file over the model's parameters.
        report: the report inside; empty when there is none.
    """

    method: str
    original_bytes: int
    is_exact: bool
    bits_per_weight: float
    report: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Facts:
    """One model as found on disk; what could not be found out is empty.

    Args:
        path: folder or file.
        name: for people.
        state: Ready, Incomplete, Unreadable or Unsafe; ``reason`` says what and where.
        files: all of them, or those of the folder when it could not be opened.
        fingerprint: changes when any file does.
        declared_role: what the files alone tell; empty when only weights can.
        declared_bases: names, hub ids or paths of its base, as written in the files.
        made: for deltas, what the file says of its making.
    """

    path: Path
    name: str
    state: State
    files: tuple[DiskFile, ...]
    fingerprint: str
    reason: str = ""
    kind: str = ""
    header: str = ""
    n_parameters: int | None = None
    dtype: str = ""
    arch: str = ""
    licence: str = ""
    source: str = "local"
    declared_role: str = ""
    declared_bases: tuple[str, ...] = ()
    made: Made | None = None

    @property
    def modified_ns(self) -> int:
        """Newest modification time of its weight files."""
        times = [file.modified_ns for file in self.files if file.is_weight]
        return max(times or [file.modified_ns for file in self.files], default=0)


def describe(path: Path, files: Sequence[DiskFile] | None = None) -> Facts:
    """Read one model's headers. Faults become a state with a reason; nothing is raised for them.

    Args:
        path: what ``find_checkpoints`` found.
        files: its files when they are known already.
    """
    try:
        files = files_of(path) if files is None else files
    except OSError as error:
        reason = error.strerror or str(error)
        return Facts(path, shown_name(path), State.UNREADABLE, (), "", reason=reason)
    source, name = _source(path)
    known = Facts(path, name, State.READY, tuple(files), fingerprint(files), source=source)
    try:
        with open_checkpoint(path) as checkpoint:
            return _opened(known, checkpoint)
    except UnsafeFormatError as error:
        return replace(_with_texts(known), state=State.UNSAFE, reason=_reason(error))
    except IncompleteError as error:
        return replace(_with_texts(known), state=State.INCOMPLETE, reason=_reason(error))
    except AppError as error:
        return replace(_with_texts(known), state=State.UNREADABLE, reason=_reason(error))
    except OSError as error:
        return replace(known, state=State.UNREADABLE, reason=error.strerror or str(error))


def _reason(error: AppError) -> str:
    return f"{error.where}: {error.what}" if error.where else error.what


def shown_name(path: Path) -> str:
    """The name of a folder, or of a file without its ending."""
    return path.stem if path.suffix in {".safetensors", ".bin", ".pt", ".pth"} else path.name


def _source(path: Path) -> tuple[str, str]:
    """Say where a model came from, and its name: hub id and revision in a hub cache."""
    cached = hub_source(path)
    if cached is None:
        return "local", shown_name(path)
    return f"{cached.repo_id}@{cached.revision[:12]}", cached.repo_id


def _opened(known: Facts, checkpoint: Checkpoint) -> Facts:
    facts = replace(
        _with_texts(known),
        kind=checkpoint.kind,
        header=checkpoint.identity.header,
        files=_own_files(known, checkpoint),
    )
    infos = [checkpoint.info(name) for name in checkpoint.names]
    facts = replace(facts, n_parameters=sum(i.n_elements for i in infos), dtype=dtype_text(infos))
    if isinstance(checkpoint, DeltaCheckpoint):
        return _of_delta(facts, checkpoint)
    return _of_adapter(facts) if checkpoint.kind == "adapter" else facts


def _own_files(known: Facts, checkpoint: Checkpoint) -> tuple[DiskFile, ...]:
    """Of a folder, leave out files that are not part of the model."""
    if not known.path.is_dir():
        return known.files
    own = {path.name for path in checkpoint.weight_files}
    own |= {Path(path).name for path in checkpoint.side_files.values()} | {
        "config.json",
        RECIPE_FILE,
    }
    return tuple(file for file in known.files if file.path.name in own or _is_side(file.path.name))


def _is_side(name: str) -> bool:
    return name.endswith((".safetensors.index.json", "adapter_config.json", "README.md"))


def _with_texts(facts: Facts) -> Facts:
    """Add what config, card and recipe beside the weights say."""
    if not facts.path.is_dir():
        return facts
    config = _read_json(facts.path / "config.json")
    card = read_card(facts.path)
    architectures = config.get("architectures")
    named = architectures[0] if isinstance(architectures, list) and architectures else None
    role, bases = _declared(facts.path, card)
    return replace(
        facts,
        arch=str(named or config.get("model_type") or ""),
        licence=card.licence,
        declared_role=role,
        declared_bases=bases,
    )


def _declared(folder: Path, card: Card) -> tuple[str, tuple[str, ...]]:
    recipe = _read_json(folder / RECIPE_FILE)
    if recipe:
        recipe = recipe["recipe"] if isinstance(recipe.get("recipe"), dict) else recipe
        base = recipe.get("aligned" if recipe.get("kind") == "repair" else "base")
        path = str(base.get("path", "")) if isinstance(base, dict) else ""
        role = {"merge": "Merge", "repair": "Repaired", "rebuild": "Expert"}.get(
            str(recipe.get("kind")), ""
        )
        return role, (path,) if path else ()
    if card.is_merge:
        return "Merge", card.bases
    return ("Expert", card.bases) if card.bases else ("", ())


def _of_adapter(facts: Facts) -> Facts:
    config = _read_json(facts.path / "adapter_config.json")
    named = config.get("base_model_name_or_path")
    bases = (str(named), *facts.declared_bases) if named else facts.declared_bases
    return replace(facts, declared_role="Expert", declared_bases=bases)


def _of_delta(facts: Facts, checkpoint: DeltaCheckpoint) -> Facts:
    manifest = checkpoint.manifest
    base = checkpoint.recipe.get("base")
    path = str(base.get("path", "")) if isinstance(base, dict) else ""
    architectures = checkpoint.config.get("architectures") or [""]
    made = Made(
        method=manifest.method,
        original_bytes=checkpoint.original_bytes,
        is_exact=checkpoint.is_exact,
        bits_per_weight=8 * checkpoint.identity.size_bytes / max(1, checkpoint.n_parameters),
        report=checkpoint.report,
    )
    return replace(
        facts,
        declared_role="Delta",
        declared_bases=tuple(name for name in (path, manifest.base.id) if name),
        arch=str(architectures[0]),
        made=made,
    )


def dtype_text(infos: Iterable[TensorInfo]) -> str:
    """Name the dtypes of a model: ``BF16``, or ``mixed (BF16, F32)``, most bytes first."""
    counts: Counter[str] = Counter()
    for info in infos:
        counts[info.dtype] += info.n_elements * DTYPE_BYTES[info.dtype]
    names = [name for name, _ in counts.most_common()]
    return names[0] if len(names) == 1 else f"mixed ({', '.join(names)})" if names else ""


def _read_json(path: Path) -> dict[str, Any]:
    """Read a small JSON object; empty when absent or none. Opening says what is wrong with it."""
    try:
        if path.stat().st_size > _JSON_LIMIT:
            return {}
        value = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
