from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from deltaworks.checkpoints import open_checkpoint
from deltaworks.engine import plan, run
from deltaworks.engine.compress import try_compress
from deltaworks.engine.encoding import squared_distance
from deltaworks.engine.journal import read_journal
from deltaworks.engine.reports import Artefact
from deltaworks.errors import FileError, MismatchError
from deltaworks.progress import JobControl, Warned

if TYPE_CHECKING:
    from tests.core.engine.conftest import MakeCompress, Recorder

EVERY = [
    "sign",
    "delta-dct",
    {"method": "dare", "options": {"drop_rate": 0.5}},
    "magnitude",
    {"method": "low-rank", "options": {"rank": 4}},
    {"method": "low-rank", "options": {"rank": 8}},
    "lossless",
]


@pytest.mark.parametrize("scope", ["linear2d", "all"])
def test_outputs_do_not_depend_on_threads_or_budget(
    scope: str, compressing: MakeCompress, tiny_expert: Path, tiny_expert2: Path, tmp_path: Path
) -> None:
    experts = [tiny_expert, tiny_expert2]
    one, four = tmp_path / "one", tmp_path / "four"

    run(
        compressing(EVERY, experts=experts, scope=scope, threads=1, output=one / "deltas"),
        JobControl(),
    )
    run(
        compressing(
            EVERY,
            experts=experts,
            scope=scope,
            threads=4,
            memory_bytes=16_000_000,
            output=four / "deltas",
        ),
        JobControl(),
    )

    names = sorted(path.name for path in (one / "deltas").iterdir())
    assert len(names) == 14
    assert names == sorted(path.name for path in (four / "deltas").iterdir())
    for name in names:
        assert (one / "deltas" / name).read_bytes() == (four / "deltas" / name).read_bytes()


def test_the_report_counts_every_byte(compressing: MakeCompress) -> None:
    report = run(compressing(EVERY), JobControl())

    for artefact in report.artefacts:
        assert artefact.sizes is not None
        n_bytes = Path(artefact.path).stat().st_size
        assert artefact.file_bytes == artefact.sizes.file_bytes == n_bytes
        assert sum(artefact.sizes.by_kind.values()) == n_bytes
        assert artefact.sizes.bpp_model == pytest.approx(8 * n_bytes / 21_664)
        assert artefact.sizes.bpp_payload <= artefact.sizes.bpp_linear
        assert len(artefact.tensors) == 21
        stored = sum(tensor.stored_bytes for tensor in artefact.tensors)
        kinds = artefact.sizes.by_kind
        assert stored == kinds["codes"] + kinds["exact"]


def test_sizes_stay_within_the_plan(compressing: MakeCompress) -> None:
    recipe = compressing(EVERY, scope="all")
    expected = {output.path: output for output in plan(recipe).outputs}

    report = run(recipe, JobControl())

    for artefact in report.artefacts:
        assert artefact.sizes is not None
        high = expected[artefact.path].bytes_high + artefact.sizes.by_kind["header"]
        assert artefact.file_bytes <= high


def test_errors_are_those_of_the_decoded_delta(
    compressing: MakeCompress,
    tiny_base: Path,
    tiny_expert: Path,
    load: Callable[[Path], dict[str, Any]],
) -> None:
    base, tuned = load(tiny_base), load(tiny_expert)
    artefact = run(compressing(["sign"]), JobControl()).artefacts[0]

    for tensor in artefact.tensors:
        delta = tuned[tensor.name].double() - base[tensor.name].double()
        energy = float(delta.square().sum())
        assert tensor.delta_energy == pytest.approx(energy, rel=1e-6)
        if "_proj" in tensor.name:
            alpha = delta.abs().mean()
            decoded = alpha * delta.sign().where(delta != 0, 1.0)
            error = float((delta - decoded).square().sum()) / energy
            assert tensor.error == pytest.approx(error, rel=1e-3)
            assert tensor.codec == "sign"
        else:
            assert (tensor.error, tensor.codec) == (0.0, "same")


def test_a_lossless_artefact_is_exact_and_says_so(
    compressing: MakeCompress, tiny_base: Path, tiny_expert: Path
) -> None:
    report = run(compressing(["lossless", "sign"]), JobControl())

    exact, lossy = report.artefacts
    assert exact.is_exact
    assert exact.error == 0.0
    assert not lossy.is_exact
    with (
        open_checkpoint(tiny_expert) as expert,
        open_checkpoint(exact.path, base=tiny_base) as delta,
    ):
        assert delta.names == expert.names
        for name in expert.names:
            assert (delta.read_words(name) == expert.read_words(name)).all()


def test_the_file_holds_its_report_and_recipe(compressing: MakeCompress, tiny_base: Path) -> None:
    recipe = compressing([{"method": "low-rank", "options": {"rank": 4}}], seed=5, threads=2)

    artefact = run(recipe, JobControl()).artefacts[0]

    with open_checkpoint(artefact.path) as delta:
        metadata: dict[str, str] = delta.metadata  # type: ignore[attr-defined]  # of a delta
    report, stored = json.loads(metadata["report"]), json.loads(metadata["recipe"])
    assert report["error"] == artefact.error
    assert report["sizes"]["file_bytes"] == artefact.file_bytes
    assert "seconds" not in report
    assert stored["settings"] == [{"method": "low-rank", "options": artefact.options}]
    assert stored["seed"] == 5
    assert stored["threads"] == 0
    assert stored["base"]["path"] == str(tiny_base)
    assert stored["output"] == "expert--low-rank.delta.safetensors"


def test_a_seed_changes_random_methods_only(compressing: MakeCompress, tmp_path: Path) -> None:
    def parts(seed: int) -> dict[str, list[bytes]]:
        recipe = compressing(["dare", "magnitude"], seed=seed, output=tmp_path / str(seed) / "x")
        found = {}
        for artefact in run(recipe, JobControl()).artefacts:
            with open_checkpoint(artefact.path) as delta:
                stored = [delta.parts(name) for name in delta.names]  # type: ignore[attr-defined]
            found[artefact.method] = [part.tobytes() for one in stored for part in one.values()]
        return found

    first, second = parts(0), parts(1)

    assert first["magnitude"] == second["magnitude"]
    assert first["dare"] != second["dare"]


def test_a_random_seed_is_honoured_by_decoding(
    compressing: MakeCompress, tiny_base: Path, tiny_expert: Path
) -> None:
    """The errors in the report are those of the file as anyone reads it."""
    import torch

    artefact = run(compressing(["dare"], seed=11), JobControl()).artefacts[0]

    with (
        open_checkpoint(tiny_base) as base,
        open_checkpoint(tiny_expert) as expert,
        open_checkpoint(artefact.path, base=base) as delta,
    ):
        for tensor in artefact.tensors:
            wanted = expert.read(tensor.name).float() - base.read(tensor.name).float()
            # Rounding to bf16 blurs the decoded delta a little.
            got = delta.read(tensor.name).float() - base.read(tensor.name).float()
            if tensor.codec == "dare":
                error = squared_distance(wanted, got) / float(wanted.double().square().sum())
                assert error == pytest.approx(tensor.error, rel=0.02)
            else:
                assert torch.equal(wanted, got)


def test_tensors_with_nan_are_stored_exactly_and_listed(
    compressing: MakeCompress,
    recorder: Recorder,
    tiny_base: Path,
    tiny_tensors: Any,
    moved: Any,
    save_model: Any,
    tmp_path: Path,
) -> None:
    tensors = moved(tiny_tensors(0), 3)
    name = "model.layers.0.mlp.up_proj.weight"
    tensors[name][3, 4] = float("nan")
    expert = save_model(tmp_path / "nan", tensors)

    report = run(compressing(["sign", "low-rank"], experts=[expert]), recorder.control)

    assert any(f"{name}: holds NaN or infinity; stored exactly" in one for one in report.warnings)
    assert any(isinstance(event, Warned) for event in recorder.events)
    for artefact in report.artefacts:
        codecs = {tensor.name: tensor.codec for tensor in artefact.tensors}
        assert codecs[name] == "lossless"
        assert set(codecs.values()) == {"same", "lossless", artefact.method}
        with open_checkpoint(artefact.path, base=tiny_base) as delta:
            words = delta.read_words(name)
        with open_checkpoint(expert) as whole:
            assert (words == whole.read_words(name)).all()


def test_tensors_without_a_partner_are_stored_exactly_and_told(
    compressing: MakeCompress,
    tiny_base: Path,
    tiny_tensors: Any,
    moved: Any,
    save_model: Any,
    tmp_path: Path,
) -> None:
    import torch

    tensors = moved(tiny_tensors(0), 3)
    tensors["lm_head.weight"] = torch.cat([tensors["lm_head.weight"], torch.ones(4, 32).bfloat16()])
    tensors["adapter.bias"] = torch.arange(5.0)
    tensors["model.position_ids"] = torch.arange(7)
    tensors["model.norm.weight"] = tensors["model.norm.weight"].float()
    expert = save_model(tmp_path / "odd", tensors)

    report = run(compressing(["sign"], experts=[expert], scope="all"), JobControl())

    warnings = " ".join(report.warnings)
    assert "4 extra rows, shape (100, 32) here, (96, 32) in the base (lm_head.weight)" in warnings
    assert "not in the base (model.position_ids, adapter.bias)" in warnings
    with open_checkpoint(report.artefacts[0].path, base=tiny_base) as delta:
        for name in ("lm_head.weight", "adapter.bias", "model.position_ids"):
            got = delta.read(name)
            assert got.dtype == tensors[name].dtype
            assert torch.equal(got, tensors[name])
        assert delta.read("model.norm.weight").dtype == torch.float32


def test_a_setting_that_fails_does_not_stop_the_others(
    compressing: MakeCompress, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _break(monkeypatch, "magnitude", FileError("is haunted"))

    report, results = try_compress(compressing(["sign", "magnitude", "lossless"]), JobControl())

    assert [type(result) for result in results] == [Artefact, FileError, Artefact]
    assert "_proj" in str(results[1])
    assert len(report.artefacts) == 2
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "expert--lossless.delta.safetensors",
        "expert--sign.delta.safetensors",
    ]


def test_a_setting_that_fails_stops_a_plain_job_and_leaves_nothing(
    compressing: MakeCompress, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _break(monkeypatch, "magnitude", MismatchError("does not fit"))

    with pytest.raises(MismatchError, match=r"_proj\.weight: does not fit"):
        run(compressing(["sign", "magnitude"]), JobControl())

    assert list(tmp_path.iterdir()) == []


def _break(monkeypatch: pytest.MonkeyPatch, method_id: str, error: Exception) -> None:
    from dataclasses import replace

    from deltaworks.methods import compression_method

    def encode(*_: object) -> Any:
        raise error

    broken = replace(compression_method(method_id), encode=encode)
    known = compression_method
    monkeypatch.setattr(
        "deltaworks.engine.compress_plan.compression_method",
        lambda name: broken if name == method_id else known(name),
    )


def test_progress_counts_up_to_the_plan(compressing: MakeCompress, recorder: Recorder) -> None:
    recipe = compressing(["sign", "lossless"])

    run(recipe, recorder.control)

    done = [event.done for event in recorder.progress]
    assert done == sorted(done)
    assert recorder.progress[-1].done == recorder.progress[-1].total == plan_bytes(recipe)


def plan_bytes(recipe: Any) -> int:
    from deltaworks.recipes import parse_recipe

    fresh = recipe.model_copy(update={"output": recipe.output + "-2"})
    return plan(parse_recipe(fresh.model_dump())).work_bytes  # type: ignore[arg-type]


def test_a_journal_lists_what_is_finished_while_the_job_runs(
    compressing: MakeCompress, tmp_path: Path
) -> None:
    seen: list[tuple[int, int]] = []

    def look(_event: object) -> None:
        for path in (tmp_path / "out").glob("*.journal"):
            head, entries = read_journal(path)
            seen.append((len(entries), sum(entry.n_bytes for entry in entries)))
            assert head["recipe"]["kind"] == "compress"
            assert all(len(entry.checksum) == 64 for entry in entries)

    artefact = run(compressing(["sign"], threads=1), JobControl(report=look)).artefacts[0]

    assert max(seen)[0] == 21
    assert max(seen)[1] == sum(tensor.stored_bytes for tensor in artefact.tensors)
    assert [path.name for path in (tmp_path / "out").iterdir()] == [Path(artefact.path).name]


def test_an_identical_copy_costs_next_to_nothing(
    compressing: MakeCompress, tiny_tensors: Any, save_model: Any, tmp_path: Path
) -> None:
    copy = save_model(tmp_path / "copy", tiny_tensors(0))

    artefact = run(compressing(["sign"], experts=[copy]), JobControl()).artefacts[0]

    assert {tensor.codec for tensor in artefact.tensors} == {"same"}
    assert artefact.is_exact
    assert artefact.sizes is not None
    assert artefact.sizes.by_kind["codes"] == artefact.sizes.by_kind["exact"] == 0


def test_a_delta_file_can_stand_for_its_expert(
    compressing: MakeCompress, tiny_base: Path, tmp_path: Path
) -> None:
    first = run(compressing(["sign"], output=tmp_path / "first"), JobControl()).artefacts[0]

    again = run(
        compressing(["lossless"], experts=[Path(first.path)], output=tmp_path / "again"),
        JobControl(),
    ).artefacts[0]

    assert again.is_exact
    with (
        open_checkpoint(first.path, base=tiny_base) as one,
        open_checkpoint(again.path, base=tiny_base) as other,
    ):
        assert one.names == other.names
        for name in one.names:
            assert (one.read_words(name) == other.read_words(name)).all()


def test_stacked_experts_of_a_mixture_are_treated(
    compressing: MakeCompress, tiny_tensors: Any, moved: Any, save_model: Any, tmp_path: Path
) -> None:
    import torch

    name = "model.layers.0.mlp.experts.gate_up_proj"
    tensors = tiny_tensors(0)
    tensors[name] = torch.randn(3, 8, 32, generator=torch.Generator().manual_seed(5)).bfloat16()
    folders = [
        save_model(tmp_path / "base", tensors),
        save_model(tmp_path / "mixture", moved(tensors, 4)),
    ]

    report = run(
        compressing(["sign", "low-rank"], base=folders[0], experts=[folders[1]]), JobControl()
    )

    for artefact in report.artefacts:
        codecs = {tensor.name: tensor.codec for tensor in artefact.tensors}
        assert codecs[name] == artefact.method


@pytest.mark.parametrize("scale", [1.0, 1e-30, 1e25])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_squared_distance_holds_over_many_pieces_and_any_size(scale: float, dtype: str) -> None:
    import torch

    random = torch.Generator().manual_seed(0)
    a, b = (
        (torch.randn(300, 301, generator=random) * scale).to(getattr(torch, dtype))
        for _ in range(2)
    )

    expected = float((a.float() - b.float()).double().square().sum())
    assert squared_distance(a, b) == pytest.approx(expected, rel=1e-6)
    assert squared_distance(a, b[:200]) == pytest.approx(
        float((a.float()[:200] - b.float()[:200]).double().square().sum()), rel=1e-6
    )


def test_squared_distance_of_nothing_and_of_nan() -> None:
    import torch

    empty, lost = torch.zeros(0, 3), torch.tensor([1.0, float("nan")])
    assert squared_distance(empty, empty) == 0.0
    assert math.isnan(squared_distance(lost, torch.zeros(2)))
