"""One vocabulary for a fused model: the base's tokens, then what its models added.

Rows of the base's tokens are merged. A row that the base does not have is copied from the
first model whose token it is: all inputs are seen with that row, so no merge moves it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from deltaworks.checkpoints.aligned import GIVEN, AlignedCheckpoint, RowPlan
from deltaworks.checkpoints.checkpoint import Checkpoint
from deltaworks.checkpoints.vocabulary import Vocabulary, joined, read_vocabulary, stripped
from deltaworks.engine.merge_vocabulary import BASE, TokenTables, tables_of
from deltaworks.errors import MismatchError

if TYPE_CHECKING:
    Words = np.ndarray[Any, Any]

_FIX = "Fuse models that were tuned from this base."


@dataclass(frozen=True)
class FusedTokens:
    """What the fused model reads.

    Args:
        models: base and language models by place, seen with its rows.
        n_rows: of its token matrices.
        vocabulary: its tokens; None where not all models have a ``tokenizer.json``.
        image_token: id that stands for a picture.
        image_text: the same as it is written in a prompt.
        notes: what the user should know.
    """

    models: Mapping[int, Checkpoint]
    n_rows: int
    vocabulary: Vocabulary | None
    image_token: int
    image_text: str
    notes: tuple[str, ...] = ()


def fused_tokens(
    models: Mapping[int, Checkpoint], image_tokens: Sequence[int], labels: Mapping[int, str]
) -> FusedTokens:
    """Let base and language models have the same rows.

    Args:
        models: by place, the base first.
        image_tokens: of each model.
        labels: for people.

    Raises:
        MismatchError: a model lacks tokens or rows of the base.
    """
    tables = {place: tables_of(model) for place, model in models.items()}
    known: dict[int, Vocabulary] = {}
    for place, model in models.items():
        found = read_vocabulary(model)
        if found is not None:
            known[place] = stripped(found, tables[place].n_rows)
    if len(known) == len(models):
        return _by_tokens(models, tables, known, image_tokens, labels)
    return _by_rows(models, tables, image_tokens, labels)


def _by_tokens(
    models: Mapping[int, Checkpoint],
    tables: Mapping[int, TokenTables],
    known: Mapping[int, Vocabulary],
    image_tokens: Sequence[int],
    labels: Mapping[int, str],
) -> FusedTokens:
    base = known[BASE]
    for place, vocabulary in known.items():
        missing = [token for token in base.ids if token not in vocabulary.ids]
        if missing:
            what = f"lacks token {missing[0]!r:.60} of the base, one of {len(missing)}"
            raise MismatchError(
                f"{labels[place]} {what}",
                where="tokenizer",
                fix=_FIX,
            )
    tokens = joined(base, [vocabulary for place, vocabulary in known.items() if place != BASE])
    n_rows = max(tokens.size, tables[BASE].n_rows)
    owners = {
        row: next((place, v.ids[token]) for place, v in known.items() if token in v.ids)
        for token, row in tokens.ids.items()
    }
    # Rows without a token fill the matrix up; they stay the base's.
    for row in set(range(tables[BASE].n_rows)) - set(owners):
        owners[row] = (BASE, row)
    mine = {
        place: {row: vocabulary.ids[token] for token, row in base.ids.items()}
        for place, vocabulary in known.items()
    }
    seen = _seen(models, tables, n_rows, mine, owners)
    text = next((t for t, number in known[0].ids.items() if number == image_tokens[0]), "")
    added = tokens.size - base.size
    notes = (f"{added} tokens that the base lacks are copied, not merged.",) if added else ()
    number = tokens.ids[text] if text else image_tokens[0]
    return FusedTokens(seen, n_rows, tokens, number, text or "<image>", notes)


def _by_rows(
    models: Mapping[int, Checkpoint],
    tables: Mapping[int, TokenTables],
    image_tokens: Sequence[int],
    labels: Mapping[int, str],
) -> FusedTokens:
    """Without tokenizer files, a row is a token: those of the base come first."""
    first = tables[BASE].n_rows
    for place, own in tables.items():
        if own.n_rows < first:
            raise MismatchError(
                f"{labels[place]} has {own.n_rows:,} token rows, the base {first:,}",
                where="vocabulary",
                fix=_FIX,
            )
    if len(set(image_tokens)) > 1:
        listed = ", ".join(map(str, image_tokens))
        raise MismatchError(
            f"the picture's token is {listed}, and not all models have a tokenizer.json",
            where="vocabulary",
            fix="Save each tokenizer in the fast format beside its model.",
        )
    n_rows = max(own.n_rows for own in tables.values())
    owners = {
        row: (next(place for place in models if row < tables[place].n_rows), row)
        for row in range(n_rows)
    }
    mine = {place: {row: row for row in range(first)} for place in models}
    seen = _seen(models, tables, n_rows, mine, owners)
    notes = ["Not all models have a tokenizer.json: tokens are matched by their numbers."]
    if n_rows > first:
        notes.append(f"{n_rows - first} rows that the base lacks are copied, not merged.")
    return FusedTokens(seen, n_rows, None, image_tokens[0], "<image>", tuple(notes))


def _seen(
    models: Mapping[int, Checkpoint],
    tables: Mapping[int, TokenTables],
    n_rows: int,
    mine: Mapping[int, Mapping[int, int]],
    owners: Mapping[int, tuple[int, int]],
) -> dict[int, Checkpoint]:
    """See every model with all rows: its own where the base has the token, else the owner's."""
    seen: dict[int, Checkpoint] = {}
    for place, model in models.items():
        own = np.full(n_rows, GIVEN, dtype=np.int64)
        for row, number in mine[place].items():
            own[row] = number
        for row, (owner, number) in owners.items():
            if owner == place:
                own[row] = number
        given = {row: (owners[row],) for row in np.flatnonzero(own == GIVEN).tolist()}
        plan = RowPlan(own, given)
        if plan.is_same and tables[place].n_rows == n_rows:
            seen[place] = model
            continue
        rows = {name: _rows_of(models, tables, kind) for kind, name in tables[place].names.items()}
        seen[place] = AlignedCheckpoint(model, plan, rows)
    return seen


def _rows_of(
    models: Mapping[int, Checkpoint], tables: Mapping[int, TokenTables], kind: str
) -> Callable[[int, int], tuple[Words, str]]:
    def read(place: int, row: int) -> tuple[Words, str]:
        name = tables[place].names[kind]
        model = models[place]
        return model.read_words(name, slice(row, row + 1))[0], model.info(name).dtype

    return read
