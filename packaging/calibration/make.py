"""Make the bundled calibration texts: ``python packaging/calibration/make.py``.

``default.txt`` mixes pages of the manual, source code, conversations, sums and small
documents, so that a layer sees more than one kind of input. ``demo.jsonl`` is for the
demo's models: rows of their training sets and what the demo's base writes by itself.
"""

from __future__ import annotations

import json
import random
import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
TARGET = ROOT / "resources" / "deltaworks_resources" / "calibration"
MODELS = ROOT / "resources" / "deltaworks_resources" / "demo"
PROSE_CHARACTERS, CODE_CHARACTERS = 110_000, 30_000
N_TASK_ROWS, N_OWN_TEXTS, OWN_TOKENS = 200, 256, 128

NAMES = [
    *("Ada", "Ben", "Carla", "Deniz", "Emeka", "Farah", "Goran", "Hana"),
    *("Ines", "Jonas", "Kemal", "Lina", "Marek", "Nadia", "Omar"),
]
THINGS = [
    *("apples", "books", "chairs", "stamps", "pencils", "bottles"),
    *("tickets", "stones", "ribbons", "maps", "lamps"),
]
PLACES = [
    *("the harbour", "a small bakery", "the old library"),
    *("the station", "her garden", "the market"),
]
TOPICS = {
    "a lighthouse": "a tower with a strong lamp that shows ships where the coast is",
    "photosynthesis": "how plants make sugar from water, carbon dioxide and sunlight",
    "a prime number": "a whole number above one that only one and itself divide",
    "inflation": "a general rise of prices, so that money buys less than it did",
    "a glacier": "a mass of ice that lasts for years and moves slowly under its weight",
    "a sonnet": "a poem of fourteen lines with a fixed pattern of rhymes",
    "the appendix of a book": "pages at the end with what would interrupt the text",
    "a lever": "a stiff bar on a support with which a small force lifts a large load",
    "a census": "a count of all people of a country, made every few years",
    "yeast": "a fungus of single cells that makes dough rise and beer ferment",
    "an eclipse": "when one body in the sky hides another or puts it in shadow",
    "a contract": "a promise between parties that a court will hold them to",
}


def prose() -> str:
    """Pages of the manual without tables, code and links."""
    pages = sorted([*(ROOT / "docs").rglob("*.md"), ROOT / "README.md"])
    text = "\n\n".join(page.read_text(encoding="utf-8") for page in pages)
    text = re.sub(r"```.*?```", "", text, flags=re.S)
    text = re.sub(r"<!--.*?-->", "", text, flags=re.S)
    lines = [line for line in text.splitlines() if not line.startswith("|")]
    plain = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", "\n".join(lines))
    return re.sub(r"\n{3,}", "\n\n", plain)[:PROSE_CHARACTERS]


def code() -> str:
    """Some modules of this program."""
    modules = sorted((ROOT / "core" / "deltaworks" / "numerics").glob("*.py"))
    return "\n\n".join(one.read_text(encoding="utf-8") for one in modules)[:CODE_CHARACTERS]


def conversations(rng: random.Random, count: int) -> str:
    """Made-up questions and answers."""
    found = []
    for _ in range(count):
        name, other = rng.sample(NAMES, 2)
        thing, place = rng.choice(THINGS), rng.choice(PLACES)
        first, second = rng.randint(2, 90), rng.randint(2, 90)
        topic = rng.choice(sorted(TOPICS))
        found.append(
            rng.choice(
                [
                    f"User: What is {topic}?\nAssistant: It is {TOPICS[topic]}.",
                    f"User: {name} has {first} {thing} and gets {second} more at {place}. How many "
                    f"are there now?\nAssistant: {first} + {second} = {first + second}, so {name} "
                    f"has {first + second} {thing}.",
                    f"User: What is {first} times {second}?\nAssistant: {first * second}.",
                    f"User: Please write to {other} that {name} waits at {place}.\nAssistant: "
                    f"Dear {other},\n\n{name} is at {place} and waits for you. Take your time.\n",
                    f"User: Sort these words: {', '.join(some := rng.sample(THINGS, 4))}.\n"
                    f"Assistant: {', '.join(sorted(some))}.",
                    "User: Give me a record as JSON.\nAssistant: "
                    + json.dumps({"name": name, "item": thing, "count": first, "paid": first > 40}),
                ]
            )
        )
    return "\n\n".join(found)


def demo_rows(rng: random.Random) -> list[dict[str, str]]:
    """Rows of the training sets of sums and brackets; none is in a test set."""
    sys.path.insert(0, str(ROOT / "packaging" / "demo"))
    from tasks import bracket_row, bracket_tests, sum_splits

    rows = sum_splits()["train"][:N_TASK_ROWS]
    held = {row for some in bracket_tests().values() for row in some}
    brackets = (bracket_row(rng) for _ in range(10 * N_TASK_ROWS))
    rows += [row for row in brackets if row not in held][:N_TASK_ROWS]
    return [{"prompt": row.prompt, "response": row.answer} for row in rows]


def own_texts() -> list[dict[str, str]]:
    """What the demo's base writes when nothing is asked of it."""
    import torch

    from deltaworks.checkpoints import open_checkpoint
    from deltaworks.inference import load_model

    with open_checkpoint(MODELS / "polder-base") as checkpoint:
        running = load_model(checkpoint)
        torch.manual_seed(0)
        written = running.model.generate(
            torch.zeros(N_OWN_TEXTS, 1, dtype=torch.long),
            max_new_tokens=OWN_TOKENS,
            do_sample=True,
            temperature=1.0,
            top_k=0,
            pad_token_id=1,
            eos_token_id=None,
        )
        tokenizer = running.text_tokenizer
        texts = [tokenizer.decode(row[1:], skip_special_tokens=True) for row in written]
    return [{"text": text} for text in texts if text.strip()]


def main() -> None:
    rng = random.Random(5)
    TARGET.mkdir(exist_ok=True)
    text = "\n\n".join([prose(), code(), conversations(rng, 500)])
    (TARGET / "default.txt").write_text(text + "\n", encoding="utf-8")
    rows = [*own_texts(), *demo_rows(rng)]
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    (TARGET / "demo.jsonl").write_text(lines, encoding="utf-8")


if __name__ == "__main__":
    main()
