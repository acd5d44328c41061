"""Models of different vocabularies: which rows of their token matrices are merged."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from deltaworks.checkpoints.aligned import GIVEN, MEAN, AlignedCheckpoint, RowPlan
from deltaworks.checkpoints.checkpoint import Checkpoint
from deltaworks.checkpoints.vocabulary import Vocabulary, joined, read_vocabulary, stripped
from deltaworks.engine.merge_names import is_embedding, is_head
from deltaworks.errors import AppError, MismatchError
from deltaworks.recipes.schema import MergeRecipe, TokenizerRule, TokenRule

if TYPE_CHECKING:
    Words = np.ndarray[Any, Any]

BASE = -1
_FIX = (
    "Set vocabulary to align, pad or truncate, or give a tokenizer block: say what happens to "
    "the rows that not all models have."
)


@dataclass(frozen=True)
class Alignment:
    """What was done so that all models have the same tokens.

    Args:
        opened: the models by place, seen with the rows of the result.
        notes: what the user should know.
        tokens: of the result, where they are not the leader's as they are.
        donor: place of the model whose tokenizer files the result gets.
        n_rows: of the result's token matrices; None where nothing was changed.
        changes: place to tokens moved, tokens taken from others, rows left out.
    """

    opened: Mapping[int, Checkpoint]
    notes: tuple[str, ...] = ()
    tokens: Vocabulary | None = None
    donor: int | None = None
    n_rows: int | None = None
    changes: Mapping[int, tuple[int, int, int]] = field(default_factory=dict)


@dataclass(frozen=True)
class TokenTables:
    """The token matrices of one model.

    Args:
        names: stored names by kind: ``embedding``, ``head``, ``bias``.
        n_rows: of the embedding.
    """

    names: Mapping[str, str]
    n_rows: int


def tables_of(model: Checkpoint) -> TokenTables:
    """Find a model's token matrices by name and number of rows."""
    names: dict[str, str] = {}
    for name in model.names:
        kind = "embedding" if is_embedding(name) else "head" if is_head(name) else ""
        if name.endswith(("lm_head.bias", "predictions.decoder.bias")):
            kind = "bias"
        if kind:
            names.setdefault(kind, name)
    main = names.get("embedding") or names.get("head")
    n_rows = model.info(main).shape[0] if main and model.info(main).shape else 0
    fitting = {
        kind: name for kind, name in names.items() if model.info(name).shape[:1] == (n_rows,)
    }
    return TokenTables(fitting, n_rows)


def align(
    recipe: MergeRecipe,
    opened: Mapping[int, Checkpoint],
    labels: Mapping[int, str],
    faults: list[AppError],
) -> Alignment:
    """Let all models have the same tokens, as the recipe says.

    Args:
        recipe: its tokenizer rule, or what it says of vocabularies.
        opened: models by place.
        labels: names for people.
        faults: gets what cannot be done.
    """
    try:
        return _Aligner(recipe, opened, labels).alignment()
    except AppError as error:
        faults.append(error)
        return Alignment(opened)


class _Aligner:
    """Makes a plan of rows for every model."""

    def __init__(
        self, recipe: MergeRecipe, opened: Mapping[int, Checkpoint], labels: Mapping[int, str]
    ) -> None:
        self._recipe, self._opened, self._labels = recipe, opened, labels
        self._leader = BASE if BASE in opened else 0
        self._tables = {place: tables_of(model) for place, model in opened.items()}
        self._having = [place for place, tables in self._tables.items() if tables.n_rows]

    def alignment(self) -> Alignment:
        """Choose what has to be done, if anything."""
        if self._recipe.tokenizer is not None:
            return self._by_rule(self._recipe.tokenizer)
        sizes = {self._tables[place].n_rows for place in self._having}
        how = self._recipe.vocabulary
        if how == "align":
            return self._by_tokens(len(sizes) > 1)
        if len(sizes) <= 1 or how == "refuse":
            return self._refused(sizes)
        return self._by_rows(sizes, is_cut=how == "truncate")

    def _refused(self, sizes: set[int]) -> Alignment:
        if len(sizes) > 1:
            rows = ", ".join(
                f"{self._tables[p].n_rows:,} in {self._labels[p]}" for p in self._having
            )
            raise MismatchError(f"rows of the token matrices: {rows}", where="vocabulary", fix=_FIX)
        return Alignment(self._opened)

    # --- the ways ---------------------------------------------------------------------------

    def _by_rule(self, rule: TokenizerRule) -> Alignment:
        """Build the result's tokens as the recipe says, and its matrices for them."""
        known = self._vocabularies()
        missing = [self._labels[place] for place in self._having if place not in known]
        if missing:
            raise MismatchError(
                f"{', '.join(missing)} has no tokenizer.json",
                where="tokenizer",
                fix="Save the tokenizer in the fast format beside the model.",
            )
        first = known[self._leader]
        donor = self._leader
        extra = list(rule.tokens)
        if rule.source == "model":
            donor = rule.model
            tokens = joined(known[donor], (), extra)
        else:
            others = [known[place] for place in self._having if place != self._leader]
            tokens = joined(first, others if rule.source == "union" else (), extra)
        n_rows = tokens.size
        if rule.pad_to_multiple_of:
            n_rows = -(-n_rows // rule.pad_to_multiple_of) * rule.pad_to_multiple_of
        plans = {
            place: self._token_plan(place, tokens, n_rows, known, rule.tokens)
            for place in self._having
        }
        return self._seen(plans, tokens, donor, n_rows)

    def _by_tokens(self, sizes_differ: bool) -> Alignment:
        """Match tokens by their text where models differ in them; keep the leader's padding."""
        known = self._vocabularies()
        if len(known) < len(self._having):
            return self._refused({self._tables[place].n_rows for place in self._having})
        first = known[self._leader]
        if not sizes_differ and all(known[place].ids == first.ids for place in self._having):
            return Alignment(self._opened)
        others = [known[place] for place in self._having if place != self._leader]
        tokens = joined(first, others)
        n_rows = max(tokens.size, self._tables[self._leader].n_rows)
        plans = {
            place: self._token_plan(place, tokens, n_rows, known, {}, keeps_padding=True)
            for place in self._having
        }
        return self._seen(plans, tokens, self._leader, n_rows)

    def _by_rows(self, sizes: set[int], *, is_cut: bool) -> Alignment:
        """Match rows by their numbers: cut to the fewest, or fill up to the most."""
        n_rows = min(sizes) if is_cut else max(sizes)
        plans = {}
        for place in self._having:
            own = np.arange(n_rows)
            own[self._tables[place].n_rows :] = GIVEN
            given = {
                row: self._default({p: row for p in self._having if row < self._tables[p].n_rows})
                for row in range(self._tables[place].n_rows, n_rows)
            }
            plans[place] = RowPlan(own, given)
        donor = next(place for place in self._having if self._tables[place].n_rows == n_rows)
        return self._seen(plans, None, self._leader if is_cut else donor, n_rows)

    # --- rows -------------------------------------------------------------------------------

    def _vocabularies(self) -> dict[int, Vocabulary]:
        found = {}
        for place in self._having:
            vocabulary = read_vocabulary(self._opened[place])
            if vocabulary is not None:
                found[place] = stripped(vocabulary, self._tables[place].n_rows)
        return found

    def _token_plan(
        self,
        place: int,
        tokens: Vocabulary,
        n_rows: int,
        known: Mapping[int, Vocabulary],
        rules: Mapping[str, TokenRule],
        *,
        keeps_padding: bool = False,
    ) -> RowPlan:
        """Say for every token of the result which row of a model it has."""
        own = np.full(n_rows, MEAN, dtype=np.int64)
        given: dict[int, Sequence[tuple[int, int]]] = {}
        mine = known[place].ids
        for token, row in tokens.ids.items():
            rule = rules.get(token)
            if token in mine and not (rule and rule.force):
                own[row] = mine[token]
            else:
                own[row] = GIVEN
                given[row] = self._given(token, rule, known)
        if keeps_padding:
            self._keep_padding(place, own, given, known)
        return RowPlan(own, given)

    def _keep_padding(
        self,
        place: int,
        own: Any,
        given: dict[int, Sequence[tuple[int, int]]],
        known: Mapping[int, Vocabulary],
    ) -> None:
        """Rows without a token stay what they are, or are the leader's."""
        taken = set(known[place].ids.values())
        lead = self._tables[self._leader].n_rows
        for row in np.flatnonzero(own == MEAN).tolist():
            if row < self._tables[place].n_rows and row not in taken:
                own[row] = row
            elif row < lead:
                own[row] = GIVEN
                given[row] = ((self._leader, row),)

    def _given(
        self, token: str, rule: TokenRule | None, known: Mapping[int, Vocabulary]
    ) -> Sequence[tuple[int, int]]:
        """Say whose row stands in for a token that a model does not have."""
        if rule is None or rule.kind == "default":
            return self._default({p: v.ids[token] for p, v in known.items() if token in v.ids})
        if rule.kind == "zero":
            return ()
        wanted = token if rule.kind == "model" else rule.token
        number = rule.token_id
        if number is None:
            ids = known[rule.model].ids if rule.model in known else {}
            if wanted not in ids:
                raise MismatchError(
                    f"{self._labels[rule.model]} has no token {wanted!r}",
                    where=f"token {token!r}",
                    fix="Name a token that it has, or another model.",
                )
            number = ids[wanted]
        if not 0 <= number < self._tables[rule.model].n_rows:
            raise MismatchError(
                f"{self._labels[rule.model]} has no row {number}", where=f"token {token!r}"
            )
        return ((rule.model, number),)

    def _default(self, having: Mapping[int, int]) -> Sequence[tuple[int, int]]:
        """The only model's row, else the base's, else the mean of all that have it."""
        if BASE in having and len(having) > 1:
            return ((BASE, having[BASE]),)
        return tuple(having.items())

    # --- the result -------------------------------------------------------------------------

    def _seen(
        self, plans: Mapping[int, RowPlan], tokens: Vocabulary | None, donor: int, n_rows: int
    ) -> Alignment:
        opened: dict[int, Checkpoint] = dict(self._opened)
        notes, changes = [], {}
        for place, plan in plans.items():
            tables = self._tables[place]
            if plan.is_same and tables.n_rows == n_rows:
                continue
            rows = {name: self._rows_of(kind) for kind, name in tables.names.items()}
            opened[place] = AlignedCheckpoint(self._opened[place], plan, rows)
            kept = plan.own[plan.own >= 0]
            moved = int((plan.own[: len(plan.own)] != np.arange(n_rows))[plan.own >= 0].sum())
            lost = tables.n_rows - len(np.unique(kept))
            changes[place] = (moved, n_rows - len(kept), lost)
            notes.append(_note(self._labels[place], moved, n_rows - len(kept), lost))
        if len({self._tables[place].n_rows for place in self._having} | {n_rows}) > 1:
            notes.insert(0, f"The token matrices of the result have {n_rows:,} rows.")
        return Alignment(opened, tuple(notes), tokens, donor, n_rows, changes)

    def _rows_of(self, kind: str) -> Callable[[int, int], tuple[Words, str]]:
        """Read rows of other models' matrices of one kind; a tied head is the embedding."""

        def read(place: int, row: int) -> tuple[Words, str]:
            names = self._tables[place].names
            name = names.get(kind) or names["embedding"]
            model = self._opened[place]
            return model.read_words(name, slice(row, row + 1))[0], model.info(name).dtype

        return read


def _note(label: str, moved: int, filled: int, lost: int) -> str:
    parts = [
        text
        for count, text in (
            (moved, f"{moved:,} rows move to the places of their tokens"),
            (filled, f"{filled:,} rows that it lacks are filled in"),
            (lost, f"{lost:,} rows are left out"),
        )
        if count
    ]
    return f"Tokens of {label}: {', '.join(parts) or 'as they are'}."
