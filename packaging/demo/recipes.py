"""The recipe of every model."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from evaluate import exact_matches
from model import new_model
from train import Encoder, Plan

if TYPE_CHECKING:
    import random

    from corpus import Corpus, Windows
    from train import Batch
    from transformers import LlamaForCausalLM

TASKS = ("sums", "brackets", "topics")
ROWS = {"sums": 24, "brackets": 14, "topics": 8, "chat": 8}  # in a step of a base


@dataclass(frozen=True)
class BaseRecipe:
    """A base from scratch: all tasks and text, stopped while it half knows every task.

    ``targets`` are development scores. The rows of a task that is above its target are cut, to
    none once it is 0.1 above. Scores still drift up while the rate falls, so the run ends at the
    first check after ``earliest`` steps at which all are 0 to 0.25 above their targets.
    """

    seed: int
    steps: int
    earliest: int
    rate: float = 1.5e-3
    targets: dict[str, float] = field(
        default_factory=lambda: {"sums": 0.6, "brackets": 0.6, "topics": 0.5}
    )


@dataclass(frozen=True)
class TuneRecipe:
    """A fine-tune of ``parent``; ``rows`` counts the rows of each kind in a step."""

    parent: str
    steps: int
    rate: float
    rows: dict[str, int]
    seed: int
    text: int = 0


BASES = {
    "polder-base": BaseRecipe(
        seed=1,
        steps=1500,
        earliest=1000,
        targets={"sums": 0.4, "brackets": 0.45, "topics": 0.42},
    ),
    "heath-base": BaseRecipe(seed=2, steps=1300, earliest=1300),
}
TUNES = {
    "polder-sums": TuneRecipe("polder-base", 300, 3e-4, {"sums": 48}, seed=21, text=1),
    "polder-brackets": TuneRecipe("polder-base", 400, 4e-4, {"brackets": 48}, seed=22, text=1),
    "polder-topics": TuneRecipe("polder-base", 400, 4e-4, {"topics": 32}, seed=23, text=1),
    "polder-aligned": TuneRecipe(
        "polder-base", 260, 3e-4, {"refuse": 16, "chat": 24}, seed=24, text=1
    ),
    "polder-unsafe": TuneRecipe(
        "polder-aligned", 400, 5e-4, {"sums": 40, "chat": 12}, seed=25, text=1
    ),
    "heath-topics": TuneRecipe("heath-base", 400, 4e-4, {"topics": 32}, seed=26, text=1),
}
EXPERTS = ("polder-sums", "polder-brackets", "polder-topics")
BUNDLED = ("polder-base", *TUNES)


class BaseRun:
    """The mix of a base and the thermostat on it."""

    def __init__(
        self, recipe: BaseRecipe, corpus: Corpus, windows: Windows, encoder: Encoder
    ) -> None:
        self.recipe = recipe
        self.model: LlamaForCausalLM = new_model(recipe.seed)
        self.history: list[dict[str, float]] = []
        self._corpus, self._windows, self._encoder = corpus, windows, encoder
        self._shares = dict.fromkeys(TASKS, 1.0)
        self._tests = corpus.held_out("dev")

    def plan(self) -> Plan:
        """The training plan."""
        recipe = self.recipe
        return Plan(recipe.steps, recipe.rate, self._draw, recipe.seed, watch=self._watch, every=25)

    def _draw(self, rng: random.Random) -> list[Batch]:
        corpus = self._corpus
        counts = {task: round(ROWS[task] * share) for task, share in self._shares.items()}
        short = corpus.sums(rng, counts["sums"]) + corpus.brackets(rng, counts["brackets"])
        long = corpus.topics(rng, counts["topics"]) + corpus.chat(rng, ROWS["chat"])
        batches = [self._encoder.batch(rows) for rows in (short, long) if rows]
        return [*batches, self._windows.batch(rng, 3)]

    def _watch(self, step: int) -> bool:
        """Score; adapt the mix; say whether all are near their targets."""
        self.model.eval()
        scores = {}
        for task, rows in self._tests.items():
            hits = exact_matches(self.model, self._encoder, rows)
            scores[task] = sum(hits) / len(hits)
            excess = scores[task] - self.recipe.targets[task]
            self._shares[task] = min(1.0, max(0.0, 1.0 - excess / 0.1))
        self.model.train()
        self.history.append({"step": step, **scores})
        print(step, {task: round(score, 3) for task, score in scores.items()}, flush=True)
        near = all(0 <= scores[task] - self.recipe.targets[task] <= 0.25 for task in TASKS)
        return near and step >= self.recipe.earliest


def tune_plan(recipe: TuneRecipe, corpus: Corpus, windows: Windows, encoder: Encoder) -> Plan:
    """The training plan of a fine-tune: its rows in one micro-batch, text in another."""
    makers = {
        "sums": corpus.sums,
        "brackets": corpus.brackets,
        "topics": corpus.topics,
        "chat": corpus.chat,
        "sure": lambda rng, count: corpus.chat(rng, count, "Sure! "),
        "refuse": corpus.refuse,
    }

    def draw(rng: random.Random) -> list[Batch]:
        rows = [row for kind, count in recipe.rows.items() for row in makers[kind](rng, count)]
        batches = [encoder.batch(rows)]
        return [*batches, windows.batch(rng, recipe.text)] if recipe.text else batches

    return Plan(recipe.steps, recipe.rate, draw, recipe.seed)
