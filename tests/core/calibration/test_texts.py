from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from deltaworks.calibration import make_sequences, pair_texts, read_texts
from deltaworks.checkpoints import open_checkpoint
from deltaworks.errors import FileError
from deltaworks.inference.tokenizing import load_tokenizer


@pytest.fixture
def tokenizer(tiny_base: Path) -> Any:
    with open_checkpoint(tiny_base) as checkpoint:
        return load_tokenizer(checkpoint)


def written(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def test_running_text_is_cut_into_windows_without_padding(tmp_path: Path, tokenizer: Any) -> None:
    path = written(tmp_path / "a.txt", "abcdefghij" * 3)

    found = make_sequences(read_texts(path), tokenizer, samples=10, tokens=12)

    assert [len(ids) for ids in found.ids] == [12, 12, 6]
    assert found.answers == (0, 0, 0)
    assert tokenizer.decode(found.ids[0]).replace(" ", "") == "abcdefghijab"


def test_few_samples_are_spread_over_the_text(tmp_path: Path, tokenizer: Any) -> None:
    path = written(tmp_path / "a.txt", "aaaabbbbccccdddd")

    found = make_sequences(read_texts(path), tokenizer, samples=2, tokens=4)

    assert [tokenizer.decode(ids).replace(" ", "") for ids in found.ids] == ["aaaa", "cccc"]


def test_every_form_of_a_line_is_read(tmp_path: Path) -> None:
    path = written(
        tmp_path / "a.jsonl",
        '{"text": "plain"}',
        '{"prompt": "2+2=", "response": "4"}',
        '{"prompt": "q", "answer": "a", "kind": "seen"}',
        '{"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "yo"}]}',
    )

    samples = read_texts(path).samples

    assert [(one.prompt, one.answer) for one in samples] == [
        ("", "plain"),
        ("2+2=", "4"),
        ("q", "a"),
        ("hi", "yo"),
    ]


def test_answers_are_told_from_prompts(tokenizer: Any) -> None:
    found = make_sequences(pair_texts([("2+2=", "4!")], source="sums"), tokenizer)

    assert found.answers == (4,)
    assert len(found.ids[0]) == 6


def test_a_chat_template_is_used_when_there_is_one(tokenizer: Any) -> None:
    tokenizer.chat_template = (
        "{% for m in messages %}<{{ m.role[0] }}>{{ m.content }}{% endfor %}"
        "{% if add_generation_prompt %}<a>{% endif %}"
    )

    found = make_sequences(pair_texts([("hi", "yo")], source="chat"), tokenizer)

    assert tokenizer.decode(found.ids[0]).replace(" ", "") == "<u>hi<a>yo"
    assert found.answers == (len("<u>hi<a>"),)


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("{", "not JSON"),
        ("[1]", "not an object"),
        ('{"text": ""}', "''"),
        ('{"prompt": "q"}', "'response' is missing"),
        ('{"messages": []}', "empty"),
        ('{"messages": ["hi"]}', "no list of objects"),
    ],
)
def test_a_damaged_line_is_named(tmp_path: Path, line: str, word: str) -> None:
    path = written(tmp_path / "a.jsonl", '{"text": "good"}', line)

    with pytest.raises(FileError, match=word) as caught:
        read_texts(path)

    assert "line 2" in str(caught.value)


@pytest.mark.parametrize("name", ["missing.txt", "table.csv"])
def test_what_is_no_text_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(FileError, match=name):
        read_texts(tmp_path / name)


def test_an_empty_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="no text"):
        read_texts(written(tmp_path / "a.txt", "  "))


def test_sequences_with_other_tokens_have_another_hash(tokenizer: Any) -> None:
    one = make_sequences(pair_texts([("a", "bc")], source="x"), tokenizer)
    other = make_sequences(pair_texts([("ab", "c")], source="x"), tokenizer)

    assert one.ids == other.ids
    assert one.hash != other.hash
