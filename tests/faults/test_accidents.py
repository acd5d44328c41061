"""Disks, memory, inputs and clocks that fail under a running job."""

from __future__ import annotations

import random
import shutil
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.faults.conftest import Lab

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="limits and mounts are those of Linux"),
    pytest.mark.timeout(1800),
]

KINDS = ("merge ties, shards", "compress", "rebuild")
LONG = 25
"""Accidents of each sort and kind in the long form."""

once = pytest.mark.parametrize("n_times", [1, pytest.param(LONG, marks=pytest.mark.slow)])
every_kind = pytest.mark.parametrize("kind", KINDS)


def check_refused(
    lab: Lab, kind: str, ended: dict[str, Any], *, leaves: bool = False, may_die: bool = False
) -> bool:
    """Hold that a job ended in order; whether it was refused.

    Args:
        lab: where.
        kind: of job.
        ended: how.
        leaves: whether rests may lie there, since the disk takes no order any more.
        may_die: whether the process may have gone down, since memory ran out.
    """
    outcomes = {"done", "refused"} | ({"killed"} if may_die else set())
    assert ended["outcome"] in outcomes, ended
    assert lab.damaged(kind) == [], ended
    if ended["outcome"] == "done":
        whole = lab.whole_files(kind)
        assert {name: one for name, one in lab.files().items() if name in whole} == whole
        assert leaves or lab.files() == whole
    if ended["outcome"] == "refused":
        assert "\n" not in ended["text"]
        assert ended["text"].endswith("."), ended
        assert leaves or lab.files() == {}, ended
    return bool(ended["outcome"] != "done")


def some_moment(lab: Lab, kind: str, dice: random.Random) -> int:
    """Draw one of the moments at which a job of a kind asks the disk for something."""
    return dice.randint(1, lab.whole(kind)[1])


def then_it_goes_well(lab: Lab, kind: str) -> None:
    """Hold that the accident left nothing that stands in the way."""
    lab.clear()
    assert lab.run(kind)["outcome"] == "done"
    assert lab.files() == lab.whole_files(kind)


@once
@every_kind
def test_a_disk_that_fills_up(
    small_disk: Lab, kind: str, n_times: int, dice: random.Random, counts: Counter[str]
) -> None:
    lab, n_refused = small_disk, 0
    for _ in range(n_times):
        at = some_moment(lab, kind, dice)
        lab.clear()
        left = dice.choice([0, 5000, 40_000])
        fault = {"kind": "fill", "at": at, "path": str(lab.out), "left": left}
        ended = lab.run(kind, fault=fault)
        if check_refused(lab, kind, ended):
            assert ended["kind"] in {"SpaceError", "AppError"}, ended
            n_refused += 1
    counts["disks filled up under a job"] += n_times
    counts["of these, jobs that the disk stopped"] += n_refused
    then_it_goes_well(lab, kind)


@once
@every_kind
def test_files_that_may_not_grow(
    lab: Lab, kind: str, n_times: int, dice: random.Random, counts: Counter[str]
) -> None:
    lab.whole(kind)
    for _ in range(n_times):
        lab.clear()
        ended = lab.run(kind, limits={"file_bytes": dice.randint(100, 60_000)})
        check_refused(lab, kind, ended)
    counts["limits on the size of files (RLIMIT_FSIZE)"] += n_times
    then_it_goes_well(lab, kind)


@once
@every_kind
def test_memory_that_runs_out(
    lab: Lab, kind: str, n_times: int, dice: random.Random, counts: Counter[str]
) -> None:
    lab.whole(kind)
    for _ in range(n_times):
        lab.clear()
        ended = lab.run(kind, limits={"memory": dice.randint(0, 30_000_000)})
        check_refused(lab, kind, ended, may_die=True)
        if ended["outcome"] == "killed":
            counts["of these, processes that went down (and left what can be resumed)"] += 1
            assert lab.run(kind, resume=True)["outcome"] == "done"
            assert lab.files() == lab.whole_files(kind)
    counts["limits on memory (RLIMIT_AS)"] += n_times
    then_it_goes_well(lab, kind)


@once
@every_kind
def test_a_call_that_fails(
    lab: Lab, kind: str, n_times: int, dice: random.Random, counts: Counter[str]
) -> None:
    for _ in range(n_times):
        fault = {"kind": "fail", "at": some_moment(lab, kind, dice)}
        lab.clear()
        check_refused(lab, kind, lab.run(kind, fault=fault), leaves=True)
    counts["single calls to the disk that failed (EIO)"] += n_times
    then_it_goes_well(lab, kind)


@once
@every_kind
def test_an_output_folder_that_vanishes(
    lab: Lab, kind: str, n_times: int, dice: random.Random, counts: Counter[str]
) -> None:
    for _ in range(n_times):
        fault = {
            "kind": "vanish",
            "at": some_moment(lab, kind, dice),
            "path": str(lab.out / dice.choice(["deep", "deep/result"])),
        }
        lab.clear()
        ended = lab.run(kind, fault=fault)
        assert ended["outcome"] in {"done", "refused"}, ended
        assert lab.damaged(kind) == []
    counts["output folders taken away under a job"] += n_times
    then_it_goes_well(lab, kind)


@once
@every_kind
def test_a_disk_that_becomes_read_only(
    small_disk: Lab, kind: str, n_times: int, dice: random.Random, counts: Counter[str]
) -> None:
    lab = small_disk
    for _ in range(n_times):
        fault = {"kind": "protect", "at": some_moment(lab, kind, dice), "path": str(lab.out)}
        lab.clear()
        ended = lab.run(kind, fault=fault)
        lab.server.ask("uncover", folder=str(lab.out))
        check_refused(lab, kind, ended, leaves=True)
    counts["disks that became read-only under a job"] += n_times
    then_it_goes_well(lab, kind)


@pytest.fixture
def inputs(lab: Lab, tmp_path: Path) -> Iterator[Path]:
    """A copy of the models beside the laboratory's, put back afterwards."""
    lab.recipe("rebuild")  # makes the delta file, which is one of the inputs
    kept = tmp_path / "kept"
    shutil.copytree(lab.models, kept)
    yield lab.models
    shutil.rmtree(lab.models)
    shutil.copytree(kept, lab.models)


def restore(models: Path, kept: Path) -> None:
    """Put the models back, in place, as they were."""
    for path in kept.rglob("*"):
        if path.is_file():
            shutil.copy2(path, models / path.relative_to(kept))


@once
@pytest.mark.parametrize("accident", ["cut", "replace", "scribble"])
@every_kind
def test_an_input_that_changes_while_it_is_read(
    lab: Lab,
    inputs: Path,
    tmp_path: Path,
    kind: str,
    accident: str,
    n_times: int,
    dice: random.Random,
    counts: Counter[str],
) -> None:
    moments = lab.whole(kind)[1]
    weights = inputs / "base" / "model.safetensors"
    for _ in range(max(1, n_times // 3)):
        lab.clear()
        restore(inputs, tmp_path / "kept")
        fault = {
            "kind": accident,
            "at": dice.randint(1, moments),
            "path": str(weights),
            "share": dice.random(),
        }
        ended = lab.run(kind, fault=fault)
        if check_refused(lab, kind, ended):
            assert "base" in ended["text"], ended
            counts[f"inputs changed under a job and noticed: {accident}"] += 1
        else:
            counts[f"inputs changed after they were read: {accident}"] += 1


@every_kind
def test_a_clock_that_goes_back(lab: Lab, kind: str, counts: Counter[str]) -> None:
    whole = lab.whole(kind)[0]
    lab.clear()
    killed = lab.run(kind, fault={"kind": "die", "at": lab.whole(kind)[1] // 2}, clock=True)
    assert killed["outcome"] == "killed"

    ended = lab.run(kind, resume=True, clock=True)

    assert ended["outcome"] == "done", ended
    assert lab.files() == whole
    counts["clocks turned back under a job"] += 2


def test_files_finished_before_a_clock_went_back_are_still_known(
    lab: Lab, inputs: Path, counts: Counter[str]
) -> None:
    """Outputs that look older than their inputs are compared by content."""
    import os

    whole, moments, _ = lab.whole("compress")
    for path in inputs.rglob("*.safetensors"):
        os.utime(path, (4e9, 4e9))
    at = moments
    while True:  # until the first file was finished and not yet all
        lab.clear()
        at -= 5
        lab.run("compress", fault={"kind": "die", "at": at})
        if any(".partial-" not in name for name in lab.files()) and lab.files() != whole:
            break

    ended = lab.run("compress", resume=True)

    assert ended["outcome"] == "done", ended
    assert lab.files() == whole
    counts["clocks turned back under a job"] += 1


@once
@every_kind
def test_two_processes_with_one_output(
    lab: Lab, kind: str, n_times: int, counts: Counter[str]
) -> None:
    whole = lab.whole(kind)[0]
    for _ in range(n_times):
        lab.clear()
        answers = lab.server.ask("race", jobs=[{"recipe": lab.recipe(kind)}] * 2)["answers"]
        outcomes = sorted(one["outcome"] for one in answers)
        assert outcomes == ["done", "refused"], answers
        assert lab.files() == whole
    counts["races of two processes for one output"] += n_times


@once
def test_two_recipes_with_one_output(
    lab: Lab, n_times: int, dice: random.Random, counts: Counter[str]
) -> None:
    """Neither knows of the other: the first to be done has the name, whole."""
    kinds = ("merge linear", "merge dare-ties")
    wholes = [lab.whole(kind)[0] for kind in kinds]
    for _ in range(n_times):
        lab.clear()
        jobs = [{"recipe": lab.recipe(kind)} for kind in dice.sample(kinds, 2)]
        answers = lab.server.ask("race", jobs=jobs)["answers"]
        assert sorted(one["outcome"] for one in answers) == ["done", "refused"], answers
        assert lab.files() in wholes
    counts["races of two recipes for one output"] += n_times
