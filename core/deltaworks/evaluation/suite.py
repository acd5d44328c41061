"""What quality is measured on: tasks with exact answers, a text, safety prompts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from deltaworks.errors import FileError

SUITE_FILE = "suite.json"


@dataclass(frozen=True, slots=True)
class Item:
    """A prompt and the one answer that counts as right, both taken as they are."""

    prompt: str
    answer: str


@dataclass(frozen=True, slots=True)
class Task:
    """Items that are scored together.

    Args:
        id: lower-case, unique in the suite.
        title: for people.
        items: in file order.
        chance: accuracy of guessing, a fraction.
    """

    id: str
    title: str
    items: tuple[Item, ...]
    chance: float = 0.0


@dataclass(frozen=True, slots=True)
class Text:
    """Running text that no model was trained on."""

    title: str
    content: str


@dataclass(frozen=True, slots=True)
class Safety:
    """Where the prompts of a safety measure lie; read by whoever measures it."""

    should_refuse: Path
    should_answer: Path
    refusal_phrases: Path


@dataclass(frozen=True, slots=True)
class Suite:
    """Everything one evaluation uses.

    Args:
        id: lower-case name.
        title: for people.
        source: file or folder it was read from.
        tasks: may be empty.
        text: None when there is none.
        safety: None when there is none.
    """

    id: str
    title: str
    source: Path
    tasks: tuple[Task, ...] = field(default=())
    text: Text | None = None
    safety: Safety | None = None


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _TaskEntry(_Part):
    id: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    title: str
    file: str
    metric: str = Field("exact-match", pattern="^exact-match$")
    chance: float = Field(0.0, ge=0.0, le=1.0)


class _TextEntry(_Part):
    file: str
    title: str


class _SafetyEntry(_Part):
    should_refuse: str
    should_answer: str
    refusal_phrases: str


class _SuiteEntry(_Part):
    format: int = Field(ge=1, le=1)
    id: str
    title: str
    tasks: tuple[_TaskEntry, ...] = ()
    text: _TextEntry | None = None
    safety: _SafetyEntry | None = None


class _ItemEntry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)

    prompt: str
    answer: str


def load_suite(path: Path | str) -> Suite:
    """Read a folder with a ``suite.json``, a ``.jsonl`` of items or a ``.txt``.

    Raises:
        FileError: missing or damaged; names file and line.
    """
    path = Path(path)
    if path.is_dir():
        return _from_folder(path)
    if path.name == SUITE_FILE:
        return _from_folder(path.parent)
    name = path.stem
    if path.suffix == ".jsonl":
        return Suite(_as_id(name), name, path, (Task(_as_id(name), name, _items(path)),))
    if path.suffix == ".txt":
        return Suite(_as_id(name), name, path, text=Text(name, _content(path)))
    raise FileError(
        f"neither a folder, a .jsonl nor a .txt file ({path.suffix or 'no ending'})",
        where=str(path),
        fix=f"Choose a folder with a {SUITE_FILE}, a .jsonl of prompt and answer, or a .txt",
    )


def _from_folder(folder: Path) -> Suite:
    file = folder / SUITE_FILE
    entry = _entry(file)
    ids = [task.id for task in entry.tasks]
    twice = next((name for name in ids if ids.count(name) > 1), "")
    if twice:
        raise FileError(f"task '{twice}' stands there twice", where=str(file), fix="Rename one")
    if not entry.tasks and entry.text is None:
        raise FileError("names neither a task nor a text", where=str(file), fix="Add one")
    return Suite(
        entry.id,
        entry.title,
        folder,
        tuple(Task(t.id, t.title, _items(_inside(folder, t.file)), t.chance) for t in entry.tasks),
        Text(entry.text.title, _content(_inside(folder, entry.text.file))) if entry.text else None,
        _safety(folder, entry.safety) if entry.safety else None,
    )


def _entry(file: Path) -> _SuiteEntry:
    try:
        return _SuiteEntry.model_validate_json(_content(file))
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(map(str, item['loc'])) or 'document'}: {item['msg']}"
            for item in error.errors()
        )
        raise FileError(faults, where=str(file), fix="Correct the file") from error


def _safety(folder: Path, entry: _SafetyEntry) -> Safety:
    paths = (entry.should_refuse, entry.should_answer, entry.refusal_phrases)
    return Safety(*(_inside(folder, name) for name in paths))


def _inside(folder: Path, name: str) -> Path:
    """Resolve a name of the suite; it may not lead out of its folder."""
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise FileError(
            f"{name!r} leads out of the folder", where=str(folder / SUITE_FILE), fix="Copy it in"
        )
    if not path.is_file():
        raise FileError("no such file", where=str(path), fix=f"Add it or correct {SUITE_FILE}")
    return path


def _content(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise FileError("no such file", where=str(path), fix="Choose another") from error
    except (OSError, UnicodeDecodeError) as error:
        raise FileError(f"cannot be read as text ({error})", where=str(path)) from error


def _items(path: Path) -> tuple[Item, ...]:
    lines = enumerate(_content(path).splitlines(), start=1)
    items = tuple(_item(line, f"{path}, line {number}") for number, line in lines if line.strip())
    if not items:
        raise FileError("holds no item", where=str(path), fix="Add lines of prompt and answer")
    return items


def _item(line: str, where: str) -> Item:
    fix = 'Write one object a line: {"prompt": …, "answer": …}'
    try:
        values: Mapping[str, Any] = json.loads(line)
        entry = _ItemEntry.model_validate(values)
    except json.JSONDecodeError as error:
        raise FileError(f"not JSON ({error.msg})", where=where, fix=fix) from error
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"]))
        raise FileError(f"{name or 'item'}: {first['msg']}", where=where, fix=fix) from error
    for name in ("prompt", "answer"):
        if not getattr(entry, name):
            raise FileError(f"the {name} is empty", where=where, fix=fix)
    return Item(entry.prompt, entry.answer)


def _as_id(name: str) -> str:
    kept = "".join(sign if sign.isalnum() else "-" for sign in name.lower())
    return kept.strip("-") or "items"
