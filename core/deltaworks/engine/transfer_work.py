"""What a transfer has finished, kept beside its output until it is done, so that it can go on."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deltaworks.checkpoints.staging import partial_path
from deltaworks.engine.transfer_types import TransferJob
from deltaworks.methods.transfer.record import Factors
from deltaworks.recipes import dump_recipe

if TYPE_CHECKING:
    from torch import Tensor

_HOW = ("memory_bytes", "threads", "note", "output")


class Work:
    """The folder of one transfer; another recipe, model or text has another one.

    Args:
        job: what is transferred.
        resume: keep what an earlier run has left; else it is removed.
    """

    def __init__(self, job: TransferJob, *, resume: bool) -> None:
        self.folder = partial_path(job.output, f"transfer-{_key(job)}", is_free=False)
        if not resume:
            self.drop()
        self._made = [path for path in self.folder.parents if not path.exists()]
        self.folder.mkdir(parents=True, exist_ok=True)

    def training(self, arm: str) -> Path:
        """Give the folder of an arm's states."""
        return self.folder / f"training-{arm}"

    def save(self, name: str, factors: Mapping[str, Factors], facts: Mapping[str, Any]) -> None:
        """Keep a finished part."""
        from safetensors.torch import save_file

        tensors: dict[str, Tensor] = {}
        for place, one in factors.items():
            tensors[f"{place}.left"] = one.left.contiguous()
            tensors[f"{place}.right"] = one.right.contiguous()
        fresh = self.folder / f"{name}.fresh"
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir()
        save_file(tensors, fresh / "factors.safetensors")
        (fresh / "facts.json").write_text(json.dumps(facts), "utf-8")
        fresh.rename(self.folder / name)

    def load(self, name: str) -> tuple[dict[str, Factors], dict[str, Any]] | None:
        """Give a finished part, or None."""
        from safetensors.torch import load_file

        kept = self.folder / name
        if not kept.exists():
            return None
        tensors = load_file(kept / "factors.safetensors")
        places = [one.removesuffix(".left") for one in tensors if one.endswith(".left")]
        factors = {one: Factors(tensors[f"{one}.left"], tensors[f"{one}.right"]) for one in places}
        facts: dict[str, Any] = json.loads((kept / "facts.json").read_text("utf-8"))
        return factors, facts

    def drop(self) -> None:
        """Remove everything."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def give_up(self) -> None:
        """Remove everything, and the folders above that were made for it."""
        self.drop()
        for path in self._made:
            if path.exists() and not any(path.iterdir()):
                path.rmdir()


def _key(job: TransferJob) -> str:
    """Tell this transfer from others."""
    from blake3 import blake3

    recipe = {name: one for name, one in dump_recipe(job.recipe).items() if name not in _HOW}
    files = {**job.source.file_states, **job.target.file_states}
    states = {str(path): list(map(str, state)) for path, state in files.items()}
    texts = {name: repr(one.samples) for name, one in job.texts.items()}
    plain = json.dumps([recipe, states, texts], sort_keys=True)
    return blake3(plain.encode()).hexdigest(length=6)
