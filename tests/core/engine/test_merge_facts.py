"""Merges that need to know more than one tensor, and experts made sparse first."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from deltaworks.checkpoints import open_checkpoint
from deltaworks.engine import plan, run
from deltaworks.errors import OptionError
from deltaworks.methods import compression_method
from deltaworks.methods.compression.dare import DareOptions
from deltaworks.methods.merging.pre_sparsify import sparsified
from deltaworks.methods.merging_record import MergeExpert, MergeInputs
from deltaworks.methods.method import TensorSpec
from deltaworks.progress import JobControl
from deltaworks.recipes import parse_recipe


@pytest.fixture
def merging(tiny_base: Path, tiny_expert: Path, tiny_expert2: Path, tmp_path: Path) -> Any:
    """Merge the two experts; gives recipe and folder."""

    def make(name: str = "out", **more: Any) -> Any:
        recipe = parse_recipe(
            {
                "kind": "merge",
                "base": {"path": str(tiny_base)},
                "experts": [{"model": {"path": str(one)}} for one in (tiny_expert, tiny_expert2)],
                "out_dtype": "F32",
                "output": str(tmp_path / name),
                **more,
            }
        )
        return recipe, tmp_path / name

    return make


def _flat(folder: Path) -> Any:
    with open_checkpoint(folder) as model:
        return torch.cat(
            [model.read(name).float().reshape(-1) for name in sorted(model.names)]
        ).numpy()


def test_one_threshold_serves_all_tensors(
    merging: Any, tiny_base: Path, tiny_expert: Path, tiny_expert2: Path
) -> None:
    recipe, folder = merging(setting={"method": "ties-global", "options": {"density": 0.1}})

    run(recipe, JobControl())

    base = _flat(tiny_base)
    deltas = [_flat(one) - base for one in (tiny_expert, tiny_expert2)]
    cuts = [np.sort(np.abs(d))[len(d) - int(0.1 * len(d))] for d in deltas]
    kept = np.stack([np.where(np.abs(d) >= c, d, 0) for d, c in zip(deltas, cuts, strict=True)])
    sign = np.sign(kept.sum(0))
    sign[sign == 0] = np.sign(sign.sum())
    agree = (np.sign(kept) == sign) & (kept != 0)
    expected = base + (kept * agree).sum(0) / np.maximum(agree.sum(0), 1)
    np.testing.assert_allclose(_flat(folder), expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("method", ["pcb", "emr", "localize-and-stitch", "doge-ta", "knots"])
def test_threads_do_not_change_what_surveys_find(merging: Any, method: str) -> None:
    options = {"steps": 5} if method == "doge-ta" else {}
    folders = []
    for threads in (1, 3):
        recipe, folder = merging(
            f"with-{threads}", setting={"method": method, "options": options}, threads=threads
        )
        run(recipe, JobControl())
        folders.append(folder)

    assert np.array_equal(_flat(folders[0]), _flat(folders[1]))


@pytest.mark.parametrize(
    ("pre", "share"),
    [
        ({"method": "magnitude", "options": {"density": 0.25}}, 0.25),
        ({"method": "dare", "options": {"drop_rate": 0.6}}, 0.4),
    ],
)
def test_experts_are_made_sparse_before_the_merge(
    merging: Any, tiny_base: Path, tiny_expert: Path, pre: dict[str, Any], share: float
) -> None:
    recipe, folder = merging(setting={"method": "task-arithmetic"}, pre=pre)
    recipe = recipe.model_copy(update={"experts": recipe.experts[:1]})

    run(recipe, JobControl())

    with (
        open_checkpoint(folder) as merged,
        open_checkpoint(tiny_base) as base,
        open_checkpoint(tiny_expert) as expert,
    ):
        for name in merged.names:
            start, tuned = base.read(name).float(), expert.read(name).float()
            found = merged.read(name)
            if start.ndim < 2:
                assert torch.equal(found, tuned)
                continue
            was = int((tuned != start).sum()) / start.numel()
            if was > 0.9:
                assert int((found != start).sum()) / start.numel() == pytest.approx(share, abs=0.06)


def test_experts_draw_masks_of_their_own() -> None:
    change = torch.ones(40, 50)
    expert = MergeExpert(change, None)
    inputs = MergeInputs(TensorSpec("w", (40, 50)), torch.zeros(40, 50), (expert, expert))

    found = sparsified(inputs, compression_method("dare"), DareOptions(drop_rate=0.5))

    one, two = (expert.tensor != 0 for expert in found.experts)
    assert 900 < int(one.sum()) < 1100
    assert 400 < int((one & two).sum()) < 600


def test_a_mean_of_many_masks_is_the_plain_merge(
    merging: Any, tiny_base: Path, tiny_expert: Path
) -> None:
    total: Any = 0.0
    for seed in range(30):
        recipe, folder = merging(
            f"seed-{seed}",
            setting={"method": "task-arithmetic"},
            pre={"method": "dare", "options": {"drop_rate": 0.5}},
            seed=seed,
        )
        recipe = recipe.model_copy(update={"experts": recipe.experts[:1]})
        run(recipe, JobControl())
        total = total + _flat(folder)

    base, expert = _flat(tiny_base), _flat(tiny_expert)
    gap = total / 30 - expert
    assert np.square(gap).sum() / np.square(expert - base).sum() < 2.0 / 30


def test_a_sparsifier_without_a_base_or_of_no_known_kind_is_refused(merging: Any) -> None:
    recipe, _ = merging(setting={"method": "linear"}, pre={"method": "nothing"})
    with pytest.raises(OptionError, match=r"unknown compression method 'nothing'"):
        plan(recipe)

    recipe, _ = merging(setting={"method": "linear"}, pre={"method": "dare"}, base=None)
    with pytest.raises(OptionError, match="a sparsifier needs a base"):
        plan(recipe)


def test_a_method_that_needs_texts_says_so(merging: Any) -> None:
    recipe, _ = merging(setting={"method": "regmean"})

    with pytest.raises(OptionError, match=r"needs texts of each expert's task, expert has none"):
        plan(recipe)
