"""Whole mergekit files, merged here, against what mergekit 0.1.5 made of them.

``mergekit/cases.json`` holds every file and a hash of every tensor; README.md says how it
was made. A tensor that an adapter changes may differ in its last bits, as the adapter's
product is rounded once here and several times there, and so may padding rows, which are
means; their numbers are kept for that.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deltaworks.checkpoints import open_checkpoint
from deltaworks.engine import run
from deltaworks.numerics.words import NUMPY_DTYPE, to_float32
from deltaworks.progress import JobControl
from deltaworks.recipes import from_mergekit

HERE = Path(__file__).with_name("mergekit")
MODELS = HERE / "models"
KEYS = ("model", "base_model", "tokenizer_source", "source")
LETTERS = {"F32": "F", "BF16": "B", "F16": "H"}
CASES: list[dict[str, Any]] = json.loads((HERE / "cases.json").read_text())["cases"]
LORA = "+lora"
LAST_BITS = 4
"""Units in the last place by which a tensor with an adapter's change may differ."""

Tensors = dict[str, tuple[str, "np.ndarray[Any, Any]"]]


def placed(value: Any, key: str = "") -> Any:
    """Put the folder of the models before every name of one."""
    if isinstance(value, dict):
        return {name: placed(part, name) for name, part in value.items() if name[0] != "_"}
    if isinstance(value, list):
        return [placed(part) for part in value]
    is_model = key in KEYS and isinstance(value, str) and value != "union"
    if not is_model or (key == "tokenizer_source" and value == "base"):
        return value
    return "+".join(str(MODELS / part) for part in value.split("+"))


def merged(file: dict[str, Any], folder: Path) -> tuple[Tensors, dict[str, Any], dict[str, int]]:
    """Merge as a file says; give tensors, config and tokens."""
    recipe = from_mergekit(placed(file), output=str(folder))
    if file.get("_truncates"):
        recipe = recipe.model_copy(update={"vocabulary": "truncate"})
    run(recipe, JobControl())
    with open_checkpoint(folder) as model:
        found = {
            name: (model.info(name).dtype, np.array(model.read_words(name))) for name in model.names
        }
    document = json.loads((folder / "tokenizer.json").read_text())
    tokens = {**document["model"]["vocab"]}
    tokens |= {entry["content"]: entry["id"] for entry in document["added_tokens"]}
    return found, json.loads((folder / "config.json").read_text()), tokens


def in_order_of_tokens(tensors: Tensors, tokens: dict[str, int]) -> Tensors:
    """Sort the rows of token matrices by their tokens' text, as the recorded ones are."""
    found = dict(tensors)
    order = [tokens[token] for token in sorted(tokens)]
    for name, (dtype, words) in tensors.items():
        if "embed" in name or "lm_head" in name:
            rest = [row for row in range(len(words)) if row not in set(order)]
            found[name] = dtype, words[order + rest]
    return found


def described(dtype: str, words: np.ndarray[Any, Any]) -> str:
    raw = np.ascontiguousarray(words).reshape(-1).view(np.uint8).tobytes()
    return LETTERS[dtype] + hashlib.blake2b(raw, digest_size=6).hexdigest()


def assert_near(dtype: str, words: np.ndarray[Any, Any], recorded: np.ndarray[Any, Any]) -> None:
    """Hold that numbers differ in their last bits at most, seen from the tensor's largest."""
    mine, theirs = (to_float32(one, dtype).astype(np.float64) for one in (words, recorded))
    unit = 2.0**-23 if dtype == "F32" else 2.0**-8
    assert np.abs(mine - theirs).max() <= LAST_BITS * unit * np.abs(theirs).max()


def recorded_numbers() -> dict[str, np.ndarray[Any, Any]]:
    with open_checkpoint(HERE / "numbers.safetensors") as file:
        return {
            name: np.array(file.read_words(name)).astype(NUMPY_DTYPE[file.info(name).dtype])
            for name in file.names
        }


def check(case: dict[str, Any], folder: Path) -> None:
    tensors, config, tokens = merged(case["file"], folder / "merged")

    if "tokens" in case:
        assert sorted(tokens) == case["tokens"]
        tensors = in_order_of_tokens(tensors, tokens)
    wanted = dict(zip(sorted(tensors), case["tensors"].split(), strict=True))
    got = {name: described(*tensors[name]) for name in wanted}
    differing = [name for name in wanted if got[name] != wanted[name]]
    text, numbers = json.dumps(case["file"]), recorded_numbers() if differing else {}
    for name in differing:
        is_adapted = LORA in text and ("q_proj" in name or "down_proj" in name)
        is_padded = "pad_to" in text and ("embed" in name or "lm_head" in name)
        assert is_adapted or is_padded, name
        dtype, words = tensors[name]
        recorded = numbers[wanted[name]]
        assert_near(dtype, words, recorded)
        if is_padded:
            assert np.array_equal(words[: len(tokens)], recorded[: len(tokens)])
    assert [config["num_hidden_layers"], config["vocab_size"]] == case["config"]


def _quick(case: dict[str, Any]) -> bool:
    """Whether a case is one of those that every run of the tests takes."""
    name = case["name"]
    is_special = not any(way in name for way in ("plain", "gradient", "filter", "slices", "tied"))
    return "plain-bf16" in name or (is_special and "vocabulary" not in name and "lora" not in name)


@pytest.mark.parametrize(
    "case", [case for case in CASES if _quick(case)], ids=lambda case: str(case["name"])
)
def test_a_file_gives_the_tensors_that_mergekit_gives(case: dict[str, Any], tmp_path: Path) -> None:
    check(case, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(
    "case", [case for case in CASES if not _quick(case)], ids=lambda case: str(case["name"])
)
def test_every_file_gives_the_tensors_that_mergekit_gives(
    case: dict[str, Any], tmp_path: Path
) -> None:
    check(case, tmp_path)


def test_there_are_enough_cases() -> None:
    methods = {case["file"]["merge_method"] for case in CASES}

    assert len(CASES) >= 300
    assert len(methods) == 20


@pytest.mark.parametrize("way", ["dare_linear", "dare_ties", "della", "della_linear"])
def test_random_methods_keep_what_they_should_on_average(way: str, tmp_path: Path) -> None:
    """The share kept is the density, and the sum of magnitudes is what it was."""
    file = {
        "merge_method": way,
        "base_model": "base",
        "parameters": {"normalize": False},
        "models": [{"model": "a", "parameters": {"weight": 1.0, "density": 0.6}}],
    }

    tensors, _, _ = merged(file, tmp_path / "merged")

    with open_checkpoint(MODELS / "base") as base, open_checkpoint(MODELS / "a") as tuned:
        n_kept = n_all = 0
        for name in (one for one in base.names if "_proj" in one):
            start, end = (model.read_words(name).astype(np.float64) for model in (base, tuned))
            change, delta = tensors[name][1].astype(np.float64) - start, end - start
            n_kept += int((np.abs(change) > 1e-9).sum())
            n_all += change.size
            assert np.abs(change).sum() == pytest.approx(np.abs(delta).sum(), rel=1e-4)
    spread = 4.0 * (0.6 * 0.4 * n_all) ** 0.5
    assert abs(n_kept - 0.6 * n_all) <= spread
