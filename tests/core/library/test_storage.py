"""Where the disk went, and what can go."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from deltaworks.library.home import Home
from deltaworks.library.pedigree import Kin
from deltaworks.library.reclaim import DAY, find_reclaimable
from deltaworks.library.rows import FileRow, ModelRow, State
from deltaworks.library.storage import disk_use, largest, unused


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


def row(number: int, path: Path, **more: object) -> ModelRow:
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"w" * 1000 * number)
    values: dict[str, object] = {
        "id": number,
        "path": str(path.parent),
        "name": path.parent.name,
        "kind": "folder",
        "role": "Expert",
        "state": State.READY,
        "size_bytes": path.stat().st_size,
        "modified_ns": 1,
        "files": (FileRow(str(path), path.stat().st_size, True),),
    }
    return ModelRow(**(values | more))  # type: ignore[arg-type]  # made up above


def test_a_shared_file_counts_once_and_for_the_base(tmp_path: Path, home: Home) -> None:
    base = row(1, tmp_path / "base" / "w", role="Base")
    (tmp_path / "copy").mkdir()
    os.link(tmp_path / "base" / "w", tmp_path / "copy" / "w")
    copy = row(2, tmp_path / "copy" / "w")
    delta = row(3, tmp_path / "delta" / "w", role="Delta")

    use = disk_use([copy, base, delta], home)

    mine = next(one for one in use if one.kinds.get("Bases"))
    assert (mine.kinds["Bases"], mine.kinds.get("Experts", 0)) == (1000, 0)
    assert mine.kinds["Deltas"] == 3000
    assert sum(mine.kinds.values()) <= mine.total


def test_a_copy_is_safe_to_reclaim_and_says_what_it_equals(tmp_path: Path, home: Home) -> None:
    original = row(1, tmp_path / "a" / "w")
    copy = row(2, tmp_path / "b" / "w", state=State.DUPLICATE, reason="same content as a")

    (found,) = find_reclaimable([original, copy], [], home)

    assert (found.kind, found.name, found.why) == ("duplicate", "b", "same content as a")
    assert found.frees_bytes == found.size_bytes == 2000
    assert found.paths == (str(tmp_path / "b" / "w"),)


def test_a_hard_linked_copy_frees_nothing_now_and_names_its_sharer(
    tmp_path: Path, home: Home
) -> None:
    original = row(2, tmp_path / "a" / "w")
    (tmp_path / "b").mkdir()
    os.link(tmp_path / "a" / "w", tmp_path / "b" / "w")
    copy = row(3, tmp_path / "b" / "w", state=State.DUPLICATE, reason="same content as a")

    (found,) = find_reclaimable([original, copy], [], home)

    assert (found.frees_bytes, found.shared_with) == (0, ("a",))


@pytest.mark.parametrize("is_exact", [True, False])
def test_an_expert_with_a_delta_can_go_and_a_lossy_one_is_the_users_call(
    tmp_path: Path, home: Home, is_exact: bool
) -> None:
    base = row(1, tmp_path / "base" / "w", role="Base")
    expert = row(2, tmp_path / "math" / "w", family_id=1)
    delta = row(3, tmp_path / "d" / "w", role="Delta", family_id=1, is_exact=is_exact, quality=0.98)

    (found,) = find_reclaimable([base, expert, delta], [Kin(3, (2,), "made here", 1.0)], home)

    assert found.name == "math"
    assert found.is_safe is is_exact
    assert ("bit-exactly" in found.why) is is_exact
    assert is_exact or "98.0 %" in found.why


def test_an_expert_whose_base_is_gone_is_not_offered(tmp_path: Path, home: Home) -> None:
    base = row(1, tmp_path / "base" / "w", role="Base", state=State.MISSING)
    expert = row(2, tmp_path / "math" / "w", family_id=1)
    delta = row(3, tmp_path / "d" / "w", role="Delta", family_id=1, is_exact=True)

    assert find_reclaimable([base, expert, delta], [Kin(3, (2,), "made here", 1.0)], home) == []


def test_unfinished_files_are_offered_after_a_week(home: Home) -> None:
    home.store.mkdir(parents=True)
    old, fresh = home.store / "a.partial-1", home.store / "b.partial-2"
    for path in (old, fresh):
        path.write_bytes(b"x" * 10)
    then = time.time() - 9 * DAY
    os.utime(old, (then, then))

    (found,) = find_reclaimable([], [], home)

    assert (found.kind, found.name, found.size_bytes) == ("partial", "a.partial-1", 10)
    assert "9 days" in found.why


def test_trial_files_that_no_sweep_keeps_are_offered(home: Home) -> None:
    folder = home.sweeps / "s1"
    folder.mkdir(parents=True)
    kept, other = folder / "kept.safetensors", folder / "other.safetensors"
    for path in (kept, other):
        path.write_bytes(b"x" * 10)
    trials = [{"kept": True, "artefact": str(kept)}, {"kept": False, "artefact": ""}]
    (folder / "sweep.json").write_text(json.dumps({"trials": trials}))

    (found,) = find_reclaimable([], [], home)

    assert (found.kind, found.name) == ("trial", "other.safetensors")


def test_largest_and_unused(tmp_path: Path) -> None:
    small, big = row(1, tmp_path / "a" / "w"), row(5, tmp_path / "b" / "w", used_ns=2_000)

    assert [one.name for one in largest([small, big])] == ["b", "a"]
    assert [one.name for one in unused([small, big], 1_000)] == ["a"]
