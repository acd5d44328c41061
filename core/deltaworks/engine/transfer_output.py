"""What a transfer leaves: an adapter an arm, the transferred model, and the record."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deltaworks.checkpoints.writer import ModelWriter
from deltaworks.engine.model_output import checksum
from deltaworks.engine.provenance import lasting_recipe
from deltaworks.engine.reports import Artefact
from deltaworks.engine.transfer_types import TransferJob
from deltaworks.methods.transfer.record import Factors
from deltaworks.progress import JobControl

if TYPE_CHECKING:
    from torch import Tensor

RECORD = "transfer.json"
_PREFIX = "base_model.model."
_LEFT_OUT = frozenset({"README.md"})


def write_record(folder: Path, facts: Mapping[str, Any]) -> None:
    """Write what was found, as JSON."""
    (folder / RECORD).write_text(json.dumps(facts, indent=2) + "\n", "utf-8")


def write_adapter(job: TransferJob, change: Mapping[str, Factors], folder: Path) -> int:
    """Write an arm's change as a PEFT adapter of the target; give its bytes.

    It is exact: what was trained and what was folded into the frozen weight, side by side.
    """
    from safetensors.torch import save_file

    folder.mkdir(parents=True)
    tensors: dict[str, Tensor] = {}
    ranks: dict[str, int] = {}
    for place in job.places:
        one, at = change[place.info.name], _PREFIX + place.module
        tensors[f"{at}.lora_A.weight"] = one.right.contiguous()
        tensors[f"{at}.lora_B.weight"] = one.left.contiguous()
        ranks[place.module] = len(one.right)
    file, config = folder / "adapter_model.safetensors", folder / "adapter_config.json"
    save_file(tensors, file, metadata={"format": "pt"})
    config.write_text(json.dumps(_config(job, ranks), indent=2) + "\n", "utf-8")
    file.chmod(config.stat().st_mode)  # weights are written for their owner alone
    for path in (file, config):
        with path.open("rb") as written:
            os.fsync(written.fileno())
    return sum(path.stat().st_size for path in folder.iterdir())


def _config(job: TransferJob, ranks: Mapping[str, int]) -> dict[str, Any]:
    """Say what PEFT must know. Alpha is the rank everywhere, so that the scale is 1."""
    top = max(ranks.values())
    others = {module: rank for module, rank in ranks.items() if rank != top}
    return {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": str(job.target.path),
        "inference_mode": True,
        "r": top,
        "lora_alpha": top,
        "lora_dropout": 0.0,
        "bias": "none",
        "fan_in_fan_out": False,
        "target_modules": sorted(ranks),
        "rank_pattern": others,
        "alpha_pattern": others,
        "modules_to_save": None,
    }


def write_model(
    job: TransferJob, change: Mapping[str, Factors], folder: Path, control: JobControl
) -> int:
    """Write the target with a change added, float32 rounded once to what it is stored in."""
    from deltaworks.numerics.words import tensor_words, torch_dtype

    infos = [job.target.info(name) for name in job.target.names]
    side: dict[str, Path | bytes] = {
        name: path for name, path in job.target.side_files.items() if name not in _LEFT_OUT
    }
    recipe = json.dumps(lasting_recipe(job.recipe), separators=(",", ":"))
    metadata = {"format": "pt", "deltaworks_recipe": recipe}
    pieces: dict[str, list[tuple[int, str]]] = {}
    with ModelWriter(
        folder, infos, shard_bytes=job.recipe.shard_bytes, side_files=side, metadata=metadata
    ) as writer:
        for info in infos:
            control.check()
            words = job.target.read_words(info.name)
            if info.name in change:
                whole = job.target.read(info.name).float() + change[info.name].product()
                words = tensor_words(whole.to(torch_dtype(info.dtype)))
            writer.write(info.name, words)
            pieces[info.name] = [(info.nbytes, checksum(words))]
        writer.add_hashes(pieces)
        writer.commit(control.silent())
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def artefact(job: TransferJob, path: Path, kind: str, arm: str, n_bytes: int) -> Artefact:
    """Describe one result."""
    return Artefact(
        path=str(path),
        kind=kind,
        name=path.name if kind == "adapter" else job.output.name,
        expert="",
        base=str(job.target.path),
        method=job.method.id if arm == job.method.id else arm,
        options=job.options.model_dump(mode="json"),
        file_bytes=n_bytes,
    )
