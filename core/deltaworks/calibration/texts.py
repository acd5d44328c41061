"""Texts that run through a model: running text, or prompts with their answers."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deltaworks.errors import FileError

_ANSWERS = ("response", "answer", "completion", "output")
_FIX = (
    'Write one object a line: {"text": …}, {"prompt": …, "response": …} '
    'or {"messages": [{"role": …, "content": …}, …]}'
)


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class Sample:
    """One text of a file.

    Args:
        prompt: what comes before the answer; empty for running text.
        answer: what the model should say, or the running text.
        messages: the turns, when the file gave a conversation; the last is the answer.
    """

    prompt: str
    answer: str
    messages: tuple[Message, ...] = ()

    @property
    def is_pair(self) -> bool:
        """Whether it has a prompt and an answer."""
        return bool(self.prompt or self.messages)


@dataclass(frozen=True, slots=True)
class Texts:
    """What a file holds, in its order.

    Args:
        source: the file, or a name for people.
        samples: at least one.
    """

    source: str
    samples: tuple[Sample, ...]


def pair_texts(pairs: Iterable[tuple[str, str]], *, source: str) -> Texts:
    """Make texts of prompts and answers that were read elsewhere.

    Raises:
        FileError: there is none.
    """
    return _checked(source, [Sample(prompt, answer) for prompt, answer in pairs])


def read_texts(path: Path | str) -> Texts:
    """Read a ``.txt`` of running text or a ``.jsonl`` of texts, pairs or conversations.

    Raises:
        FileError: missing, damaged or empty; names file and line.
    """
    path = Path(path)
    if path.suffix not in {".txt", ".jsonl"}:
        kind = path.suffix or "no ending"
        raise FileError(f"neither .txt nor .jsonl ({kind})", where=str(path), fix=_FIX)
    try:
        content = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise FileError("no such file", where=str(path), fix="Choose another text") from error
    except (OSError, UnicodeDecodeError) as error:
        raise FileError(f"cannot be read as text ({error})", where=str(path)) from error
    if path.suffix == ".txt":
        return _checked(str(path), [Sample("", content)] if content.strip() else [])
    lines = enumerate(content.splitlines(), start=1)
    samples = [_sample(line, f"{path}, line {number}") for number, line in lines if line.strip()]
    return _checked(str(path), samples)


def _checked(source: str, samples: list[Sample]) -> Texts:
    if not samples:
        raise FileError("holds no text", where=source, fix="Add text to it, or choose another")
    return Texts(source, tuple(samples))


def _sample(line: str, where: str) -> Sample:
    try:
        entry = json.loads(line)
    except json.JSONDecodeError as error:
        raise FileError(f"not JSON ({error.msg})", where=where, fix=_FIX) from error
    if not isinstance(entry, dict):
        raise FileError(f"a {type(entry).__name__}, not an object", where=where, fix=_FIX)
    if "messages" in entry:
        return _conversation(entry["messages"], where)
    if "prompt" in entry:
        name = next((name for name in _ANSWERS if name in entry), _ANSWERS[0])
        return Sample(_text(entry, "prompt", where), _text(entry, name, where))
    return Sample("", _text(entry, "text", where))


def _conversation(turns: Any, where: str) -> Sample:
    if not isinstance(turns, list) or not all(isinstance(turn, dict) for turn in turns):
        raise FileError("'messages' is no list of objects", where=where, fix=_FIX)
    messages = tuple(
        Message(_text(turn, "role", where), _text(turn, "content", where)) for turn in turns
    )
    if not messages:
        raise FileError("'messages' is empty", where=where, fix=_FIX)
    prompt = "\n".join(message.content for message in messages[:-1])
    return Sample(prompt, messages[-1].content, messages)


def _text(entry: Mapping[str, Any], name: str, where: str) -> str:
    value = entry.get(name)
    if not isinstance(value, str) or not value:
        what = f"'{name}' is missing" if value is None else f"'{name}' is {value!r}, not a text"
        raise FileError(what, where=where, fix=_FIX)
    return value
