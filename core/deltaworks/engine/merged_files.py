"""Config, tokenizer and other files of a merged model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deltaworks.engine.merge_plan import MergeJob
from deltaworks.engine.provenance import lasting_recipe

RECIPE_FILE = "deltaworks_recipe.json"
_NAMES = {"F32": "float32", "F16": "float16", "BF16": "bfloat16", "F64": "float64"}
_DTYPE_KEYS = ("dtype", "torch_dtype")
_CARD = "README.md"


def merged_side_files(job: MergeJob) -> tuple[dict[str, Path | bytes], tuple[str, ...]]:
    """Take the leader's side files, with the config as the result needs it.

    Returns:
        Name to path or content, and what the user should know.
    """
    files: dict[str, Path | bytes] = {
        name: path
        for name, path in job.leader.side_files.items()
        if name != _CARD and not name.endswith(".index.json")
    }
    notes = []
    if _CARD in job.leader.side_files:
        notes.append(f"{_CARD} is not copied: it describes another model.")
    config, changes = merged_config(job)
    if changes:
        files["config.json"] = (json.dumps(config, indent=2, ensure_ascii=False) + "\n").encode()
        notes += changes
    recipe = json.dumps(lasting_recipe(job.recipe), indent=2, ensure_ascii=False) + "\n"
    files[RECIPE_FILE] = recipe.encode()
    return files, tuple(notes)


def merged_config(job: MergeJob) -> tuple[dict[str, Any], list[str]]:
    """Change the leader's config where the result differs from the leader.

    Returns:
        The config, and one sentence for every change.
    """
    config: dict[str, Any] = dict(job.leader.config)
    changes: list[str] = []
    if not config:
        return config, changes
    wanted = _NAMES.get(job.recipe.out_dtype)
    if wanted and _set_dtype(config, wanted):
        changes.append(f"config.json: dtype is now {wanted}.")
    gains_head = "lm_head.weight" in job.tasks and "lm_head.weight" not in job.leader
    if gains_head and config.get("tie_word_embeddings"):
        config["tie_word_embeddings"] = False
        changes.append("config.json: tie_word_embeddings is now false, as there is a head.")
    return config, changes


def _set_dtype(config: dict[str, Any], wanted: str) -> bool:
    """Set the dtype in a config and in the configs of its parts; False when it is set."""
    keys = [key for key in _DTYPE_KEYS if key in config] or [_DTYPE_KEYS[1]]
    has_changed = any(config.get(key) != wanted for key in keys)
    config.update(dict.fromkeys(keys, wanted))
    for name, part in config.items():
        if isinstance(part, Mapping) and any(key in part for key in _DTYPE_KEYS):
            inner = dict(part)
            has_changed |= _set_dtype(inner, wanted)
            config[name] = inner
    return has_changed
