"""A job that was killed goes on where it was, and gives the same bytes."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from deltaworks.engine import run
from deltaworks.engine.journal import Journal
from deltaworks.errors import CancelledError, FileError
from deltaworks.progress import JobControl, Progress
from deltaworks.recipes import dump_recipe

if TYPE_CHECKING:
    from tests.core.engine.conftest import MakeCompress, MakeMerge, MakeRebuild, Recorder

pytestmark = pytest.mark.skipif(os.name == "nt", reason="kills a process as POSIX does")

_PROGRAM = """
import json, os, signal, sys
from deltaworks.checkpoints.output_file import OutputFile
from deltaworks.engine import run
from deltaworks.engine.journal import Journal
from deltaworks.progress import JobControl
from deltaworks.recipes import parse_recipe

recipe, moment, count = json.loads(sys.argv[1]), sys.argv[2], int(sys.argv[3])
kind, name = {
    "item": (Journal, "add"), "sync": (OutputFile, "sync")
}[moment]
whole = getattr(kind, name)

def counted(*args, **more):
    global count
    whole(*args, **more)
    count -= 1
    if count == 0:
        os.kill(os.getpid(), signal.SIGKILL)

setattr(kind, name, counted)
run(parse_recipe(recipe), JobControl())
"""


def run_and_kill(recipe: Any, moment: str, count: int) -> None:
    """Run a job in a process that is killed after so many items or syncs."""
    command = [sys.executable, "-c", _PROGRAM, json.dumps(dump_recipe(recipe)), moment, str(count)]
    ended = subprocess.run(command, check=False, timeout=120, capture_output=True)
    assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture
def n_done(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Collect the items that this process does."""
    done: list[str] = []
    add = Journal.add

    def note(self: Journal, entry: Any) -> None:
        done.append(entry.item)
        add(self, entry)

    monkeypatch.setattr(Journal, "add", note)
    return done


@pytest.fixture
def same_tensors_too(
    tiny_tensors: Any, moved: Any, save_model: Any, tmp_path: Path
) -> tuple[Path, Path]:
    """A base and an expert with every kind of item: same, tied, exact with NaN, treated."""
    tensors = tiny_tensors(0)
    tuned = moved(tensors, 7)
    tuned["model.embed_tokens.weight"] = (tuned["model.embed_tokens.weight"] * 2).contiguous()
    tuned["lm_head.weight"] = tuned["model.embed_tokens.weight"].clone()
    tuned["model.layers.0.mlp.up_proj.weight"][0, 0] = float("nan")
    return save_model(tmp_path / "a", tensors), save_model(tmp_path / "b", tuned)


@pytest.fixture
def compression(
    compressing: MakeCompress, same_tensors_too: tuple[Path, Path], tmp_path: Path
) -> Any:
    base, expert = same_tensors_too

    def make(place: str) -> Any:
        settings = ["dare", {"method": "low-rank", "options": {"rank": 2}}]
        output = tmp_path / place / "out"
        return compressing(settings, base=base, experts=[expert], output=output, seed=3)

    return make


# --- compressing ------------------------------------------------------------------------


def test_a_killed_compression_goes_on_and_gives_the_same_bytes(
    compression: Any, n_done: list[str], recorder: Recorder, tmp_path: Path
) -> None:
    undisturbed = run(compression("whole"), JobControl())
    n_done.clear()
    run_and_kill(compression("killed"), "item", 25)  # two files take turns
    assert len(contents(tmp_path / "killed")) == 4  # two files, two journals

    report = run(compression("killed"), recorder.control, resume=True)

    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")
    assert len(n_done) == 42 - 24
    assert report.warnings == undisturbed.warnings
    assert any("holds NaN" in warning for warning in report.warnings)
    for one, other in zip(report.artefacts, undisturbed.artefacts, strict=True):
        assert (one.sizes, one.error, one.is_exact) == (other.sizes, other.error, other.is_exact)
        assert one.tensors == other.tensors
    done = [event.done for event in recorder.progress]
    assert done == sorted(done)


def test_a_job_killed_while_it_finishes_gives_the_same_bytes(
    compression: Any, tmp_path: Path
) -> None:
    run(compression("whole"), JobControl())
    run_and_kill(compression("killed"), "sync", 2)  # the first file has its name already
    assert len(list((tmp_path / "killed" / "out").glob("*.delta.safetensors"))) == 1

    run(compression("killed"), JobControl(), resume=True)

    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")


def test_experts_that_were_finished_are_not_done_again(
    compressing: MakeCompress,
    tiny_expert: Path,
    tiny_expert2: Path,
    n_done: list[str],
    tmp_path: Path,
) -> None:
    def recipe(place: str) -> Any:
        output = tmp_path / place / "out"
        return compressing(["sign"], experts=[tiny_expert, tiny_expert2], output=output)

    undisturbed = run(recipe("whole"), JobControl())
    run_and_kill(recipe("killed"), "item", 30)
    n_done.clear()

    report = run(recipe("killed"), JobControl(), resume=True)

    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")
    assert len(n_done) == 42 - 30
    assert [one.sizes for one in report.artefacts] == [one.sizes for one in undisturbed.artefacts]


def test_a_file_that_the_job_has_not_made_is_not_taken_for_its_own(
    compressing: MakeCompress, tmp_path: Path
) -> None:
    first = run(compressing(["sign"], output=tmp_path / "out"), JobControl()).artefacts[0]
    before = Path(first.path).read_bytes()

    with pytest.raises(FileError, match="exists already"):
        run(compressing(["sign"], output=tmp_path / "out", seed=1), JobControl(), resume=True)

    assert Path(first.path).read_bytes() == before


# --- full models ------------------------------------------------------------------------


@pytest.mark.parametrize(("moment", "count"), [("item", 13), ("sync", 8)])
def test_a_killed_merge_goes_on_and_gives_the_same_bytes(
    moment: str, count: int, merging: MakeMerge, n_done: list[str], tmp_path: Path
) -> None:
    def recipe(place: str) -> Any:
        return merging("ties", output=tmp_path / place / "out", shard_bytes=20_000)

    run(recipe("whole"), JobControl())
    n_all = len(n_done)
    n_done.clear()
    run_and_kill(recipe("killed"), moment, count)

    run(recipe("killed"), JobControl(), resume=True)

    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")
    assert len(n_done) == (n_all - count if moment == "item" else 0)


def test_a_killed_rebuild_goes_on_and_gives_the_same_bytes(
    compressing: MakeCompress, rebuilding: MakeRebuild, n_done: list[str], tmp_path: Path
) -> None:
    delta = run(compressing(["sign"], output=tmp_path / "delta"), JobControl()).artefacts[0].path
    run(rebuilding(delta, output=tmp_path / "whole" / "out"), JobControl())
    run_and_kill(rebuilding(delta, output=tmp_path / "killed" / "out"), "item", 8)
    n_done.clear()

    run(rebuilding(delta, output=tmp_path / "killed" / "out"), JobControl(), resume=True)

    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")
    assert len(n_done) == 21 - 8


# --- what does not fit ------------------------------------------------------------------


def test_another_input_starts_afresh_and_says_so(
    merging: MakeMerge, tiny_expert: Path, tiny_expert2: Path, n_done: list[str], tmp_path: Path
) -> None:
    expert = Path(shutil.copytree(tiny_expert, tmp_path / "mine"))

    def recipe(place: str) -> Any:
        return merging("ties", experts=[expert, tiny_expert2], output=tmp_path / place / "out")

    run_and_kill(recipe("killed"), "item", 9)
    weights = expert / "model.safetensors"
    raw = bytearray(weights.read_bytes())
    raw[-200] ^= 1
    weights.write_bytes(raw)

    report = run(recipe("killed"), JobControl(), resume=True)

    assert any("is not used: other inputs" in warning for warning in report.warnings)
    assert len(n_done) == 21
    run(recipe("whole"), JobControl())
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")


def flip(path: Path, at: int) -> None:
    raw = bytearray(path.read_bytes())
    raw[at] ^= 255
    path.write_bytes(raw)


def test_a_damaged_tensor_of_a_delta_and_what_follows_are_done_again(
    compression: Any, n_done: list[str], tmp_path: Path
) -> None:
    run(compression("whole"), JobControl())
    run_and_kill(compression("killed"), "item", 20)
    (partial,) = (tmp_path / "killed" / "out").glob("*dare*.partial-????????????")
    flip(partial, -1)
    n_done.clear()

    report = run(compression("killed"), JobControl(), resume=True)

    assert any("1 of 10 finished tensors" in warning for warning in report.warnings)
    assert len(n_done) == 42 - 18
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")


def test_a_damaged_tensor_of_a_model_is_done_again(
    merging: MakeMerge, n_done: list[str], tmp_path: Path
) -> None:
    run(merging("ties", output=tmp_path / "whole" / "out"), JobControl())
    recipe = merging("ties", output=tmp_path / "killed" / "out")
    run_and_kill(recipe, "item", 15)
    (weights,) = (tmp_path / "killed").rglob("model.safetensors")
    flip(weights, 8 + int.from_bytes(weights.read_bytes()[:8], "little"))
    n_done.clear()

    report = run(recipe, JobControl(), resume=True)

    assert any("1 of 15 finished items" in warning for warning in report.warnings)
    assert len(n_done) == 21 - 14
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")


def test_a_damaged_journal_starts_afresh(
    merging: MakeMerge, n_done: list[str], tmp_path: Path
) -> None:
    run(merging("linear", output=tmp_path / "whole" / "out"), JobControl())
    run_and_kill(merging("linear", output=tmp_path / "killed" / "out"), "item", 5)

    for number, text in enumerate(["", "nonsense\n", '{"format":1}\n', '{"format":1']):
        here = Path(shutil.copytree(tmp_path / "killed", tmp_path / str(number)))
        (journal,) = here.glob("*.journal")
        journal.write_text(text)
        n_done.clear()

        report = run(merging("linear", output=here / "out"), JobControl(), resume=True)

        assert any("is not used" in warning for warning in report.warnings) == bool(text)
        assert len(n_done) == 21
        assert contents(here) == contents(tmp_path / "whole")


def test_without_resume_the_rests_are_taken_away(
    compression: Any, n_done: list[str], tmp_path: Path
) -> None:
    run_and_kill(compression("killed"), "item", 15)

    report = run(compression("killed"), JobControl())

    assert len(n_done) == 42
    assert not any("earlier run" in warning for warning in report.warnings)
    assert not list((tmp_path / "killed").rglob("*partial*"))


def test_a_stop_after_resuming_leaves_nothing_unfinished(compression: Any, tmp_path: Path) -> None:
    run_and_kill(compression("killed"), "item", 20)
    control = JobControl()

    def stop(event: object) -> None:
        if isinstance(event, Progress):
            control.cancelled.set()

    control.report = stop

    with pytest.raises(CancelledError):
        run(compression("killed"), control, resume=True)

    assert contents(tmp_path / "killed") == {}


def test_two_runs_of_one_job_do_not_disturb_each_other(
    compressing: MakeCompress, tmp_path: Path
) -> None:
    recipe = compressing(["sign"], output=tmp_path / "out")
    refused: list[str] = []

    def again(event: object) -> None:
        if isinstance(event, Progress) and 0 < event.done < event.total and not refused:
            with pytest.raises(FileError) as caught:
                run(recipe, JobControl())
            refused.append(str(caught.value))

    run(recipe, JobControl(report=again))

    assert "is being made by another run of the same job" in refused[0]
    assert len(contents(tmp_path / "out")) == 1
