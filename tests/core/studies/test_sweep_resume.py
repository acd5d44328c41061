from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from deltaworks.errors import AppError, FileError
from deltaworks.progress import Event, JobControl, Measured, Warned
from deltaworks.studies.jobs import run_job
from deltaworks.studies.measuring import Outcome
from deltaworks.studies.trials import Reference

if TYPE_CHECKING:
    from tests.core.studies.conftest import MakeSweep

Moment = Callable[[Event], bool]


class Scale:
    """Stands in for an evaluation; counts what it is asked."""

    def __init__(self) -> None:
        self.measured: list[str] = []
        self.n_references = 0

    def references(self) -> list[Reference]:
        self.n_references += 1
        return [Reference("expert", "x", "full expert", 100, 1.0)]

    def measure(self, result: Any, control: JobControl) -> Outcome:
        self.measured.append(Path(result.path).name)
        return Outcome(0.9, 0.8, 1.0, "400 sums", {})


@pytest.fixture
def scale(monkeypatch: pytest.MonkeyPatch) -> Scale:
    found = Scale()
    monkeypatch.setattr("deltaworks.studies.sweep.make_measurer", lambda *_, **__: found)
    return found


def trial_is(number: int, state: str) -> Moment:
    def is_it(event: Event) -> bool:
        if not isinstance(event, Measured) or event.subject != "trial":
            return False
        return (event.values["number"], event.values["state"]) == (number, state)

    return is_it


def kill(recipe: Any, is_moment: Moment) -> None:
    """Run a sweep in a process that ends like a killed one."""
    child = os.fork()
    if not child:

        def report(event: Event) -> None:
            if is_moment(event):
                os._exit(9)

        run_job(recipe, JobControl(report=report))
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 9


def resume(recipe: Any) -> tuple[dict[str, Any], list[Event]]:
    events: list[Event] = []
    report = run_job(recipe, JobControl(report=events.append), resume=True)
    sweep: dict[str, Any] = report.results["sweep"]
    return sweep, events


def plain(trial: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in trial.items() if key not in {"seconds", "peak_bytes"}}


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.safetensors")}


@pytest.mark.parametrize(
    ("number", "state", "left"),
    [(3, "running", 4), (6, "done", 0)],
)
def test_finished_trials_are_taken_over(
    number: int, state: str, left: int, sweeping: MakeSweep, scale: Scale, tmp_path: Path
) -> None:
    recipe = sweeping(keep="all")
    whole = sweeping(keep="all", output=tmp_path / "whole")
    expected = run_job(whole, JobControl()).results["sweep"]
    kill(recipe, trial_is(number, state))
    # The last event comes a moment before its line in the journal.
    left += state == "done"
    scale.measured.clear()

    sweep, events = resume(recipe)

    assert len(scale.measured) == left
    found = [plain(trial) for trial in sweep["trials"]]
    wanted = [
        plain(trial | {"artefact": trial["artefact"].replace("/whole/", "/sweep/")})
        for trial in expected["trials"]
    ]
    assert found == wanted
    assert sweep["references"] == expected["references"]
    assert files_of(tmp_path / "sweep") == files_of(tmp_path / "whole")
    assert {path.suffix for path in (tmp_path / "sweep").iterdir()} == {".safetensors", ".json"}
    assert not [event for event in events if isinstance(event, Warned)]


def test_an_expert_that_is_finished_is_not_measured_again(
    sweeping: MakeSweep, scale: Scale
) -> None:
    recipe = sweeping(["sign"])
    kill(recipe, trial_is(2, "running"))

    sweep, _ = resume(recipe)

    assert scale.n_references == 1
    assert [one["id"] for one in sweep["references"]] == ["expert", "expert"]


def test_a_file_that_was_changed_is_made_and_measured_again(
    sweeping: MakeSweep, scale: Scale, tmp_path: Path
) -> None:
    recipe = sweeping(keep="all")
    kill(recipe, trial_is(3, "running"))
    (work,) = (path for path in (tmp_path / "sweep").iterdir() if path.is_dir())
    broken = work / "expert--sign.delta.safetensors"
    broken.unlink()

    sweep, _ = resume(recipe)

    assert broken.name in scale.measured
    assert len(scale.measured) == 5
    assert {trial["state"] for trial in sweep["trials"]} == {"done"}


def test_files_that_have_their_final_place_already_are_taken_back(
    sweeping: MakeSweep, scale: Scale, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = sweeping(keep="all")
    rename = Path.rename

    def last_gasp(path: Path, target: Any) -> Any:
        if Path(target).parent == tmp_path / "sweep" and len(files_of(tmp_path / "sweep")) == 3:
            os._exit(9)
        return rename(path, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", last_gasp)
        kill(recipe, lambda _event: False)
    assert len(files_of(tmp_path / "sweep")) == 3

    sweep, _ = resume(recipe)

    assert scale.measured == []
    assert len(files_of(tmp_path / "sweep")) == 6
    assert all(Path(trial["artefact"]).exists() for trial in sweep["trials"])


def test_other_data_makes_a_fresh_start_with_a_warning(
    sweeping: MakeSweep, scale: Scale, tmp_path: Path
) -> None:
    data = tmp_path / "text.txt"
    data.write_text("1+1=2\n" * 40)
    recipe = sweeping(["sign"], evaluation=str(data))
    kill(recipe, trial_is(2, "running"))
    data.write_text("1+1=3\n" * 40)

    resume(recipe)

    assert len(scale.measured) == 2


def test_a_run_afresh_takes_away_what_was_left(
    sweeping: MakeSweep, scale: Scale, tmp_path: Path
) -> None:
    recipe = sweeping(["sign"], keep="none")
    kill(recipe, trial_is(2, "running"))
    assert any(path.is_dir() for path in (tmp_path / "sweep").iterdir())

    run_job(recipe, JobControl())

    assert len(scale.measured) == 2
    assert [path.name for path in (tmp_path / "sweep").iterdir()] == ["sweep.json"]


def test_two_runs_of_one_sweep_do_not_mix(
    sweeping: MakeSweep, scale: Scale, tmp_path: Path
) -> None:
    recipe = sweeping(["sign"])
    refused: list[AppError] = []

    def report(event: Event) -> None:
        if trial_is(1, "running")(event):
            try:
                run_job(recipe, JobControl(), resume=True)
            except FileError as error:
                refused.append(error)

    run_job(recipe, JobControl(report=report))

    assert "is being made by another run" in str(refused[0])
    assert json.loads((tmp_path / "sweep" / "sweep.json").read_text())["state"] == "done"
