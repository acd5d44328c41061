from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from deltaworks.errors import FileError, OptionError
from deltaworks.recipes import dump_recipe, load_recipe, parse_recipe, save_recipe
from deltaworks.recipes.schema import CompressRecipe, SweepRecipe

COMPRESS: dict[str, Any] = {
    "kind": "compress",
    "base": {"path": "/models/base"},
    "experts": [{"path": "/models/a"}],
    "settings": [{"method": "low-rank", "options": {"rank": 8}}],
    "output": "/out",
}


def test_a_recipe_is_read_from_plain_data() -> None:
    recipe = parse_recipe(COMPRESS)

    assert isinstance(recipe, CompressRecipe)
    assert recipe.settings[0].options == {"rank": 8}
    assert recipe.scope == "linear2d"


@pytest.mark.parametrize("name", ["recipe.json", "recipe.yml", "recipe.yaml"])
def test_a_saved_recipe_is_read_back_equal(name: str, tmp_path: Path) -> None:
    recipe = parse_recipe({**COMPRESS, "seed": 7, "note": "für später"})

    save_recipe(recipe, tmp_path / name)

    assert load_recipe(tmp_path / name) == recipe


_NAMES = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), min_size=1)
"""Any text that a file can hold."""


@given(
    seed=st.integers(0, 2**40),
    loss=st.floats(0.0, 1.0),
    options=st.dictionaries(_NAMES, st.one_of(st.booleans(), st.integers())),
)
def test_dumping_and_parsing_keeps_everything(
    seed: int, loss: float, options: dict[str, Any]
) -> None:
    data = {**COMPRESS, "kind": "sweep", "seed": seed, "max_loss": loss}
    data["settings"] = [{"method": "sign", "options": options}]
    recipe = parse_recipe(data)

    again = parse_recipe(json.loads(json.dumps(dump_recipe(recipe))))

    assert isinstance(again, SweepRecipe)
    assert again == recipe


def test_an_unknown_field_is_named_with_the_known_ones() -> None:
    with pytest.raises(OptionError, match=r"unknown field 'expert' \(known: .*experts") as caught:
        parse_recipe({**COMPRESS, "expert": "x"}, where="a.json")

    assert caught.value.where == "a.json"


def test_an_unknown_field_deep_inside_is_named_with_its_neighbours() -> None:
    data = {**COMPRESS, "experts": [{"path": "/a", "hash": "1"}]}

    with pytest.raises(
        OptionError,
        match=r"unknown field 'experts\.0\.hash' \(known: path, content, name, adapter\)",
    ):
        parse_recipe(data)


def test_several_faults_are_shown_together() -> None:
    data = {**COMPRESS, "memory_bytes": 1, "settings": []}
    del data["output"]

    with pytest.raises(OptionError) as caught:
        parse_recipe(data)

    text = str(caught.value)
    assert "field 'output' is missing" in text
    assert "field 'memory_bytes' is 1" in text
    assert "field 'settings'" in text


@pytest.mark.parametrize("data", [{}, {"kind": "shrink"}])
def test_a_recipe_without_a_known_kind_is_refused(data: dict[str, Any]) -> None:
    with pytest.raises(OptionError, match=r"known: compress, sweep, merge, .*repair, .*evaluate"):
        parse_recipe(data)


@pytest.mark.parametrize(
    ("name", "text", "what"),
    [
        ("a.json", "{", "neither JSON nor YAML"),
        ("a.yml", "a: [", "neither JSON nor YAML"),
        ("a.yml", "- 1\n- 2\n", "holds list"),
        ("a.yml", "!!python/object/apply:os.system ['true']", "neither JSON nor YAML"),
    ],
)
def test_a_file_that_is_no_recipe_is_refused(
    name: str, text: str, what: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_text(text)

    with pytest.raises(FileError, match=what):
        load_recipe(tmp_path / name)


def test_a_missing_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="No such file"):
        load_recipe(tmp_path / "gone.json")


def test_two_documents_in_one_file_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.yml"
    path.write_text(yaml.safe_dump_all([COMPRESS, COMPRESS]))

    with pytest.raises(OptionError, match="2 YAML documents"):
        load_recipe(path)


def test_an_output_that_is_given_replaces_the_one_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps(COMPRESS))

    recipe = load_recipe(path, output="/elsewhere")

    assert isinstance(recipe, CompressRecipe)
    assert recipe.output == "/elsewhere"
