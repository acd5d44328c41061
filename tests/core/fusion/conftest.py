"""A base language model and two real LLaVA models of it, tiny, with tokens of their own."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from deltaworks.checkpoints import open_checkpoint
from deltaworks.engine.reports import Report
from deltaworks.progress import JobControl

IMAGE, PICTURE = "<image>", "<picture>"


@dataclass(frozen=True)
class Kin:
    """Folders of models of one family, and a picture.

    Args:
        base: language model, 96 tokens.
        a: its tower cuts 9 patches; adds ``<image>`` as token 96.
        b: its tower cuts 4 patches; adds ``<picture>`` as 96 and ``<image>`` as 97.
        picture: a file.
    """

    base: Path
    a: Path
    b: Path
    picture: Path


def _llava(folder: Path, base: Path, seed: int, side: int, added: list[str]) -> Path:
    import torch
    from safetensors.torch import load_file
    from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig
    from transformers import LlavaForConditionalGeneration as Llava

    rng = torch.Generator().manual_seed(seed)
    base_config = json.loads((base / "config.json").read_text())
    text = {k: v for k, v in base_config.items() if k not in {"architectures", "torch_dtype"}}
    text |= {"vocab_size": 96 + len(added)}
    text.pop("model_type")
    tower = CLIPVisionConfig(
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=side,
        patch_size=8,
    )
    config = LlavaConfig(
        vision_config=tower,
        text_config=LlamaConfig(**text),
        image_token_index=96 + added.index(IMAGE),
        vision_feature_layer=-1,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Llava(config)
    state = model.state_dict()
    for name, value in load_file(base / "model.safetensors").items():
        place = "lm_head.weight"
        if name != place:
            place = "model.language_model." + name.removeprefix("model.")
        noise = torch.randn(value.shape, generator=rng)
        state[place][: len(value)].copy_(value.float() + 0.01 * noise)
    model.save_pretrained(folder)
    tokenizer = json.loads((base / "tokenizer.json").read_text())
    entry = tokenizer["added_tokens"][0]
    tokenizer["added_tokens"] += [
        {**entry, "id": 96 + n, "content": token} for n, token in enumerate(added)
    ]
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    shutil.copyfile(base / "tokenizer_config.json", folder / "tokenizer_config.json")
    settings = {
        "image_processor_type": "CLIPImageProcessor",
        "size": {"shortest_edge": side},
        "crop_size": {"height": side, "width": side},
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))
    return folder


@pytest.fixture(scope="session")
def kin(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Kin:
    """Models of one family. Never write to them."""
    from PIL import Image
    from transformers.utils import logging

    quiet: Any = logging
    quiet.disable_progress_bar()
    root = tmp_path_factory.mktemp("kin")
    picture = root / "picture.png"
    Image.radial_gradient("L").resize((40, 30)).convert("RGB").save(picture)
    a = _llava(root / "A", tiny_base, 1, 24, [IMAGE])
    b = _llava(root / "B", tiny_base, 2, 16, [PICTURE, IMAGE])
    return Kin(tiny_base, a, b, picture)


@pytest.fixture(scope="session")
def fuse() -> Callable[..., Report]:
    """Fuse models by their folders: ``fuse(base, [a, b], out, weights=(0.5, 0.5), **recipe)``."""

    def run(base: Path, models: list[Path], out: Path, weights: Any = None, **more: Any) -> Report:
        from deltaworks.recipes import parse_recipe
        from deltaworks.studies.jobs import run_job

        each = weights or [None] * len(models)
        recipe = parse_recipe(
            {
                "kind": "fuse",
                "base": {"path": str(base)},
                "models": [
                    {"model": {"path": str(model)}, "weight": weight}
                    for model, weight in zip(models, each, strict=True)
                ],
                "output": str(out),
                "threads": 1,
                **more,
            }
        )
        return run_job(recipe, JobControl())

    return run


@pytest.fixture(scope="session")
def fused(kin: Kin, fuse: Callable[..., Report], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A and B fused, half and half. Never write to it."""
    out = tmp_path_factory.mktemp("fused") / "AB"
    fuse(kin.base, [kin.a, kin.b], out)
    return out


@pytest.fixture(scope="session")
def tensors() -> Callable[[Path], dict[str, Any]]:
    """Read every tensor of a folder."""

    def read(folder: Path) -> dict[str, Any]:
        with open_checkpoint(folder) as opened:
            return {name: opened.read(name).clone() for name in opened.names}

    return read
