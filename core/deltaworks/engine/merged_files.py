"""Config, tokenizer, card and other files of a merged model."""

from __future__ import annotations

import json
from pathlib import Path

from deltaworks.engine.merge_plan import MergeJob
from deltaworks.engine.merged_card import CARD, merged_card
from deltaworks.engine.merged_config import merged_config
from deltaworks.engine.merged_tokenizer import is_tokenizer_file, tokenizer_files
from deltaworks.engine.provenance import lasting_recipe

RECIPE_FILE = "deltaworks_recipe.json"


def merged_side_files(job: MergeJob) -> tuple[dict[str, Path | bytes], tuple[str, ...]]:
    """Take the leader's side files, with config, tokenizer and card as the result needs them.

    Returns:
        Name to path or content, and what the user should know.
    """
    files: dict[str, Path | bytes] = {
        name: path
        for name, path in job.leader.side_files.items()
        if name != CARD and not name.endswith(".index.json") and not is_tokenizer_file(name)
    }
    config, notes = merged_config(job)
    if notes:
        files["config.json"] = (json.dumps(config, indent=2, ensure_ascii=False) + "\n").encode()
    tokenizer, told = tokenizer_files(job)
    card, said = merged_card(job)
    files |= tokenizer
    files[CARD] = card
    recipe = json.dumps(lasting_recipe(job.recipe), indent=2, ensure_ascii=False) + "\n"
    files[RECIPE_FILE] = recipe.encode()
    return files, (*notes, *told, *said)
