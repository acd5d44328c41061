from __future__ import annotations

import multiprocessing
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from multiprocessing.connection import Connection
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import torch

from deltaworks.errors import FileError, OptionError
from deltaworks.numerics.device_link import DeviceLink, HostBackend, computing_on
from deltaworks.progress import Finished, JobControl, Progress
from deltaworks.recipes import dump_recipe
from deltaworks.studies.queued import states_of
from deltaworks.studies.releasing import release_memory
from deltaworks.studies.serve import serve

if TYPE_CHECKING:
    from multiprocessing.context import SpawnProcess

    from tests.core.studies.conftest import MakeSweep

PATIENCE = 90.0


class Engine:
    """A real engine in a process of its own, seen from the other end of the pipe."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process: SpawnProcess = context.Process(target=serve, args=(theirs,), daemon=True)
        self.process.start()
        theirs.close()

    def hear(self) -> tuple[Any, ...]:
        assert self.pipe.poll(PATIENCE), "the engine says nothing"
        message: tuple[Any, ...] = self.pipe.recv()
        return message

    def until_ended(self, job_id: str) -> list[tuple[Any, ...]]:
        heard: list[tuple[Any, ...]] = []
        while not heard or heard[-1] != ("ended", job_id):
            heard.append(self.hear())
        return heard


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    engine = Engine()
    assert engine.hear()[0] == "ready"
    yield engine
    engine.pipe.send(("quit",))
    engine.process.join(10.0)
    assert engine.process.exitcode == 0
    engine.pipe.close()


def compression(base: Path, expert: Path, output: Path) -> dict[str, Any]:
    return {
        "kind": "compress",
        "base": {"path": str(base)},
        "experts": [{"path": str(expert)}],
        "settings": [{"method": "sign"}],
        "output": str(output),
    }


def test_a_job_runs_and_its_events_come_back(
    engine: Engine, tiny_base: Path, tiny_expert: Path, tmp_path: Path
) -> None:
    engine.pipe.send(("run", "j1", compression(tiny_base, tiny_expert, tmp_path / "out")))

    heard = engine.until_ended("j1")

    assert {message[0] for message in heard} == {"event", "ended"}
    events = [message[2] for message in heard[:-1]]
    assert isinstance(events[-1], Finished)
    path = Path(events[-1].values["artefacts"][0]["path"])
    assert path.exists()
    progress = [event for event in events if isinstance(event, Progress)]
    assert progress[-1].done == progress[-1].total


def test_a_failure_comes_back_as_the_error_it_is(
    engine: Engine, tiny_base: Path, tmp_path: Path
) -> None:
    engine.pipe.send(("run", "j2", compression(tiny_base, tmp_path / "gone", tmp_path / "out")))

    heard = engine.until_ended("j2")

    kind, _, error, details = heard[0]
    assert kind == "failed"
    assert isinstance(error, FileError)
    assert "is not there" in str(error)
    assert "Traceback" in details


def test_a_recipe_that_is_none_fails_its_job_only(engine: Engine) -> None:
    engine.pipe.send(("run", "j3", {"kind": "grow"}))

    heard = engine.until_ended("j3")

    assert isinstance(heard[0][2], OptionError)


def test_a_job_can_be_cancelled_before_and_while_it_runs(
    engine: Engine, sweeping: MakeSweep, tmp_path: Path
) -> None:
    recipe = dump_recipe(sweeping(["sign", "low-rank", "delta-dct", "lossless"]))
    engine.pipe.send(("run", "j4", recipe))
    engine.pipe.send(("run", "j5", recipe))
    engine.pipe.send(("cancel", "j5"))
    while not isinstance(engine.hear()[2], Progress):
        pass
    asked = time.monotonic()
    engine.pipe.send(("cancel", "j4"))

    heard = engine.until_ended("j4")
    seconds = time.monotonic() - asked
    heard_later = engine.until_ended("j5")

    assert ("stopped", "j4") in heard
    assert seconds < 2.0
    assert heard_later == [("stopped", "j5"), ("ended", "j5")]
    assert list(tmp_path.iterdir()) == []


def test_a_paused_job_says_so_once_and_nothing_more_until_it_goes_on(
    engine: Engine, sweeping: MakeSweep, tmp_path: Path
) -> None:
    engine.pipe.send(("run", "j6", dump_recipe(sweeping(["sign", "delta-dct"]))))
    while not isinstance(engine.hear()[2], Progress):
        pass
    engine.pipe.send(("pause", "j6"))
    while (message := engine.hear())[0] == "event":
        pass

    assert message == ("paused", "j6")
    assert not engine.pipe.poll(1.0)
    engine.pipe.send(("resume", "j6"))
    heard = engine.until_ended("j6")

    assert isinstance(heard[-2][2], Finished)


def test_words_for_jobs_that_ended_are_ignored(engine: Engine) -> None:
    engine.pipe.send(("cancel", "j1"))
    engine.pipe.send(("run", "j7", {"kind": "grow"}))

    assert engine.until_ended("j7")[-1] == ("ended", "j7")


def test_the_process_goes_when_the_pipe_closes() -> None:
    engine = Engine()
    engine.hear()

    engine.pipe.close()

    engine.process.join(20.0)
    assert engine.process.exitcode == 0


def test_a_bug_ends_its_job_with_a_sentence_and_progress_is_thinned(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def run_job(recipe: object, control: JobControl, *, resume: bool) -> None:
        ours.send(("quit",))  # not before: it also stops what waits
        for done in range(1000):
            control.report(Progress(done, 1000))
        control.report(Progress(1000, 1000))
        raise ZeroDivisionError("oops")

    monkeypatch.setattr("deltaworks.studies.jobs.run_job", run_job)
    ours, theirs = multiprocessing.Pipe()
    recipe = {"kind": "evaluate", "model": {"path": "x"}}
    ours.send(("run", "j", recipe))

    serve(theirs)

    heard = list(_all(ours))
    assert heard[0][0] == "ready"
    assert heard[1] == ("event", "j", Progress(0, 1000))
    assert ("event", "j", Progress(1000, 1000)) in heard
    assert len(heard) < 20
    assert heard[-2][:3] == ("failed", "j", "Internal error: oops. See the log.")
    assert "ZeroDivisionError" in heard[-2][3]
    assert heard[-1] == ("ended", "j")
    ours.close()
    theirs.close()


def asked(monkeypatch: pytest.MonkeyPatch, recipe: dict[str, Any], how: dict[str, Any]) -> Any:
    """Serve one job in this process; give what ``run_job`` was told and what was said."""
    told: list[bool] = []

    def run_job(_recipe: object, control: JobControl, *, resume: bool = False) -> None:
        told.append(resume)

    monkeypatch.setattr("deltaworks.studies.jobs.run_job", run_job)
    ours, theirs = multiprocessing.Pipe()
    sending = threading.Thread(target=serve, args=(theirs,))
    sending.start()
    ours.send(("run", "j", recipe, how))
    heard: list[tuple[Any, ...]] = []
    while not heard or heard[-1] != ("ended", "j"):
        assert ours.poll(PATIENCE)
        heard.append(ours.recv())
    ours.send(("quit",))
    sending.join(10.0)
    for end in (ours, theirs):
        end.close()
    return told, heard


def test_a_job_that_was_cut_off_goes_on_where_its_kind_can(
    monkeypatch: pytest.MonkeyPatch, tiny_base: Path, tiny_expert: Path, tmp_path: Path
) -> None:
    can = compression(tiny_base, tiny_expert, tmp_path / "out")
    cannot = {"kind": "evaluate", "model": {"path": "x"}}

    assert asked(monkeypatch, can, {"resume": True})[0] == [True]
    assert asked(monkeypatch, can, {"resume": False})[0] == [False]
    assert asked(monkeypatch, can, {})[0] == [False]
    assert asked(monkeypatch, cannot, {"resume": True})[0] == [False]


def test_an_input_that_changed_since_it_was_queued_fails_the_job(
    monkeypatch: pytest.MonkeyPatch, tiny_base: Path, tiny_expert: Path, tmp_path: Path
) -> None:
    expert = shutil.copytree(tiny_expert, tmp_path / "expert")
    recipe = compression(tiny_base, expert, tmp_path / "out")
    states = states_of(recipe)
    assert len(states) == 2
    assert asked(monkeypatch, recipe, {"inputs": states})[0] == [False]
    with (expert / "model.safetensors").open("ab") as file:
        file.write(b"x")

    told, heard = asked(monkeypatch, recipe, {"inputs": states})

    assert told == []
    (failed,) = [message for message in heard if message[0] == "failed"]
    assert "the input changed since the job was queued (it had" in str(failed[2])
    assert "Run the job again with the file as it is now." in str(failed[2])


def test_a_job_writes_a_log_of_its_own(
    monkeypatch: pytest.MonkeyPatch, tiny_base: Path, tiny_expert: Path, tmp_path: Path
) -> None:
    path = tmp_path / "logs" / "job-j.log"
    recipe = compression(tiny_base, tiny_expert, tmp_path / "out")

    asked(monkeypatch, recipe, {"log": str(path)})
    asked(monkeypatch, {"kind": "grow"}, {"log": str(path)})
    (tmp_path / "file").write_text("")
    asked(monkeypatch, recipe, {"log": str(tmp_path / "file" / "x.log")})

    lines = path.read_text().splitlines()
    assert "job j begins" in lines[0]
    assert any("job j is done" in line for line in lines)
    assert any("OptionError" in line for line in lines)


def test_a_job_at_rest_gives_memory_back(monkeypatch: pytest.MonkeyPatch) -> None:
    from deltaworks.studies import generate

    closed: list[str] = []
    files = ExitStack()
    files.callback(closed.append, "the model")
    held = SimpleNamespace(files=files, running=None, key="", device="cpu")
    monkeypatch.setattr(generate, "_held", held)
    link: Any = DeviceLink(HostBackend())
    link.run(lambda x: (x,), torch.ones(1000))

    with computing_on(link):
        release_memory(keeps_model=True)
        assert closed == []
        assert not any(slot._bytes for slot in link._all)
        release_memory()

    assert closed == ["the model"]
    assert generate._held is None


def _all(pipe: Connection) -> Iterator[tuple[Any, ...]]:
    while pipe.poll(0.1):
        yield pipe.recv()
