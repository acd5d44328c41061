"""Every class of the survey has members, and the manual shows them as declared."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from deltaworks.methods import MERGING
from deltaworks.methods.merging.taxonomy import CLASSES, members, needs_text, repeats_text, table
from deltaworks.methods.merging_record import MergingMethod

PAGE = Path(__file__).parents[4] / "docs" / "merging.md"


def test_every_class_has_members_and_every_method_a_class() -> None:
    assert all(members(group) for group in CLASSES)
    assert sum(len(members(group)) for group in CLASSES) == len(MERGING)


@pytest.mark.parametrize("method", MERGING.values(), ids=MERGING.keys())
def test_every_entry_tells_needs_cost_and_source(method: MergingMethod) -> None:
    assert method.cost
    assert method.source
    assert "expert" in needs_text(method)


def test_what_is_needed_is_said_in_words() -> None:
    assert needs_text(MERGING["slerp"]) == "base, 1 expert"
    assert needs_text(MERGING["consensus-ta"]) == "base, 2 or more experts"
    assert needs_text(MERGING["regmean"]) == "any experts, texts of each expert"
    assert needs_text(MERGING["linear"]) == "any experts"
    assert repeats_text(MERGING["dare-ties"]) == "by seed"
    assert repeats_text(MERGING["ties"]) == "yes"


def test_the_manual_shows_the_taxonomy_as_declared() -> None:
    """Paste what the failing test shows between the marks of the page."""
    text = PAGE.read_text(encoding="utf-8")

    shown = re.findall(r"<!-- taxonomy -->\n(.*?)<!-- /taxonomy -->", text, re.S)

    assert shown == [table()]
