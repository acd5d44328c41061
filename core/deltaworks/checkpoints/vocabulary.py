"""A tokenizer's tokens and their ids, read from ``tokenizer.json`` alone.

The file is JSON of Hugging Face tokenizers: ``model.vocab`` holds the normal tokens, as a
mapping to ids or, for Unigram, as a list of tokens with scores; ``added_tokens`` the rest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from deltaworks.checkpoints.checkpoint import Checkpoint
from deltaworks.checkpoints.documents import read_object
from deltaworks.checkpoints.faults import DAMAGED, place
from deltaworks.errors import FileError

TOKENIZER = "tokenizer.json"
SETTINGS = "tokenizer_config.json"
SLOW_FILES = (
    "tokenizer.model",
    "spiece.model",
    "sentencepiece.bpe.model",
    "vocab.json",
    "merges.txt",
    "vocab.txt",
    "added_tokens.json",
)
"""Older files that say the same and that a built tokenizer does not have."""


@dataclass(frozen=True)
class Vocabulary:
    """Tokens of one tokenizer.

    Args:
        ids: of all tokens, added ones included.
        added: entries of added tokens by their text.
        document: the whole ``tokenizer.json``.
    """

    ids: Mapping[str, int]
    added: Mapping[str, Mapping[str, Any]]
    document: Mapping[str, Any]

    @property
    def size(self) -> int:
        """Rows that a matrix needs for it."""
        return max(self.ids.values(), default=-1) + 1

    def normal(self) -> list[str]:
        """Give the tokens that are not added ones, by id."""
        names = (name for name in self.ids if name not in self.added)
        return sorted(names, key=lambda name: self.ids[name])


def read_vocabulary(checkpoint: Checkpoint) -> Vocabulary | None:
    """Read a model's tokens; None where it has no ``tokenizer.json``.

    Raises:
        FileError: it is damaged.
    """
    path = checkpoint.side_files.get(TOKENIZER)
    if path is None:
        return None
    facts = path.stat()
    return _read(path, facts.st_mtime_ns, facts.st_size)


@lru_cache(maxsize=8)
def _read(path: Path, modified_ns: int, size_bytes: int) -> Vocabulary:  # noqa: ARG001
    """Read a file once: a plan looks at it several times, and it has megabytes."""
    return vocabulary_of(read_object(path), path)


def vocabulary_of(document: Mapping[str, Any], path: Path) -> Vocabulary:
    """Read the tokens of a parsed ``tokenizer.json``.

    Raises:
        FileError: it does not hold a vocabulary; ``path`` is named.
    """
    model = document.get("model")
    stored = model.get("vocab") if isinstance(model, Mapping) else None
    ids: dict[str, int] = {}
    if isinstance(stored, Mapping):
        ids = {str(token): _id(number, path) for token, number in stored.items()}
    elif isinstance(stored, Sequence):
        ids = {str(entry[0]): number for number, entry in enumerate(stored)}
    else:
        raise FileError("holds no vocabulary", where=place(path), fix=DAMAGED)
    added: dict[str, Mapping[str, Any]] = {}
    for entry in document.get("added_tokens") or ():
        if not isinstance(entry, Mapping) or not isinstance(entry.get("content"), str):
            raise FileError("holds an added token without text", where=place(path), fix=DAMAGED)
        added[entry["content"]] = entry
        ids[entry["content"]] = _id(entry.get("id"), path)
    return Vocabulary(ids, added, document)


def _id(number: object, path: Path) -> int:
    if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number < 1 << 31:
        raise FileError(f"has a token with id {number!r:.40}", where=place(path), fix=DAMAGED)
    return number


# --- building ---------------------------------------------------------------------------------


def stripped(vocabulary: Vocabulary, n_rows: int) -> Vocabulary:
    """Leave out tokens without a row in the model's matrices."""
    if vocabulary.size <= n_rows:
        return vocabulary
    ids = {name: number for name, number in vocabulary.ids.items() if number < n_rows}
    added = {name: entry for name, entry in vocabulary.added.items() if name in ids}
    return Vocabulary(ids, added, _document(vocabulary.document, ids, added))


def joined(
    first: Vocabulary, others: Sequence[Vocabulary], extra: Sequence[str] = ()
) -> Vocabulary:
    """Give all tokens of the first one, with its ids, then those that only others have.

    Normal tokens come before added ones, each in the order of the tokenizers and of ids
    there; the first definition of an added token wins.

    Args:
        first: keeps its ids.
        others: in order.
        extra: further tokens, added at the end where nobody has them.
    """
    ids, added = dict(first.ids), dict(first.added)
    following = first.size
    for other in others:
        for name in other.normal():
            if name not in ids:
                ids[name] = following
                following += 1
    for other in others:
        for name, entry in other.added.items():
            if name not in ids:
                added[name] = {**entry, "id": following}
                ids[name] = following
                following += 1
    for name in extra:
        if name not in ids:
            added[name] = _plain_entry(name, following)
            ids[name] = following
            following += 1
    if ids == dict(first.ids):
        return first
    return Vocabulary(ids, added, _document(first.document, ids, added))


def _plain_entry(name: str, number: int) -> dict[str, Any]:
    switches = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized", "special"), False)
    return {"id": number, "content": name, **switches}


def _document(
    document: Mapping[str, Any], ids: Mapping[str, int], added: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """Write tokens into a copy of a ``tokenizer.json``."""
    model = dict(document["model"])
    stored = model["vocab"]
    if isinstance(stored, Mapping):
        kept = {name: ids[name] for name in ids if name in stored or name not in added}
        model["vocab"] = dict(sorted(kept.items(), key=lambda pair: pair[1]))
    else:
        model["vocab"] = _scored(stored, ids, added)
    if isinstance(model.get("merges"), Sequence):
        model["merges"] = [one for one in model["merges"] if "".join(_halves(one)) in ids]
    entries = sorted(added.values(), key=lambda entry: int(entry["id"]))
    return {**document, "model": model, "added_tokens": [dict(entry) for entry in entries]}


def _scored(
    stored: Sequence[Any], ids: Mapping[str, int], added: Mapping[str, Mapping[str, Any]]
) -> list[Any]:
    """Write a Unigram's list; what is new counts as much as its least likely token."""
    scores = {entry[0]: entry[1] for entry in stored}
    least = min(scores.values(), default=0.0)
    by_id = sorted((number, name) for name, number in ids.items() if name not in added)
    n_kept = max((number for number, name in by_id if name in scores), default=-1) + 1
    kept = [list(entry) for entry in stored[:n_kept]]
    return kept + [[name, least] for number, name in by_id if name not in scores]


def _halves(merge: Any) -> Sequence[str]:
    """Give the two parts of a merge, which older files write with a space between them."""
    return merge.split(" ", 1) if isinstance(merge, str) else merge


def settings_for(settings: Mapping[str, Any], vocabulary: Vocabulary) -> dict[str, Any]:
    """Let a ``tokenizer_config.json`` list the added tokens of a vocabulary, if it lists any."""
    if "added_tokens_decoder" not in settings:
        return dict(settings)
    entries = {
        str(entry["id"]): {name: value for name, value in entry.items() if name != "id"}
        for entry in sorted(vocabulary.added.values(), key=lambda entry: int(entry["id"]))
    }
    return {**settings, "added_tokens_decoder": entries}
