"""What would break if a model went: deltas that cannot be rebuilt without it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from deltaworks.library.rows import ModelRow, State

NAMED = 5
"""How many dependents a sentence names."""


def dependents(going: Iterable[ModelRow], rows: Iterable[ModelRow]) -> list[ModelRow]:
    """Find the deltas that need one of these models and would stay behind.

    Args:
        going: models that are about to go.
        rows: every listed model.
    """
    ids = {row.id for row in going}
    return [
        row
        for row in rows
        if row.role == "Delta"
        and row.family_id in ids
        and row.id not in ids
        and row.state is not State.MISSING
    ]


def refusal(going: Sequence[ModelRow], needing: Sequence[ModelRow]) -> str:
    """Say why a base cannot go, and what to do; empty when nothing needs it."""
    if not needing:
        return ""
    needed = {row.family_id for row in needing}
    bases = ", ".join(row.name for row in going if row.id in needed)
    names = ", ".join(row.name for row in needing[:NAMED])
    more = f" and {len(needing) - NAMED} more" if len(needing) > NAMED else ""
    count = "1 delta" if len(needing) == 1 else f"{len(needing)} deltas"
    them = "it" if len(needing) == 1 else "them"
    return (
        f"{bases} is the base of {count}: {names}{more}. Without it, {them} cannot be rebuilt. "
        f"Rebuild {them} in full first, or keep the base."
    )
