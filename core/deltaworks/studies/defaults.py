"""The sweep that the window and the command line offer first."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from deltaworks.methods.compression import COMPRESSION
from deltaworks.methods.compression_record import CompressionMethod
from deltaworks.options import describe
from deltaworks.recipes.schema import Keep, ModelRef, Setting, SweepRecipe

MOST_VALUES = 2
"""Values of one option that the first sweep tries: the ends of what the option declares. Three
took 49 s of processor time for the demo's two experts, too close to its minute."""

FIRST_METHODS = ("sign", "delta-dct", "dare", "magnitude", "low-rank", "lossless")
"""Methods of the first sweep. The others are there to be chosen: with them, the demo would not
stay inside its minute."""


def default_settings(
    methods: Sequence[str] | None = None, *, most_values: int = MOST_VALUES
) -> list[Setting]:
    """Give compression methods at the values that their options declare for sweeps.

    Args:
        methods: ids, in the order wanted; ``FIRST_METHODS`` when None.
        most_values: of each option; where more are declared, evenly spread ones are taken.

    Returns:
        One setting a value, options varied one at a time; a method that declares no values
        once, at its defaults.

    Raises:
        KeyError: there is no compression method of that id.
    """
    chosen = FIRST_METHODS if methods is None else methods
    return [setting for name in chosen for setting in _settings_of(COMPRESSION[name], most_values)]


def _settings_of(method: CompressionMethod, most: int) -> list[Setting]:
    varied = [
        Setting(method=method.id, options={info.name: value})
        for info in describe(method.options)
        for value in _spread(info.sweep, most)
    ]
    return varied or [Setting(method=method.id)]


def _spread(values: Sequence[Any], most: int) -> list[Any]:
    """Keep the first, the last, and evenly spaced ones between."""
    if len(values) <= most:
        return list(values)
    if most == 1:
        return [values[len(values) // 2]]
    last = len(values) - 1
    return [values[round(place * last / (most - 1))] for place in range(most)]


def demo_recipe(
    *,
    base: Path,
    experts: Sequence[Path],
    evaluation: Path,
    output: Path,
    keep: Keep = "front",
    threads: int = 0,
) -> SweepRecipe:
    """Give the demo's sweep: the first methods at their declared values on every expert.

    Args:
        base: the demo's base.
        experts: the models to compress.
        evaluation: folder with ``suite.json``.
        output: folder for the kept delta files and the record.
        keep: which delta files stay.
        threads: worker threads; 0 means one a core.
    """
    return SweepRecipe(
        base=_reference(base),
        experts=tuple(_reference(expert) for expert in experts),
        settings=tuple(default_settings()),
        evaluation=str(evaluation),
        keep=keep,
        threads=threads,
        output=str(output),
        title="Demo: six methods on the bundled models",
    )


def _reference(path: Path) -> ModelRef:
    return ModelRef(path=str(path), name=path.name)
