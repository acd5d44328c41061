"""Scores: exact match, perplexity, refusals, and distances between weights."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from tokenizer import CONTEXT
from torch.nn.functional import cross_entropy
from train import IGNORED, Encoder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tasks import Row
    from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

BATCH = 64
ANSWER_TOKENS = 14


@torch.no_grad()
def exact_matches(model: LlamaForCausalLM, encoder: Encoder, rows: Sequence[Row]) -> list[bool]:
    """Whether greedy decoding gives the whole answer and then ends; one pass with the answer in."""
    results: list[bool] = []
    for start in range(0, len(rows), BATCH):
        inputs, labels = encoder.batch(list(rows[start : start + BATCH]))
        guesses = model(inputs).logits[:, :-1].argmax(-1)
        targets = labels[:, 1:]
        results += ((guesses == targets) | (targets == IGNORED)).all(1).tolist()
    return results


@torch.no_grad()
def perplexity(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, text: str
) -> tuple[float, int]:
    """Perplexity over windows of the context length, and the number of tokens predicted."""
    ids = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
    windows = torch.tensor(ids[: len(ids) // CONTEXT * CONTEXT]).view(-1, CONTEXT)
    total = 0.0
    for part in windows.split(8):
        logits = model(part).logits[:, :-1]
        total += float(cross_entropy(logits.flatten(0, 1), part[:, 1:].flatten(), reduction="sum"))
    count = windows[:, 1:].numel()
    return math.exp(total / count), count


@torch.no_grad()
def answers(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, prompts: Sequence[str]
) -> list[str]:
    """Greedy answers; prompts of one length are decoded together."""
    found: dict[str, str] = {}
    by_length: dict[int, list[tuple[str, list[int]]]] = {}
    for prompt in prompts:
        ids = tokenizer(prompt, add_special_tokens=False)["input_ids"]
        by_length.setdefault(len(ids), []).append((prompt, ids))
    for group in by_length.values():
        sequence = torch.tensor([ids for _, ids in group])
        width = sequence.shape[1]
        for _ in range(ANSWER_TOKENS):
            following = model(sequence).logits[:, -1].argmax(-1, keepdim=True)
            sequence = torch.cat([sequence, following], 1)
        for (prompt, _), row in zip(group, sequence[:, width:].tolist(), strict=True):
            end = tokenizer.eos_token_id
            found[prompt] = tokenizer.decode(row[: row.index(end)] if end in row else row)
    return [found[prompt] for prompt in prompts]


def wilson(hits: int, total: int, z: float = 1.96) -> tuple[float, float]:
    """Wilson's 95 % interval for a share."""
    share = hits / total
    centre = share + z * z / (2 * total)
    spread = z * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    scale = 1 + z * z / total
    return max(0.0, (centre - spread) / scale), min(1.0, (centre + spread) / scale)


def flat_delta(child: LlamaForCausalLM, parent: LlamaForCausalLM) -> torch.Tensor:
    """Child minus parent, all tensors in one float32 vector."""
    pairs = zip(child.parameters(), parent.parameters(), strict=True)
    return torch.cat([(mine - theirs).detach().flatten() for mine, theirs in pairs])


def relative_norm(child: LlamaForCausalLM, parent: LlamaForCausalLM) -> float:
    """Norm of the delta over the norm of the parent."""
    own = torch.cat([weight.detach().flatten() for weight in parent.parameters()])
    return float(flat_delta(child, parent).norm() / own.norm())
