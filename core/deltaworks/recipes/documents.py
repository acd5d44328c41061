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
    ChannelMergeRecipe,
    ComparisonRecipe,
    CompressRecipe,
    ContestRecipe,
    EvaluateRecipe,
    ExtractRecipe,
    FuseRecipe,
    GenerateRecipe,
    GrowRecipe,
    MergeRecipe,
    RebuildRecipe,
    Recipe,
    RepairRecipe,
    RepairSweepRecipe,
    SweepRecipe,
    TransferRecipe,
)

_KINDS: dict[str, type[BaseModel]] = {
    "compress": CompressRecipe,
    "sweep": SweepRecipe,
    "merge": MergeRecipe,
    "compare-merges": ContestRecipe,
    "compare-methods": ComparisonRecipe,
    "channel-merge": ChannelMergeRecipe,
    "repair": RepairRecipe,
    "repair-sweep": RepairSweepRecipe,
    "fuse": FuseRecipe,
    "rebuild": RebuildRecipe,
    "extract": ExtractRecipe,
    "transfer": TransferRecipe,
    "evaluate": EvaluateRecipe,
    "generate": GenerateRecipe,
    "grow": GrowRecipe,
}
_RECIPES: TypeAdapter[Recipe] = TypeAdapter(Recipe)
_FIX = "Correct the recipe and try again"
_MOST_ENTRIES = 100_000
_DEEPEST = 60
_MOST_BYTES = 10_000_000


def parse_recipe(data: Mapping[str, Any], *, where: str = "recipe") -> Recipe:
    """Check plain data against the schema.

    Args:
        data: as JSON or YAML gave it, or as ``dump_recipe`` made it.
        where: what messages name, such as the file.

    Raises:
        OptionError: one sentence naming every field that does not fit.
    """
    kind = data.get("kind")
    if not isinstance(kind, str) or kind not in _KINDS:
        what = f"kind is {kind!r:.80}" if "kind" in data else "field 'kind' is missing"
        raise OptionError(f"{what} (known: {', '.join(_KINDS)})", where=where, fix=_FIX)
    _check_bounds(data, where)
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
    _check_bounds(data, str(path))
    if is_mergekit(data):
        return _from_mergekit(data, output, str(path))
    recipe = parse_recipe(data, where=str(path))
    if output:
        if isinstance(recipe, EvaluateRecipe | GenerateRecipe):
            raise OptionError(f"a recipe of kind '{recipe.kind}' writes no output", where=str(path))
        return recipe.model_copy(update={"output": output})
    return recipe


def _from_mergekit(data: Mapping[str, Any], output: str, where: str) -> Recipe:
    """Read mergekit's fields, which no schema has checked before."""
    try:
        return from_mergekit(data, output=output, where=where)
    except (AttributeError, LookupError, OverflowError, TypeError, ValueError) as error:
        what = f"a field holds a value of another kind than mergekit's files have ({error})"
        raise OptionError(what, where=where, fix=_FIX) from error


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
        if path.stat().st_size > _MOST_BYTES:
            what = f"has {path.stat().st_size:,} bytes, at most {_MOST_BYTES:,} are read"
            raise FileError(what, where=str(path), fix="Choose a recipe file.")
        text = path.read_text(encoding="utf-8")
        documents = [json.loads(text)] if path.suffix == ".json" else list(yaml.safe_load_all(text))
    except OSError as error:
        raise FileError(error.strerror or str(error), where=str(path)) from error
    except (ValueError, RecursionError, yaml.YAMLError) as error:  # YAML dates, deep nesting
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


def _check_bounds(data: Any, where: str) -> None:
    """Refuse what no recipe is: endless once its references are followed, or with NUL in it.

    Raises:
        OptionError: saying which.
    """
    waiting, count = [(data, 0)], 0
    while waiting:
        one, depth = waiting.pop()
        count += 1
        if count > _MOST_ENTRIES or depth > _DEEPEST:
            what = f"holds over {_MOST_ENTRIES:,} entries, or is over {_DEEPEST} levels deep"
            raise OptionError(what, where=where, fix=_FIX)
        if isinstance(one, str) and "\0" in one:
            raise OptionError("a text holds the character NUL", where=where, fix=_FIX)
        if isinstance(one, Mapping):
            waiting += [(part, depth + 1) for part in (*one, *one.values())]
        elif isinstance(one, list | tuple | set):
            waiting += [(part, depth + 1) for part in one]


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
