from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from deltaworks.checkpoints import open_checkpoint
from deltaworks.errors import AppError, CancelledError, FileError, OptionError
from deltaworks.methods import compression_method
from deltaworks.progress import Event, Finished, JobControl, Measured, Progress, Warned
from deltaworks.studies.front import pareto_front, recommend
from deltaworks.studies.jobs import plan_job, run_job
from deltaworks.studies.measuring import Outcome
from deltaworks.studies.trials import Reference

if TYPE_CHECKING:
    from tests.core.studies.conftest import MakeSweep


def run(recipe: Any) -> tuple[dict[str, Any], list[Event]]:
    events: list[Event] = []
    report = run_job(recipe, JobControl(report=events.append))
    sweep: dict[str, Any] = report.results["sweep"]
    return sweep, events


def as_read(data: Any) -> Any:
    """Give data as it comes back from a file."""
    return json.loads(json.dumps(data))


class FakeMeasurer:
    """Gives every trial the quality that its method is listed with."""

    def __init__(self, qualities: dict[str, Any]) -> None:
        self.qualities = qualities

    def references(self) -> list[Reference]:
        return [Reference("expert", "x", "full expert", 100, 1.0)]

    def measure(self, result: Any, control: JobControl) -> Outcome:
        value = self.qualities[result.manifest.method]
        if isinstance(value, Exception):
            raise value
        return Outcome(value, value - 0.1, value + 0.1, "accuracy on 400 sums", {})


@pytest.fixture
def qualities(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    values: dict[str, Any] = {"sign": 0.99, "magnitude": 0.5, "lossless": 1.0}
    monkeypatch.setattr(
        "deltaworks.studies.sweep.make_measurer", lambda *_, **__: FakeMeasurer(values)
    )
    return values


def test_without_an_evaluation_quality_is_estimated_from_the_weights(sweeping: MakeSweep) -> None:
    sweep, _ = run(sweeping())

    assert [trial["state"] for trial in sweep["trials"]] == ["done"] * 6
    for trial in sweep["trials"]:
        assert trial["quality"] == trial["fidelity"]
        assert trial["measured_on"] == ""
        assert trial["measures"]["fidelity"]["is_estimate"]
        assert trial["file_bytes"] > 0
        assert trial["bits_per_weight"] > 0
    assert [one["id"] for one in sweep["references"]] == ["expert", "base"] * 2
    exact = [trial for trial in sweep["trials"] if trial["method"] == "lossless"]
    assert all(trial["is_exact"] and trial["quality"] == 1.0 for trial in exact)


def test_each_expert_has_its_own_front_and_recommended_trial(sweeping: MakeSweep) -> None:
    sweep, _ = run(sweeping(["sign", "dare", "magnitude", "delta-dct", "lossless"]))

    for expert in {trial["expert"] for trial in sweep["trials"]}:
        trials = [trial for trial in sweep["trials"] if trial["expert"] == expert]
        points = [(trial["file_bytes"], trial["quality"]) for trial in trials]
        assert [trial["on_front"] for trial in trials] == pareto_front(points)
        chosen = [place for place, trial in enumerate(trials) if trial["recommended"]]
        assert chosen == [recommend(points, 0.02)]
        assert trials[chosen[0]]["method"] == "lossless"
    assert sweep["rule"] == "largest drop in size for under 2 % loss"


def test_measured_quality_decides(sweeping: MakeSweep, qualities: dict[str, Any]) -> None:
    sweep, _ = run(sweeping(keep="best"))

    best = [trial for trial in sweep["trials"] if trial["recommended"]]
    assert [(trial["method"], trial["quality"], trial["measured_on"]) for trial in best] == [
        ("sign", 0.99, "accuracy on 400 sums")
    ] * 2
    assert (best[0]["quality_low"], best[0]["quality_high"]) == pytest.approx((0.89, 1.09))
    assert best[0]["measures"]["fidelity"]["value"] < 0.7
    kept = [trial for trial in sweep["trials"] if trial["kept"]]
    assert kept == best


def test_when_nothing_is_good_enough_the_best_is_recommended_and_said_to_be_so(
    sweeping: MakeSweep, qualities: dict[str, Any]
) -> None:
    qualities |= {"sign": 0.6, "magnitude": 0.5, "lossless": 0.7}

    sweep, _ = run(sweeping())

    assert [t["method"] for t in sweep["trials"] if t["recommended"]] == ["lossless"] * 2
    assert sweep["rule"] == "highest quality; none loses less than 2 %"


@pytest.mark.parametrize("keep", ["best", "front", "all", "none"])
def test_only_what_is_kept_stays_on_disk(
    keep: str, sweeping: MakeSweep, tiny_base: Path, tmp_path: Path
) -> None:
    sweep, events = run(sweeping(keep=keep))

    kept = [trial for trial in sweep["trials"] if trial["kept"]]
    wanted = {
        "best": [trial for trial in sweep["trials"] if trial["recommended"]],
        "front": [t for t in sweep["trials"] if t["recommended"] or t["on_front"]],
        "all": list(sweep["trials"]),
        "none": [],
    }
    assert kept == wanted[keep]
    on_disk = {path.name for path in (tmp_path / "sweep").iterdir()}
    assert on_disk == {"sweep.json", *(Path(trial["artefact"]).name for trial in kept)}
    for trial in kept:
        name = f"{trial['expert']}--{trial['method']}.delta.safetensors"
        assert Path(trial["artefact"]) == tmp_path / "sweep" / name
        with open_checkpoint(trial["artefact"], base=tiny_base) as delta:
            assert delta.read_words(delta.names[0]) is not None
    assert json.loads((tmp_path / "sweep" / "sweep.json").read_text()) == as_read(sweep)
    last = events[-1]
    assert isinstance(last, Finished)
    assert len(last.values["artefacts"]) == len(kept)
    assert all(Path(one["path"]).exists() for one in last.values["artefacts"])


def test_settings_of_one_method_are_told_apart(sweeping: MakeSweep, tiny_expert: Path) -> None:
    settings = [{"method": "low-rank", "options": {"rank": rank}} for rank in (2, 4)]

    sweep, _ = run(sweeping([*settings, "sign"], experts=[tiny_expert], keep="all"))

    assert [trial["settings"] for trial in sweep["trials"]] == ["rank 2", "rank 4", ""]
    assert [Path(trial["artefact"]).name for trial in sweep["trials"]] == [
        "expert--low-rank--rank-2.delta.safetensors",
        "expert--low-rank--rank-4.delta.safetensors",
        "expert--sign.delta.safetensors",
    ]


def test_a_sweep_makes_the_same_files_as_a_compression(
    sweeping: MakeSweep, tiny_base: Path, tiny_expert: Path, tmp_path: Path
) -> None:
    from deltaworks.recipes import parse_recipe

    sweep, _ = run(sweeping(["sign"], experts=[tiny_expert], keep="all"))
    data = {
        "kind": "compress",
        "base": {"path": str(tiny_base)},
        "experts": [{"path": str(tiny_expert), "name": "expert"}],
        "settings": [{"method": "sign"}],
        "output": str(tmp_path / "plain"),
    }
    report = run_job(parse_recipe(data), JobControl())

    one, other = sweep["trials"][0]["artefact"], report.artefacts[0].path
    assert Path(one).read_bytes() == Path(other).read_bytes()


def test_events_tell_every_change(sweeping: MakeSweep, qualities: dict[str, Any]) -> None:
    _, events = run(sweeping())

    measured = [event for event in events if isinstance(event, Measured)]
    assert measured[0].subject == measured[-1].subject == "sweep"
    assert (measured[0].values["state"], measured[-1].values["state"]) == ("running", "done")
    assert [t["state"] for t in measured[0].values["trials"]] == ["waiting"] * 6
    states = [
        event.values["state"]
        for event in measured
        if event.subject == "trial" and event.values["number"] == 1
    ]
    assert [state for n, state in enumerate(states) if state not in states[:n]] == [
        "waiting",
        "running",
        "done",
    ]
    done = [event.done for event in events if isinstance(event, Progress)]
    assert done == sorted(done)
    progress = [event for event in events if isinstance(event, Progress)]
    assert progress[-1].done == progress[-1].total


def test_a_failed_measurement_does_not_stop_the_sweep(
    sweeping: MakeSweep, qualities: dict[str, Any], tmp_path: Path
) -> None:
    qualities["magnitude"] = FileError("is haunted")
    qualities["sign"] = ZeroDivisionError("oops")

    sweep, _ = run(sweeping(keep="all"))

    assert [trial["state"] for trial in sweep["trials"]] == ["failed", "failed", "done"] * 2
    assert sweep["trials"][1]["reason"] == "is haunted."
    assert sweep["trials"][0]["reason"] == "Internal error: oops. See the log."
    names = {path.name for path in (tmp_path / "sweep").iterdir()}
    assert len(names) == 3


def test_a_failed_encoding_does_not_stop_the_sweep(
    sweeping: MakeSweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    def encode(*_: object) -> Any:
        raise AppError("cannot")

    broken = replace(compression_method("magnitude"), encode=encode)
    monkeypatch.setattr(
        "deltaworks.engine.compress_plan.compression_method",
        lambda name: broken if name == "magnitude" else compression_method(name),
    )

    sweep, _ = run(sweeping())

    assert [trial["state"] for trial in sweep["trials"]] == ["done", "failed", "done"] * 2
    assert "_proj.weight: cannot" in sweep["trials"][1]["reason"]


def test_a_sweep_in_which_all_fails_fails(
    sweeping: MakeSweep, qualities: dict[str, Any], tmp_path: Path
) -> None:
    qualities |= dict.fromkeys(qualities, AppError("no"))

    with pytest.raises(AppError, match="every trial failed, the first one because: no"):
        run(sweeping())

    assert not (tmp_path / "sweep").exists()


def _first_progress(event: Event) -> bool:
    return isinstance(event, Progress)


def _second_expert(event: Event) -> bool:
    return isinstance(event, Progress) and event.stage.startswith("expert 2/2")


def _trial(number: int, state: str) -> Callable[[Event], bool]:
    def is_it(event: Event) -> bool:
        if not isinstance(event, Measured) or event.subject != "trial":
            return False
        return (event.values["number"], event.values["state"]) == (number, state)

    return is_it


@pytest.mark.parametrize(
    "is_moment",
    [_first_progress, _trial(1, "running"), _second_expert, _trial(6, "done")],
    ids=["at once", "first trial", "second expert", "last trial"],
)
def test_a_cancelled_sweep_leaves_nothing(
    is_moment: Callable[[Event], bool], sweeping: MakeSweep, tmp_path: Path
) -> None:
    events: list[Event] = []
    control = JobControl()

    def report(event: Event) -> None:
        events.append(event)
        if is_moment(event):
            control.cancelled.set()

    control.report = report

    with pytest.raises(CancelledError):
        run_job(sweeping(), control)

    assert list(tmp_path.iterdir()) == []
    last = events[-1]
    assert isinstance(last, Measured)
    assert last.values["state"] == "cancelled"
    assert {trial["state"] for trial in last.values["trials"]} <= {"done", "cancelled"}


def test_an_evaluation_that_cannot_be_used_leaves_estimates_and_a_warning(
    sweeping: MakeSweep, tiny_expert: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "text.txt").write_text("1+1=2\n" * 40)
    monkeypatch.setattr("deltaworks.evaluation.evaluator.can_generate", lambda _base: False)

    recipe = sweeping(["sign"], experts=[tiny_expert], evaluation=str(tmp_path / "text.txt"))
    sweep, events = run(recipe)

    assert sweep["trials"][0]["measured_on"] == ""
    warned = [event for event in events if isinstance(event, Warned)]
    assert "estimated from the weights alone: the base does not write text" in warned[0].text


@pytest.mark.engine
def test_a_real_evaluation_measures_every_trial(
    sweeping: MakeSweep, tiny_expert: Path, tmp_path: Path
) -> None:
    (tmp_path / "text.txt").write_text("The sum of 12 and 30 is 42. " * 12)

    recipe = sweeping(
        ["sign", "lossless"], experts=[tiny_expert], evaluation=str(tmp_path / "text.txt")
    )
    sweep, _ = run(recipe)

    sign, exact = sweep["trials"]
    assert exact["quality"] == pytest.approx(1.0)
    assert exact["measures"]["kl"]["value"] == pytest.approx(0.0, abs=1e-9)
    assert "recovered" in exact["measured_on"]
    assert sign["quality"] < 1.0
    assert {"kl", "perplexity", "top1-agreement", "fidelity"} <= set(sign["measures"])
    assert [one["id"] for one in sweep["references"]] == ["expert", "base"]


def test_a_plan_checks_and_counts_without_running(sweeping: MakeSweep, tmp_path: Path) -> None:
    planned = plan_job(sweeping())

    assert len(planned.outputs) == 6
    assert planned.title == "Sweep of 6 trials"
    with pytest.raises(FileError, match="is not there"):
        plan_job(sweeping(evaluation=str(tmp_path / "nowhere")))
    with pytest.raises(OptionError, match="nonsense"):
        plan_job(sweeping(["nonsense"]))
    (tmp_path / "sweep").mkdir()
    (tmp_path / "sweep" / "sweep.json").write_text("{}")
    with pytest.raises(FileError, match="exists already"):
        plan_job(sweeping())
