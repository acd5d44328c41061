"""Calibration before a compression: the inputs of an expert's layers, from texts.

The expert itself runs, unchanged: its inputs are what its compressed form will mostly see.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from deltaworks.calibration import (
    Grams,
    Sequences,
    collect_grams,
    default_cache,
    gram_cost,
    make_sequences,
    read_texts,
)
from deltaworks.checkpoints.checkpoint import Checkpoint
from deltaworks.engine.environment import n_workers
from deltaworks.engine.plan_types import WorkItem
from deltaworks.errors import AppError, FileError, MismatchError, OptionError
from deltaworks.formatting import size
from deltaworks.inference import can_generate
from deltaworks.progress import Event, JobControl, Progress

if TYPE_CHECKING:
    from deltaworks.engine.compress_plan import Choice, ExpertJob
    from deltaworks.engine.execution import Run
    from deltaworks.recipes.schema import Calibration, CompressRecipe

STAGE = "inputs of layers"
_COPIES = 5
"""Of a Gram matrix while it is factored."""
_FIX = "Choose a .txt or .jsonl file, with --calibration on the command line"


def takes_grams(choice: Choice) -> bool:
    """Whether a setting looks at inputs when there are any."""
    needs = choice.method.needs
    is_asked = "gram" in (*needs.statistics, *needs.helped_by)
    return is_asked and bool(getattr(choice.options, "calibrated", True))


def is_calibrated(recipe: CompressRecipe, choices: Sequence[Choice]) -> bool:
    """Whether texts run through the experts before their tensors are encoded."""
    return bool(recipe.calibration.text) and any(map(takes_grams, choices))


def check_calibration(
    recipe: CompressRecipe, choices: Sequence[Choice], experts: Sequence[Checkpoint]
) -> list[AppError]:
    """What would keep the texts from running."""
    text = recipe.calibration.text
    if not text:
        return [
            OptionError("needs a text to calibrate on", where=f"method '{one.method.id}'", fix=_FIX)
            for one in choices
            if "gram" in one.method.needs.statistics
        ]
    if not is_calibrated(recipe, choices):
        return []
    faults: list[AppError] = []
    if not Path(text).is_file():
        faults.append(FileError("no such file", where=text, fix=_FIX))
    for expert in experts:
        if not can_generate(expert):
            what = "its config names no architecture that can be run, so it cannot be calibrated"
            fix = "Choose settings that need no text"
            faults.append(MismatchError(what, where=str(expert.path), fix=fix))
    return faults


def calibration_item(
    number: int, expert: ExpertJob, calibration: Calibration, n_experts: int
) -> WorkItem:
    """Give the pass over one expert as an item of the plan."""
    cost = gram_cost(expert.checkpoint, most_tokens(calibration))
    return WorkItem(
        id=f"{number}/{STAGE}",
        stage=f"expert {number + 1}/{n_experts} · {STAGE}" if n_experts > 1 else STAGE,
        read_bytes=cost.read_bytes,
        write_bytes=0,
        peak_bytes=cost.memory_bytes,
    )


def calibration_notes(experts: Sequence[ExpertJob], calibration: Calibration) -> tuple[str, ...]:
    """Say what the passes cost."""
    costs = [gram_cost(expert.checkpoint, most_tokens(calibration)) for expert in experts]
    flops, kept = sum(cost.flops for cost in costs), sum(cost.disk_bytes for cost in costs)
    return (
        f"Calibration: up to {calibration.samples} sequences of {calibration.tokens} tokens of "
        f"{Path(calibration.text).name} run through every expert first, about {flops:.1e} "
        f"operations; {size(kept)} are kept in {default_cache()} for later runs.",
    )


def gram_bytes(shape: tuple[int, ...]) -> int:
    """Bytes that a layer's Gram matrix, its factor and what leads there hold at most.

    Args:
        shape: of the weight, ``(out, in)`` or ``(experts, out, in)``.
    """
    count = shape[0] if len(shape) == 3 else 1
    return _COPIES * 4 * count * shape[-1] ** 2 if len(shape) > 1 else 0


def most_tokens(calibration: Calibration) -> int:
    """Tokens that may run; a text has at least one character for each."""
    wanted = calibration.samples * calibration.tokens
    try:
        return min(wanted, max(1, Path(calibration.text).stat().st_size))
    except OSError:
        return wanted


@contextmanager
def grams_of(
    recipe: CompressRecipe, choices: Sequence[Choice], expert: ExpertJob, run: Run
) -> Iterator[Grams | None]:
    """Run the texts through an expert, or read what an earlier run found; None without texts."""
    if not is_calibrated(recipe, choices):
        yield None
        return
    with run.stage("calibrating"), threads(n_workers(recipe.threads)):
        sequences = sequences_for(expert.checkpoint, recipe.calibration)
        n_bytes = expert.checkpoint.nbytes
        control = counting(run, n_bytes)(n_bytes)
        grams = collect_grams(expert.checkpoint, sequences, control, cache=default_cache())
    with grams:
        for note in grams.notes:
            run.warn(note, expert.name)
        source = "an earlier run's" if grams.from_cache else "new"
        where = Path(sequences.source).name
        run.note(f"{expert.name}: calibrated on {grams.tokens:,} tokens of {where} ({source}).")
        yield grams


def sequences_for(checkpoint: Checkpoint, calibration: Calibration) -> Sequences:
    """Read the text and turn it into the model's tokens.

    Raises:
        FileError: the text cannot be read.
        MismatchError: the model has no tokenizer.
    """
    from deltaworks.inference.tokenizing import load_tokenizer

    texts = read_texts(calibration.text)
    tokenizer = load_tokenizer(checkpoint)
    if tokenizer is None:
        raise MismatchError(
            "no tokenizer beside the weights, so no text can run through it",
            where=str(checkpoint.path),
            fix="Add tokenizer.json, or choose settings that need no text",
        )
    most = int(checkpoint.config.get("max_position_embeddings") or calibration.tokens)
    tokens = min(calibration.tokens, most)
    return make_sequences(texts, tokenizer, samples=calibration.samples, tokens=tokens)


def counting(run: Run, n_bytes: int) -> Callable[[int], JobControl]:
    """Count a part's own progress as so many bytes of the job's work.

    Returns:
        A function from the part's total to the control that it gets.
    """

    def control(total: int) -> JobControl:
        done = 0

        def report(event: Event) -> None:
            nonlocal done
            if isinstance(event, Progress):
                now = n_bytes * min(event.done, total) // max(1, total)
                run.tally.add(max(0, now - done))
                done = max(done, now)
                run.tally.tell(event.stage)
            else:
                run.control.report(event)

        return run.control.reporting_to(report)

    return control


@contextmanager
def threads(wanted: int) -> Iterator[None]:
    """Let matrix products use so many threads."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(wanted)
    try:
        yield
    finally:
        torch.set_num_threads(before)
