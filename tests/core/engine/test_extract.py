from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from deltaworks.checkpoints import open_checkpoint
from deltaworks.errors import FileError, MismatchError
from deltaworks.progress import JobControl
from deltaworks.recipes import as_command, parse_recipe
from deltaworks.recipes.schema import ExtractRecipe
from deltaworks.studies.jobs import plan_job, run_job

if TYPE_CHECKING:
    from torch import Tensor


@pytest.fixture
def changed(tiny_base: Path, tmp_path: Path) -> Path:
    """A fine-tune whose changes have rank 3, with another embedding and norm."""
    import shutil

    import torch
    from safetensors.torch import load_file, save_file

    folder = tmp_path / "changed"
    shutil.copytree(tiny_base, folder)
    tensors = load_file(folder / "model.safetensors")
    rng = torch.Generator().manual_seed(5)
    for name, value in tensors.items():
        if "_proj" in name:
            left = torch.randn(value.shape[0], 3, generator=rng)
            right = torch.randn(3, value.shape[1], generator=rng)
            tensors[name] = value.float() + 0.02 * left @ right
        elif "embed" in name or name.endswith("1.input_layernorm.weight"):
            tensors[name] = value.float() * 1.25
        else:
            tensors[name] = value.float()
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def extracting(base: Path, expert: Path, output: Path, **facts: Any) -> ExtractRecipe:
    found = parse_recipe(
        {
            "kind": "extract",
            "base": {"path": str(base)},
            "expert": {"path": str(expert)},
            "output": str(output),
            **facts,
        }
    )
    assert isinstance(found, ExtractRecipe)
    return found


def logits(model: Any) -> Tensor:
    import torch

    with torch.inference_mode():
        found: Tensor = model(input_ids=torch.arange(4, 20)[None]).logits.float()
    return found


def test_peft_loads_it_and_gives_the_fine_tune(
    tiny_base: Path, changed: Path, tmp_path: Path
) -> None:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    out = tmp_path / "adapter"

    report = run_job(extracting(tiny_base, changed, out, rank=8, energy=0.99999), JobControl())

    loader: Any = AutoModelForCausalLM
    base, expert = (
        loader.from_pretrained(path, dtype=torch.float32).eval() for path in (tiny_base, changed)
    )
    wanted = logits(expert)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # peft's own
        adapted = PeftModel.from_pretrained(base, out).eval()
        torch.testing.assert_close(logits(adapted), wanted, rtol=1e-3, atol=1e-3)
        merged = adapted.merge_and_unload()
    torch.testing.assert_close(logits(merged), wanted, rtol=1e-3, atol=1e-3)
    config = json.loads((out / "adapter_config.json").read_text())
    assert config["r"] == config["lora_alpha"] == 3
    assert config["modules_to_save"] == ["model.embed_tokens", "model.layers.1.input_layernorm"]
    assert report.artefacts[0].kind == "adapter"
    assert report.artefacts[0].error is not None
    assert report.artefacts[0].error < 1e-5


def test_factors_are_the_truncation(tiny_base: Path, tiny_expert: Path, tmp_path: Path) -> None:
    import torch

    name = "model.layers.1.mlp.down_proj.weight"

    run_job(extracting(tiny_base, tiny_expert, tmp_path / "a", rank=5), JobControl())

    with (
        open_checkpoint(tiny_base) as base,
        open_checkpoint(tiny_expert) as expert,
        open_checkpoint(tmp_path / "a", base=base) as adapted,
    ):
        delta = expert.read(name).double() - base.read(name).double()
        left, sigma, right = torch.linalg.svd(delta, full_matrices=False)
        truncated = (left[:, :5] * sigma[:5]) @ right[:5]
        found = adapted.read(name).double() - base.read(name).double()
        # Factors and the sum are bfloat16, as the models are.
        gap = (found - truncated).norm() / delta.norm()
    assert float(gap) < 0.03


def test_layers_that_need_less_get_less(tiny_base: Path, changed: Path, tmp_path: Path) -> None:
    report = run_job(
        extracting(tiny_base, changed, tmp_path / "a", rank=8, energy=0.5), JobControl()
    )

    config = json.loads((tmp_path / "a" / "adapter_config.json").read_text())
    ranks = {config["r"], *config["rank_pattern"].values()}
    assert ranks <= {1, 2}
    assert all(0.0 < one.error <= 0.51 for one in report.artefacts[0].tensors if one.error)


def test_a_grown_vocabulary_is_refused_with_its_shapes(
    tiny_base: Path, changed: Path, tmp_path: Path
) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    file = changed / "model.safetensors"
    tensors = load_file(file)
    tensors["lm_head.weight"] = torch.cat([tensors["lm_head.weight"]] * 2)
    save_file(tensors, file, metadata={"format": "pt"})

    with pytest.raises(MismatchError, match=r"lm_head\.weight.*\(192, 32\) here, \(96, 32\)"):
        run_job(extracting(tiny_base, changed, tmp_path / "a"), JobControl())
    assert not (tmp_path / "a").exists()


def test_what_is_there_is_not_written_over(
    tiny_base: Path, tiny_expert: Path, tmp_path: Path
) -> None:
    (tmp_path / "a").mkdir()

    with pytest.raises(FileError, match="exists already"):
        run_job(extracting(tiny_base, tiny_expert, tmp_path / "a"), JobControl())


def test_a_plan_and_a_command_tell_what_it_does(
    tiny_base: Path, tiny_expert: Path, tmp_path: Path
) -> None:
    recipe = extracting(tiny_base, tiny_expert, tmp_path / "a", rank=4, energy=0.9)

    plan = plan_job(recipe)

    assert plan.read_bytes > 0
    assert plan.title == "Extract an adapter from expert"
    assert as_command(recipe) == (
        f"deltaworks-cli extract-lora {tiny_base} {tiny_expert} --rank 4 --energy 0.9 "
        f"-o {tmp_path / 'a'}"
    )
