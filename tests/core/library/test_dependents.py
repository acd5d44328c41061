"""A base that kept deltas need is not let go without a word (A35)."""

from __future__ import annotations

from dataclasses import replace

from deltaworks.library.dependents import dependents, refusal
from deltaworks.library.rows import ModelRow, State

BASE = ModelRow(1, "/m/base", "polder-base", "folder", "Base", State.READY, 100, 0, family_id=1)
DELTA = ModelRow(2, "/m/d", "sums · sign", "delta", "Delta", State.READY, 9, 0, family_id=1)
EXPERT = ModelRow(3, "/m/e", "sums", "folder", "Expert", State.READY, 100, 0, family_id=1)


def test_a_base_with_a_kept_delta_is_refused_by_name() -> None:
    needing = dependents([BASE], [BASE, DELTA, EXPERT])

    assert needing == [DELTA]
    assert refusal([BASE], needing) == (
        "polder-base is the base of 1 delta: sums · sign. Without it, it cannot be rebuilt. "
        "Rebuild it in full first, or keep the base."
    )


def test_many_dependents_are_counted_and_five_of_them_named() -> None:
    deltas = [replace(DELTA, id=10 + at, name=f"d{at}") for at in range(7)]

    text = refusal([BASE], dependents([BASE], [BASE, *deltas]))

    assert "the base of 7 deltas: d0, d1, d2, d3, d4 and 2 more." in text


def test_what_goes_together_or_is_gone_needs_nothing() -> None:
    gone = replace(DELTA, id=4, state=State.MISSING)

    assert dependents([BASE, DELTA], [BASE, DELTA, gone, EXPERT]) == []
    assert refusal([BASE], []) == ""
    assert dependents([EXPERT], [BASE, DELTA, EXPERT]) == []
