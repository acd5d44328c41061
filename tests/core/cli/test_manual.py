from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import typer.main

from deltaworks.cli.main import app

MANUAL = (Path(__file__).parents[3] / "docs" / "command-line.md").read_text(encoding="utf-8")
PROGRAM: Any = typer.main.get_command(app)


def sections() -> dict[str, str]:
    parts = re.split(r"^## `([\w-]+)`$", MANUAL, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_the_manual_has_a_section_for_every_command() -> None:
    assert list(sections()) == list(PROGRAM.commands)


def test_every_section_has_an_example_that_the_program_understands() -> None:
    for name, text in sections().items():
        (example,) = re.findall(r"^    deltaworks-cli (.+)$", text, flags=re.MULTILINE)
        command, *words = shlex.split(example)

        PROGRAM.commands[command].make_context(command, words)

        assert command == name


def test_every_flag_in_the_manual_exists() -> None:
    known = {
        flag
        for command in PROGRAM.commands.values()
        for option in command.params
        for flag in (*option.opts, *option.secondary_opts)
    }

    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", MANUAL)) <= known | {"--version", "--help"}


def test_the_keys_of_a_scan_are_documented(cli: Any, tiny_base: Path) -> None:
    (model,) = cli("scan", tiny_base, "--json").json["models"]

    text = sections()["scan"]
    assert [key for key in model if f"`{key}`" not in text] == []


def test_the_keys_of_other_documents_are_documented(
    cli: Any, tiny_base: Path, tiny_expert: Path, tmp_path: Path
) -> None:
    made = cli("compress", tiny_base, tiny_expert, "-m", "sign", "-o", tmp_path, "--json").json
    delta = made["artefacts"][0]["path"]
    recipe = tmp_path / "recipe.json"
    recipe.write_text(json.dumps(made["recipe"] | {"output": str(tmp_path / "again")}))
    documents = {
        "inspect": cli("inspect", delta, "--json").json,
        "compare": cli("compare", tiny_base, tiny_expert, "--json").json,
        "plan": cli("plan", recipe, "--json").json,
        "methods": cli("methods", "--json").json[0],
    }

    for command, document in documents.items():
        assert [key for key in document if f"`{key}`" not in sections()[command]] == []
    report = MANUAL.partition("## The report")[2]
    assert [key for key in made if f"`{key}`" not in report] == []
