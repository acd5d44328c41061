"""The same tensor under the names of several models: tied heads and leading parts."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from deltaworks.checkpoints.checkpoint import Checkpoint

_EMBEDDING = re.compile(
    r"(^|\.)(embed_tokens|wte|embed_in|tok_embeddings|word_embeddings|embed_tokens_per_layer)"
    r"\.weight$"
)
_HEAD = re.compile(r"(^|\.)(lm_head|embed_out|output)\.weight$")
_LEADING = (
    "model.",
    "transformer.",
    "base_model.",
    "language_model.",
    "model.language_model.",
    "base_model.model.",
    "_orig_mod.",
)
_MANY = 0.5


@dataclass(frozen=True)
class Naming:
    """A model's tensors by the names that the leading model has for them.

    Args:
        stored: name to the model's own name.
        notes: what the user should know, as sentences without the model's name.
        tied: names of heads that stand for the model's embedding.
    """

    stored: Mapping[str, str]
    notes: tuple[str, ...] = ()
    tied: frozenset[str] = field(default=frozenset())

    def __contains__(self, name: str) -> bool:
        return name in self.stored


def name_alike(models: Mapping[int, Checkpoint], leader: int) -> dict[int, Naming]:
    """Name every model's tensors as the leader does.

    A leading part that one model has and the other has not is put right where most names
    fit only then. A model without a head of its own stands in with its embedding where
    another model has a head.
    """
    wanted = frozenset(models[leader].names)
    named = {
        model: _without_leading_parts(checkpoint.names, wanted, is_leader=model == leader)
        for model, checkpoint in models.items()
    }
    heads = dict.fromkeys(
        name for naming in named.values() for name in naming.stored if is_head(name)
    )
    return {model: _with_heads(naming, heads, models[model]) for model, naming in named.items()}


def is_head(name: str) -> bool:
    """Whether it is the matrix that gives the tokens' scores."""
    return _HEAD.search(name) is not None


def is_embedding(name: str) -> bool:
    """Whether it is the matrix of the tokens' rows."""
    return _EMBEDDING.search(name) is not None


def embedding_of(names: Sequence[str] | Mapping[str, str]) -> str:
    """Find the tokens' matrix; empty when there is none or several."""
    found = [name for name in names if is_embedding(name)]
    return found[0] if len(found) == 1 else ""


def _without_leading_parts(
    names: Sequence[str], wanted: frozenset[str], *, is_leader: bool
) -> Naming:
    own = {name: name for name in names}
    if is_leader or _share(own, wanted) >= _MANY:
        return Naming(own)
    best, how = own, ""
    for part in _LEADING:
        cut = {name.removeprefix(part): name for name in names}
        put = {part + name: name for name in names}
        for tried, text in ((cut, f"without '{part}'"), (put, f"with '{part}' before them")):
            if len(tried) == len(names) and _share(tried, wanted) > _share(best, wanted):
                best, how = tried, text
    if not how:
        return Naming(own)
    return Naming(best, (f"Its tensors are matched by their names {how}.",))


def _share(names: Mapping[str, str], wanted: frozenset[str]) -> float:
    return sum(name in wanted for name in names) / max(1, len(names))


def _with_heads(naming: Naming, heads: Mapping[str, None], model: Checkpoint) -> Naming:
    """Let a model's embedding be its head where it has none and another model does."""
    embedding = embedding_of(naming.stored)
    lacking = [head for head in heads if head not in naming]
    if not embedding or not lacking or any(head in naming for head in heads):
        return naming
    if model.config.get("tie_word_embeddings") is False:
        return naming
    stored = {**naming.stored, **dict.fromkeys(lacking, naming.stored[embedding])}
    note = f"{', '.join(lacking)} is its embedding, as its head is tied."
    return Naming(stored, (*naming.notes, note), frozenset(lacking))
