from __future__ import annotations

from pathlib import Path

import pytest

from deltaworks.library.cards import Card, parse_card, read_card


def test_a_card_declares_licence_and_base() -> None:
    card = parse_card("---\nlicense: apache-2.0\nbase_model: org/base\n---\n# Title\n")

    assert card == Card(licence="apache-2.0", bases=("org/base",))
    assert not card.is_merge


def test_a_list_of_bases_is_a_merge() -> None:
    card = parse_card("---\nbase_model:\n- org/a\n- org/b\n---\n")

    assert card.bases == ("org/a", "org/b")
    assert card.is_merge


def test_the_name_of_another_licence_wins() -> None:
    card = parse_card("---\nlicense: other\nlicense_name: llama3\n---\n")

    assert card.licence == "llama3"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# Only a title",
        "---\nnever closed",
        "---\n- a list\n---\n",
        "---\n: : {\n---\n",
        "---\nbase_model: !!python/object/apply:os.getcwd []\n---\n",
        "---\nlicense: {deep: er}\nbase_model: [[1]]\n---\n",
    ],
)
def test_a_card_that_says_nothing_sensible_is_empty(text: str) -> None:
    assert parse_card(text) == Card()


def test_no_card_is_an_empty_card(tmp_path: Path) -> None:
    assert read_card(tmp_path) == Card()
