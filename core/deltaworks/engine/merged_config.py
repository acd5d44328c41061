"""The config of a merged model: the leader's, changed where the result differs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from deltaworks.engine.merge_names import is_head
from deltaworks.engine.merge_plan import MergeJob

_NAMES = {"F32": "float32", "F16": "float16", "BF16": "bfloat16", "F64": "float64"}
_DTYPE_KEYS = ("dtype", "torch_dtype")
_DEPTH_KEYS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")
_PARTS = ("text_config", "llm_config", "language_config")
"""Where the config of a language model is kept inside that of a larger one."""


def merged_config(job: MergeJob) -> tuple[dict[str, Any], list[str]]:
    """Change the leader's config where the result differs from the leader.

    Returns:
        The config, and one sentence for every change.
    """
    config: dict[str, Any] = dict(job.leader.config)
    if not config:
        return config, []
    return config, [f"config.json: {text}." for text in _changes(job, config)]


def _changes(job: MergeJob, config: dict[str, Any]) -> Iterator[str]:
    wanted = _NAMES.get(job.recipe.out_dtype)
    if wanted and _set_dtype(config, wanted):
        yield f"dtype is now {wanted}"
    heads = [name for name in job.tasks if is_head(name)]
    gains_head = any(job.models.stored(job.models.leader, name) != name for name in heads)
    if gains_head and config.get("tie_word_embeddings"):
        config["tie_word_embeddings"] = False
        yield "tie_word_embeddings is now false, as there is a head"
    if job.alignment.n_rows and _set(config, ("vocab_size",), job.alignment.n_rows):
        yield f"vocab_size is now {job.alignment.n_rows}"
    yield from _depth(job, config)


def _set(config: dict[str, Any], keys: tuple[str, ...], value: int) -> bool:
    """Set the keys that are there, here or in the language model's part."""
    has_changed = False
    for key in keys:
        if key in config and config[key] != value:
            config[key], has_changed = value, True
    for name in _PARTS:
        if isinstance(config.get(name), Mapping):
            inner = dict(config[name])
            if _set(inner, keys, value):
                config[name], has_changed = inner, True
    return has_changed


def _depth(job: MergeJob, config: dict[str, Any]) -> Iterator[str]:
    """Say how many layers there are now, and let lists of layers follow."""
    origins = _origins(job)
    if not origins:
        return
    lists = [name for name, value in config.items() if isinstance(value, list)]
    before = next((config[key] for key in _DEPTH_KEYS if isinstance(config.get(key), int)), 0)
    if _set(config, _DEPTH_KEYS, len(origins)):
        yield f"it has {len(origins)} layers now"
    for name in lists:
        if before and len(config[name]) == before != len(origins):
            config[name] = [config[name][origin % before] for origin in origins]
            yield f"{name} follows the layers"


def _origins(job: MergeJob) -> list[int]:
    """Give for every layer of the result the one it comes from; empty without slices."""
    parts = [job.recipe.slices, *(module.slices for module in job.recipe.modules)]
    for slices in parts:
        ranges = [slice_.sources[0].layers for slice_ in slices]
        found = [layer for one in ranges if one is not None for layer in range(*one)]
        if found:
            return found
    return []


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
