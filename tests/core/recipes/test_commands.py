from __future__ import annotations

import shlex
from typing import Any

from deltaworks.recipes import as_command, parse_recipe

BASE = {"path": "/m/the base"}


def words(data: dict[str, Any], **more: Any) -> list[list[str]]:
    return [shlex.split(line) for line in as_command(parse_recipe(data), **more).splitlines()]


def test_compressing_gives_one_line_a_setting() -> None:
    lines = words(
        {
            "kind": "compress",
            "base": BASE,
            "experts": [{"path": "/m/it's a"}, {"path": "/m/b"}],
            "settings": [
                {"method": "dare", "options": {"drop_rate": 0.9, "rescale": True}},
                {"method": "sign"},
            ],
            "seed": 3,
            "scope": "all",
            "output": "/o",
        }
    )

    inputs = ["deltaworks-cli", "compress", "/m/the base", "/m/it's a", "/m/b"]
    options = ["--set", "drop_rate=0.9", "--set", "rescale=true"]
    ending = ["--seed", "3", "--scope", "all", "-o", "/o"]
    assert lines == [[*inputs, "-m", "dare", *options, *ending], [*inputs, "-m", "sign", *ending]]


def test_other_kinds_have_their_lines() -> None:
    rebuild = {"kind": "rebuild", "delta": {"path": "a.safetensors"}, "base": BASE, "output": "o"}
    merge = {
        "kind": "merge",
        "experts": [{"model": BASE}],
        "setting": {"method": "linear"},
        "output": "o",
    }
    sweep = {
        "kind": "sweep",
        "base": BASE,
        "experts": [BASE],
        "settings": [{"method": "sign"}],
        "output": "o",
    }
    evaluate = {"kind": "evaluate", "model": BASE, "base": BASE, "evaluation": "texts"}

    assert words(rebuild)[0][1:] == ["rebuild", "a.safetensors", "--base", BASE["path"], "-o", "o"]
    assert words(merge, file="my merge.json")[0][1:] == ["merge", "my merge.json", "o"]
    assert words(sweep)[0][1:] == ["sweep", "recipe.json"]
    assert words(evaluate)[0][1:] == [
        *["evaluate", BASE["path"], "--base", BASE["path"], "--data", "texts"]
    ]
