from __future__ import annotations

import time

import pytest

from deltaworks.library.rows import ModelRow, State
from deltaworks.library.search import parse_query

DAY_NS = 86_400 * 10**9
NOW_NS = 20_000 * DAY_NS


def row(**changes: object) -> ModelRow:
    facts: dict[str, object] = {
        "id": 1,
        "path": "/models/polder-sums",
        "name": "polder-sums",
        "kind": "delta",
        "role": "Delta",
        "state": State.READY,
        "size_bytes": 2_000_000_000,
        "modified_ns": NOW_NS - 2 * DAY_NS,
        "family": "polder-base",
        "family_id": 7,
        "n_parameters": 1_240_000_000,
        "dtype": "BF16",
        "original_bytes": 16_000_000_000,
        "quality": 0.98,
        "used_ns": NOW_NS - 10 * DAY_NS,
        "tags": ("demo", "to keep"),
        "bits_per_weight": 1.25,
        "method": "sign",
        "licence": "apache-2.0",
    }
    return ModelRow(**(facts | changes))  # type: ignore[arg-type]  # a table of changes


@pytest.mark.parametrize(
    ("text", "is_found"),
    [
        ("", True),
        ("polder", True),
        ("POLDER sums", True),
        ("heath", False),
        ("-heath", True),
        ("-polder", False),
        ('"to keep"', True),
        ("demo", True),
        ("/models", True),
        ("role:delta", True),
        ("role:expert", False),
        ("-role:expert", True),
        ("role:del", True),
        ("state:ready", True),
        ("state:missing", False),
        ("state:unsafe-format", False),
        ("family:polder", True),
        ("family:heath", False),
        ("tag:keep", True),
        ('tag:"to keep"', True),
        ("type:bf16", True),
        ("license:apache", True),
        ("method:sign", True),
        ("size>1GB", True),
        ("size>2.5GB", False),
        ("size<2500MB", True),
        ("size>=2GB", True),
        ("size:2GB", True),
        ("size>1,5GB", True),
        ("saved>13GB", True),
        ("params>1b", True),
        ("params<1b", False),
        ("quality>97%", True),
        ("quality>0.99", False),
        ("bits<2", True),
        ("used<30d", True),
        ("used<1w", False),
        ("modified<3d", True),
        ("modified>1mo", False),
        ("size>1GB role:delta", True),
        ("size>1GB role:base", False),
    ],
)
def test_queries(text: str, is_found: bool) -> None:
    query = parse_query(text, now_ns=NOW_NS)

    assert (query(row()), query.hint) == (is_found, "")


def test_what_is_unknown_is_neither_small_nor_large() -> None:
    unknown = row(quality=None, n_parameters=None)

    assert not parse_query("quality>1%")(unknown)
    assert not parse_query("params<1b")(unknown)


def test_never_used_is_older_than_any_span() -> None:
    never = row(used_ns=None)

    assert not parse_query("used<9000y", now_ns=NOW_NS)(never)
    assert parse_query("used>90d", now_ns=NOW_NS)(never)


@pytest.mark.parametrize(
    ("text", "word_of_hint"),
    [
        ("size>lots", "lots"),
        ("size>", "value"),
        ("role:king", "king"),
        ("state:", "value"),
        ("colour:red", "colour"),
        ("family>3", "family:3"),
        ("used<30x", "30x"),
        ('name:"half', ""),
        ('"', ""),
        ("((", ""),
        ("size>1GB size>>2", ">2"),
    ],
)
def test_wrong_syntax_gives_a_hint_and_plain_words(text: str, word_of_hint: str) -> None:
    query = parse_query(text)

    query(row())
    assert word_of_hint in query.hint
    assert bool(query.hint) == bool(word_of_hint)


def test_what_is_not_understood_is_searched_for_as_it_stands() -> None:
    assert parse_query("size>lots")(row(name="a size>lots b"))
    assert not parse_query("size>lots")(row())


def test_ten_thousand_rows_are_filtered_within_a_keystroke() -> None:
    rows = [row(name=f"model {number}") for number in range(10_000)]
    query = parse_query("model role:delta size>1GB")

    start = time.perf_counter()
    found = sum(map(query, rows))

    assert found == 10_000
    assert time.perf_counter() - start < 5 * 0.05
