"""Names for people and files: what tells a setting, an expert or an output from its siblings."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

DELTA_SUFFIX = ".delta.safetensors"


def setting_labels(settings: Sequence[tuple[str, Mapping[str, Any]]]) -> list[str]:
    """Say what differs between settings of the same method: ``rank 16``.

    Args:
        settings: method id and all of its options, for every setting.

    Returns:
        One label a setting; empty where a method has only one.
    """
    labels = []
    for method, options in settings:
        siblings = [other for id_, other in settings if id_ == method]
        differing = [
            name for name in options if any(other.get(name) != options[name] for other in siblings)
        ]
        labels.append(", ".join(_named(name, options[name]) for name in differing))
    return labels


def delta_name(expert: str, method: str, label: str) -> str:
    """Give the file name of a delta: ``expert--method--settings.delta.safetensors``."""
    parts = [slug(expert), method, slug(label)]
    return "--".join(part for part in parts if part) + DELTA_SUFFIX


def display_name(path: str, name: str = "") -> str:
    """Name a model for people: as the user called it, else its file or folder."""
    stem = Path(path).name
    for suffix in (DELTA_SUFFIX, ".safetensors"):
        stem = stem.removesuffix(suffix)
    return name or stem or path


def distinct(names: Sequence[str]) -> list[str]:
    """Number the later ones of equal names: ``a``, ``a-2``. Case counts for nothing."""
    taken: set[str] = set()
    result = []
    for name in names:
        free, number = name, 1
        while slug(free).lower() in taken:
            number += 1
            free = f"{name}-{number}"
        taken.add(slug(free).lower())
        result.append(free)
    return result


def slug(text: str) -> str:
    """Keep what every file system takes."""
    return re.sub(r"[^A-Za-z0-9._+-]+", "-", text).strip("-.")


def _named(name: str, value: Any) -> str:
    words = name.replace("_", " ")
    if isinstance(value, bool):
        return words if value else f"no {words}"
    return f"{words} {value:g}" if isinstance(value, float) else f"{words} {value}"
