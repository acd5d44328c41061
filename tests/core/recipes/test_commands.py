from __future__ import annotations

import shlex
from typing import Any

from deltaworks.recipes import as_command, parse_recipe

BASE = {"path": "/m/the base"}


def words(data: dict[str, Any], **more: Any) -> list[list[str]]:
    return [shlex.split(line) for line in as_command(parse_recipe(data), **more).splitlines()]


COMPRESS: dict[str, Any] = {
    "kind": "compress",
    "base": BASE,
    "experts": [{"path": "/m/it's a"}, {"path": "/m/b"}],
    "seed": 3,
    "scope": "all",
    "output": "/o",
}
ENDING = ["--seed", "3", "--scope", "all", "-o"]


def test_one_setting_is_one_line() -> None:
    setting = {"method": "magnitude", "options": {"density": 0.9}}

    lines = words({**COMPRESS, "settings": [setting]})

    inputs = ["deltaworks-cli", "compress", "/m/the base", "/m/it's a", "/m/b"]
    assert lines == [[*inputs, "-m", "magnitude", "--set", "density=0.9", *ENDING, "/o"]]


def test_several_settings_are_one_line_a_file() -> None:
    settings = [
        {"method": "low-rank", "options": {"rank": 8}},
        {"method": "low-rank", "options": {"rank": 16}},
    ]

    lines = words({**COMPRESS, "settings": settings})

    assert [line[-1] for line in lines] == [
        "/o/it-s-a--low-rank--rank-8.delta.safetensors",
        "/o/it-s-a--low-rank--rank-16.delta.safetensors",
        "/o/b--low-rank--rank-8.delta.safetensors",
        "/o/b--low-rank--rank-16.delta.safetensors",
    ]
    options = ["-m", "low-rank", "--set", "rank=8"]
    inputs = ["deltaworks-cli", "compress", "/m/the base", "/m/it's a"]
    assert lines[0][:-1] == [*inputs, *options, *ENDING]


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
