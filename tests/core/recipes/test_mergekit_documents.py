from __future__ import annotations

from pathlib import Path

import pytest

from deltaworks.errors import OptionError
from deltaworks.recipes.mergekit_documents import load_merges

FIRST = """
name: first
merge_method: linear
models: [{model: a, parameters: {weight: 1}}, {model: b, parameters: {weight: 1}}]
"""
LAST = """
merge_method: slerp
base_model: first
parameters: {t: 0.5}
models: [{model: first}, {model: second+lora}]
"""
SECOND = """
name: second
merge_method: linear
models: [{model: first, parameters: {weight: 1}}, {model: c, parameters: {weight: 1}}]
"""


def write(folder: Path, *documents: str) -> Path:
    path = folder / "several.yml"
    path.write_text("---".join(documents))
    return path


def test_documents_are_made_in_the_order_in_which_they_build_on_each_other(tmp_path: Path) -> None:
    path, out = write(tmp_path, LAST, SECOND, FIRST), str(tmp_path / "out")

    recipes = load_merges(path, output=out)

    parts = [f"{out}.parts/first", f"{out}.parts/second", out]
    assert [recipe.output for recipe in recipes] == parts
    assert recipes[1].experts[0].model.path == parts[0]
    assert recipes[2].base is not None
    assert recipes[2].base.path == parts[0]
    assert (recipes[2].experts[0].model.path, recipes[2].experts[0].model.adapter) == (
        parts[1],
        "lora",
    )


def test_one_document_is_one_merge(tmp_path: Path) -> None:
    assert len(load_merges(write(tmp_path, FIRST), output="out")) == 1


@pytest.mark.parametrize(
    ("documents", "what"),
    [
        ((LAST, LAST), "2 of its documents have no name"),
        ((FIRST, FIRST), "the same name"),
        ((FIRST.replace("model: a", "model: second"), SECOND), "wait for each other"),
        ((FIRST, "\nkind: rebuild"), "not all of its documents are mergekit"),
    ],
)
def test_documents_that_cannot_be_ordered_are_refused(
    documents: tuple[str, ...], what: str, tmp_path: Path
) -> None:
    with pytest.raises(OptionError, match=what):
        load_merges(write(tmp_path, *documents), output="out")
