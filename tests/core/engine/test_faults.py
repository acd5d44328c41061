"""Whatever goes wrong, nothing is left behind and the message says where."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from deltaworks.checkpoints.output_file import OutputFile
from deltaworks.engine import run
from deltaworks.errors import AppError, CancelledError, FileError, SpaceError
from deltaworks.methods import compression_method, merging_method
from deltaworks.progress import JobControl, Progress

if TYPE_CHECKING:
    from tests.core.engine.conftest import MakeCompress, MakeMerge, MakeRebuild

KINDS = ["compress", "merge", "rebuild"]


@pytest.fixture(params=KINDS)
def recipe(
    request: pytest.FixtureRequest,
    compressing: MakeCompress,
    merging: MakeMerge,
    rebuilding: MakeRebuild,
    tiny_expert2: Path,
    tiny_expert: Path,
    tmp_path: Path,
) -> Any:
    """A job of every kind, whose output goes into an empty folder ``work``."""
    (tmp_path / "work").mkdir()
    output = tmp_path / "work" / "deep" / "out"
    if request.param == "compress":
        return compressing(
            ["sign", "magnitude"], experts=[tiny_expert, tiny_expert2], output=output
        )
    if request.param == "merge":
        return merging("ties", output=output)
    made = run(compressing(["low-rank"], output=tmp_path / "delta"), JobControl())
    return rebuilding(made.artefacts[0].path, output=output)


def left_behind(tmp_path: Path) -> list[Path]:
    return list((tmp_path / "work").rglob("*"))


def test_a_cancel_at_any_moment_leaves_nothing(recipe: Any, tmp_path: Path) -> None:
    for stop_after in (0, 3, 12, 20):
        control = JobControl()
        seen = 0

        def count(event: object, control: JobControl = control, last: int = stop_after) -> None:
            nonlocal seen
            seen += isinstance(event, Progress)
            if seen > last:
                control.cancelled.set()

        control.report = count

        with pytest.raises(CancelledError):
            run(recipe, control)

        assert left_behind(tmp_path) == []


def test_a_full_disk_leaves_nothing(
    recipe: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, calls = OutputFile.write_at, 0

    def write_at(self: OutputFile, data: bytes | memoryview, offset: int) -> None:
        nonlocal calls
        calls += 1
        if calls > 25:
            raise OSError(28, "No space left on device")
        whole(self, data, offset)

    monkeypatch.setattr(OutputFile, "write_at", write_at)

    with pytest.raises(SpaceError, match="the disk is full"):
        run(recipe, JobControl())

    assert left_behind(tmp_path) == []


def test_a_reader_that_fails_leaves_nothing_and_names_the_tensor(
    recipe: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from deltaworks.checkpoints.mapped import MappedFile

    whole = MappedFile.words

    def words(self: MappedFile, name: str, rows: slice | None = None) -> Any:
        if name.startswith("model.layers.1.mlp.down_proj.weight"):
            raise OSError(5, "Input/output error")
        return whole(self, name, rows)

    monkeypatch.setattr(MappedFile, "words", words)

    with pytest.raises(FileError, match=r"layers\.1\.mlp\.down_proj.*Input/output error"):
        run(recipe, JobControl())

    assert left_behind(tmp_path) == []


def test_a_failing_commit_leaves_nothing(
    recipe: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sync(self: OutputFile) -> None:
        raise FileError("the disk is gone")

    monkeypatch.setattr(OutputFile, "sync", sync)

    with pytest.raises(FileError, match="the disk is gone"):
        run(recipe, JobControl())

    assert left_behind(tmp_path) == []


def test_a_failure_at_the_second_expert_takes_the_first_ones_files_away(
    compressing: MakeCompress,
    tiny_expert: Path,
    tiny_expert2: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from deltaworks.engine.encoding import encode_tensor

    calls = 0

    def encode(*args: Any, **more: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls > 30:
            raise AppError("enough")
        return encode_tensor(*args, **more)

    monkeypatch.setattr("deltaworks.engine.compress.encode_tensor", encode)

    with pytest.raises(AppError, match="enough"):
        run(compressing(["sign"], experts=[tiny_expert, tiny_expert2]), JobControl())

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["compress", "merge"])
def test_cancel_does_not_wait_for_a_long_call(
    kind: str,
    compressing: MakeCompress,
    merging: MakeMerge,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    inside, over, control = threading.Event(), threading.Event(), JobControl()

    def slow(*_: object) -> Any:
        inside.set()
        over.wait(30.0)
        raise CancelledError("too late")

    sign, ties = compression_method("sign"), merging_method("ties")
    monkeypatch.setattr(
        "deltaworks.engine.compress_plan.compression_method", lambda _: replace(sign, encode=slow)
    )
    monkeypatch.setattr(
        "deltaworks.engine.merge_plan.merging_method", lambda _: replace(ties, stream=slow)
    )
    recipe = compressing(["sign"]) if kind == "compress" else merging("ties")
    cancelled_at = 0.0

    def stop() -> None:
        nonlocal cancelled_at
        assert inside.wait(10.0)
        cancelled_at = time.monotonic()
        control.cancelled.set()

    stopper = threading.Thread(target=stop)
    stopper.start()
    with pytest.raises(CancelledError):
        run(recipe, control)

    assert time.monotonic() - cancelled_at < 2.0
    assert list(tmp_path.iterdir()) == []
    over.set()
    stopper.join()


def test_inputs_are_never_written_to(recipe: Any, tiny_base: Path, tiny_expert: Path) -> None:
    def states() -> list[tuple[str, int, int]]:
        files = [*tiny_base.iterdir(), *tiny_expert.iterdir()]
        return [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in files]

    before = states()

    run(recipe, JobControl())

    assert states() == before
