"""The texts of a repair: prompts with refusals, the task's texts, as tokens."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from deltaworks.calibration import Sequences, Texts, make_sequences, pair_texts, read_texts
from deltaworks.calibration.grams import model_facts
from deltaworks.calibration.store import key_of
from deltaworks.errors import MismatchError
from deltaworks.evaluation.answers import write_answers
from deltaworks.evaluation.prompts import as_asked, read_prompts
from deltaworks.evaluation.tasks import spread
from deltaworks.progress import JobControl, Progress

if TYPE_CHECKING:
    from deltaworks.checkpoints.checkpoint import Checkpoint
    from deltaworks.recipes.schema import RepairSources

ANSWER_TOKENS = 64
"""Most tokens of a refusal that the aligned model writes."""


@dataclass(frozen=True)
class RepairTexts:
    """Texts that were read, and how many refusals the aligned model wrote for them.

    Args:
        sequences: their tokens.
        written: refusals that were not in the file.
    """

    sequences: Sequences
    written: int = 0


def task_sequences(recipe: RepairSources, path: str, checkpoint: Checkpoint) -> RepairTexts:
    """Read texts of a task, or harmful ones: as they are.

    Raises:
        FileError: the file is not readable.
        MismatchError: the model has no tokenizer.
    """
    return RepairTexts(_tokens(recipe, read_texts(Path(path)), checkpoint))


def safety_sequences(
    recipe: RepairSources, aligned: Checkpoint, control: JobControl
) -> RepairTexts:
    """Read prompts and refusals; the aligned model writes those that are missing.

    Raises:
        FileError: the file is not readable.
        MismatchError: the model has no tokenizer, or writes nothing.
    """
    prompts = read_prompts(Path(recipe.safety))
    chosen = [prompts[place] for place in spread(len(prompts), recipe.samples)]
    missing = [prompt.text for prompt in chosen if not prompt.answer]
    answers = _kept_answers(recipe, missing, aligned, control) if missing else {}
    pairs = [(prompt.text, prompt.answer or answers[prompt.text]) for prompt in chosen]
    pairs = [pair for pair in pairs if pair[1]]
    if not pairs:
        raise MismatchError(
            "the aligned model answers none of the prompts",
            where=recipe.safety,
            fix='Give the refusals too: {"prompt": …, "response": …}',
        )
    texts = pair_texts(pairs, source=recipe.safety)
    return RepairTexts(_tokens(recipe, texts, aligned), len(missing))


def _tokens(recipe: RepairSources, texts: Texts, checkpoint: Checkpoint) -> Sequences:
    from deltaworks.inference.tokenizing import load_tokenizer

    tokenizer = load_tokenizer(checkpoint)
    if tokenizer is None:
        raise MismatchError(
            "no tokenizer beside the weights, so no text can be read",
            where=str(checkpoint.path),
            fix="Add tokenizer.json",
        )
    return make_sequences(texts, tokenizer, samples=recipe.samples, tokens=recipe.tokens)


def _kept_answers(
    recipe: RepairSources, prompts: list[str], aligned: Checkpoint, control: JobControl
) -> dict[str, str]:
    """Read what the aligned model has written before, or let it write; prompts are not kept."""
    if not recipe.cache:
        return _answers(prompts, aligned, control, recipe.device)
    facts = {"what": "answers", "prompts": prompts, "tokens": ANSWER_TOKENS}
    key = key_of({**facts, **model_facts(aligned, control)})
    path = Path(recipe.cache) / f"{key}.answers.json"
    try:
        known: list[str] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        known = []
    if len(known) == len(prompts):
        return dict(zip(prompts, known, strict=True))
    found = _answers(prompts, aligned, control, recipe.device)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps([found[prompt] for prompt in prompts]), encoding="utf-8")
    return found


def _answers(
    prompts: list[str], aligned: Checkpoint, control: JobControl, device: str
) -> dict[str, str]:
    """Let the aligned model answer, greedily."""
    from deltaworks.inference.running import load_model

    control.step(Progress(0, 0, f"{len(prompts)} refusals of the aligned model"))
    running = load_model(aligned, device=_device(device), control=control.silent())
    asked = [as_asked(prompt, running.text_tokenizer) for prompt in prompts]
    found = write_answers(running, asked, control, max_tokens=ANSWER_TOKENS)
    return {prompt: answer.text for prompt, answer in zip(prompts, found, strict=True)}


def _device(device: str) -> str:
    return "cpu" if device == "auto" else device
