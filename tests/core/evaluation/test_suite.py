from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from deltaworks.errors import FileError
from deltaworks.evaluation import load_suite
from deltaworks_resources import demo_folder


def _write(folder: Path, items: list[Any], **changes: Any) -> Path:
    (folder / "sums.jsonl").write_text("\n".join(json.dumps(item) for item in items))
    (folder / "text.txt").write_text("some text")
    entry = {
        "format": 1,
        "id": "mine",
        "title": "Mine",
        "tasks": [{"id": "sums", "title": "Sums", "file": "sums.jsonl", "metric": "exact-match"}],
        "text": {"file": "text.txt", "title": "Words"},
    }
    (folder / "suite.json").write_text(json.dumps(entry | changes))
    return folder


GOOD = {"prompt": "1+1=", "answer": "2"}


def test_bundled_suite_is_read() -> None:
    suite = load_suite(demo_folder() / "evaluation")

    assert [task.id for task in suite.tasks] == ["sums", "brackets", "topics"]
    assert min(len(task.items) for task in suite.tasks) >= 400
    assert suite.tasks[2].chance == 0.125
    assert suite.text is not None
    assert suite.safety is not None


def test_folder_gives_tasks_and_text(tmp_path: Path) -> None:
    suite = load_suite(_write(tmp_path, [GOOD, GOOD]))

    assert [(item.prompt, item.answer) for item in suite.tasks[0].items] == [("1+1=", "2")] * 2
    assert suite.text is not None
    assert suite.text.content == "some text"


def test_single_files_are_suites(tmp_path: Path) -> None:
    _write(tmp_path, [GOOD])

    tasks, text = load_suite(tmp_path / "sums.jsonl"), load_suite(tmp_path / "text.txt")

    assert (len(tasks.tasks), tasks.text) == (1, None)
    assert (len(text.tasks), text.text is not None) == (0, True)


@pytest.mark.parametrize(
    ("item", "words"),
    [
        ({"prompt": "a"}, "answer"),
        ({"prompt": 3, "answer": "b"}, "prompt"),
        ({"prompt": "a", "answer": ""}, "answer is empty"),
        ({"prompt": "", "answer": "b"}, "prompt is empty"),
        ("text", "item"),
    ],
)
def test_bad_item_is_named_by_line(tmp_path: Path, item: Any, words: str) -> None:
    with pytest.raises(FileError, match=f"line 2: .*{words}"):
        load_suite(_write(tmp_path, [GOOD, item]))


def test_broken_json_line_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"prompt": "x", "answer": "y"}\n\n{oops\n')

    with pytest.raises(FileError, match="line 3: not JSON"):
        load_suite(tmp_path / "a.jsonl")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"format": 2}, "format"),
        ({"surprise": 1}, "surprise"),
        ({"text": {"file": "../x.txt", "title": "t"}}, "leads out of the folder"),
        ({"text": {"file": "gone.txt", "title": "t"}}, "no such file"),
        ({"tasks": [], "text": None}, "neither a task nor a text"),
        (
            {"tasks": [{"id": "a", "title": "A", "file": "sums.jsonl"}] * 2},
            "'a' stands there twice",
        ),
        ({"tasks": [{"id": "a", "title": "A", "file": "sums.jsonl", "metric": "bleu"}]}, "metric"),
    ],
)
def test_bad_suite_is_refused(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(FileError, match=words):
        load_suite(_write(tmp_path, [GOOD], **changes))


@pytest.mark.parametrize("name", ["gone", "gone.jsonl", "gone.txt", "model.bin"])
def test_what_is_not_there_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(FileError):
        load_suite(tmp_path / name)


def test_file_without_items_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("\n")

    with pytest.raises(FileError, match="holds no item"):
        load_suite(tmp_path / "a.jsonl")
