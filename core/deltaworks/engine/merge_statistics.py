"""Texts run through every expert of a merge, for methods that need to know its inputs."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from deltaworks.calibration import (
    Sequences,
    collect_fisher,
    collect_grams,
    default_cache,
    make_sequences,
    read_texts,
)
from deltaworks.engine.merge_facts import Statistics
from deltaworks.errors import OptionError
from deltaworks.inference.tokenizing import load_tokenizer
from deltaworks.progress import JobControl

if TYPE_CHECKING:
    from deltaworks.engine.merge_plan import MergeJob


def collect(job: MergeJob, control: JobControl, open_files: ExitStack) -> Statistics:
    """Find what the method needs of every expert, or read what an earlier pass found.

    Args:
        job: what is merged.
        control: Stop and pause.
        open_files: closes the statistics.

    Raises:
        OptionError: an expert has no texts.
    """
    needed = job.method.needs.statistics
    statistics = Statistics({}, {})
    grams, fishers = {}, {}
    for place, expert in enumerate(job.experts):
        sequences = _sequences(job, place)
        if "gram" in needed:
            found = collect_grams(expert, sequences, control.silent(), cache=default_cache())
            grams[place] = open_files.enter_context(found)
        if "fisher" in needed:
            names = [name for name in expert.names if expert.info(name).is_floating]
            other = collect_fisher(
                expert, sequences, control.silent(), cache=default_cache(), names=names
            )
            fishers[place] = open_files.enter_context(other)
    statistics.grams, statistics.fishers = grams, fishers
    return statistics


def _sequences(job: MergeJob, place: int) -> Sequences:
    """Give the texts of an expert as tokens."""
    given, how = job.recipe.experts[place], job.recipe.calibration
    path = given.texts or how.text
    if not path:
        raise OptionError(
            f"method '{job.method.id}' needs texts of this model's task",
            where=job.models.labels[place],
            fix="Name a .txt or .jsonl file in 'texts' of the expert.",
        )
    expert = job.experts[place]
    tokenizer = load_tokenizer(expert) or load_tokenizer(job.leader)
    if tokenizer is None:
        raise OptionError("has no tokenizer", where=str(expert.path), fix="Add tokenizer.json.")
    texts = read_texts(Path(path))
    return make_sequences(texts, tokenizer, samples=how.samples, tokens=how.tokens)
