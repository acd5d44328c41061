"""The evaluator on real files: folders and a delta file over its base."""

from __future__ import annotations

from pathlib import Path

import pytest

from deltaworks.checkpoints import open_checkpoint
from deltaworks.engine import run
from deltaworks.evaluation import Effort, Evaluator, Suite
from deltaworks.evaluation.suite import Item, Task, Text
from deltaworks.inference import load_model
from deltaworks.progress import JobControl
from deltaworks.recipes.schema import CompressRecipe, ModelRef, Setting

SUITE = Suite(
    "letters",
    "Letters",
    Path("letters"),
    (Task("t", "T", tuple(Item(f"{n}=", "b") for n in range(20))),),
    Text("Letters", "the quick brown fox jumps over the lazy dog; " * 8),
)


@pytest.mark.engine
@pytest.mark.parametrize(("method", "is_exact"), [("lossless", True), ("sign", False)])
def test_delta_file_is_measured_like_the_model_it_stands_for(
    tiny_base: Path, tiny_expert: Path, tmp_path: Path, method: str, is_exact: bool
) -> None:
    recipe = CompressRecipe(
        base=ModelRef(path=str(tiny_base)),
        experts=(ModelRef(path=str(tiny_expert)),),
        settings=(Setting(method=method),),
        output=str(tmp_path / "delta.safetensors"),
    )
    made = run(recipe, JobControl()).artefacts[0].path

    with (
        open_checkpoint(tiny_base) as base,
        open_checkpoint(tiny_expert) as expert,
        open_checkpoint(made, base=base) as delta,
    ):
        evaluator = Evaluator(base, expert, SUITE, effort=Effort(max_tokens=200))
        measures = evaluator.measure(delta)
        alone = load_model(delta)

    assert evaluator.can_measure
    assert (measures == evaluator.expert_measures()) is is_exact
    assert measures["recovered"].value > 0.3
    assert alone.has_tokenizer
