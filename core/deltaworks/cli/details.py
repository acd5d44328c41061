"""What ``inspect`` shows of one checkpoint."""

from __future__ import annotations

from typing import Any

from deltaworks import formatting
from deltaworks.checkpoints import Checkpoint, roles_of
from deltaworks.checkpoints.delta_checkpoint import DeltaCheckpoint
from deltaworks.cli.output import print_table, say
from deltaworks.library.facts import dtype_text
from deltaworks.library.samples import block_matrices


def checkpoint_facts(checkpoint: Checkpoint) -> dict[str, Any]:
    """Gather everything under the documented keys."""
    infos = [checkpoint.info(name) for name in checkpoint.names]
    roles = roles_of(infos, checkpoint.config)
    facts: dict[str, Any] = {
        "path": str(checkpoint.path),
        "kind": checkpoint.kind,
        "architecture": (checkpoint.config.get("architectures") or [""])[0],
        "parameters": sum(info.n_elements for info in infos),
        "block_matrices": len(block_matrices(checkpoint)),
        "dtype": dtype_text(infos),
        "tensor_bytes": sum(info.nbytes for info in infos),
        "file_bytes": checkpoint.identity.size_bytes,
        "header": checkpoint.identity.header,
        "weight_files": [str(path) for path in checkpoint.weight_files],
        "side_files": sorted(checkpoint.side_files),
        "tensors": [
            {
                "name": info.name,
                "shape": list(info.shape),
                "dtype": info.dtype,
                "bytes": info.nbytes,
                "role": roles[info.name].role,
                "block": roles[info.name].block,
            }
            for info in infos
        ],
    }
    if isinstance(checkpoint, DeltaCheckpoint):
        facts |= _delta_facts(checkpoint)
    return facts


def _delta_facts(delta: DeltaCheckpoint) -> dict[str, Any]:
    manifest = delta.manifest
    return {
        "delta": {
            "method": manifest.method,
            "options": manifest.params,
            "seed": manifest.seed,
            "base": manifest.base.id,
            "expert": manifest.expert.id,
            "is_exact": delta.is_exact,
            "original_bytes": delta.original_bytes,
            "sizes": manifest.sizes,
            "same": list(manifest.same),
            "side_files": list(manifest.side_files),
        },
        "recipe": delta.recipe,
        "report": delta.report,
    }


def print_facts(facts: dict[str, Any]) -> None:
    """Show the facts to a person."""
    say(f"{facts['path']} ({facts['kind']})")
    parameters, size = formatting.count(facts["parameters"]), formatting.size(facts["file_bytes"])
    say(
        f"{facts['architecture'] or 'unknown architecture'} · {parameters} parameters · "
        f"{facts['dtype']} · {len(facts['tensors'])} tensors · {size} on disk"
    )
    if "delta" in facts:
        _print_delta(facts["delta"], facts["file_bytes"], facts["report"])
    print_table(
        ("Tensor", "Shape", "Type", "Size", "Role", "Block"),
        [
            (
                tensor["name"],
                " × ".join(str(edge) for edge in tensor["shape"]) or "scalar",
                tensor["dtype"],
                formatting.size(tensor["bytes"]),
                tensor["role"],
                "" if tensor["block"] is None else str(tensor["block"]),
            )
            for tensor in facts["tensors"]
        ],
        right=("Size", "Block"),
    )


def _print_delta(delta: dict[str, Any], file_bytes: int, report: dict[str, Any]) -> None:
    options = ", ".join(f"{name}={value}" for name, value in delta["options"].items())
    exact = "rebuilds bit for bit" if delta["is_exact"] else "lossy"
    say(f"Delta of {delta['expert']} over {delta['base']}: {delta['method']} ({options}), {exact}")
    original = delta["original_bytes"]
    say(
        f"{formatting.size(file_bytes)} instead of {formatting.size(original)}, "
        f"{formatting.ratio(original / max(1, file_bytes))} smaller"
    )
    error = report.get("error")
    if error is not None:
        say(f"Squared error of the delta: {formatting.percent(error)} of its energy")
