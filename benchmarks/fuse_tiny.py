"""VisionFuse on two tiny LLaVA models, each blind to one aspect of a picture.

A picture shows pattern a in one channel and pattern b in the other; questions ask for
either. Model A sees the first channel only, model B the second. Everything is trained
here, in minutes, on one thread. Writes ``fuse_tiny.json`` and prints the tables.

    python benchmarks/fuse_tiny.py --seeds 0 1 2 --out docs/figures
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

N_PATTERNS, SIDE, TOKENS = 8, 16, 4
BOS, PAD, ASK_A, ASK_B, PICTURE = 0, 1, 2, 3, 4
FIRST_A, FIRST_B = 5, 13
VOCABULARY = 22
NOISE = 0.7
BATCH = 64
N_TEST = 2000


@dataclass(frozen=True)
class Course:
    """How a model is trained.

    Args:
        both: whether each model sees both questions, or its own alone.
        projector_steps: with the language model frozen.
        joint_steps: with the tower frozen.
        joint_rate: learning rate of the second stage.
        base_slots: lengths of the base's text contexts.
    """

    both: bool
    projector_steps: int = 160
    joint_steps: int = 80
    joint_rate: float = 5e-4
    base_slots: tuple[int, ...] = (4, 8)


OWN, BOTH = Course(both=False), Course(both=True)
FAR = Course(both=True, projector_steps=60, joint_steps=300, joint_rate=2e-3, base_slots=(4,))
"""The failure: a short first stage and a long, fast second one."""


class World:
    """Pictures and questions of one seed."""

    def __init__(self, seed: int) -> None:
        self.rng = torch.Generator().manual_seed(seed)
        self.patterns = torch.randn(2, N_PATTERNS, SIDE, SIDE, generator=self.rng)

    def draw(self, count: int, questions: Sequence[int]) -> tuple[Tensor, Tensor, Tensor]:
        """Give pictures ``(n, 2, 16, 16)``, question tokens and answer tokens."""
        which = torch.randint(N_PATTERNS, (count, 2), generator=self.rng)
        pictures = torch.stack([self.patterns[c][which[:, c]] for c in (0, 1)], dim=1)
        pictures = pictures + NOISE * torch.randn(pictures.shape, generator=self.rng)
        asked = torch.tensor(questions)[torch.randint(len(questions), (count,), generator=self.rng)]
        answers = torch.where(asked == ASK_A, FIRST_A + which[:, 0], FIRST_B + which[:, 1])
        return pictures, asked, answers

    def texts(self, slots: int) -> tuple[Tensor, Tensor]:
        """Give token sequences with an a-token and a b-token among pads, and answers."""
        which = torch.randint(N_PATTERNS, (BATCH, 2), generator=self.rng)
        context = torch.full((BATCH, slots), PAD)
        places = torch.stack([torch.randperm(slots, generator=self.rng)[:2] for _ in range(BATCH)])
        rows = torch.arange(BATCH)
        context[rows, places[:, 0]] = FIRST_A + which[:, 0]
        context[rows, places[:, 1]] = FIRST_B + which[:, 1]
        asked = torch.where(torch.rand(BATCH, generator=self.rng) < 0.5, ASK_A, ASK_B)
        answers = torch.where(asked == ASK_A, FIRST_A + which[:, 0], FIRST_B + which[:, 1])
        start = torch.full((BATCH, 1), BOS)
        return torch.cat([start, context, asked[:, None]], dim=1), answers


def language_config() -> Any:
    """Describe the base."""
    from transformers import LlamaConfig

    return LlamaConfig(
        hidden_size=48,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        vocab_size=VOCABULARY,
        max_position_embeddings=64,
        bos_token_id=BOS,
        eos_token_id=PAD,
        pad_token_id=PAD,
    )


def llava_config() -> Any:
    """Describe a LLaVA model with a tower of two channels."""
    from transformers import CLIPVisionConfig, LlavaConfig

    tower = CLIPVisionConfig(
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=SIDE,
        patch_size=8,
        num_channels=2,
    )
    return LlavaConfig(
        vision_config=tower,
        text_config=language_config(),
        image_token_index=PICTURE,
        image_seq_length=TOKENS,
        vision_feature_layer=-1,
    )


def train_base(world: World, course: Course) -> Any:
    """Train the language model on texts that look like pictures and questions."""
    from transformers import LlamaForCausalLM

    model = LlamaForCausalLM(language_config())
    steps = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for step in range(500):
        ids, answers = world.texts(course.base_slots[step % len(course.base_slots)])
        loss = torch.nn.functional.cross_entropy(model(input_ids=ids).logits[:, -1], answers)
        _step(steps, loss)
    return model


def prompts(asked: Tensor, n_tokens: int) -> Tensor:
    """Write picture places and questions as tokens."""
    count = len(asked)
    start, places = torch.full((count, 1), BOS), torch.full((count, n_tokens), PICTURE)
    return torch.cat([start, places, asked[:, None]], dim=1)


def blind(pictures: Tensor, channel: int) -> Tensor:
    """Leave one channel and zero the other."""
    seen = torch.zeros_like(pictures)
    seen[:, channel] = pictures[:, channel]
    return seen


def train_llava(world: World, base: Any, course: Course, channel: int) -> Any:
    """Train a tower on a frozen language model, then both a little."""
    from transformers import LlavaForConditionalGeneration

    model: Any = LlavaForConditionalGeneration(llava_config())
    model.model.language_model.load_state_dict(base.model.state_dict())
    model.lm_head.load_state_dict(base.lm_head.state_dict())
    vision, projector = model.model.vision_tower, model.model.multi_modal_projector
    language = [model.model.language_model, model.lm_head]
    questions = (ASK_A, ASK_B) if course.both else ((ASK_A, ASK_B)[channel],)
    stages = (
        ([vision, projector], course.projector_steps, 3e-3),
        ([projector, *language], course.joint_steps, course.joint_rate),
    )
    for parts, count, rate in stages:
        model.requires_grad_(False)
        trained = [p for part in parts for p in part.parameters()]
        for one in trained:
            one.requires_grad_(True)
        steps = torch.optim.AdamW(trained, lr=rate)
        for _ in range(count):
            pictures, asked, answers = world.draw(BATCH, questions)
            out = model(
                input_ids=prompts(asked, TOKENS), pixel_values=blind(pictures, channel)
            ).logits[:, -1]
            loss = torch.nn.functional.cross_entropy(out, answers)
            _step(steps, loss)
    return model.eval().requires_grad_(False)


def _step(steps: torch.optim.Optimizer, loss: Any) -> None:
    steps.zero_grad()
    loss.backward()
    steps.step()


def save(model: Any, folder: Path) -> Path:
    """Write a model as transformers does; the processor is never used here."""
    model.save_pretrained(folder)
    settings = {"image_processor_type": "CLIPImageProcessor", "crop_size": {"height": SIDE}}
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))
    return folder


def fuse(base: Path, models: Sequence[Path], weights: Sequence[float], out: Path) -> dict[str, Any]:
    """Fuse with the engine; give what it measured."""
    from deltaworks.progress import JobControl
    from deltaworks.recipes import parse_recipe
    from deltaworks.studies.jobs import run_job

    recipe = parse_recipe(
        {
            "kind": "fuse",
            "base": {"path": str(base)},
            "models": [
                {"model": {"path": str(model)}, "weight": weight}
                for model, weight in zip(models, weights, strict=True)
            ],
            "options": {"order": "listed"},
            "output": str(out),
            "threads": 1,
        }
    )
    report = run_job(recipe, JobControl())
    found: dict[str, Any] = report.results["fusion"]
    return found


def load(folder: Path) -> Any:
    """Open a fused model."""
    from deltaworks.checkpoints import open_checkpoint
    from deltaworks.inference import load_model

    with open_checkpoint(folder) as opened:
        return load_model(opened).model


Test = tuple[Tensor, Tensor, Tensor]


def scores_of(model: Any, test: Test, towers: Sequence[str]) -> Tensor:
    """Give log-probabilities of every answer, with the tokens of some towers.

    Args:
        model: fused, with towers ``a`` and ``b``.
        test: pictures, questions, answers.
        towers: whose tokens it gets.
    """
    pictures, asked, _ = test
    ids = prompts(asked, TOKENS * len(towers))
    every = model.towers
    kept = torch.nn.ModuleDict({name: every[name] for name in towers})
    model.towers = kept
    try:
        pixels = {f"pixel_values_{n}": blind(pictures, "ab".index(n)) for n in towers}
        with torch.no_grad():
            out: Tensor = model(input_ids=ids, **pixels).logits[:, -1].log_softmax(-1)
    finally:
        model.towers = every
    return out


def accuracy(scores: Tensor, test: Test) -> float:
    """Share of right answers."""
    return float((scores.argmax(-1) == test[2]).float().mean())


def experiment(seed: int, course: Course) -> dict[str, Any]:
    """Train, fuse and measure once."""
    started = time.perf_counter()
    torch.manual_seed(seed)
    world = World(seed)
    base = train_base(world, course)
    singles = [train_llava(world, base, course, channel) for channel in (0, 1)]
    test = world.draw(N_TEST, (ASK_A, ASK_B))
    with tempfile.TemporaryDirectory(prefix="deltaworks-fuse-") as name:
        root = Path(name)
        base.save_pretrained(root / "base")
        models = [save(one, root / label) for one, label in zip(singles, "ab", strict=True)]
        found: dict[str, Any] = {}
        measured: dict[str, float] = {}
        alone: list[Tensor] = []
        for label, weights in {
            "llm-a": (1.0, 0.0),
            "llm-b": (0.0, 1.0),
            "llm-base": (0.0, 0.0),
            "half": (0.5, 0.5),
            "one": (1.0, 1.0),
        }.items():
            found[label] = fuse(root / "base", models, weights, root / label)
            model = load(root / label)
            measured[f"both tokens, {label}"] = accuracy(scores_of(model, test, "ab"), test)
            if label in {"llm-a", "half", "llm-b"}:
                for tower in "ab":
                    scores = scores_of(model, test, tower)
                    measured[f"tokens of {tower}, {label}"] = accuracy(scores, test)
                    if label == f"llm-{tower}":
                        alone.append(scores)
        measured["averaged outputs"] = accuracy(alone[0].exp() + alone[1].exp(), test)
    return {
        "seed": seed,
        "a": measured["tokens of a, llm-a"],
        "b": measured["tokens of b, llm-b"],
        "merge_only_a": measured["tokens of a, half"],
        "merge_only_b": measured["tokens of b, half"],
        "concat_a": measured["both tokens, llm-a"],
        "concat_b": measured["both tokens, llm-b"],
        "concat_base": measured["both tokens, llm-base"],
        "fused": measured["both tokens, half"],
        "fused_one": measured["both tokens, one"],
        "averaged": measured["averaged outputs"],
        "norms": found["half"]["family"]["norms"],
        "cosine": found["half"]["family"]["cosines"][0][1],
        "warnings": found["half"]["family"]["warnings"],
        "seconds": time.perf_counter() - started,
    }


ROWS = (
    ("A alone", "a"),
    ("B alone", "b"),
    ("Merged, tokens of A", "merge_only_a"),
    ("Merged, tokens of B", "merge_only_b"),
    ("Both tokens, language model of A", "concat_a"),
    ("Both tokens, language model of B", "concat_b"),
    ("Both tokens, base language model", "concat_base"),
    ("**Fused, weights 1/2**", "fused"),
    ("Fused, weights 1", "fused_one"),
    ("Outputs of both averaged (needs both models)", "averaged"),
)


def table(runs: Sequence[Mapping[str, Any]]) -> str:
    """Give the accuracies as a Markdown table."""
    lines = [
        "| Accuracy | " + " | ".join(f"seed {run['seed']}" for run in runs) + " |",
        "|---|" + "---|" * len(runs),
    ]
    for title, key in ROWS:
        lines.append(f"| {title} | " + " | ".join(f"{run[key]:.3f}" for run in runs) + " |")
    norms = (" and ".join(f"{norm:.3f}" for norm in run["norms"]) for run in runs)
    lines.append("| Change / base, A and B | " + " | ".join(norms) + " |")
    return "\n".join(lines)


COURSES = {"own": OWN, "both": BOTH, "far": FAR}


def main() -> None:
    """Run what is asked for, print tables, keep the numbers."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--variants", nargs="+", choices=list(COURSES), default=list(COURSES))
    parser.add_argument("--out", type=Path, default=None, help="folder for fuse_tiny.json")
    given = parser.parse_args()
    torch.set_num_threads(1)
    found = {}
    for variant in given.variants:
        seeds = given.seeds if variant != "far" else given.seeds[:2]
        found[variant] = [experiment(seed, COURSES[variant]) for seed in seeds]
        print(f"{variant}\n\n{table(found[variant])}\n", flush=True)
        for run in found[variant]:
            print(f"seed {run['seed']}: {run['seconds']:.0f} s; {run['warnings']}", flush=True)
    if given.out is not None:
        given.out.mkdir(parents=True, exist_ok=True)
        (given.out / "fuse_tiny.json").write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
