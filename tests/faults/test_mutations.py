"""Thousands of damaged files: read, or refused in a sentence, at once and in little memory."""

from __future__ import annotations

import json
import random
import resource
import shutil
import time
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import save_file

from deltaworks.checkpoints import open_checkpoint, verify_checkpoint
from deltaworks.engine import run
from deltaworks.errors import AppError
from deltaworks.progress import JobControl
from deltaworks.recipes import load_recipe, parse_recipe
from deltaworks.studies.jobs import plan_job

N_SHORT, N_LONG = 200, 2500
"""Damaged files of each sort."""
LONGEST_S = 1.0
MOST_GROWTH = 50_000_000
CODECS = (
    "sign", "dare", "magnitude", "low-rank", "delta-dct", "lossless", "impart", "impart-qt",
    "delta-come", "group-dropout", "base-shift",
)  # fmt: skip
RECIPES = {
    "merge.yml": """
merge_method: ties
base_model: {base}
models:
  - model: {one}
    parameters: {{weight: 0.5, density: 0.4}}
  - model: {two}
    parameters: {{weight: 0.3, density: 0.4}}
parameters: {{normalize: true}}
dtype: bfloat16
""",
    "compress.json": json.dumps(
        {
            "kind": "compress",
            "base": {"path": "BASE"},
            "experts": [{"path": "ONE", "name": "one"}],
            "settings": [{"method": "low-rank", "options": {"rank": 2}}, {"method": "sign"}],
            "seed": 3,
            "output": "OUT",
        }
    ),
    "merge.json": json.dumps(
        {
            "kind": "merge",
            "base": {"path": "BASE"},
            "experts": [
                {"model": {"path": "ONE"}, "options": {"weight": 1.0}},
                {"model": {"path": "TWO"}, "options": {"weight": 1.0}},
            ],
            "setting": {"method": "ties", "options": {"density": 0.3}},
            "out_dtype": "F32",
            "output": "OUT",
        }
    ),
    "sweep.yml": yaml.safe_dump(
        {
            "kind": "sweep",
            "base": {"path": "BASE"},
            "experts": [{"path": "ONE"}],
            "settings": [{"method": "dare", "options": {"drop_rate": 0.9}}],
            "keep": "front",
            "output": "OUT",
        }
    ),
}

Read = Callable[[], Any]


def attempt(read: Read) -> bool:
    """Read a damaged file; whether it was accepted. Anything but an error of ours escapes."""
    started = time.thread_time()
    try:
        read()
    except AppError as error:
        text = str(error)
        assert "\n" not in text
        assert len(text) < 3000, len(text)
        return False
    else:
        return True
    finally:
        assert time.thread_time() - started < LONGEST_S


def campaign(
    n_times: int,
    damage: Callable[[int], Read],
    counts: Counter[str],
    sort: str,
    keep: Callable[[], Path],
) -> None:
    """Damage and read so many times."""
    for number in range(20):  # what is loaded at the first use is no growth
        attempt(damage(-number - 1))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number in range(n_times):
        read = damage(number)
        try:
            counts[f"damaged {sort}"] += 1
            counts[f"damaged {sort}, read all the same"] += attempt(read)
        except BaseException as error:
            error.add_note(f"{sort} number {number}: {keep()}")
            raise
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    assert grown < MOST_GROWTH, f"{grown:,} bytes more"


@pytest.fixture(params=[N_SHORT, pytest.param(N_LONG, marks=pytest.mark.slow)])
def n_times(request: pytest.FixtureRequest) -> int:
    """How many files to damage."""
    count: int = request.param
    return count


def dice_of(sort: str, number: int) -> random.Random:
    return random.Random(f"{sort} {number}")


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base and two fine-tunes of six tensors."""
    folder = tmp_path_factory.mktemp("small")
    rng = torch.Generator().manual_seed(0)
    shapes = {
        "model.embed_tokens.weight": (12, 8),
        "model.layers.0.self_attn.q_proj.weight": (8, 8),
        "model.layers.0.mlp.up_proj.weight": (16, 8),
        "model.layers.0.mlp.down_proj.weight": (8, 16),
        "model.norm.weight": (8,),
        "lm_head.weight": (12, 8),
    }
    base = {name: torch.randn(shape, generator=rng).bfloat16() for name, shape in shapes.items()}
    for name, seed in (("base", 0), ("one", 1), ("two", 2)):
        rng.manual_seed(seed)
        tensors = {
            key: (value.float() + seed * 0.01 * torch.randn(value.shape, generator=rng)).bfloat16()
            if "_proj" in key
            else value.clone()
            for key, value in base.items()
        }
        (folder / name).mkdir()
        (folder / name / "config.json").write_text('{"model_type": "llama"}')
        save_file(tensors, folder / name / "model.safetensors", metadata={"format": "pt"})
    return folder


def read_all(path: Path, base: Path | None = None) -> None:
    """Read a model to its last tensor."""
    with open_checkpoint(path, base=base) as model, warnings.catch_warnings():
        for name in model.names:
            model.read_words(name).tobytes()


def test_weight_files(
    small: Path, tmp_path: Path, mutating: Any, n_times: int, counts: Counter[str]
) -> None:
    path = tmp_path / "model.safetensors"
    raw = (small / "base" / "model.safetensors").read_bytes()

    def damage(number: int) -> Read:
        path.write_bytes(mutating.damaged_safetensors(raw, dice_of("header", number)))
        return lambda: read_all(path)

    campaign(n_times, damage, counts, "headers of weight files", lambda: path)


def test_indexes(
    tiny_expert2: Path, tmp_path: Path, mutating: Any, n_times: int, counts: Counter[str]
) -> None:
    folder = shutil.copytree(tiny_expert2, tmp_path / "m")
    path = folder / "model.safetensors.index.json"
    raw = path.read_bytes()

    def damage(number: int) -> Read:
        path.write_bytes(mutating.damaged_json(raw, dice_of("index", number)))
        return lambda: read_all(folder)

    campaign(n_times, damage, counts, "indexes", lambda: path)


def test_adapters(
    small: Path, tmp_path: Path, mutating: Any, n_times: int, counts: Counter[str]
) -> None:
    folder = tmp_path / "adapter"
    folder.mkdir()
    at = "base_model.model.model.layers.0"
    factors = {
        f"{at}.self_attn.q_proj.lora_A.weight": torch.ones(2, 8),
        f"{at}.self_attn.q_proj.lora_B.weight": torch.ones(8, 2),
        f"{at}.mlp.up_proj.lora_A.weight": torch.ones(4, 8),
        f"{at}.mlp.up_proj.lora_B.weight": torch.ones(16, 4),
    }
    save_file(factors, folder / "adapter_model.safetensors")
    config = {
        "peft_type": "LORA",
        "r": 2,
        "lora_alpha": 4,
        "rank_pattern": {"up_proj": 4},
        "alpha_pattern": {".*up_proj": 8},
        "use_rslora": False,
        "target_modules": ["q_proj", "up_proj"],
        "base_model_name_or_path": "acme/base",
    }
    weights = (folder / "adapter_model.safetensors").read_bytes()
    text = json.dumps(config).encode()
    paths = (folder / "adapter_config.json", folder / "adapter_model.safetensors")

    def damage(number: int) -> Read:
        dice = dice_of("adapter", number)
        is_config = dice.random() < 0.7
        paths[0].write_bytes(mutating.damaged_json(text, dice) if is_config else text)
        paths[1].write_bytes(weights if is_config else mutating.damaged_safetensors(weights, dice))
        return lambda: read_all(folder, small / "base")

    campaign(n_times, damage, counts, "adapters", lambda: folder)


@pytest.fixture(scope="module")
def deltas(small: Path, tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """One delta file a method."""
    out = tmp_path_factory.mktemp("deltas")
    recipe = parse_recipe(
        {
            "kind": "compress",
            "base": {"path": str(small / "base")},
            "experts": [{"path": str(small / "one")}],
            "settings": [{"method": method} for method in CODECS],
            "output": str(out / "deltas"),
        }
    )
    report = run(recipe, JobControl())  # type: ignore[arg-type]  # it is one of the engine's
    return [Path(made.path).read_bytes() for made in report.artefacts]


def test_delta_files(
    small: Path,
    deltas: list[bytes],
    tmp_path: Path,
    mutating: Any,
    n_times: int,
    counts: Counter[str],
) -> None:
    path = tmp_path / "d.safetensors"

    def damage(number: int) -> Read:
        dice = dice_of("delta", number)
        raw = deltas[number % len(deltas)]
        if dice.random() < 0.5:
            key = dice.choice(["delta_manifest", "delta_manifest", "recipe", "report"])
            path.write_bytes(mutating.damaged_metadata(raw, key, dice))
        else:
            path.write_bytes(mutating.damaged_safetensors(raw, dice))
        return read

    def read() -> None:
        read_all(path, small / "base")
        verify_checkpoint(path, JobControl(), base=small / "base")

    campaign(n_times, damage, counts, "delta files", lambda: path)


def test_recipes(
    small: Path, tmp_path: Path, mutating: Any, n_times: int, counts: Counter[str]
) -> None:
    places = {"BASE": small / "base", "ONE": small / "one", "TWO": small / "two"}
    texts = {}
    for name, text in RECIPES.items():
        text = text.replace("{base}", "BASE").replace("{one}", "ONE").replace("{two}", "TWO")
        text = text.replace("{{", "{").replace("}}", "}") if name == "merge.yml" else text
        for word, place in places.items():
            text = text.replace(word, str(place))
        texts[name] = text.replace("OUT", str(tmp_path / "out")).encode()
    names = sorted(texts)

    def damage(number: int) -> Read:
        dice = dice_of("recipe", number)
        name = dice.choice(names)
        path, raw = tmp_path / name, texts[name]
        if name.endswith(".json"):
            path.write_bytes(mutating.damaged_json(raw, dice))
        elif dice.random() < 0.5:
            path.write_bytes(mutating.damaged_bytes(raw, dice))
        else:
            document = mutating.damaged_document(yaml.safe_load(raw), dice)
            path.write_bytes(yaml.safe_dump(document).encode(errors="replace"))
        return lambda: plan_job(load_recipe(path, output=str(tmp_path / "out")))

    campaign(n_times, damage, counts, "recipes", lambda: tmp_path)
