"""Tokenizer files and chat template of a merged model."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deltaworks.checkpoints.checkpoint import Checkpoint
from deltaworks.checkpoints.documents import read_bytes, read_object
from deltaworks.checkpoints.vocabulary import SETTINGS, SLOW_FILES, TOKENIZER, settings_for
from deltaworks.engine.merge_plan import MergeJob
from deltaworks.recipes.chat_templates import TEMPLATES

_JINJA = "chat_template.jinja"
_FILES = frozenset(
    {TOKENIZER, SETTINGS, *SLOW_FILES, "special_tokens_map.json", _JINJA, "chat_template.json"}
)
Files = dict[str, "Path | bytes"]


def is_tokenizer_file(name: str) -> bool:
    """Whether a side file belongs to the tokenizer."""
    return name in _FILES


def tokenizer_files(job: MergeJob) -> tuple[Files, list[str]]:
    """Give the tokenizer's files of the result, and what the user should know."""
    alignment = job.alignment
    donor = job.leader if alignment.donor is None else job.models.opened[alignment.donor]
    files: Files = {
        name: path for name, path in donor.side_files.items() if is_tokenizer_file(name)
    }
    notes = []
    tokens = alignment.tokens
    stored = donor.side_files.get(TOKENIZER)
    if tokens is not None and stored is not None and tokens.document != read_object(stored):
        notes += _built(files, donor, job)
    notes += _differences(job, donor)
    notes += _templated(files, job)
    return files, notes


def _built(files: Files, donor: Checkpoint, job: MergeJob) -> list[str]:
    """Write the new tokens; older files that would contradict them are left out."""
    tokens = job.alignment.tokens
    assert tokens is not None
    before = len(read_object(donor.side_files[TOKENIZER]).get("added_tokens") or ())
    files[TOKENIZER] = _json(tokens.document)
    if SETTINGS in donor.side_files:
        files[SETTINGS] = _json(settings_for(read_object(donor.side_files[SETTINGS]), tokens))
    gone = [name for name in SLOW_FILES if files.pop(name, None) is not None]
    notes = [
        f"{TOKENIZER}: {len(tokens.ids):,} tokens, {len(tokens.added) - before:+,} added ones."
    ]
    if gone:
        notes.append(f"{', '.join(gone)}: left out, they do not have the new tokens.")
    return notes


def template_of(model: Checkpoint) -> str:
    """Read a model's chat template; empty when it has none."""
    path = model.side_files.get(_JINJA)
    if path is not None:
        return read_bytes(path).decode("utf-8", "replace")
    settings = model.side_files.get(SETTINGS)
    found = read_object(settings).get("chat_template") if settings is not None else None
    return found if isinstance(found, str) else ""


def _templated(files: Files, job: MergeJob) -> list[str]:
    """Set the chat template that the recipe asks for."""
    wanted = job.recipe.chat_template
    if not wanted:
        return []
    template, said = TEMPLATES.get(wanted, wanted), f"chat template: {wanted:.40}"
    if wanted == "auto":
        counted = Counter(filter(None, (template_of(model) for model in job.inputs)))
        if not counted:
            return ["chat template: none of the models has one."]
        template, count = counted.most_common(1)[0]
        said = f"chat template: that of {count} of {len(job.inputs)} models"
    settings: Mapping[str, Any] = {}
    held = files.get(SETTINGS)
    if held is not None:
        settings = json.loads(held) if isinstance(held, bytes) else read_object(held)
    files[SETTINGS] = _json({**settings, "chat_template": template})
    files.pop(_JINJA, None)
    return [f"{said}."]


def _differences(job: MergeJob, donor: Checkpoint) -> list[str]:
    """Name models whose chat template is another one."""
    if job.recipe.chat_template:
        return []
    mine = template_of(donor)
    others = [
        job.models.labels[place]
        for place, model in job.models.opened.items()
        if template_of(model) not in {"", mine}
    ]
    if not others:
        return []
    whose = "none" if not mine else f"that of {donor.path.name}"
    return [f"Chat templates differ: {', '.join(others)} have another; the result has {whose}."]


def _json(data: Mapping[str, Any]) -> bytes:
    return (json.dumps(data, indent=2, ensure_ascii=False) + "\n").encode()
