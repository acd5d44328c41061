"""Comparing merges: fan-out, geometry, scores, search, and what stays on disk."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from deltaworks.checkpoints import open_checkpoint
from deltaworks.engine import run
from deltaworks.engine.merge_geometry import effective_rank, geometry_of
from deltaworks.errors import AppError, CancelledError, OptionError
from deltaworks.methods import MERGING
from deltaworks.progress import JobControl, Measured
from deltaworks.recipes import dump_recipe, parse_recipe
from deltaworks.studies.coefficient_search import Search, as_options, axes_of
from deltaworks.studies.contest_defaults import default_settings, why_not
from deltaworks.studies.contest_record import Contest, Score
from deltaworks.studies.contest_scores import average, normalised, owners, switched
from deltaworks.studies.jobs import plan_job, run_job


@pytest.fixture
def contesting(tiny_base: Path, tiny_expert: Path, tiny_expert2: Path, tmp_path: Path) -> Any:
    """Build a comparison of some settings without an evaluation set."""

    def make(settings: list[dict[str, Any]], **more: Any) -> Any:
        return parse_recipe(
            {
                "kind": "compare-merges",
                "base": {"path": str(tiny_base)},
                "experts": [{"model": {"path": str(one)}} for one in (tiny_expert, tiny_expert2)],
                "settings": settings,
                "output": str(tmp_path / "contest"),
                **more,
            }
        )

    return make


SETTINGS: list[dict[str, Any]] = [
    {"method": "linear"},
    {"method": "ties-global", "options": {"density": 0.3}},
    {"method": "emr"},
    {"method": "tsv-merge"},
    {"method": "task-arithmetic", "options": {"scale": 0.5}, "each": {"weight": 0.8}},
    {"method": "task-arithmetic", "pre": {"method": "magnitude", "options": {"density": 0.5}}},
]


def test_all_merges_equal_those_that_run_alone(contesting: Any, tmp_path: Path) -> None:
    recipe = contesting(SETTINGS, keep="all", threads=2)

    report = run_job(recipe, JobControl())

    contest = Contest.from_json(report.results["contest"])
    assert [entry.state for entry in contest.entries] == ["done"] * len(SETTINGS)
    for entry, setting in zip(contest.entries, SETTINGS, strict=True):
        if entry.switches:
            continue
        alone: Any = parse_recipe(
            {
                "kind": "merge",
                "base": dump_recipe(recipe)["base"],
                "experts": [
                    {"model": {"path": one.model.path}, "options": setting.get("each", {})}
                    for one in recipe.experts
                ],
                "setting": {"method": entry.method, "options": setting.get("options", {})},
                "pre": setting.get("pre"),
                "output": str(tmp_path / f"alone-{entry.number}"),
            }
        )
        run(alone, JobControl())
        with open_checkpoint(entry.artefact) as one, open_checkpoint(alone.output) as other:
            assert one.names == other.names
            for name in one.names:
                assert np.array_equal(one.read_words(name), other.read_words(name)), entry.title


def test_a_switching_method_gives_a_model_an_expert(contesting: Any) -> None:
    recipe = contesting([{"method": "tall-mask"}], keep="all")

    contest = Contest.from_json(run_job(recipe, JobControl()).results["contest"])

    kept = sorted(path.name for path in Path(recipe.output).iterdir() if path.is_dir())
    assert len(kept) == 2
    entry = contest.entries[0]

    with open_checkpoint(recipe.base.path) as base:
        weights = base.n_parameters
        assert entry.n_bytes == base.nbytes + 2 * -(-weights // 8)
    assert len(entry.geometry["cosines"]) == 2
    assert min(entry.geometry["cosines"]) > 0.75


def test_nothing_is_kept_without_a_measure_or_when_not_wanted(contesting: Any) -> None:
    for keep in ("best", "none"):
        recipe = contesting([{"method": "linear"}], keep=keep)
        report = run_job(recipe, JobControl())
        assert report.artefacts == ()
        found = [path.name for path in Path(recipe.output).iterdir()]
        assert found == ["comparison.json"]
        (Path(recipe.output) / "comparison.json").unlink()


def test_rounds_that_fit_on_the_disk_give_the_same(contesting: Any) -> None:
    first = contesting(SETTINGS, keep="none")
    whole = Contest.from_json(run_job(first, JobControl()).results["contest"])
    (Path(first.output) / "comparison.json").unlink()

    again = contesting(SETTINGS, keep="none", disk_bytes=1_000_000)
    cut = Contest.from_json(run_job(again, JobControl()).results["contest"])

    assert [one.geometry for one in cut.entries] == [one.geometry for one in whole.entries]


def test_one_that_fails_leaves_the_others(contesting: Any) -> None:
    weights = {"each": {"weight": 0.0}}
    recipe = contesting([{"method": "linear", **weights}, {"method": "magmax"}])

    contest = Contest.from_json(run_job(recipe, JobControl()).results["contest"])

    assert [entry.state for entry in contest.entries] == ["failed", "done"]
    assert "sum to 0" in contest.entries[0].reason


def test_when_all_fail_it_says_why_and_leaves_nothing(contesting: Any) -> None:
    recipe = contesting([{"method": "linear", "each": {"weight": 0.0}}])

    with pytest.raises(AppError, match=r"every merge failed.*sum to 0"):
        run_job(recipe, JobControl())

    assert not Path(recipe.output).exists()


def test_stop_leaves_nothing(contesting: Any) -> None:
    recipe = contesting(SETTINGS)
    control = JobControl()

    def stop(event: Any) -> None:
        if isinstance(event, Measured) and event.subject == "entry":
            control.cancelled.set()

    control.report = stop
    with pytest.raises(CancelledError):
        run_job(recipe, control)

    assert not Path(recipe.output).exists()


def test_methods_that_cannot_take_part_are_named(contesting: Any) -> None:
    recipe = contesting([{"method": "linear"}, {"method": "nearswap"}, {"method": "regmean"}])

    contest = Contest.from_json(run_job(recipe, JobControl()).results["contest"])

    assert contest.skipped == {
        "nearswap": "takes at most 1 expert",
        "regmean": "needs texts of every expert's task",
    }


def test_a_wrong_option_is_refused_before_the_start(contesting: Any) -> None:
    with pytest.raises(OptionError, match="unknown option 'sclae'"):
        plan_job(contesting([{"method": "ties", "options": {"sclae": 1}}]))


def test_the_usual_settings_cover_every_method_and_are_valid() -> None:
    settings = default_settings()

    assert {setting.method for setting in settings} == set(MERGING)
    for setting in settings:
        MERGING[setting.method].options(**setting.options)
        MERGING[setting.method].expert_options(**setting.each)
    assert {one.pre.method for one in settings if one.pre} == {
        *("dare", "magnitude", "impart", "low-rank")
    }
    assert why_not(MERGING["slerp"], 3, has_texts=True) == "takes at most 1 expert"
    assert why_not(MERGING["ties"], 3, has_texts=False) == ""


def test_the_record_comes_back_from_json(contesting: Any) -> None:
    report = run_job(contesting(SETTINGS), JobControl())

    plain = json.loads(json.dumps(report.results["contest"]))

    assert Contest.from_json(plain).as_json() == report.results["contest"]


# --- geometry -----------------------------------------------------------------------------------


def test_geometry_by_hand() -> None:
    base = torch.zeros(4)
    deltas = {0: torch.tensor([3.0, 4.0, 0.0, 0.0]), 1: torch.tensor([0.0, -4.0, 3.0, 0.0])}

    found = geometry_of(torch.tensor([3.0, 0.0, 4.0, 0.0]), base, deltas, 2).as_json()

    assert found["norm_ratio"] == pytest.approx(1.0)
    assert found["cosines"] == pytest.approx([9 / 25, 12 / 25])
    assert found["sign_agreement"] == [0.5, 0.5]
    assert found["changed"] == 0.5
    assert found["effective_rank"] is None


def test_effective_rank_counts_directions() -> None:
    assert effective_rank(torch.eye(6)) == pytest.approx(1.0)
    assert effective_rank(torch.ones(6, 9)) == pytest.approx(1 / 6)
    assert effective_rank(torch.zeros(6, 9)) is None
    assert effective_rank(torch.ones(6)) is None


# --- scores -------------------------------------------------------------------------------------


def _scores(**values: float) -> dict[str, Score]:
    return {name: Score(value) for name, value in values.items()}


def test_every_task_belongs_to_its_best_expert() -> None:
    base = _scores(sums=0.5, words=0.5, other=0.9)
    experts = [_scores(sums=1.0, words=0.4, other=0.8), _scores(sums=0.6, words=0.8, other=0.9)]

    whose = owners(base, experts)

    assert whose == {"sums": 0, "words": 1}
    merged = _scores(sums=0.9, words=0.6, other=0.9)
    assert normalised(merged, experts, whose) == pytest.approx((0.9 + 0.75) / 2)
    assert average(merged) == pytest.approx(0.8)
    models = [_scores(sums=0.95, words=0.1, other=0.3), _scores(sums=0.2, words=0.7, other=0.9)]
    assert switched(models, whose) == _scores(sums=0.95, words=0.7, other=0.3)
    assert average({}) is None


# --- search -------------------------------------------------------------------------------------


def test_a_search_finds_a_hill_and_repeats_itself() -> None:
    axes = axes_of(MERGING["ties"], 2)
    assert [axis.name for axis in axes] == ["scale", "weight 1", "weight 2", "density"]
    peak = {"scale": 1.3, "weight 1": 0.5, "weight 2": 1.1, "density": 0.4}

    def climb(seed: int) -> Search:
        search = Search(axes, 60, seed)
        while points := search.ask():
            scores = [-sum((p[name] - peak[name]) ** 2 for name in peak) for p in points]
            search.tell(points, scores)
        return search

    one, two = climb(0), climb(0)
    assert len(one.tried) == 60
    assert one.tried == two.tried
    assert one.best is not None
    spread = max(score for _, score in one.tried[:30] if score is not None)
    assert one.best[1] > spread
    assert one.best[1] > -0.15


def test_a_search_begins_at_the_start_and_stays_inside() -> None:
    axes = axes_of(MERGING["task-arithmetic"], 2)
    search = Search(axes, 20, 0, {"scale": 0.7, "weight 1": 1.0, "weight 2": 1.0})

    points = search.ask()
    assert points[0] == {"scale": 0.7, "weight 1": 1.0, "weight 2": 1.0}
    search.tell(points, [None] * len(points))
    assert search.best is None
    for point in [*points, *search.ask()]:
        for axis in axes:
            assert axis.low <= point[axis.name] <= axis.high


def test_coefficients_become_options() -> None:
    method = MERGING["ties"]
    values = {"scale": 0.5, "weight 1": 0.1, "weight 2": 0.2, "density": 0.3}

    shared, each = as_options(method, values, axes_of(method, 2), 2)

    assert shared == {"scale": 0.5}
    assert each == [{"weight": 0.1, "density": 0.3}, {"weight": 0.2, "density": 0.3}]
    method.options(**shared)
    method.expert_options(**each[0])
