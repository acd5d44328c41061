"""Files of several merges, where later ones build on earlier ones by their names.

Each YAML document is a merge; all but the last one made have a ``name``, which other
documents use like a model's path. Source: the merging specification, 3.10.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from deltaworks.errors import FileError, OptionError
from deltaworks.recipes.documents import load_recipe
from deltaworks.recipes.mergekit import from_mergekit, is_mergekit
from deltaworks.recipes.schema import MergeRecipe

_REFERENCES = ("model", "base_model", "source", "tokenizer_source", "path")


def load_merges(path: Path | str, *, output: str) -> tuple[MergeRecipe, ...]:
    """Read a file of one merge or several, in the order in which they have to be made.

    Args:
        path: ours as JSON or YAML, or a mergekit file of one or more documents.
        output: folder of the last result; the others go into ``<output>.parts``.

    Raises:
        FileError: the file cannot be read.
        OptionError: something in it cannot be honoured, or documents wait for each other.
    """
    path = Path(path)
    documents = [] if path.suffix == ".json" else _documents(path)
    if len(documents) < 2:
        recipe = load_recipe(path, output=output)
        if not isinstance(recipe, MergeRecipe):
            raise OptionError(
                f"this recipe is of kind '{recipe.kind}'", where=str(path), fix="Use 'run' for it"
            )
        return (recipe,)
    return tuple(_recipes(documents, output, str(path)))


def _documents(path: Path) -> list[Any]:
    try:
        found = list(yaml.safe_load_all(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise FileError(error.strerror or str(error), where=str(path)) from error
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        what = f"is no YAML ({' '.join(str(error).split())})"
        raise FileError(what, where=str(path), fix="Choose a recipe file.") from error
    return [document for document in found if document is not None]


def _recipes(documents: Sequence[Any], output: str, where: str) -> Iterator[MergeRecipe]:
    for document in documents:
        if not isinstance(document, Mapping) or not is_mergekit(document):
            raise OptionError("not all of its documents are mergekit merges", where=where)
    names = [str(document.get("name") or "") for document in documents]
    if names.count("") > 1:
        raise OptionError(
            f"{names.count('')} of its documents have no name",
            where=where,
            fix="Name all but the one whose result you want.",
        )
    if len(set(names)) < len(names):
        raise OptionError("two of its documents have the same name", where=where)
    order = _order(documents, names, where)
    last = names.index("") if "" in names else order[-1]
    order = [number for number in order if number != last] + [last]
    parts = Path(f"{output}.parts")
    places = {
        name: output if number == last else str(parts / name)
        for number, name in enumerate(names)
        if name
    }
    for number in order:
        target = output if number == last else places[names[number]]
        yield from_mergekit(_placed(documents[number], places), output=target, where=where)


def _order(documents: Sequence[Any], names: Sequence[str], where: str) -> list[int]:
    """Put every document after those that it builds on."""
    needs = [
        {names.index(name) for name in _named(document) if name in names} for document in documents
    ]
    order: list[int] = []
    while len(order) < len(documents):
        ready = [n for n in range(len(documents)) if n not in order and needs[n] <= set(order)]
        if not ready:
            waiting = ", ".join(names[n] or "the last" for n in range(len(names)) if n not in order)
            raise OptionError(f"its documents wait for each other ({waiting})", where=where)
        order.append(ready[0])
    return order


def _named(value: Any, key: str = "") -> Iterator[str]:
    """Give every model that a document names."""
    if isinstance(value, Mapping):
        for name, part in value.items():
            yield from _named(part, str(name))
    elif isinstance(value, list):
        for part in value:
            yield from _named(part)
    elif key in _REFERENCES and isinstance(value, str):
        yield value.partition("+")[0]


def _placed(value: Any, places: Mapping[str, str], key: str = "") -> Any:
    """Put the folders of other documents' results in place of their names."""
    if isinstance(value, Mapping):
        return {name: _placed(part, places, str(name)) for name, part in value.items()}
    if isinstance(value, list):
        return [_placed(part, places) for part in value]
    if key in _REFERENCES and isinstance(value, str):
        model, plus, adapter = value.partition("+")
        return f"{places.get(model, model)}{plus}{adapter}"
    return value
