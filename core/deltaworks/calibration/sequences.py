"""Texts as token ids: what a calibration pass feeds to a model. Padding never exists."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from deltaworks.calibration.texts import Sample, Texts
from deltaworks.errors import FileError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_CHARACTERS_A_TOKEN = 16  # bounds the work on long files


@dataclass(frozen=True)
class Sequences:
    """Token ids of the texts.

    Args:
        ids: one tuple a sequence, none empty.
        answers: for each sequence the place of the first answer token; 0 for running text.
        source: where the texts come from, for people.
    """

    ids: tuple[tuple[int, ...], ...]
    answers: tuple[int, ...]
    source: str

    @property
    def n_tokens(self) -> int:
        """Tokens in all sequences."""
        return sum(len(sequence) for sequence in self.ids)

    @cached_property
    def hash(self) -> str:
        """Tells these tokens from others, whatever text and template they came from."""
        from blake3 import blake3

        digest = blake3()
        for sequence, answer in zip(self.ids, self.answers, strict=True):
            digest.update(np.array([len(sequence), answer, *sequence], dtype="<i8").tobytes())
        return digest.hexdigest()

    def batches(self, most_tokens: int) -> tuple[tuple[int, ...], ...]:
        """Group places of sequences of one length, at most so many tokens a group."""
        order = sorted(range(len(self.ids)), key=lambda place: (-len(self.ids[place]), place))
        groups: list[list[int]] = []
        for place in order:
            length = len(self.ids[place])
            last = groups[-1] if groups else []
            fits = (len(last) + 1) * length <= most_tokens
            if last and fits and len(self.ids[last[0]]) == length:
                last.append(place)
            else:
                groups.append([place])
        return tuple(map(tuple, groups))


def make_sequences(
    texts: Texts, tokenizer: PreTrainedTokenizerBase, *, samples: int = 128, tokens: int = 512
) -> Sequences:
    """Turn texts into sequences.

    Running text is cut into windows of ``tokens``; pairs and conversations give one
    sequence each, cut at ``tokens``, in the tokenizer's chat template when it has one and
    as they are when it has none. Of more than ``samples``, evenly spread ones are taken.

    Args:
        texts: what to read.
        tokenizer: of the model that they will run through.
        samples: sequences at most.
        tokens: tokens of a sequence at most.

    Raises:
        FileError: no token comes out.
    """
    pairs = [sample for sample in texts.samples if sample.is_pair]
    running = [sample.answer for sample in texts.samples if not sample.is_pair]
    found = [
        _pair(sample, tokenizer, tokens) for sample in (_spread(pairs, samples) if pairs else [])
    ]
    found += [(window, 0) for window in _windows(running, tokenizer, samples, tokens)]
    kept = _spread([(ids, at) for ids, at in found if ids], samples)
    if not kept:
        raise FileError(
            "no token comes out of the text", where=texts.source, fix="Choose a longer text"
        )
    return Sequences(
        tuple(tuple(ids) for ids, _ in kept), tuple(at for _, at in kept), texts.source
    )


def _pair(sample: Sample, tokenizer: PreTrainedTokenizerBase, tokens: int) -> tuple[list[int], int]:
    """Tokenise prompt and answer apart, so that the answer's first token is known."""
    if getattr(tokenizer, "chat_template", None):
        turns = [{"role": turn.role, "content": turn.content} for turn in sample.messages] or [
            {"role": "user", "content": sample.prompt},
            {"role": "assistant", "content": sample.answer},
        ]
        whole = _templated(tokenizer, turns, prompt_only=False)
        before = _templated(tokenizer, turns[:-1], prompt_only=True) if turns[1:] else []
        is_prefix = whole[: len(before)] == before
        return whole[:tokens], min(len(before), tokens) if is_prefix else 0
    separator = "\n" if sample.messages else ""
    before = _ids(tokenizer, sample.prompt + separator) if sample.prompt else []
    return (before + _ids(tokenizer, sample.answer))[:tokens], min(len(before), tokens)


def _templated(
    tokenizer: PreTrainedTokenizerBase, turns: Sequence[dict[str, str]], *, prompt_only: bool
) -> list[int]:
    text = tokenizer.apply_chat_template(
        list(turns), tokenize=False, add_generation_prompt=prompt_only
    )
    return _ids(tokenizer, str(text))


def _windows(
    running: Sequence[str], tokenizer: PreTrainedTokenizerBase, samples: int, tokens: int
) -> Iterator[list[int]]:
    """Cut running texts into windows; very long ones are read at evenly spread places."""
    for content in running:
        for piece in _pieces(content, samples * tokens * _CHARACTERS_A_TOKEN):
            ids = _ids(tokenizer, piece)
            yield from (ids[at : at + tokens] for at in range(0, len(ids), tokens))


def _pieces(content: str, most: int) -> list[str]:
    if len(content) <= most:
        return [content]
    parts = 8
    size, step = most // parts, len(content) // parts
    return [content[at * step : at * step + size] for at in range(parts)]


def _ids(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    encoded: Any = tokenizer(text, add_special_tokens=False, verbose=False)
    return [int(number) for number in encoded["input_ids"]]


def _spread(values: Sequence[Any], most: int) -> list[Any]:
    """Keep evenly spaced ones, the first among them."""
    if len(values) <= most:
        return list(values)
    return [values[place * len(values) // most] for place in range(most)]
