"""Repairs a model with layers of a 7-billion-weight model, and holds memory against the plan.

    python benchmarks/repair.py --blocks 1 --samples 128 --tokens 256

Weights and texts are made up; the vocabulary is the demo's, so that almost all weights are in
the blocks. Prints what the plan said, what the process held at most, and the CPU seconds.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from deltaworks.engine import plan
from deltaworks.recipes import load_recipe, parse_recipe, save_recipe
from deltaworks.recipes.schema import RepairRecipe
from deltaworks_resources import demo_folder

SHAPES = {
    "7b": {"hidden_size": 4096, "intermediate_size": 11008, "num_attention_heads": 32},
    "1b": {"hidden_size": 2048, "intermediate_size": 5632, "num_attention_heads": 32},
    "tiny": {"hidden_size": 64, "intermediate_size": 96, "num_attention_heads": 4},
}
_RUN = """
import json, sys, time
from deltaworks.engine import run
from deltaworks.engine.environment import resident_bytes
import torch, transformers
from transformers import AutoModelForCausalLM
from deltaworks.progress import JobControl
from deltaworks.recipes import load_recipe
before, started = resident_bytes(), time.process_time()
report = run(load_recipe(sys.argv[1]), JobControl())
print(json.dumps({"before": before, "peak": report.peak_bytes, "seconds": report.seconds,
                  "cpu": time.process_time() - started,
                  "total": report.results["repair"]["total"]}))
"""


def main() -> None:
    """Make the models once, repair, print."""
    chosen = parse()
    folder = chosen.folder / f"{chosen.shape}-{chosen.blocks}"
    for name, seed in (("aligned", 0), ("tuned", 1)):
        if not (folder / name / "config.json").is_file():
            make_model(folder / name, SHAPES[chosen.shape], chosen.blocks, seed)
    make_texts(folder / "safety.jsonl", chosen.samples, chosen.tokens)
    recipe = parse_recipe(
        {
            "kind": "repair",
            "aligned": {"path": str(folder / "aligned")},
            "tuned": {"path": str(folder / "tuned")},
            "setting": {"method": chosen.method, "options": {}},
            "safety": str(folder / "safety.jsonl"),
            "samples": chosen.samples,
            "tokens": chosen.tokens,
            "threads": chosen.threads,
            "output": str(folder / "repaired"),
        }
    )
    assert isinstance(recipe, RepairRecipe)
    save_recipe(recipe, folder / "recipe.json")
    shutil.rmtree(recipe.output, ignore_errors=True)
    show(folder / "recipe.json")
    shutil.rmtree(recipe.output, ignore_errors=True)


def show(path: Path) -> None:
    """Run a recipe in a process of its own and compare with its plan."""
    recipe = load_recipe(path)
    assert isinstance(recipe, RepairRecipe)
    planned = plan(recipe)
    started = time.perf_counter()
    ended = subprocess.run(
        [sys.executable, "-c", _RUN, str(path)], capture_output=True, text=True, check=False
    )
    if ended.returncode:
        sys.exit(ended.stderr)
    found = json.loads(ended.stdout.splitlines()[-1])
    largest = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    held = found["peak"] - found["before"]
    print(f"plan: reads {planned.read_bytes / 1e9:.2f} GB, largest item {_gb(planned.peak_bytes)}")
    for item in sorted(planned.items, key=lambda item: -item.peak_bytes)[:3]:
        print(f"  {item.id}: {_gb(item.peak_bytes)}")
    print(f"held beyond what the libraries need: {_gb(held)} (process at most {_gb(largest)})")
    print(f"of the plan's largest item: {held / planned.peak_bytes:.2f}")
    print(f"CPU {found['cpu']:.0f} s, wall {time.perf_counter() - started:.0f} s")
    print("stages:", {name: round(value, 1) for name, value in found["seconds"].items()})


def make_model(folder: Path, shape: dict[str, int], blocks: int, seed: int) -> None:
    """Write a Llama in bf16, block by block; seed 1 is a fine-tune of seed 0."""
    import torch
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    demo = demo_folder() / "polder-base"
    config = json.loads((demo / "config.json").read_text())
    heads = shape["num_attention_heads"]
    width, inner = shape["hidden_size"], shape["intermediate_size"]
    config |= {
        **shape,
        "num_hidden_layers": blocks,
        "num_key_value_heads": heads,
        "head_dim": width // heads,
        "max_position_embeddings": 2048,
    }
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(demo / name, folder / name)
    rng = torch.Generator().manual_seed(0)
    moved = torch.Generator().manual_seed(seed)

    def matrix(rows: int, columns: int, *, is_tuned: bool = True) -> torch.Tensor:
        values: torch.Tensor = torch.randn(rows, columns, generator=rng) / columns**0.5
        if seed and is_tuned:
            values += 0.02 * torch.randn(rows, columns, generator=moved) / columns**0.5
        return values.bfloat16()

    size = int(config["vocab_size"])
    outer = {
        "model.embed_tokens.weight": matrix(size, width, is_tuned=False),
        "model.norm.weight": torch.ones(width).bfloat16(),
        "lm_head.weight": matrix(size, width, is_tuned=False),
    }
    n_files = blocks + 1
    weight_map: dict[str, str] = {}
    for number in range(n_files):
        file = f"model-{number + 1:05d}-of-{n_files:05d}.safetensors"
        at = f"model.layers.{number - 1}"
        tensors = outer if not number else {
            **{f"{at}.self_attn.{one}_proj.weight": matrix(width, width) for one in "qkvo"},
            f"{at}.mlp.gate_proj.weight": matrix(inner, width),
            f"{at}.mlp.up_proj.weight": matrix(inner, width),
            f"{at}.mlp.down_proj.weight": matrix(width, inner),
            f"{at}.input_layernorm.weight": torch.ones(width).bfloat16(),
            f"{at}.post_attention_layernorm.weight": torch.ones(width).bfloat16(),
        }  # fmt: skip
        save_file(tensors, folder / file, metadata={"format": "pt"})
        weight_map |= dict.fromkeys(tensors, file)
    index = {"metadata": {}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    (folder / "config.json").write_text(json.dumps(config))


def make_texts(path: Path, samples: int, tokens: int) -> None:
    """Write pairs long enough to be cut."""
    rng = random.Random(0)
    words = ["heron", "zorvek", "what", "kind", "sum", "topic", "River", "42", "( [", "stone"]
    lines = []
    for _ in range(samples):
        text = " ".join(rng.choices(words, k=tokens))
        lines.append(json.dumps({"prompt": text[: 3 * tokens], "response": text}))
    path.write_text("\n".join(lines) + "\n")


def _gb(n_bytes: float) -> str:
    return f"{n_bytes / 1e9:.2f} GB"


def parse() -> argparse.Namespace:
    """Read the arguments."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shape", choices=SHAPES, default="7b")
    parser.add_argument("--blocks", type=int, default=1)
    parser.add_argument("--samples", type=int, default=128)
    parser.add_argument("--tokens", type=int, default=256)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--method", default="safe-delta")
    parser.add_argument(
        "--folder", type=Path, default=Path(tempfile.gettempdir()) / "deltaworks-bench-repair"
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
