"""Sweeps and a stand-in for the evaluation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from deltaworks.recipes import parse_recipe
from deltaworks.recipes.schema import SweepRecipe

MakeSweep = Callable[..., SweepRecipe]


@pytest.fixture
def sweeping(tiny_base: Path, tiny_expert: Path, tiny_expert2: Path, tmp_path: Path) -> MakeSweep:
    """Build a sweep over both experts: ``sweeping(["sign", …], keep="all")``."""

    def make(
        settings: Sequence[str | dict[str, Any]] = ("sign", "magnitude", "lossless"),
        *,
        experts: Sequence[Path] = (tiny_expert, tiny_expert2),
        output: Path = tmp_path / "sweep",
        **more: Any,
    ) -> SweepRecipe:
        recipe = parse_recipe(
            {
                "kind": "sweep",
                "base": {"path": str(tiny_base)},
                "experts": [{"path": str(path)} for path in experts],
                "settings": [{"method": one} if isinstance(one, str) else one for one in settings],
                "output": str(output),
                **more,
            }
        )
        assert isinstance(recipe, SweepRecipe)
        return recipe

    return make
