"""What a repaired model says of itself, and the files beside its weights."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deltaworks import product
from deltaworks.engine.merged_files import RECIPE_FILE
from deltaworks.engine.provenance import lasting_recipe
from deltaworks.engine.repair_plan import WORDS
from deltaworks.engine.repair_types import RepairJob

REPORT_FILE = "deltaworks_report.json"
LIMITS = (
    "Nothing here says that the model is safe: refusals are counted by keywords, on the prompts "
    "given, and only where they were measured."
)
_CARD = "README.md"
_NAMES = {"F32": "float32", "F16": "float16", "BF16": "bfloat16", "F64": "float64"}
_RAISED = 1.001
"""Damage with compensation over damage without, above which it did harm."""


def side_files(job: RepairJob) -> dict[str, Path | bytes]:
    """Take the fine-tune's files, its config with the dtype of the result."""
    leader = job.tuned
    files: dict[str, Path | bytes] = {
        name: path
        for name, path in leader.side_files.items()
        if name != _CARD and not name.endswith(".index.json") and name != REPORT_FILE
    }
    wanted = _NAMES.get(job.recipe.out_dtype)
    if wanted and leader.config:
        key = "dtype" if "dtype" in leader.config else "torch_dtype"
        config = {**leader.config, key: wanted}
        files["config.json"] = (json.dumps(config, indent=2, ensure_ascii=False) + "\n").encode()
    recipe = json.dumps(lasting_recipe(job.recipe), indent=2, ensure_ascii=False) + "\n"
    files[RECIPE_FILE] = recipe.encode()
    return files


def side_notes(job: RepairJob) -> list[str]:
    """Say what of the fine-tune's files is left out."""
    has_card = _CARD in job.tuned.side_files
    return [f"{_CARD} is not copied: it describes another model."] if has_card else []


def repair_facts(
    job: RepairJob,
    models: Mapping[str, Any],
    texts: Mapping[str, Any],
    layers: Mapping[str, Mapping[str, Any]],
) -> dict[str, Any]:
    """Give the report of a repair as plain data; the same work gives the same data."""
    in_order = {name: dict(layers[name]) for name in job.tasks if name in layers}
    raised = [name for name, facts in in_order.items() if _raised(facts)]
    stand_ins = {
        group[0]: WORDS[group[1]]
        for group in job.method.inputs
        if len(group) > 1 and group[0] not in job.others
    }
    untouched = {
        origin: [name for name, task in job.tasks.items() if task.origin == origin]
        for origin in ("aligned", "tuned")
    }
    return {
        "method": job.method.id,
        "title": job.method.title,
        "options": job.options.model_dump(mode="json"),
        "seed": job.recipe.seed,
        "version": product.VERSION,
        "models": dict(models),
        "stand_ins": stand_ins,
        "texts": dict(texts),
        "template": _template(job),
        "total": totals(in_order),
        "layers": in_order,
        "untouched": {origin: names for origin, names in untouched.items() if names},
        "warnings": [f"compensation raised the damage in {name}" for name in raised],
        "limits": LIMITS,
    }


def _raised(facts: Mapping[str, Any]) -> bool:
    bare = facts.get("damage_uncompensated", 0.0)
    return bool(facts.get("damage", 0.0) > _RAISED * bare > 0.0)


def _template(job: RepairJob) -> str:
    """Say how prompts were put to the model."""
    path = job.aligned.side_files.get("tokenizer_config.json")
    has_own = "chat_template.jinja" in job.aligned.side_files
    if not has_own and path is not None:
        has_own = '"chat_template"' in path.read_text(encoding="utf-8", errors="replace")
    return "chat template of the tokenizer" if has_own else "none"


def totals(layers: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """Pool the layers: shares of what changed, and of the damage."""

    def summed(name: str) -> float:
        return float(sum(facts.get(name, 0.0) for facts in layers.values()))

    def squares(name: str) -> float:
        return float(sum(facts.get(name, 0.0) ** 2 for facts in layers.values()))

    found: dict[str, float] = {"layers": float(len(layers))}
    before = squares("delta_norm")
    if before:
        kept = sum(
            facts.get("cosine", 0.0) * facts["delta_norm"] * facts["out_norm"]
            for facts in layers.values()
            if "delta_norm" in facts
        )
        found["delta_energy"] = before
        found["energy_left"] = squares("out_norm") / before
        found["change_kept"] = kept / before
    if summed("damage_full"):
        found["damage_share"] = summed("damage") / summed("damage_full")
    if summed("changed") and "admitted" in next(iter(layers.values()), {}):
        found["admitted"] = summed("admitted")
    return found
