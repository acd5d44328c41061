"""One training loop for all stages: several kinds of micro-batch in each step."""

from __future__ import annotations

import math
import random
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch.nn.functional import cross_entropy

if TYPE_CHECKING:
    from collections.abc import Callable

    from tasks import Row
    from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

IGNORED = -100
WARM_UP = 0.03
Batch = tuple[torch.Tensor, torch.Tensor]


@dataclass
class Plan:
    """What a training run does.

    Attributes:
        steps: optimiser steps.
        rate: peak learning rate; 3 % warm-up, then a cosine to 5 % of it.
        draw: makes the micro-batches of one step.
        seed: for the order of the data.
        watch: called every ``every`` steps with the step number; true ends the run.
    """

    steps: int
    rate: float
    draw: Callable[[random.Random], list[Batch]]
    seed: int
    watch: Callable[[int], bool] | None = None
    every: int = 100


@dataclass
class Cost:
    """What a training run took."""

    steps: int = 0
    tokens: int = 0
    cpu_seconds: float = 0.0
    wall_seconds: float = 0.0
    losses: list[float] = field(default_factory=list)


class Encoder:
    """Turns rows into padded tensors; prompt and answer are tokenised apart."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        self._tokenizer = tokenizer
        self._cache: dict[str, list[int]] = {}

    def ids(self, text: str) -> list[int]:
        """Token ids of ``text``, nothing added."""
        if text not in self._cache:
            self._cache[text] = self._tokenizer(text, add_special_tokens=False)["input_ids"]
        return self._cache[text]

    def batch(self, rows: list[Row]) -> Batch:
        """Inputs and labels, padded on the right; the end token is part of the answer."""
        pairs = [
            (self.ids(row.prompt), [*self.ids(row.answer), self._tokenizer.eos_token_id])
            for row in rows
        ]
        width = max(len(prompt) + len(answer) for prompt, answer in pairs)
        inputs = torch.full((len(rows), width), self._tokenizer.pad_token_id)
        labels = torch.full((len(rows), width), IGNORED)
        for index, (prompt, answer) in enumerate(pairs):
            total = len(prompt) + len(answer)
            inputs[index, :total] = torch.tensor(prompt + answer)
            labels[index, len(prompt) : total] = torch.tensor(answer)
        return inputs, labels


def batch_loss(model: LlamaForCausalLM, batch: Batch) -> torch.Tensor:
    """Mean loss over the labelled tokens; other positions never reach the head."""
    inputs, labels = batch
    hidden = model.model(inputs).last_hidden_state[:, :-1]
    targets = labels[:, 1:]
    chosen = targets != IGNORED
    return cross_entropy(model.lm_head(hidden[chosen]), targets[chosen])


def rate_at(step: int, plan: Plan) -> float:
    """Learning rate of a step."""
    warm_up = max(1, int(WARM_UP * plan.steps))
    if step < warm_up:
        return plan.rate * (step + 1) / warm_up
    share = (step - warm_up) / max(1, plan.steps - warm_up)
    return plan.rate * (0.05 + 0.475 * (1 + math.cos(math.pi * share)))


def train(model: LlamaForCausalLM, plan: Plan) -> Cost:
    """Train ``model`` in place."""
    rng = random.Random(plan.seed)
    torch.manual_seed(plan.seed)
    optimizer = torch.optim.AdamW(model.parameters(), betas=(0.9, 0.98), weight_decay=0.0)
    cost, cpu, wall = Cost(), time.process_time(), time.monotonic()
    model.train()
    for step in range(plan.steps):
        for group in optimizer.param_groups:
            group["lr"] = rate_at(step, plan)
        total = 0.0
        for batch in plan.draw(rng):
            loss = batch_loss(model, batch)
            loss.backward()
            total += float(loss.detach())
            cost.tokens += int((batch[0] != model.config.pad_token_id).sum())
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        cost.losses.append(total)
        cost.steps = step + 1
        if plan.watch is not None and (step + 1) % plan.every == 0 and plan.watch(step + 1):
            break
    model.eval()
    cost.cpu_seconds = time.process_time() - cpu
    cost.wall_seconds = time.monotonic() - wall
    return cost
