"""Faults that are found before the first byte is written, several at once."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from deltaworks.checkpoints.checkpoint import Checkpoint
from deltaworks.engine.devices import device_fault
from deltaworks.errors import AppError, FileError, MismatchError, SpaceError
from deltaworks.formatting import size

_RESERVE_BYTES = 5_000_000_000
_RESERVE_SHARE = 0.02


def raise_together(faults: Sequence[AppError]) -> None:
    """Raise every fault as one error; do nothing when there is none."""
    if not faults:
        return
    if len(faults) == 1:
        raise faults[0]
    kinds = {type(fault) for fault in faults}
    kind = kinds.pop() if len(kinds) == 1 else AppError
    texts = [f"{fault.where}: {fault.what}" if fault.where else fault.what for fault in faults]
    fixes = dict.fromkeys(fault.fix for fault in faults if fault.fix)
    raise kind("; ".join(texts), fix=" ".join(fixes))


def check_target(
    target: Path, inputs: Sequence[Checkpoint], *, may_exist: bool = False
) -> list[AppError]:
    """An output must be new and lie outside of every input."""
    faults: list[AppError] = []
    if target.exists() and not may_exist:
        faults.append(
            FileError("exists already", where=str(target), fix="Choose another name or remove it.")
        )
    place = target.resolve()
    for checkpoint in inputs:
        folder = checkpoint.path.resolve()
        if folder.is_dir() and place.is_relative_to(folder):
            faults.append(
                FileError(
                    f"lies inside the input {folder}",
                    where=str(target),
                    fix="Choose a folder outside of the models you read.",
                )
            )
    return faults


def check_device(device: str) -> list[AppError]:
    """The device must be one that is here."""
    fault = device_fault(device)
    return [] if fault is None else [fault]


def check_space(target: Path, n_bytes: int) -> list[AppError]:
    """The disk must hold the output."""
    free, _ = _space(target)
    if n_bytes <= free:
        return []
    what = f"needs {size(n_bytes)}, {size(free)} free"
    return [SpaceError(what, where=str(target), fix="Free some space or choose another folder.")]


def space_note(target: Path, n_bytes: int) -> list[str]:
    """Warn when the output would eat into what a volume should keep free."""
    free, total = _space(target)
    reserve = max(_RESERVE_BYTES, int(total * _RESERVE_SHARE))
    if free - n_bytes >= reserve:
        return []
    left = size(max(0, free - n_bytes))
    return [f"Leaves {left} free on the disk; {size(reserve)} should stay free."]


def check_not_same(base: Checkpoint, expert: Checkpoint) -> list[AppError]:
    """A model is not its own fine-tune."""
    if base.path.resolve() != expert.path.resolve():
        return []
    return [
        MismatchError(
            "base and fine-tuned model are the same",
            where=str(expert.path),
            fix="Choose the base that this model was tuned from.",
        )
    ]


def check_architecture(base: Checkpoint, expert: Checkpoint) -> list[AppError]:
    """Deltas make sense between models of one architecture only."""
    for key in ("architectures", "model_type"):
        theirs, ours = base.config.get(key), expert.config.get(key)
        if theirs and ours and theirs != ours:
            what = f"{key} is {_text(ours)} here, {_text(theirs)} in the base"
            return [_other_base(expert, what)]
    return []


def check_shapes(base: Checkpoint, expert: Checkpoint, names: Sequence[str]) -> list[AppError]:
    """Matrices inside blocks must have the base's shapes, and most tensors a partner there."""
    common = [name for name in expert.names if name in base]
    shared = sum(expert.info(name).n_elements for name in common)
    if 2 * shared < expert.n_parameters:
        share = shared / max(1, expert.n_parameters)
        return [_other_base(expert, f"only {share:.0%} of its numbers have a partner in the base")]
    offenders = [
        f"{name}: shape {expert.info(name).shape} here, {base.info(name).shape} in the base"
        for name in names
        if name in base and expert.info(name).shape != base.info(name).shape
    ]
    if not offenders:
        return []
    more = f" and {len(offenders) - 3} more" if len(offenders) > 3 else ""
    return [_other_base(expert, "; ".join(offenders[:3]) + more)]


def _other_base(expert: Checkpoint, what: str) -> MismatchError:
    return MismatchError(
        what, where=str(expert.path), fix="Choose the base that this model was tuned from."
    )


def _space(target: Path) -> tuple[int, int]:
    folder = target if target.is_dir() else target.parent
    while not folder.exists():
        folder = folder.parent
    usage = shutil.disk_usage(folder)
    return usage.free, usage.total


def _text(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
