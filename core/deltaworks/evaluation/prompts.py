"""Prompts of the user's files: a line, a cell or an object each. They are never shown."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deltaworks.errors import FileError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

ANSWERS = ("response", "answer", "completion", "output")
"""Names under which a file may hold the answer to a prompt."""
_FIX = 'Write one prompt a line in a .txt, in the first column of a .csv, or {"prompt": …} a line'
_HEADINGS = frozenset({"prompt", "prompts", "question", "instruction", "goal"})


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt as it is, and its answer where the file has one."""

    text: str
    answer: str = ""


def read_prompts(path: Path) -> tuple[Prompt, ...]:
    """Read a ``.txt``, ``.csv`` or ``.jsonl`` of prompts.

    Raises:
        FileError: missing, damaged or empty; names file and line, never a prompt.
    """
    kinds = {".txt": _lines, ".csv": _cells, ".jsonl": _objects}
    read = kinds.get(path.suffix.lower())
    if read is None:
        raise FileError(f"neither .txt, .csv nor .jsonl ({path.suffix})", where=str(path), fix=_FIX)
    try:
        content = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise FileError("no such file", where=str(path), fix="Choose another") from error
    except (OSError, UnicodeDecodeError) as error:
        raise FileError(f"cannot be read as text ({error})", where=str(path)) from error
    found = tuple(read(content, str(path)))
    if not found:
        raise FileError("holds no prompt", where=str(path), fix=_FIX)
    return found


def as_asked(prompt: str, tokenizer: PreTrainedTokenizerBase) -> str:
    """Put a prompt into the tokenizer's chat template, where it has one."""
    if not getattr(tokenizer, "chat_template", None):
        return prompt
    turns = [{"role": "user", "content": prompt}]
    return str(tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True))


def _lines(content: str, _where: str) -> Iterator[Prompt]:
    return (Prompt(line) for line in content.splitlines() if line.strip())


def _cells(content: str, _where: str) -> Iterator[Prompt]:
    """Take the first column; a first row that names it is left out."""
    for number, row in enumerate(csv.reader(io.StringIO(content))):
        is_heading = number == 0 and row and row[0].strip().lower() in _HEADINGS
        if row and row[0].strip() and not is_heading:
            yield Prompt(row[0])


def _objects(content: str, where: str) -> Iterator[Prompt]:
    for number, line in enumerate(content.splitlines(), start=1):
        if line.strip():
            yield _object(line, f"{where}, line {number}")


def _object(line: str, where: str) -> Prompt:
    try:
        values: Any = json.loads(line)
    except json.JSONDecodeError as error:
        raise FileError(f"not JSON ({error.msg})", where=where, fix=_FIX) from error
    prompt = values.get("prompt") if isinstance(values, dict) else None
    if not isinstance(prompt, str) or not prompt:
        raise FileError("'prompt' is missing or no text", where=where, fix=_FIX)
    answers = (values[name] for name in ANSWERS if isinstance(values.get(name), str))
    return Prompt(prompt, next(answers, ""))
