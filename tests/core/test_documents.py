"""What the documents say is so: their links, images, commands, recipes and programs."""

from __future__ import annotations

import json
import re
import runpy
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer.main
import yaml

from deltaworks.checkpoints import open_checkpoint
from deltaworks.checkpoints.delta_checkpoint import DeltaCheckpoint
from deltaworks.cli.main import app
from deltaworks.engine import run
from deltaworks.methods import COMPRESSION, METHODS
from deltaworks.numerics.words import tensor_words
from deltaworks.options import read_options
from deltaworks.progress import JobControl
from deltaworks.recipes import dump_recipe, load_recipe, parse_recipe
from deltaworks.recipes.schema import CompressRecipe, ModelRef, Setting

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
PROGRAM: Any = typer.main.get_command(app)
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(?:\]\(|src(?:set)?=\")([^)\s\"]+)[)\"]")
_INDENTED = re.compile(r"^    (deltaworks(?:-cli)?\b.*)$", re.MULTILINE)
_INLINE = re.compile(r"`(deltaworks-cli [^`]+)`")


def _page(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def _without_code(text: str) -> str:
    return re.sub(r"`[^`\n]*`", "", _FENCE.sub("", text))


def _blocks(text: str, *kinds: str) -> list[str]:
    return [block for kind, block in _FENCE.findall(text) if kind in kinds]


def _anchors(text: str) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", _FENCE.sub("", text), re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", title.lower()) for title in titles)
    return {title.replace(" ", "-") for title in plain}


# --- links and images -----------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_links_lead_somewhere(name: str) -> None:
    text = _page(name)
    missing = []

    for link in _LINK.findall(_without_code(text)):
        if re.match(r"[a-z]+:", link):
            continue
        file, _, anchor = link.partition("#")
        target = (ROOT / name).parent / file if file else ROOT / name
        is_there = target.exists()
        if is_there and anchor:
            is_there = anchor in _anchors(target.read_text(encoding="utf-8"))
        if not is_there:
            missing.append(link)

    assert missing == []


def test_every_page_of_the_manual_is_linked_from_the_index() -> None:
    linked = {link.partition("#")[0] for link in _LINK.findall(_page("docs/index.md"))}
    pages = {page.name for page in (ROOT / "docs").glob("*.md")}

    assert pages - {"index.md"} - linked == set()


def methods_table() -> str:
    """The table of methods in the index: paste what the failing test shows."""
    rows = [
        f"| [{method.title}](methods/{name}.md) | {method.family} | {method.summary} |\n"
        for name, method in METHODS.items()
    ]
    return "| method | family | what it does |\n|---|---|---|\n" + "".join(rows)


def test_the_index_shows_the_methods_as_declared() -> None:
    shown = re.findall(r"<!-- methods -->\n(.*?)<!-- /methods -->", _page("docs/index.md"), re.S)

    assert shown == [methods_table()]


def test_pictures_are_those_that_the_script_takes_and_small() -> None:
    script = ROOT / "packaging" / "screenshots" / "take.py"
    names = runpy.run_path(str(script))["NAMES"]

    pictures = list((ROOT / "docs" / "images").iterdir())

    both = {f"{name}-{theme}.png" for name in names for theme in ("light", "dark")}
    themed = {one.name for one in pictures if one.stem.endswith(("-light", "-dark"))}
    assert themed == both
    assert [one.name for one in pictures if one.stat().st_size > 120_000] == []


def test_every_state_of_the_window_is_shown_somewhere() -> None:
    shown = {Path(link).name for name in NAMES for link in _LINK.findall(_page(name))}
    pictures = {one.name for one in (ROOT / "docs" / "images").glob("*-light.png")}

    assert pictures - shown == set()


@pytest.mark.parametrize("name", NAMES)
def test_no_page_names_a_machine_or_shouts(name: str) -> None:
    text = _page(name)

    # Folders of a single person or machine; examples use ~ and /mnt.
    assert re.findall(r"(?<![\w~.])/(?:work|home|root|tmp|Users)/[\w.]+", text) == []
    assert re.findall(r"\w!(?=\s|$)", _without_code(text)) == []


# --- commands -------------------------------------------------------------------------------


def _commands() -> Iterator[Any]:
    for name in NAMES:
        text = _page(name)
        lines = _INDENTED.findall(text) + _INLINE.findall(text)
        for block in _blocks(text, "", "sh", "console"):
            joined = block.replace("\\\n", " ")
            lines += [line for line in joined.splitlines() if line.startswith("deltaworks")]
        for line in dict.fromkeys(lines):
            yield pytest.param(line, id=f"{name}: {line[:60]}")


@pytest.mark.parametrize("line", list(_commands()))
def test_commands_and_their_flags_exist(line: str) -> None:
    program, *words = shlex.split(line, comments=True)
    if program == "deltaworks":
        _check_window(words)
        return
    if words[0].startswith("-"):
        assert words in (["--help"], ["--version"])
        return
    command = PROGRAM.commands.get(words[0])
    assert command is not None, f"there is no command {words[0]}"
    if len(words) > 1 and words[1:] != ["--json"]:
        command.make_context(words[0], words[1:])
    _check_settings(words)


def _check_settings(words: list[str]) -> None:
    """Methods and options named on a command line are real ones."""
    if "-m" not in words:
        return
    method = METHODS[words[words.index("-m") + 1]]
    pairs = [words[at + 1] for at, word in enumerate(words) if word == "--set"]
    values = {
        name: yaml.safe_load(value) for name, _, value in (one.partition("=") for one in pairs)
    }
    read_options(method.options, values, where=method.id)


def _check_window(words: list[str]) -> None:
    from deltaworks_gui.app import parse

    parse(words)


# --- recipes --------------------------------------------------------------------------------


def _recipes() -> Iterator[Any]:
    for name in NAMES:
        for number, block in enumerate(_blocks(_page(name), "json", "yaml"), start=1):
            is_mergekit = "merge_method:" in block
            if is_mergekit or re.search(r'^(kind:|\s*"kind":)', block, re.MULTILINE):
                yield pytest.param(block, is_mergekit, id=f"{name}: recipe {number}")


@pytest.mark.parametrize(("block", "is_mergekit"), list(_recipes()))
def test_recipes_load_and_come_back_equal(block: str, is_mergekit: bool, tmp_path: Path) -> None:
    file = tmp_path / "recipe.yml"
    file.write_text(block, encoding="utf-8")

    recipe = load_recipe(file, output="merged" if is_mergekit else "")

    assert parse_recipe(dump_recipe(recipe)) == recipe
    for setting in [
        *getattr(recipe, "settings", ()),
        *filter(None, [getattr(recipe, "setting", None)]),
    ]:
        read_options(METHODS[setting.method].options, setting.options, where=setting.method)


def test_the_page_shows_every_kind_of_recipe() -> None:
    blocks = _blocks(_page("docs/recipes.md"), "json", "yaml")
    kinds = {yaml.safe_load(block).get("kind", "mergekit") for block in blocks}

    assert kinds == {
        *("compress", "sweep", "merge", "repair", "repair-sweep", "rebuild", "evaluate"),
        "extract",
        *("grow", "fuse", "transfer", "compare-merges", "channel-merge", "mergekit"),
    }


# --- the delta file's programs --------------------------------------------------------------


def _reader() -> dict[str, Any]:
    """Run the programs that the page shows; they know nothing of ours."""
    text = _page("docs/delta-file.md")
    programs = re.findall(r"<!-- reader: \w+ -->\n```python\n(.*?)^```$", text, re.M | re.S)
    assert len(programs) == 3
    assert not any("deltaworks" in program for program in programs)
    names: dict[str, Any] = {}
    for program in programs:
        exec(compile(program, "docs/delta-file.md", "exec"), names)
    return names


@pytest.fixture(scope="module")
def changed_expert(tiny_expert: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fine-tune that moved norms, embeddings and head too."""
    import shutil

    import torch
    from safetensors.torch import load_file, save_file

    folder = tmp_path_factory.mktemp("models") / "changed"
    shutil.copytree(tiny_expert, folder)
    tensors = load_file(folder / "model.safetensors")
    rng = torch.Generator().manual_seed(5)
    for name, value in tensors.items():
        if "_proj" not in name:
            noise = torch.randn(value.shape, generator=rng)
            tensors[name] = (value.float() + 0.001 * noise).bfloat16()
    tensors["lm_head.weight"] = torch.randn(96, 32, generator=rng).bfloat16()
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


_CODED: list[tuple[str, dict[str, Any]]] = [
    ("sign", {"scale": "matrix"}),
    ("sign", {"scale": "row"}),
    ("sign", {"scale": "group", "group_size": 16}),
    ("lossless", {}),
    ("dare", {"drop_rate": 0.8}),
    ("dare", {"drop_rate": 0.7, "mask": "bernoulli"}),
    ("dare", {"drop_rate": 0.9, "store_mask": True, "rescale": False}),
    ("magnitude", {"density": 0.02}),
    ("magnitude", {"density": 0.5}),
    ("low-rank", {"rank": 3}),
    ("impart", {"ratio": 4.0, "cut": 0.5}),
    ("impart", {"ratio": 3.0, "cut": 0.2, "exponent": 1.0, "store_mask": True}),
    ("group-dropout", {"drop_rate": 0.8, "group_size": 20}),
    ("group-dropout", {"drop_rate": 0.5, "bits": "2", "scale": "matrix", "store_mask": True}),
    ("group-dropout", {"bits": "16", "rescale": False, "group_size": 16}),
    ("base-shift", {}),
    ("base-shift", {"first": "dare", "second": "impart", "second_bits": 4.0}),
    ("delta-dct", {"patch": "8"}),
    ("delta-dct", {"strategy": "2-1-0", "range": "mse", "rescale": "lsq"}),
    ("delta-dct", {"strategy": "4-0", "rescale": "none", "sort": True}),
]


@pytest.mark.parametrize(("method", "options"), _CODED, ids=lambda value: str(value))
def test_the_pages_reader_reads_what_the_engine_wrote(
    method: str, options: dict[str, Any], tiny_base: Path, changed_expert: Path, tmp_path: Path
) -> None:
    path = tmp_path / "one.delta.safetensors"
    recipe = CompressRecipe(
        base=ModelRef(path=str(tiny_base)),
        experts=(ModelRef(path=str(changed_expert)),),
        settings=(Setting(method=method, options=options),),
        seed=11,
        output=str(path),
    )
    run(recipe, JobControl())

    model = _reader()["rebuild"](path, tiny_base / "model.safetensors")

    with open_checkpoint(path, base=tiny_base) as ours:
        assert isinstance(ours, DeltaCheckpoint)
        assert set(model) == set(ours.names)
        assert {stored.codec for stored in ours.manifest.tensors.values()} == {method, "lossless"}
        steps = [_steps(model[name], tensor_words(ours.read(name))) for name in ours.names]
    # A product summed in another order may round a bfloat16 number the other way.
    is_product = method in {"low-rank", "impart", "base-shift", "delta-dct"}
    assert max(int(step.max()) for step in steps) <= (1 if is_product else 0)
    assert np.mean(np.concatenate(steps) != 0) < 0.01


def _steps(one: np.ndarray[Any, Any], other: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """How many bfloat16 numbers lie between, flat."""
    signed = [words.reshape(-1).astype(np.int32) for words in (one, other)]
    places = [np.where(words < 0x8000, words, 0x8000 - words) for words in signed]
    apart: np.ndarray[Any, Any] = np.abs(places[0] - places[1])
    return apart


def test_the_parts_of_every_compression_method_are_described() -> None:
    sections = set(re.findall(r"^### `(.+)`$", _page("docs/delta-file.md"), re.MULTILINE))

    assert sections == set(COMPRESSION)


def test_the_pages_reader_refuses_another_base(
    tiny_base: Path, tiny_expert: Path, tiny_stranger: Path, tmp_path: Path
) -> None:
    path = tmp_path / "one.delta.safetensors"
    recipe = CompressRecipe(
        base=ModelRef(path=str(tiny_base)),
        experts=(ModelRef(path=str(tiny_expert)),),
        settings=(Setting(method="sign"),),
        output=str(path),
    )
    run(recipe, JobControl())

    with pytest.raises(SystemExit, match="another base than base"):
        _reader()["rebuild"](path, tiny_stranger / "model.safetensors")


def test_the_manifest_on_the_page_has_the_fields_of_a_real_one(
    tiny_base: Path, tiny_expert: Path, tmp_path: Path
) -> None:
    path = tmp_path / "one.delta.safetensors"
    recipe = CompressRecipe(
        base=ModelRef(path=str(tiny_base)),
        experts=(ModelRef(path=str(tiny_expert)),),
        settings=(Setting(method="sign"),),
        output=str(path),
    )
    run(recipe, JobControl())
    raw = path.read_bytes()
    header = json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])
    shown = json.loads(_blocks(_page("docs/delta-file.md"), "json")[0])

    real = json.loads(header["__metadata__"]["delta_manifest"])

    assert set(shown) == set(real)
    assert set(shown["base"]) == set(real["base"])
    assert set(shown["expert"]) == set(real["expert"])
    assert set(shown["sizes"]) == set(real["sizes"])
    assert set(next(iter(shown["tensors"].values()))) == set(next(iter(real["tensors"].values())))


# --- messages -------------------------------------------------------------------------------


def _messages() -> list[str]:
    """Messages in the first column of the tables, apart at their gaps."""
    rows = re.findall(r"^\| (.*?) \|", _page("docs/troubleshooting.md"), re.MULTILINE)
    quoted = [text for row in rows for text in re.findall(r"`([^`]+)`", row)]
    return sorted({part.strip() for text in quoted for part in text.split("…") if part.strip()})


@pytest.fixture(scope="module")
def sources() -> str:
    """Everything that can say something, without the breaks of long texts."""
    folders = (ROOT / "core", ROOT / "gui", ROOT / "packaging" / "setup")
    files = [
        path for folder in folders for path in folder.rglob("*") if path.suffix in {".py", ".sh"}
    ]
    text = "\n".join(path.read_text(encoding="utf-8") for path in files)
    return re.sub(r'"\s*\n\s*f?"', "", text)


@pytest.mark.parametrize("message", _messages())
def test_messages_are_those_of_the_program(message: str, sources: str) -> None:
    assert message in sources
