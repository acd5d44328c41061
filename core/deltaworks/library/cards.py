"""What a model card says in its front matter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

_LIMIT = 65_536
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, slots=True)
class Card:
    """Declared facts; empty where the card is silent.

    Args:
        licence: as declared, ``apache-2.0``.
        bases: names or hub ids of declared base models.
        relation: ``finetune``, ``adapter``, ``merge``, ``quantized``.
        tags: the card's own tags.
    """

    licence: str = ""
    bases: tuple[str, ...] = ()
    relation: str = ""
    tags: tuple[str, ...] = ()

    @property
    def is_merge(self) -> bool:
        """Whether the card calls the model a merge."""
        return self.relation == "merge" or len(self.bases) > 1 or "merge" in self.tags


def read_card(folder: Path) -> Card:
    """Read the front matter of ``README.md``; an empty card when there is none to read."""
    try:
        with (folder / "README.md").open(encoding="utf-8", errors="replace") as file:
            text = file.read(_LIMIT)
    except OSError:
        return Card()
    return parse_card(text)


def parse_card(text: str) -> Card:
    """Read a card's front matter. A card that is no YAML says nothing: it is not ours to fix."""
    if not text.startswith("---"):
        return Card()
    head, end, _ = text[3:].partition("\n---")
    if not end:
        return Card()
    try:
        # A loader of the safe kind: builds plain values only.
        facts = yaml.load(head, Loader=_LOADER)
    except (yaml.YAMLError, ValueError):
        return Card()
    if not isinstance(facts, Mapping):
        return Card()
    licence = facts.get("license_name") or facts.get("license") or ""
    return Card(
        licence=", ".join(_texts(licence)),
        bases=_texts(facts.get("base_model")),
        relation=str(facts.get("base_model_relation") or ""),
        tags=_texts(facts.get("tags")),
    )


def _texts(value: Any) -> tuple[str, ...]:
    items = value if isinstance(value, list) else [value]
    return tuple(str(item) for item in items if isinstance(item, (str, int, float)) and item != "")
