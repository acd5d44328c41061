"""mergekit's references to models: ``path@revision+adapter@revision``, or a mapping."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deltaworks.errors import OptionError
from deltaworks.recipes.schema import ModelRef


def model_reference(value: Any, place: str, where: str) -> ModelRef:
    """Read a reference. A revision stays behind its path, as ``owner/name@revision``.

    Raises:
        OptionError: it is none.
    """
    if isinstance(value, Mapping):
        return _from_mapping(value, place, where)
    if not isinstance(value, str) or not value:
        raise OptionError(f"{place} is {value!r}, not a path", where=where)
    if "+" not in value or Path(value).exists():
        return ModelRef(path=value)
    path, _, adapter = value.partition("+")
    if not path or not adapter or "+" in adapter:
        raise OptionError(f"{place} is {value!r}, not a model and one adapter", where=where)
    return ModelRef(path=path, adapter=adapter)


def _from_mapping(value: Mapping[str, Any], place: str, where: str) -> ModelRef:
    for name in value:
        if name not in {"model", "lora", "override_architecture"}:
            known = "model, lora, override_architecture"
            raise OptionError(f"{place}: unknown field '{name}' (known: {known})", where=where)
    if value.get("override_architecture"):
        raise OptionError(
            f"{place}: override_architecture is not understood",
            where=where,
            fix="Leave it out: tensors are matched by their names here.",
        )
    lora = value.get("lora")
    return ModelRef(
        path=_path(value.get("model"), f"{place}.model", where),
        adapter="" if lora is None else _path(lora, f"{place}.lora", where),
    )


def _path(value: Any, place: str, where: str) -> str:
    if isinstance(value, Mapping):
        path, revision = value.get("path"), value.get("revision")
        if set(value) - {"path", "revision"} or not isinstance(path, str) or not path:
            raise OptionError(f"{place} is {dict(value)!r}, not a path and a revision", where=where)
        return f"{path}@{revision}" if revision else path
    if not isinstance(value, str) or not value:
        raise OptionError(f"{place} is {value!r}, not a path", where=where)
    return value
