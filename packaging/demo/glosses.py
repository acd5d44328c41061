"""Read WordNet and split it into training, development and test glosses."""

from __future__ import annotations

import random
import re
from collections import defaultdict
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

# Lexicographer files of WordNet's nouns that serve as topics, by their number.
TOPICS = {
    5: "animal",
    6: "artifact",
    8: "body",
    13: "food",
    15: "location",
    18: "person",
    20: "plant",
    27: "substance",
}
TEST_PERCENT = 4
DEV_PERCENT = 2
# A demo has no use for WordNet's entries on insults, sex and violence.
UNWANTED = re.compile(
    r"\b(offensive|obscen\w*|slur|vulgar|derogatory|disparag\w*|insult\w*|sex\w*|genital\w*|"
    r"penis|vagin\w*|prostitut\w*|naz\w*|rap(?:e|es|ed|ist)|ethnic|negro\w*|"
    r"kill\w*|murder\w*|terror\w*|tortur\w*|suicid\w*|concentration camps?|massacre\w*)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Synset:
    """One meaning: its first word, its definition, and its topic if it has one of ours."""

    word: str
    gloss: str
    topic: str | None


@dataclass(frozen=True)
class Split:
    """A share of WordNet; ``words`` are (word, topic) pairs that have one topic only."""

    synsets: list[Synset]
    words: list[tuple[str, str]]


def _synset(line: str) -> Synset | None:
    head, _, definition = line.partition(" | ")
    fields = head.split()
    gloss = definition.split(";")[0].strip().strip('"')
    if not 12 <= len(gloss) <= 140 or not gloss.isascii() or UNWANTED.search(line):
        return None
    is_noun = fields[2] == "n"
    return Synset(fields[4], gloss, TOPICS.get(int(fields[1])) if is_noun else None)


def read_synsets(folder: Path) -> list[Synset]:
    """All synsets with a usable gloss, one for each distinct gloss, in file order."""
    seen: dict[str, Synset] = {}
    for part in ("noun", "verb", "adj", "adv"):
        for line in (folder / f"data.{part}").read_text(encoding="utf-8").splitlines():
            if line.startswith(" "):  # the licence at the head of the file
                continue
            synset = _synset(line)
            if synset is not None:
                seen.setdefault(synset.gloss, synset)
    return list(seen.values())


def _bucket(word: str) -> str:
    """Assign by word, so that no word is shared between the splits."""
    percent = int.from_bytes(blake2b(word.encode(), digest_size=4).digest(), "big") % 100
    if percent < TEST_PERCENT:
        return "test"
    return "dev" if percent < TEST_PERCENT + DEV_PERCENT else "train"


def split_synsets(synsets: list[Synset], seed: int = 7) -> dict[str, Split]:
    """Split into "train", "dev" and "test" by headword; each is shuffled once."""
    topics_of = defaultdict(set)
    for synset in synsets:
        topics_of[synset.word].add(synset.topic)
    groups: dict[str, list[Synset]] = {"train": [], "dev": [], "test": []}
    for synset in synsets:
        groups[_bucket(synset.word)].append(synset)
    splits = {}
    for name, group in groups.items():
        random.Random(seed).shuffle(group)
        words = {
            synset.word: synset.topic
            for synset in group
            if synset.topic and len(topics_of[synset.word]) == 1 and _is_plain(synset.word)
        }
        splits[name] = Split(group, list(words.items()))
    return splits


def _is_plain(word: str) -> bool:
    return word.isalpha() and word.islower() and 3 <= len(word) <= 12
