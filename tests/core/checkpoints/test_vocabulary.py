from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from deltaworks.checkpoints.hub import cached_model
from deltaworks.checkpoints.vocabulary import joined, settings_for, stripped, vocabulary_of
from deltaworks.errors import FileError

PLACE = Path("tokenizer.json")


def document(tokens: list[str], added: tuple[str, ...] = (), **model: Any) -> dict[str, Any]:
    ids = {token: number for number, token in enumerate(tokens)}
    return {
        "added_tokens": [{"id": ids[one], "content": one, "special": True} for one in added],
        "model": {"type": "BPE", "vocab": ids, "merges": [["a", "b"]], **model},
    }


def test_new_tokens_follow_the_first_tokenizers_normal_ones_before_added_ones() -> None:
    first = vocabulary_of(document(["a", "b", "ab", "<s>"], ("<s>",)), PLACE)
    second = vocabulary_of(document(["b", "c", "<x>", "<s>"], ("<x>", "<s>")), PLACE)
    third = vocabulary_of(document(["d", "<x>"], ("<x>",)), PLACE)

    found = joined(first, [second, third], extra=["<new>", "a"])

    order = sorted(found.ids, key=lambda token: found.ids[token])
    assert order == ["a", "b", "ab", "<s>", "c", "d", "<x>", "<new>"]
    again = vocabulary_of(found.document, PLACE)
    assert again.ids == found.ids
    assert set(again.added) == {"<s>", "<x>", "<new>"}
    assert found.document["model"]["merges"] == [["a", "b"]]
    assert joined(first, [first]) is first


def test_tokens_without_a_row_are_left_out_with_their_merges() -> None:
    vocabulary = vocabulary_of(document(["a", "b", "ab"]), PLACE)

    assert stripped(vocabulary, 2).document["model"]["merges"] == []
    assert dict(stripped(vocabulary, 2).ids) == {"a": 0, "b": 1}
    assert stripped(vocabulary, 3) is vocabulary


def test_a_unigram_takes_new_tokens_at_its_end() -> None:
    model = {"type": "Unigram", "vocab": [["<unk>", 0.0], ["a", -1.5], ["b", -3.0]]}
    first = vocabulary_of({"model": model, "added_tokens": []}, PLACE)
    second = vocabulary_of(document(["a", "c"]), PLACE)

    found = joined(first, [second])

    assert found.document["model"]["vocab"][3:] == [["c", -3.0]]
    assert vocabulary_of(found.document, PLACE).ids["c"] == 3


def test_settings_list_the_added_tokens() -> None:
    first = vocabulary_of(document(["a", "<s>"], ("<s>",)), PLACE)

    found = settings_for({"added_tokens_decoder": {}, "other": 1}, joined(first, [], ["<x>"]))

    assert set(found["added_tokens_decoder"]) == {"1", "2"}
    assert found["added_tokens_decoder"]["2"]["content"] == "<x>"
    assert settings_for({"other": 1}, first) == {"other": 1}


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"model": {"vocab": 3}},
        {"model": {"vocab": {"a": -1}}},
        {"model": {"vocab": {"a": "0"}}},
        {"model": {"vocab": {}}, "added_tokens": [{"id": 0}]},
        {"model": {"vocab": {}}, "added_tokens": [{"content": "a", "id": 2**40}]},
    ],
)
def test_damaged_tokenizers_are_refused(data: dict[str, Any]) -> None:
    with pytest.raises(FileError):
        vocabulary_of(data, PLACE)


def test_a_model_of_the_hub_is_found_in_the_cache_by_name_and_revision(tmp_path: Path) -> None:
    repo = tmp_path / "models--me--model"
    for commit in ("aaa", "bbb"):
        (repo / "snapshots" / commit).mkdir(parents=True)
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text("bbb")
    (repo / "refs" / "v1").write_text("aaa\n")

    found = [cached_model(f"me/model{at}", tmp_path) for at in ("", "@v1", "@bbb", "@gone")]

    assert [path.name if path else None for path in found] == ["bbb", "aaa", "bbb", None]
    assert cached_model("me/other", tmp_path) is None
    assert cached_model("../model", tmp_path) is None
    assert cached_model("/a/b/c", tmp_path) is None
