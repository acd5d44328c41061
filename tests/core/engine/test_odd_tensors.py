"""Tensors that are stored turned, twice, or with other rows than the base's."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import Tensor

from deltaworks.checkpoints import DeltaCheckpoint, open_checkpoint, verify_checkpoint
from deltaworks.engine import plan, run
from deltaworks.progress import JobControl

if TYPE_CHECKING:
    from tests.core.engine.conftest import MakeCompress, MakeRebuild

Load = Callable[[Path], dict[str, Tensor]]
HEAD, TABLE = "lm_head.weight", "model.embed_tokens.weight"


def opened(path: str | Path, base: Path) -> DeltaCheckpoint:
    delta = open_checkpoint(path, base=base)
    assert isinstance(delta, DeltaCheckpoint)
    return delta


# --- stored (in, out) -------------------------------------------------------------------


@pytest.fixture
def gpt2(save_model: Any, tmp_path: Path) -> tuple[Path, Path]:
    """A GPT-2 of one block and its fine-tune."""
    rng = torch.Generator().manual_seed(3)
    at = "transformer.h.0"
    shapes = {
        f"{at}.attn.c_attn.weight": (16, 48),
        f"{at}.attn.c_attn.bias": (48,),
        f"{at}.attn.c_proj.weight": (16, 16),
        f"{at}.mlp.c_fc.weight": (16, 64),
        f"{at}.mlp.c_proj.weight": (64, 16),
        "transformer.wte.weight": (40, 16),
    }
    base = {name: torch.randn(shape, generator=rng).bfloat16() for name, shape in shapes.items()}
    tuned = {
        name: (value + 0.1 * torch.randn(value.shape, generator=rng)).bfloat16()
        for name, value in base.items()
    }
    folders = save_model(tmp_path / "gpt2", base), save_model(tmp_path / "gpt2-tuned", tuned)
    for folder in folders:
        config = {"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"]}
        (folder / "config.json").write_text(json.dumps(config))
    return folders


def test_methods_see_rows_of_outputs_where_weights_are_stored_turned(
    gpt2: tuple[Path, Path], compressing: MakeCompress, load: Load
) -> None:
    base, tuned = (load(folder) for folder in gpt2)
    settings = [
        {"method": "sign", "options": {"scale": "row"}},
        {"method": "low-rank", "options": {"rank": 2}},
    ]

    report = run(compressing(settings, base=gpt2[0], experts=[gpt2[1]]), JobControl())

    name = "transformer.h.0.attn.c_attn.weight"
    wanted = tuned[name].float() - base[name].float()
    sign, low_rank = (opened(artefact.path, gpt2[0]) for artefact in report.artefacts)
    with sign, low_rank:
        stored = sign.manifest.tensors[name]
        assert (stored.transposed, stored.shape) == (True, (16, 48))
        scale = torch.from_numpy(sign.parts(name)["scale"])
        torch.testing.assert_close(scale, wanted.abs().mean(dim=0))  # one an output
        change = torch.where(wanted >= 0, 1.0, -1.0) * scale
        assert torch.equal(sign.read(name), (base[name].float() + change).bfloat16())
        assert torch.equal(sign.read(name, slice(3, 7)), sign.read(name)[3:7])
        shapes = {part: words.shape for part, words in low_rank.parts(name).items()}
        assert shapes == {"A": (2, 16), "B": (48, 2), "unit": (1,)}
    for artefact in report.artefacts:
        for tensor in artefact.tensors:
            assert tensor.codec == (
                artefact.method
                if ".c_" in tensor.name and tensor.name.endswith("weight")
                else "lossless"
            )


def test_errors_and_sizes_hold_for_turned_weights(
    gpt2: tuple[Path, Path], compressing: MakeCompress, load: Load
) -> None:
    base, tuned = (load(folder) for folder in gpt2)
    recipe = compressing(
        [{"method": "sign", "options": {"scale": "row"}}, "delta-dct"],
        base=gpt2[0],
        experts=[gpt2[1]],
    )
    expected = {output.path: output for output in plan(recipe).outputs}

    report = run(recipe, JobControl())

    for artefact in report.artefacts:
        high = expected[artefact.path].bytes_high + artefact.sizes.by_kind["header"]  # type: ignore[union-attr]
        assert artefact.file_bytes <= high
        with opened(artefact.path, gpt2[0]) as delta:
            for tensor in artefact.tensors:
                name = tensor.name
                wanted = tuned[name].double() - base[name].double()
                left = tuned[name].double() - delta.read(name).double()
                share = float(left.square().sum() / wanted.square().sum())
                assert share == pytest.approx(tensor.error, rel=0.05, abs=1e-12)


def test_what_is_stored_as_it_is_says_nothing_of_turning(
    gpt2: tuple[Path, Path], compressing: MakeCompress
) -> None:
    report = run(compressing(["lossless"], base=gpt2[0], experts=[gpt2[1]]), JobControl())

    with opened(report.artefacts[0].path, gpt2[0]) as delta:
        assert "transposed" not in delta.metadata["delta_manifest"]
        assert "base_rows" not in delta.metadata["delta_manifest"]
    assert report.artefacts[0].is_exact


# --- stored twice -----------------------------------------------------------------------


@pytest.mark.parametrize("has_head", [True, False], ids=["base has both", "base has one"])
@pytest.mark.parametrize("scope", ["linear2d", "all"])
def test_a_tied_head_is_stored_once(
    has_head: bool,
    scope: str,
    compressing: MakeCompress,
    rebuilding: MakeRebuild,
    tiny_tensors: Any,
    save_model: Any,
    tmp_path: Path,
) -> None:
    tensors = tiny_tensors(0)
    tensors[HEAD] = tensors[TABLE].clone()
    tuned = dict(tensors)
    tuned[TABLE] = (tensors[TABLE].float() * 1.5 + 0.01).bfloat16()
    tuned[HEAD] = tuned[TABLE].clone()
    if not has_head:
        del tensors[HEAD]
    base, expert = save_model(tmp_path / "base", tensors), save_model(tmp_path / "tied", tuned)

    report = run(
        compressing(["sign", "lossless"], base=base, experts=[expert], scope=scope), JobControl()
    )

    for artefact in report.artefacts:
        codecs = {tensor.name: tensor.codec for tensor in artefact.tensors}
        with opened(artefact.path, base) as delta:
            ((copy, original),) = delta.manifest.alias.items()
            assert {copy, original} == {HEAD, TABLE}
            assert codecs[copy] == "alias"
            assert torch.equal(delta.read(HEAD), delta.read(TABLE))
            assert delta.stored_bytes(copy) == 0
    exact = report.artefacts[1]
    assert exact.is_exact
    rebuilt = tmp_path / "again"
    run(rebuilding(exact.path, base=base, output=rebuilt), JobControl())
    for file in expert.iterdir():
        assert (rebuilt / file.name).read_bytes() == file.read_bytes()


def test_a_head_of_its_own_is_no_copy(
    compressing: MakeCompress, tiny_base: Path, tiny_tensors: Any, save_model: Any, tmp_path: Path
) -> None:
    tensors = {name: value * 2 for name, value in tiny_tensors(0).items()}
    expert = save_model(tmp_path / "own", tensors)

    report = run(compressing(["lossless"], experts=[expert]), JobControl())

    with opened(report.artefacts[0].path, tiny_base) as delta:
        assert delta.manifest.alias == {}
        assert torch.equal(delta.read(HEAD), tensors[HEAD])


# --- other rows -------------------------------------------------------------------------


@pytest.mark.parametrize(("rows", "note"), [(100, "4 extra rows,"), (90, "6 extra rows in the")])
def test_another_vocabulary_is_a_delta_over_the_common_rows(
    rows: int,
    note: str,
    compressing: MakeCompress,
    tiny_base: Path,
    tiny_tensors: Any,
    save_model: Any,
    tmp_path: Path,
) -> None:
    tensors = tiny_tensors(0)
    for name in (HEAD, TABLE):
        grown = torch.cat([tensors[name], torch.full((8, 32), 0.5).bfloat16()])[:rows]
        grown[:5] *= 1.01
        tensors[name] = grown.contiguous()
    expert = save_model(tmp_path / "grown", tensors)

    report = run(compressing(["sign", "lossless"], experts=[expert]), JobControl())

    assert any(note in warning and TABLE in warning for warning in report.warnings)
    for artefact in report.artefacts:
        stored = {tensor.name: tensor.stored_bytes for tensor in artefact.tensors}
        assert artefact.is_exact  # no block moved
        with opened(artefact.path, tiny_base) as delta:
            for name in (HEAD, TABLE):
                assert torch.equal(delta.read(name), tensors[name])
                facts = delta.manifest.tensors[name]
                assert (facts.shape, facts.base_rows) == ((rows, 32), 96)
                assert stored[name] < tensors[name].numel() / 2  # a quarter of its bytes
    assert verify_checkpoint(Path(report.artefacts[0].path), JobControl(), base=tiny_base) == []
