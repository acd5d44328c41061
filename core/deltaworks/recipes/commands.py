"""A recipe as the command line that makes the same artefact."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import Any

from deltaworks.recipes.schema import (
    CompressRecipe,
    EvaluateRecipe,
    MergeRecipe,
    RebuildRecipe,
    Recipe,
    Setting,
    SweepRecipe,
)

_PROGRAM = "deltaworks-cli"


def as_command(recipe: Recipe, *, file: str = "recipe.json") -> str:
    """Give the command lines, quoted for a POSIX shell; one a line.

    Args:
        recipe: what to do.
        file: where the recipe is saved, for jobs that the command line takes from a file.
    """
    match recipe:
        case CompressRecipe():
            return "\n".join(_line(words) for words in _compress(recipe))
        case RebuildRecipe():
            base = ["--base", recipe.base.path] if recipe.base else []
            return _line(["rebuild", recipe.delta.path, *base, "-o", recipe.output])
        case MergeRecipe():
            return _line(["merge", file, recipe.output])
        case SweepRecipe():
            return _line(["sweep", file])
        case EvaluateRecipe():
            return _line(_evaluate(recipe))


def _compress(recipe: CompressRecipe) -> Iterator[list[str]]:
    """One line a setting: the command takes one method with one set of options."""
    inputs = [recipe.base.path, *(expert.path for expert in recipe.experts)]
    for setting in recipe.settings:
        yield ["compress", *inputs, *_method(setting), *_run(recipe), "-o", recipe.output]


def _method(setting: Setting) -> list[str]:
    words = ["-m", setting.method]
    for name, value in setting.options.items():
        words += ["--set", f"{name}={_text(value)}"]
    return words


def _run(recipe: CompressRecipe) -> list[str]:
    words = ["--seed", str(recipe.seed)]
    if recipe.scope != "linear2d":
        words += ["--scope", recipe.scope]
    return words


def _evaluate(recipe: EvaluateRecipe) -> list[str]:
    words = ["evaluate", recipe.model.path]
    if recipe.reference:
        words += ["--reference", recipe.reference.path]
    if recipe.base:
        words += ["--base", recipe.base.path]
    if recipe.evaluation:
        words += ["--data", recipe.evaluation]
    return words


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _line(words: list[str]) -> str:
    return shlex.join([_PROGRAM, *words])
