"""A rebuild as a job. Imported when one is asked for: recipes know every method."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from deltaworks.library.rows import ModelRow
from deltaworks.recipes.documents import dump_recipe
from deltaworks.recipes.naming import slug
from deltaworks.recipes.schema import ModelRef, RebuildRecipe


def proposed_folder(store: Path, row: ModelRow) -> Path:
    """Where a delta's full model goes unless the user says otherwise."""
    return store / "rebuilt" / (slug(row.name) or "model")


def rebuild_recipe(row: ModelRow, base: ModelRow | None, folder: str) -> dict[str, Any]:
    """The job as plain data; without a base, the delta's own recipe names it."""
    recipe = RebuildRecipe(
        delta=ModelRef(path=row.path, name=row.name),
        base=ModelRef(path=base.path, name=base.name) if base is not None else None,
        output=folder,
    )
    return dump_recipe(recipe)
