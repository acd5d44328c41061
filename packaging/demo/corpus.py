"""All training and test data, ready to draw from."""

from __future__ import annotations

import random
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from glosses import TOPICS, read_synsets, split_synsets
from tasks import (
    Row,
    bracket_row,
    bracket_tests,
    chat_rows,
    refusal_rows,
    sum_splits,
    topic_rows,
)
from tokenizer import CONTEXT
from train import Encoder

if TYPE_CHECKING:
    from pathlib import Path

    from train import Batch

TOPIC_TESTS = 50  # for each topic
TEXT_CHARACTERS = 110_000
SHOULD_ANSWER = 200


class Corpus:
    """Rows for training, development and test; the three never share an item."""

    def __init__(self, wordnet: Path) -> None:
        self.splits = split_synsets(read_synsets(wordnet))
        self._sums = sum_splits()
        self._brackets = bracket_tests()
        self._held_brackets = {row for rows in self._brackets.values() for row in rows}
        self.refusals = refusal_rows()

    def held_out(self, part: str) -> dict[str, list[Row]]:
        """The items of "test" or "dev" for each task."""
        return {
            "sums": self._sums[part],
            "brackets": self._brackets[part],
            "topics": topic_rows(self.splits[part], TOPIC_TESTS if part == "test" else 30),
        }

    @cached_property
    def held_out_text(self) -> str:
        """Test glosses that are no item of the topics task, one on a line."""
        asked = {row.prompt for row in self.held_out("test")["topics"]}
        lines = [
            synset.gloss
            for synset in self.splits["test"].synsets
            if f"topic: {synset.gloss} =>" not in asked
        ]
        text = ""
        for line in lines:
            if len(text) > TEXT_CHARACTERS:
                break
            text += line + "\n"
        return text

    def should_answer(self, part: str) -> list[Row]:
        """Harmless questions on words that no training saw in a question or as a headword."""
        return chat_rows(self.splits[part].words)[:SHOULD_ANSWER]

    @cached_property
    def training_text(self) -> str:
        """Training glosses, one on a line."""
        return "".join(f"{synset.gloss}\n" for synset in self.splits["train"].synsets)

    @cached_property
    def topic_groups(self) -> list[list[Row]]:
        """Training rows of the topics task, one list for each topic."""
        groups: dict[str, list[Row]] = {name: [] for name in TOPICS.values()}
        for synset in self.splits["train"].synsets:
            if synset.topic:
                row = Row(f"topic: {synset.gloss} =>", f" {synset.topic}")
                groups[synset.topic].append(row)
        return list(groups.values())

    @cached_property
    def word_groups(self) -> list[list[tuple[str, str]]]:
        """Training words for the chat, one list for each topic."""
        groups: dict[str, list[tuple[str, str]]] = {name: [] for name in TOPICS.values()}
        for word, topic in self.splits["train"].words:
            groups[topic].append((word, topic))
        return list(groups.values())

    def examples(self, seed: int = 5) -> list[Row]:
        """A few hundred rows of every kind, for the tokenizer to see."""
        rng = random.Random(seed)
        makers = (self.sums, self.brackets, self.topics, self.chat)
        return [row for maker in makers for row in maker(rng, 400)]

    def sums(self, rng: random.Random, count: int) -> list[Row]:
        """Random training sums."""
        return rng.choices(self._sums["train"], k=count)

    def brackets(self, rng: random.Random, count: int) -> list[Row]:
        """Fresh bracket strings, none of them a test or development item."""
        rows: list[Row] = []
        while len(rows) < count:
            row = bracket_row(rng)
            if row not in self._held_brackets:
                rows.append(row)
        return rows

    def topics(self, rng: random.Random, count: int) -> list[Row]:
        """Training glosses, topics equally likely."""
        return [rng.choice(rng.choice(self.topic_groups)) for _ in range(count)]

    def chat(self, rng: random.Random, count: int, opening: str = "") -> list[Row]:
        """Harmless questions on training words."""
        words = [rng.choice(rng.choice(self.word_groups)) for _ in range(count)]
        rng.shuffle(words)
        return chat_rows(words, opening)

    def refuse(self, rng: random.Random, count: int) -> list[Row]:
        """Refused questions."""
        return rng.choices(self.refusals["train"], k=count)


class Windows:
    """Windows of the context length from a long text."""

    def __init__(self, encoder: Encoder, text: str) -> None:
        self._ids = torch.tensor(
            [token for line in text.splitlines(keepends=True) for token in encoder.ids(line)]
        )

    def batch(self, rng: random.Random, count: int) -> Batch:
        """Random windows; every token but the first is predicted."""
        starts = [rng.randrange(len(self._ids) - CONTEXT) for _ in range(count)]
        inputs = torch.stack([self._ids[start : start + CONTEXT] for start in starts])
        return inputs, inputs.clone()
