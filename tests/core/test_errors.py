from __future__ import annotations

import pickle

import pytest

from deltaworks.errors import AppError, FileError


@pytest.mark.parametrize(
    ("fix", "text"),
    [
        ("", "x: is odd."),
        ("Choose another", "x: is odd. Choose another."),
        ("Choose another.", "x: is odd. Choose another."),
        ("Is it there?", "x: is odd. Is it there?"),
    ],
)
def test_a_text_ends_with_one_full_stop(fix: str, text: str) -> None:
    error = FileError("is odd", where="x", fix=fix)

    assert str(error) == text
    assert str(pickle.loads(pickle.dumps(error))) == text


def test_a_place_may_be_unknown() -> None:
    assert str(AppError("is odd")) == "is odd."
