from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from deltaworks.errors import FileError
from deltaworks.library.demo import unpack_demo
from deltaworks.library.library import Library
from deltaworks.library.rows import State
from deltaworks.progress import JobControl


@pytest.fixture
def bundle(
    tmp_path: Path, tiny_base: Path, tiny_expert: Path, tiny_expert2: Path, tiny_stranger: Path
) -> Path:
    """A stand-in for the bundled folder, with the same names."""
    folder = tmp_path / "bundle"
    for name, source in (
        ("polder-base", tiny_base),
        ("polder-sums", tiny_expert),
        ("polder-brackets", tiny_expert2),
        ("polder-topics", tiny_expert),
        ("heath-topics", tiny_stranger),
    ):
        shutil.copytree(source, folder / name)
    (folder / "evaluation").mkdir()
    (folder / "evaluation" / "suite.json").write_text("{}")
    return folder


def test_the_demo_is_unpacked_with_its_curiosities(bundle: Path, tmp_path: Path) -> None:
    demo = unpack_demo(bundle, tmp_path / "out")

    assert (demo.base / "config.json").is_file()
    assert [path.name for path in demo.experts] == ["polder-sums", "polder-brackets"]
    assert (demo.evaluation / "suite.json").is_file()
    weights = "model.safetensors"
    original = (demo.root / "polder-sums" / weights).read_bytes()
    assert (demo.root / "polder-sums-copy" / weights).read_bytes() == original
    whole = (demo.root / "polder-topics" / weights).read_bytes()
    cut = (demo.root / "polder-topics-truncated" / weights).read_bytes()
    assert cut == whole[: len(whole) // 2]


def test_unpacking_again_changes_nothing(bundle: Path, tmp_path: Path) -> None:
    demo = unpack_demo(bundle, tmp_path / "out")
    before = {path: path.stat().st_mtime_ns for path in demo.root.rglob("*")}
    (demo.base / "config.json").unlink()

    again = unpack_demo(bundle, tmp_path / "out")

    after = {path: path.stat().st_mtime_ns for path in demo.root.rglob("*")}
    assert again == demo
    assert set(after) == set(before)
    kept = [path for path in before if path.is_file() and path != demo.base / "config.json"]
    assert all(before[path] == after[path] for path in kept)


def test_a_bundle_that_lacks_a_part_is_named(bundle: Path, tmp_path: Path) -> None:
    shutil.rmtree(bundle / "heath-topics")

    with pytest.raises(FileError, match="heath-topics"):
        unpack_demo(bundle, tmp_path / "out")

    assert not (tmp_path / "out").exists()


def test_the_library_understands_the_demo(
    bundle: Path, tmp_path: Path, library: Library, control: JobControl
) -> None:
    demo = unpack_demo(bundle, tmp_path / "out")
    library.add_root(demo.root)

    library.scan(control)
    library.relate(control)
    library.hash_contents(control)

    rows = {row.name: row for row in library.rows()}
    assert rows["polder-base"].role == "Base"
    assert rows["polder-sums"].family == "polder-base"
    assert rows["polder-sums-copy"].state == State.DUPLICATE
    assert rows["polder-topics-truncated"].state == State.UNREADABLE
    assert library.match(demo.base, demo.decoy, control).level == "doubtful"
