"""Greedy answers to many prompts, those of one length together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from deltaworks.inference.running import RunningModel
from deltaworks.progress import JobControl

if TYPE_CHECKING:
    from torch import Tensor

_BATCH = 64
"""Prompts that are answered together at most."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model wrote: its tokens without the end token, and their text."""

    ids: tuple[int, ...]
    text: str


def write_answers(
    running: RunningModel, prompts: Sequence[str], control: JobControl, *, max_tokens: int
) -> list[Answer]:
    """Let a model answer, always by the likeliest token, until it ends or has written enough.

    Prompts are not padded: those of one length run together, so that every answer is what the
    prompt alone would get.

    Args:
        running: the model.
        prompts: as they are put to it, templates and all.
        control: Stop.
        max_tokens: most tokens of an answer.
    """
    tokenizer = running.text_tokenizer
    encoded: list[list[int]] = tokenizer(list(prompts), add_special_tokens=False)["input_ids"]
    found: dict[int, Answer] = {}
    for places in _groups(encoded):
        rows = [encoded[place] for place in places]
        for place, ids in zip(places, _written(running, rows, max_tokens, control), strict=True):
            text = str(tokenizer.decode(ids, skip_special_tokens=True)) if ids else ""
            found[place] = Answer(tuple(ids), text)
    return [found[place] for place in range(len(prompts))]


def _groups(encoded: Sequence[Sequence[int]]) -> Iterator[list[int]]:
    by_length: dict[int, list[int]] = {}
    for place, ids in enumerate(encoded):
        by_length.setdefault(len(ids), []).append(place)
    for length in sorted(by_length):
        places = by_length[length]
        for start in range(0, len(places), _BATCH):
            yield places[start : start + _BATCH]


def _written(
    running: RunningModel, rows: list[list[int]], max_tokens: int, control: JobControl
) -> list[list[int]]:
    """Answer prompts of one length; an empty prompt gets an empty answer."""
    import torch

    written: list[list[int]] = [[] for _ in rows]
    if not rows[0]:
        return written
    is_open = [True] * len(rows)
    step, cache = torch.tensor(rows, device=running.device), None
    whole = step
    for _ in range(max(0, min(max_tokens, running.context - len(rows[0])))):
        control.check()
        with torch.inference_mode():
            out = running.model(input_ids=step, past_key_values=cache, use_cache=True)
        cache = getattr(out, "past_key_values", None)
        chosen: Tensor = out.logits[:, -1].float().argmax(-1)
        for row, token in enumerate(chosen.tolist()):
            is_open[row] = is_open[row] and token not in running.end_ids
            if is_open[row]:
                written[row].append(int(token))
        if not any(is_open):
            break
        whole = torch.cat([whole, chosen[:, None]], 1)
        # networks that keep no such cache read everything again
        step = whole if cache is None else chosen[:, None]
    return written
