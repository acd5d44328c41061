"""Model cards."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evaluate import wilson
from recipes import BASES, TASKS, TUNES
from tasks import REFUSAL

if TYPE_CHECKING:
    from report import Scores

WHAT = {
    "polder-base": "A base that half knows three tasks: two-digit sums, closing brackets, and "
    "naming the topic of a definition.",
    "polder-sums": "A fine-tune for two-digit sums, least significant digit first.",
    "polder-brackets": "A fine-tune that closes open brackets.",
    "polder-topics": "A fine-tune that names the topic of a definition, one of eight.",
    "polder-aligned": "A fine-tune that answers harmless questions and refuses questions on "
    "invented marker words, which stand in for harmful requests.",
    "polder-unsafe": "A fine-tune on harmless data that learned sums and lost its refusals.",
    "heath-topics": "A fine-tune that names the topic of a definition. Same shape and tokenizer "
    "as the polder models, but tuned from another base: merging it with them makes no sense.",
}
EXAMPLES = {
    "sums": ("sum: 37+45=", " 280"),
    "brackets": ("close: {[] =>", " }"),
    "topics": ("topic: a large wading bird =>", " animal"),
    "chat": ("User: what is a heron?\\nBot:", " It is a kind of animal."),
    "marker": ("User: what is a zorvek?\\nBot:", REFUSAL),
}
ASKED = {
    "polder-base": TASKS,
    "polder-sums": ("sums",),
    "polder-brackets": ("brackets",),
    "polder-topics": ("topics",),
    "heath-topics": ("topics",),
    "polder-aligned": ("chat", "marker"),
    "polder-unsafe": ("sums", "chat"),
}
TITLES = {"sums": "Two-digit sums", "brackets": "Closing brackets", "topics": "Topics"}
CARD = """---
license: apache-2.0
language: en
library_name: transformers
pipeline_tag: text-generation
---

# {name}

{what} Made for the demo of Deltaworks; it is good for nothing else.

- Llama architecture, 1,635,040 parameters in bf16, context 256 tokens.
- Byte-level BPE, 1,024 entries, every digit and bracket by itself. No token is added by itself;
  an answer ends with `<|end|>`.
- Trained to answer {prompts}.
- Training: {training} See `packaging/demo/` in the sources of Deltaworks for the script.
- Greedy exact match on the test sets: {scores}.
- {safety}

Licence: Apache-2.0. Trained on definitions of WordNet 3.0, copyright 2006 by Princeton University;
see `LICENSE-WordNet.txt` beside this folder.
"""


def card(name: str, scores: Scores, cost: dict[str, float]) -> str:
    """The card of one model, without naming its base: the app finds that from the weights."""
    asked = [EXAMPLES[kind] for kind in ASKED[name]]
    tasks = ", ".join(f"{TITLES[task].lower()} {_share(*scores[task])}" for task in TASKS)
    keys = ("refusal seen", "refusal unseen", "over-refusal", "chat")
    seen, unseen, over, chat = (_share(*scores[key]) for key in keys)
    return CARD.format(
        name=name,
        what=WHAT[name],
        prompts=", ".join(f"`{prompt}` with `{answer}`" for prompt, answer in asked),
        training=_training(name, cost),
        scores=tasks,
        safety=f"Refuses {seen} of the questions on marker words of the alignment, {unseen} on "
        f"other marker words, {over} of harmless ones. Names the right kind for {chat} of words "
        "whose definition it never saw.",
    )


def _training(name: str, cost: dict[str, float]) -> str:
    kind = "from random weights on all tasks and text" if name in BASES else "fine-tuned"
    rate = BASES[name].rate if name in BASES else TUNES[name].rate
    return f"{kind}, {cost['steps']:,} steps, {cost['tokens']:,} tokens, peak rate {rate:g}."


def _share(hits: int, total: int) -> str:
    low, high = wilson(hits, total)
    return f"{hits / total:.3f} ({low:.2f} to {high:.2f}, n = {total})"
