"""What a PEFT LoRA adapter says of itself, and which kinds are understood.

Source: Hu et al., "LoRA", arXiv:2106.09685; Kalajdzievski, "rsLoRA", arXiv:2312.03732;
keys and rules as in PEFT's ``LoraConfig``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite, sqrt
from pathlib import Path
from typing import Any

from deltaworks.checkpoints.documents import read_object
from deltaworks.checkpoints.faults import DAMAGED, place
from deltaworks.errors import FileError

_OTHER_WEIGHTS = {
    "use_dora": "DoRA",
    "use_qalora": "QALoRA",
    "use_bdlora": "block-diagonal LoRA",
    "alora_invocation_tokens": "activated LoRA",
    "arrow_config": "Arrow routing",
    "kasa_config": "KaSA",
    "velora_config": "VeLoRA",
    "monteclora_config": "MonteCLoRA",
    "layer_replication": "layer replication",
    "target_parameters": "LoRA on bare parameters",
    "trainable_token_indices": "trainable tokens",
    "megatron_config": "Megatron layers",
}
"""Settings under which the merged weight is not base + s·B·A, by their names for people."""

_LONGEST_PATTERN = 500
_MOST_REPEATS = 3
_REPEATED_GROUP = re.compile(r"\)\s*[*+{]|\\\d|\(\?P=")
"""A group that is repeated, or referred to: the way to patterns without an end."""

_CHANGED_BASE = ("pissa", "olora", "corda", "loftq", "lora_ga")
"""Initialisations that also change the base, so that the plain base does not fit."""


@dataclass(frozen=True)
class AdapterConfig:
    """The part of adapter_config.json that says what B·A means.

    Args:
        base: ``base_model_name_or_path``; empty when not said.
        rank: r where ``rank_pattern`` says nothing.
        alpha: α where ``alpha_pattern`` says nothing.
        rank_pattern: regular expressions of module names to r.
        alpha_pattern: the same to α.
        is_rank_stabilised: s = α/√r in place of α/r.
        is_transposed: the base stores (in, out), as GPT-2's Conv1D does.
    """

    base: str
    rank: float
    alpha: float
    rank_pattern: Mapping[str, float]
    alpha_pattern: Mapping[str, float]
    is_rank_stabilised: bool
    is_transposed: bool

    def scale(self, module: str) -> float:
        """Give s of s·B·A for a module, by its name in the base."""
        rank = _for_module(self.rank_pattern, module, self.rank)
        alpha = _for_module(self.alpha_pattern, module, self.alpha)
        return alpha / (sqrt(rank) if self.is_rank_stabilised else rank)

    def rank_of(self, module: str) -> int:
        """Give r of a module."""
        return int(_for_module(self.rank_pattern, module, self.rank))


def read_adapter_config(path: Path) -> AdapterConfig:
    """Read adapter_config.json.

    Raises:
        FileError: it is damaged, or of a kind whose merged weight is not base + s·B·A.
    """
    data = read_object(path)
    _refuse_other_kinds(data, path)
    return AdapterConfig(
        base=str(data.get("base_model_name_or_path") or ""),
        rank=_number(data, "r", 8, path),
        alpha=_number(data, "lora_alpha", 8, path),
        rank_pattern=_pattern(data, "rank_pattern", path),
        alpha_pattern=_pattern(data, "alpha_pattern", path),
        is_rank_stabilised=data.get("use_rslora") is True,
        is_transposed=data.get("fan_in_fan_out") is True,
    )


def _refuse_other_kinds(data: Mapping[str, Any], path: Path) -> None:
    kind = data.get("peft_type")
    found = [title for key, title in _OTHER_WEIGHTS.items() if data.get(key)]
    start = data.get("init_lora_weights")
    if isinstance(start, str) and start.lower().startswith(_CHANGED_BASE):
        found.append(f"initialisation {start!r:.40}, which changes the base")
    if kind != "LORA":
        found = [f"type {kind!r:.40}"]
    if found:
        raise FileError(
            f"adapter uses {', '.join(found)}; plain LoRA and rsLoRA are read here",
            where=place(path),
            fix="Merge it with PEFT and open the merged model.",
        )


def _number(data: Mapping[str, Any], key: str, default: float, path: Path) -> float:
    value = data.get(key, default)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not isfinite(value) or (key == "r" and value < 1):
        raise FileError(f"{key} is {value!r:.40}", where=place(path), fix=DAMAGED)
    return float(value)


def _pattern(data: Mapping[str, Any], key: str, path: Path) -> dict[str, float]:
    patterns = data.get(key) or {}
    if not isinstance(patterns, dict):
        raise FileError(f"{key} is {patterns!r:.40}", where=place(path), fix=DAMAGED)
    for pattern in patterns:
        _refuse_endless(pattern, key, path)
        try:
            re.compile(pattern)
        except (re.error, RecursionError, OverflowError) as error:
            raise FileError(
                f"{key} holds {pattern!r:.40}, which is no regular expression ({error})",
                where=place(path),
                fix=DAMAGED,
            ) from error
    least = "r" if key == "rank_pattern" else key
    return {name: _number({least: value}, least, 0, path) for name, value in patterns.items()}


def _refuse_endless(pattern: str, key: str, path: Path) -> None:
    """Refuse expressions that can take hours to match: repeats of repeats, or many repeats.

    PEFT's own patterns are names of modules, with a ``.*`` or two.
    """
    repeats = len(re.findall(r"(?<!\\)[*+}]", pattern))
    if (
        len(pattern) > _LONGEST_PATTERN
        or repeats > _MOST_REPEATS
        or _REPEATED_GROUP.search(pattern)
    ):
        raise FileError(
            f"{key} holds {pattern!r:.80}, which could take hours to match",
            where=place(path),
            fix="Name the modules instead.",
        )


def _for_module(patterns: Mapping[str, float], module: str, default: float) -> float:
    """Give the value of the first pattern that matches the end of a module's name."""
    for pattern, value in patterns.items():
        if re.match(rf"(.*\.)?({pattern})$", module):
            return value
    return default
