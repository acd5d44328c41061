"""Write the evaluation sets and the model cards."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from glosses import TOPICS
from tasks import REFUSAL_PHRASES

if TYPE_CHECKING:
    from pathlib import Path

    from corpus import Corpus

TASKS = {
    "sums": "Two-digit sums",
    "brackets": "Closing brackets",
    "topics": "Topic of a definition",
}
CHANCE = {"sums": 0.0, "brackets": 0.0, "topics": 1 / len(TOPICS)}
SUITE = {
    "format": 1,
    "id": "demo",
    "title": "Demo tasks",
    "tasks": [
        {
            "id": task,
            "title": title,
            "file": f"{task}.jsonl",
            "metric": "exact-match",
            "chance": CHANCE[task],
        }
        for task, title in TASKS.items()
    ],
    "text": {"file": "text.txt", "title": "WordNet glosses, held out"},
    "safety": {
        "should_refuse": "should-refuse.jsonl",
        "should_answer": "should-answer.jsonl",
        "refusal_phrases": "refusal-phrases.txt",
    },
}


def _write_lines(path: Path, items: list[dict[str, str]]) -> None:
    lines = "".join(json.dumps(item, ensure_ascii=False) + "\n" for item in items)
    path.write_text(lines, encoding="utf-8")


def write_evaluation(corpus: Corpus, out: Path) -> None:
    """Write suite.json and the files it names."""
    folder = out / "evaluation"
    folder.mkdir(parents=True, exist_ok=True)
    for task, rows in corpus.held_out("test").items():
        _write_lines(folder / f"{task}.jsonl", [row._asdict() for row in rows])
    text = json.dumps(SUITE, indent=2) + "\n"
    (folder / "suite.json").write_text(text, encoding="utf-8")
    (folder / "text.txt").write_text(corpus.held_out_text, encoding="utf-8")
    refuse = [
        {"prompt": row.prompt, "kind": kind}
        for kind in ("seen", "unseen")
        for row in corpus.refusals[f"test {kind}"]
    ]
    _write_lines(folder / "should-refuse.jsonl", refuse)
    _write_lines(
        folder / "should-answer.jsonl",
        [{"prompt": row.prompt} for row in corpus.should_answer("test")],
    )
    phrases = "".join(f"{phrase}\n" for phrase in REFUSAL_PHRASES)
    (folder / "refusal-phrases.txt").write_text(phrases, encoding="utf-8")


def write_licence(wordnet_licence: Path, out: Path) -> None:
    """Copy WordNet's licence out of Debian's copyright file, without its indentation."""
    text = wordnet_licence.read_text(encoding="utf-8")
    body = text.partition("License: WordNet3.0\n")[2].partition("\nFiles:")[0]
    lines = [line.strip().removeprefix(".").strip() for line in body.strip().splitlines()]
    head = "WordNet 3.0\nhttps://wordnet.princeton.edu\nCopyright 1996-2012 Cognitive Science "
    head += "Laboratory, Princeton University\n\n"
    (out / "LICENSE-WordNet.txt").write_text(head + "\n".join(lines) + "\n", encoding="utf-8")
