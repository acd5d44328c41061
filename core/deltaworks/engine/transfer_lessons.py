"""The texts of a transfer as tokens: which are trained on, which only measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deltaworks.calibration.sequences import make_sequences
from deltaworks.engine.transfer_types import TransferJob
from deltaworks.errors import FileError, MismatchError
from deltaworks.inference.tokenizing import load_tokenizer
from deltaworks.training.answers import Lesson, lessons_of

if TYPE_CHECKING:
    from deltaworks.engine.execution import Run

Lessons = dict[str, list[Lesson]]


def read_lessons(job: TransferJob, run: Run) -> Lessons:
    """Turn every set into tokens; warn where sets overlap or answers are lost.

    Raises:
        FileError: a set has no answer left.
        MismatchError: the target's tokenizer cannot be loaded.
    """
    tokenizer = load_tokenizer(job.target)
    if tokenizer is None:
        where, fix = str(job.target.path), "Put a tokenizer that transformers knows beside it."
        raise MismatchError("its tokenizer cannot be loaded", where=where, fix=fix)
    tokens = min(job.recipe.tokens, job.target.config.get("max_position_embeddings") or 1 << 30)
    found: Lessons = {}
    for name, texts in job.texts.items():
        most = job.recipe.seed_samples if name == "seed_data" else job.recipe.samples
        sequences = make_sequences(texts, tokenizer, samples=most, tokens=tokens)
        found[name] = lessons_of(sequences.ids, sequences.answers)
        if not found[name]:
            what = f"no answer is left within {tokens} tokens"
            raise FileError(what, where=texts.source, fix="Allow more tokens or give answers.")
        lost = len(sequences.ids) - len(found[name])
        if lost:
            run.warn(f"{lost} texts have no answer within {tokens} tokens", texts.source)
    _warn_of_overlap(found, run)
    return found


def _warn_of_overlap(lessons: Lessons, run: Run) -> None:
    seen = {one.ids for one in lessons.get("training", ())}
    held = lessons.get("held_out", [])
    both = sum(one.ids in seen for one in held)
    if both:
        run.warn(f"{both} of {len(held)} held-out texts are also trained on: their loss flatters")
