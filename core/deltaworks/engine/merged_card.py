"""The README of a merged model: what it was made of and how, for people and for the Hub."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import yaml

from deltaworks.checkpoints.checkpoint import Checkpoint
from deltaworks.checkpoints.documents import read_bytes
from deltaworks.engine.merge_plan import MergeJob
from deltaworks.engine.provenance import lasting_recipe
from deltaworks.recipes.naming import display_name
from deltaworks.recipes.patterns import varies

CARD = "README.md"
_FRONT = re.compile(r"\A---\r?\n(.*?)\r?\n---\r?\n", re.DOTALL)
_LONGEST = 1_000_000


def merged_card(job: MergeJob) -> tuple[bytes, list[str]]:
    """Write the card, and say what about licences the user should know."""
    fields, notes = _front(job)
    front = yaml.safe_dump(fields, sort_keys=False, allow_unicode=True)
    text = f"---\n{front}---\n\n" + "\n".join(_body(job)) + "\n"
    return text.encode(), notes


def front_of(model: Checkpoint) -> dict[str, Any]:
    """Read the fields at the head of a model's README; empty when there are none."""
    path = model.side_files.get(CARD)
    if path is None or path.stat().st_size > _LONGEST:
        return {}
    found = _FRONT.match(read_bytes(path).decode("utf-8", "replace"))
    try:
        fields = yaml.safe_load(found[1]) if found else {}
    except yaml.YAMLError:
        return {}
    return fields if isinstance(fields, dict) else {}


def _front(job: MergeJob) -> tuple[dict[str, Any], list[str]]:
    """Join the fields of all models: licences only where all agree."""
    fronts = {place: front_of(model) for place, model in job.models.opened.items()}
    fields: dict[str, Any] = {"base_model": list(dict.fromkeys(_names(job)))}
    licences = {place: str(front.get("license", "")) for place, front in fronts.items()}
    said = set(licences.values())
    notes = []
    if len(said) == 1 and "" not in said:
        fields["license"] = said.pop()
    elif said - {""}:
        listed = ", ".join(
            f"{job.models.labels[place]}: {licence or 'none said'}"
            for place, licence in licences.items()
        )
        fields["license"] = "other"
        notes.append(f"Licences differ ({listed}); the card says 'other': check what holds.")
    for key in ("language", "library_name", "pipeline_tag"):
        values = [front[key] for front in fronts.values() if key in front]
        if values and all(value == values[0] for value in values):
            fields[key] = values[0]
    fields["tags"] = ["merge", "deltaworks"]
    return fields, notes


def _names(job: MergeJob) -> Iterator[str]:
    for model in job.inputs:
        source = getattr(model, "source", None)
        yield source.repo_id if source is not None else model.path.name


def _body(job: MergeJob) -> Iterator[str]:
    recipe = job.recipe
    yield f"# {display_name(recipe.output)}"
    yield ""
    yield f"A merge of {len(job.experts)} models with {job.method.title}, made with Deltaworks."
    yield ""
    yield "| Model | Part | Parameters | Hash of headers |"
    yield "|---|---|---|---|"
    for place, model in job.models.opened.items():
        part = "base" if place < 0 else "expert"
        options = {} if place < 0 else recipe.experts[place].options
        shown = ", ".join(f"{name} {_shown(value)}" for name, value in options.items()) or "–"
        reference = recipe.base if place < 0 else recipe.experts[place].model
        hashed = reference.content if reference is not None and reference.content else ""
        hashed = f"weights {hashed[:16]}" if hashed else model.identity.header[:16]
        yield f"| {display_name(str(model.path))} | {part} | {shown} | `{hashed}` |"
    yield ""
    for note in job.notes:
        yield f"- {note}"
    if job.notes:
        yield ""
    yield "## Recipe"
    yield ""
    yield "```json"
    yield json.dumps(lasting_recipe(recipe), indent=1, ensure_ascii=False)
    yield "```"


def _shown(value: Any) -> str:
    return "varies" if varies(value) else f"{value}"
