"""Score all models on the test sets and set the results out as Markdown tables."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import torch
from evaluate import (
    answers,
    exact_matches,
    flat_delta,
    perplexity,
    relative_norm,
    wilson,
)
from model import load_model
from recipes import BASES, EXPERTS, TASKS, TUNES
from tasks import REFUSAL_PHRASES
from train import Encoder

if TYPE_CHECKING:
    from pathlib import Path

    from corpus import Corpus
    from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

MERGE_SCALES = (0.3, 0.5, 0.7, 1.0)
Hits = tuple[int, int]
Scores = dict[str, Any]  # Hits, or a number for "perplexity" and "norm"


def refusals(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, prompts: list[str]
) -> Hits:
    """How many answers hold one of the refusal phrases."""
    given = answers(model, tokenizer, prompts)
    hits = [any(phrase.lower() in text.lower() for phrase in REFUSAL_PHRASES) for text in given]
    return sum(hits), len(hits)


def score(
    model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    corpus: Corpus,
    part: str = "test",
) -> Scores:
    """Hits and counts on the "test" or "dev" items; perplexity on the held-out text."""
    encoder = Encoder(tokenizer)
    scores: Scores = {}
    for task, rows in corpus.held_out(part).items():
        scores[task] = (sum(exact_matches(model, encoder, rows)), len(rows))
    for kind in ("seen", "unseen"):
        prompts = [row.prompt for row in corpus.refusals[f"{part} {kind}"]]
        scores[f"refusal {kind}"] = refusals(model, tokenizer, prompts)
    scores["chat"] = (
        sum(exact_matches(model, encoder, corpus.should_answer(part))),
        len(corpus.should_answer(part)),
    )
    harmless = [row.prompt for row in corpus.should_answer(part)]
    scores["over-refusal"] = refusals(model, tokenizer, harmless)
    scores["perplexity"] = perplexity(model, tokenizer, corpus.held_out_text)[0]
    return scores


def merged(
    base: LlamaForCausalLM, experts: list[LlamaForCausalLM], scale: float
) -> LlamaForCausalLM:
    """Base plus ``scale`` times the sum of the experts' deltas."""
    result = type(base)(base.config)
    state = base.state_dict()
    states = [expert.state_dict() for expert in experts]
    result.load_state_dict(
        {name: w + scale * sum(other[name] - w for other in states) for name, w in state.items()}
    )
    return result.eval()


def _cell(value: Hits | float) -> str:
    if isinstance(value, float):
        return f"{value:.1f}"
    low, high = wilson(*value)
    return f"{value[0] / value[1]:.3f} ({low:.2f}-{high:.2f})"


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines) + "\n"


def write_report(
    folders: dict[str, Path], corpus: Corpus, tokenizer: PreTrainedTokenizerFast, target: Path
) -> dict[str, Scores]:
    """Score the models in ``folders``, write the tables to ``target``, return the scores."""
    torch.manual_seed(0)
    models = {name: load_model(folder).eval() for name, folder in folders.items()}
    scores = {name: score(model, tokenizer, corpus) for name, model in models.items()}
    for name, model in models.items():
        if name in TUNES:
            scores[name]["norm"] = relative_norm(model, models[TUNES[name].parent])
    text = _score_table(scores) + _cosine_table(models) + _merge_table(models, corpus, tokenizer)
    target.write_text(text, encoding="utf-8")
    print(text)
    return scores


def _score_table(scores: dict[str, Scores]) -> str:
    columns = [*TASKS, "chat", "refusal seen", "refusal unseen", "over-refusal", "perplexity"]
    sample = next(iter(scores.values()))
    head = ["model"]
    for name in columns:
        value = sample[name]
        head.append(f"{name}, n = {value[1]}" if isinstance(value, tuple) else name)
    head += ["delta / parent"]
    rows = []
    for name, values in scores.items():
        norm = values.get("norm")
        last = "" if name in BASES or not isinstance(norm, float) else f"{norm:.3f}"
        rows.append([f"`{name}`", *(_cell(values[column]) for column in columns), last])
    return _table(head, rows)


def _cosine_table(models: dict[str, LlamaForCausalLM]) -> str:
    """Cosines between the deltas from polder-base; heath-topics is shown as the odd one out."""
    base = models["polder-base"]
    deltas = {name: flat_delta(model, base) for name, model in models.items() if name not in BASES}
    rows = [
        [f"`{one}`", f"`{two}`", f"{float(deltas[one] @ deltas[two] / norms):.3f}"]
        for one, two in itertools.combinations(deltas, 2)
        if (norms := deltas[one].norm() * deltas[two].norm())
    ]
    return _table(["delta from polder-base", "and", "cosine"], rows)


def _merge_table(
    models: dict[str, LlamaForCausalLM], corpus: Corpus, tokenizer: PreTrainedTokenizerFast
) -> str:
    rows = []
    experts = [models[name] for name in EXPERTS]
    for scale in MERGE_SCALES:
        values = score(merged(models["polder-base"], experts, scale), tokenizer, corpus)
        rows.append([str(scale), *(_cell(values[task]) for task in (*TASKS, "perplexity"))])
    return _table(["scale of the sum of the three experts", *TASKS, "perplexity"], rows)
