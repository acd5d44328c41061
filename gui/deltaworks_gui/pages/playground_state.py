"""What the Playground shows, as plain data, and the recipes that it asks with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from deltaworks.library.rows import USABLE, ModelRow

LEAST, MOST = 2, 3
"""Panes side by side."""
_ROLES = ("Base", "Expert", "Delta", "Merge", "Repaired", "Unknown")
LABELS = ("A", "B", "C")
"""What panes are called while names are hidden."""


@dataclass(frozen=True, slots=True)
class Pane:
    """One answer.

    Args:
        model: id of the model that answers; None before one is chosen.
        text: what it wrote so far.
        state: ``idle``, ``waiting``, ``loading``, ``writing``, ``done``, ``stopped``,
            ``failed``, or ``asks`` while it wants to load another base.
        how: ``kept``, ``swapped`` or ``loaded`` into memory.
        load_seconds: of that.
        seconds_per_token: of the writing.
        memory_bytes: of the engine afterwards.
        error: one sentence.
    """

    model: int | None = None
    text: str = ""
    state: str = "idle"
    how: str = ""
    load_seconds: float = 0.0
    seconds_per_token: float = 0.0
    memory_bytes: int = 0
    error: str = ""

    @property
    def is_busy(self) -> bool:
        """Whether it is about to write, or writes."""
        return self.state in {"waiting", "loading", "writing"}


@dataclass(frozen=True, slots=True)
class PlaygroundState:
    """What the page shows.

    Args:
        rows: models that can be asked.
        panes: in the order shown.
        held: id of the family's head that is in memory; None for nothing.
        is_blind: names are hidden and panes shuffled until they are revealed.
    """

    rows: tuple[ModelRow, ...] = ()
    panes: tuple[Pane, ...] = (Pane(), Pane())
    held: int | None = None
    is_blind: bool = False
    seed: int = 0
    temperature: float = 0.0
    max_tokens: int = 128
    prompt: str = field(default="")

    @property
    def is_busy(self) -> bool:
        """Whether any pane writes."""
        return any(pane.is_busy for pane in self.panes)

    def row(self, pane: Pane) -> ModelRow | None:
        """The model of a pane."""
        return next((row for row in self.rows if row.id == pane.model), None)


def askable(rows: Sequence[ModelRow]) -> tuple[ModelRow, ...]:
    """Models that can be loaded, bases first, then by family and name."""
    usable = [row for row in rows if row.state in USABLE and row.kind]
    return tuple(
        sorted(usable, key=lambda row: (row.family, _ROLES.index(row.role), row.name.casefold()))
    )


def head_of(row: ModelRow) -> int:
    """Whose family a model belongs to: what has to be in memory for a swap."""
    return row.family_id if row.family_id is not None else row.id


def first_choice(rows: Sequence[ModelRow], base: ModelRow) -> tuple[int, ...]:
    """A base and what descends from it, experts first, for the panes."""
    order = ("Expert", "Delta", "Merge", "Repaired")
    family = [row for row in rows if row.family_id == base.id and row.id != base.id]
    tuned = sorted((row for row in family if row.role in order), key=lambda r: order.index(r.role))
    return (base.id, *(row.id for row in tuned[: LEAST - 1]))


def ask_recipe(state: PlaygroundState, row: ModelRow, base: ModelRow | None) -> dict[str, Any]:
    """The job that asks one model."""
    recipe: dict[str, Any] = {
        "kind": "generate",
        "model": {"path": row.path, "name": row.name},
        "prompt": state.prompt,
        "seed": state.seed,
        "temperature": state.temperature,
        "max_tokens": state.max_tokens,
    }
    if row.role == "Delta" and base is not None:
        recipe["base"] = {"path": base.path, "name": base.name}
    return recipe


def comparison_text(state: PlaygroundState) -> str:
    """Prompt and answers with names and hashes, to be saved."""
    lines = [f"Prompt: {state.prompt}"]
    settings = f"seed {state.seed}, temperature {state.temperature}, {state.max_tokens} tokens"
    lines += [f"Settings: {settings}", ""]
    for pane in state.panes:
        row = state.row(pane)
        if row is not None:
            content = f" (content {row.content[:12]})" if row.content else ""
            lines += [f"## {row.name}{content}", row.path, "", pane.text.strip(), ""]
    return "\n".join(lines)
