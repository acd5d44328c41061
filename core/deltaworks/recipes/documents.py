"""Reading and writing recipes: JSON, YAML and plain data."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, TypeAdapter, ValidationError

from deltaworks.errors import FileError, OptionError
from deltaworks.recipes.mergekit import from_mergekit, is_mergekit
from deltaworks.recipes.schema import (
    CompressRecipe,
    EvaluateRecipe,
    MergeRecipe,
    RebuildRecipe,
    Recipe,
    RepairRecipe,
    RepairSweepRecipe,
    SweepRecipe,
)

_KINDS: dict[str, type[BaseModel]] = {
    "compress": CompressRecipe,
    "sweep": SweepRecipe,
    "merge": MergeRecipe,
    "repair": RepairRecipe,
    "repair-sweep": RepairSweepRecipe,
    "rebuild": RebuildRecipe,
    "evaluate": EvaluateRecipe,
}
_RECIPES: TypeAdapter[Recipe] = TypeAdapter(Recipe)
_FIX = "Correct the recipe and try again"


def parse_recipe(data: Mapping[str, Any], *, where: str = "recipe") -> Recipe:
    """Check plain data against the schema.

    Args:
        data: as JSON or YAML gave it, or as ``dump_recipe`` made it.
        where: what messages name, such as the file.

    Raises:
        OptionError: one sentence naming every field that does not fit.
    """
    kind = data.get("kind")
    if kind not in _KINDS:
        what = f"kind is {kind!r}" if "kind" in data else "field 'kind' is missing"
        raise OptionError(f"{what} (known: {', '.join(_KINDS)})", where=where, fix=_FIX)
    try:
        return _RECIPES.validate_python(dict(data))
    except ValidationError as error:
        faults = "; ".join(_fault(item, _KINDS[kind]) for item in error.errors())
        raise OptionError(faults, where=where, fix=_FIX) from error


def load_recipe(path: Path | str, *, output: str = "") -> Recipe:
    """Read a recipe file: ours as JSON or YAML, or a mergekit file.

    Args:
        path: the file. Relative paths inside it are relative to the working directory.
        output: where the result goes. mergekit files do not say it and need it; for
            our own recipes it replaces what the file says when it is not empty.

    Raises:
        FileError: the file cannot be read or is neither JSON nor YAML.
        OptionError: something in it is unknown, or cannot be honoured.
    """
    path = Path(path)
    data = _read(path)
    if is_mergekit(data):
        return from_mergekit(data, output=output, where=str(path))
    recipe = parse_recipe(data, where=str(path))
    if output:
        if isinstance(recipe, EvaluateRecipe):
            raise OptionError("an evaluation writes no output", where=str(path))
        return recipe.model_copy(update={"output": output})
    return recipe


def dump_recipe(recipe: Recipe) -> dict[str, Any]:
    """Give plain JSON data that ``parse_recipe`` reads back to an equal recipe."""
    return recipe.model_dump(mode="json")


def save_recipe(recipe: Recipe, path: Path | str) -> None:
    """Write a recipe as YAML when the name ends in .yml or .yaml, as JSON otherwise."""
    path = Path(path)
    data = dump_recipe(recipe)
    if path.suffix in {".yml", ".yaml"}:
        text = yaml.safe_dump(data, sort_keys=False, allow_unicode=True)
    else:
        text = json.dumps(data, indent=2, ensure_ascii=False) + "\n"
    path.write_text(text, encoding="utf-8")


def _read(path: Path) -> dict[str, Any]:
    """Parse one document. YAML 1.2 holds JSON, but PyYAML is stricter on tabs."""
    try:
        text = path.read_text(encoding="utf-8")
        documents = [json.loads(text)] if path.suffix == ".json" else list(yaml.safe_load_all(text))
    except OSError as error:
        raise FileError(error.strerror or str(error), where=str(path)) from error
    except (UnicodeDecodeError, json.JSONDecodeError, yaml.YAMLError) as error:
        what = f"neither JSON nor YAML ({' '.join(str(error).split())})"
        raise FileError(what, where=str(path), fix="Choose a recipe file.") from error
    if len(documents) != 1:
        raise OptionError(
            f"{len(documents)} YAML documents in one file",
            where=str(path),
            fix="Write one document a file and run them one after the other.",
        )
    if not isinstance(documents[0], dict):
        raise FileError(
            f"holds {type(documents[0]).__name__}, not named fields",
            where=str(path),
            fix="Choose a recipe file.",
        )
    return documents[0]


def _fault(item: Any, recipe: type[BaseModel]) -> str:
    places = item["loc"][1:]  # the first is the recipe's kind
    name = ".".join(str(place) for place in places)
    if item["type"] == "extra_forbidden":
        known = ", ".join(_model_at(places[:-1], recipe).model_fields)
        return f"unknown field '{name}' (known: {known})"
    if item["type"] == "missing":
        return f"field '{name}' is missing"
    text = str(item["msg"])
    return f"field '{name}' is {item['input']!r}: {text[0].lower()}{text[1:]}"


def _model_at(places: tuple[str | int, ...], model: type[BaseModel]) -> type[BaseModel]:
    """Follow field names, through tuples and optional fields, to the model that is there."""
    for place in places:
        if isinstance(place, str) and place in model.model_fields:
            kind: Any = model.model_fields[place].annotation
            inner = [kind, *get_args(kind)]
            model = next(
                (part for part in inner if isinstance(part, type) and issubclass(part, BaseModel)),
                model,
            )
    return model
