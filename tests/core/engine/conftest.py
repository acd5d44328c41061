"""Recipes, controls and tools that the engine's tests share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from deltaworks.progress import Event, JobControl, Progress
from deltaworks.recipes import parse_recipe
from deltaworks.recipes.schema import CompressRecipe, MergeRecipe, RebuildRecipe

MakeCompress = Callable[..., CompressRecipe]
MakeMerge = Callable[..., MergeRecipe]
MakeRebuild = Callable[..., RebuildRecipe]


@dataclass
class Recorder:
    """A control that remembers every event."""

    events: list[Event] = field(default_factory=list)

    @property
    def control(self) -> JobControl:
        return JobControl(report=self.events.append)

    @property
    def progress(self) -> list[Progress]:
        return [event for event in self.events if isinstance(event, Progress)]


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def compressing(tiny_base: Path, tiny_expert: Path, tmp_path: Path) -> MakeCompress:
    """Build a compression: ``compressing(["sign"], experts=[…], threads=1)``."""

    def make(
        settings: Sequence[str | dict[str, Any]] = ("sign",),
        *,
        base: Path = tiny_base,
        experts: Sequence[Path] = (tiny_expert,),
        output: Path = tmp_path / "out",
        **more: Any,
    ) -> CompressRecipe:
        recipe = parse_recipe(
            {
                "kind": "compress",
                "base": {"path": str(base)},
                "experts": [{"path": str(path)} for path in experts],
                "settings": [{"method": one} if isinstance(one, str) else one for one in settings],
                "output": str(output),
                **more,
            }
        )
        assert isinstance(recipe, CompressRecipe)
        return recipe

    return make


@pytest.fixture
def merging(tiny_base: Path, tiny_expert: Path, tiny_expert2: Path, tmp_path: Path) -> MakeMerge:
    """Build a merge of two experts: ``merging("ties", options={…}, each=[{…}, {…}])``."""

    def make(
        method: str,
        *,
        base: Path | None = tiny_base,
        experts: Sequence[Path] = (tiny_expert, tiny_expert2),
        options: dict[str, Any] | None = None,
        each: Sequence[dict[str, Any]] = (),
        output: Path = tmp_path / "merged",
        **more: Any,
    ) -> MergeRecipe:
        own = [*each, *({} for _ in experts)]
        recipe = parse_recipe(
            {
                "kind": "merge",
                "base": {"path": str(base)} if base else None,
                "experts": [
                    {"model": {"path": str(path)}, "options": values}
                    for path, values in zip(experts, own, strict=False)
                ],
                "setting": {"method": method, "options": options or {}},
                "output": str(output),
                **more,
            }
        )
        assert isinstance(recipe, MergeRecipe)
        return recipe

    return make


@pytest.fixture
def rebuilding(tiny_base: Path, tmp_path: Path) -> MakeRebuild:
    """Build a rebuild: ``rebuilding(delta)``."""

    def make(
        delta: Path | str, *, base: Path | None = tiny_base, output: Path = tmp_path / "rebuilt"
    ) -> RebuildRecipe:
        return RebuildRecipe.model_validate(
            {
                "delta": {"path": str(delta)},
                "base": {"path": str(base)} if base else None,
                "output": str(output),
            }
        )

    return make


@pytest.fixture
def load() -> Callable[[Path], dict[str, Any]]:
    """Read every tensor of a model folder with the reference library."""

    def read(folder: Path) -> dict[str, Any]:
        from safetensors.torch import load_file

        tensors: dict[str, Any] = {}
        for path in sorted(folder.glob("*.safetensors")):
            tensors |= load_file(path)
        return tensors

    return read


@pytest.fixture
def tiny_tensors(request: pytest.FixtureRequest) -> Any:
    """Give the weights of the tiny models: those of the base for seed 0."""
    return _shared(request, "tiny_tensors")


@pytest.fixture
def save_model(request: pytest.FixtureRequest) -> Any:
    """Write a model folder as those of the tiny models."""
    return _shared(request, "save_model")


@pytest.fixture
def moved(request: pytest.FixtureRequest) -> Any:
    """Fine-tune weights a little."""
    return _shared(request, "moved")


def _shared(request: pytest.FixtureRequest, name: str) -> Any:
    """Find a function of the topmost conftest, which tests cannot import."""
    for plugin in request.config.pluginmanager.get_plugins():
        if hasattr(plugin, "TINY_CONFIG") and hasattr(plugin, name):
            return getattr(plugin, name)
    raise LookupError(name)
