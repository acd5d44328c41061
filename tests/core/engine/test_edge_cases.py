"""What every method must bear: odd shapes and dtypes, numbers that are none, cut files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch

from deltaworks.checkpoints import DeltaCheckpoint, open_checkpoint
from deltaworks.engine import run
from deltaworks.errors import AppError
from deltaworks.methods.compression import COMPRESSION
from deltaworks.progress import JobControl

if TYPE_CHECKING:
    from tests.core.engine.conftest import MakeCompress, MakeRebuild

AT = "model.layers.0"
ODD: dict[str, tuple[tuple[int, ...], torch.dtype]] = {
    f"{AT}.self_attn.q_proj.weight": ((1, 37), torch.bfloat16),
    f"{AT}.self_attn.k_proj.weight": ((41, 1), torch.bfloat16),
    f"{AT}.self_attn.v_proj.weight": ((37, 53), torch.float16),
    f"{AT}.self_attn.o_proj.weight": ((33, 129), torch.float32),
    f"{AT}.mlp.experts.gate_up_proj": ((3, 19, 23), torch.bfloat16),
    f"{AT}.mlp.up_proj.weight": ((1, 1), torch.bfloat16),
    f"{AT}.mlp.down_proj.weight": ((0, 4), torch.bfloat16),
    f"{AT}.mlp.conv.weight": ((2, 3, 5, 7), torch.bfloat16),
    f"{AT}.input_layernorm.weight": ((5,), torch.bfloat16),
    f"{AT}.scale": ((), torch.float32),
    f"{AT}.ids": ((6,), torch.int64),
}
METHODS = list(COMPRESSION)


def _tensors(seed: int) -> dict[str, torch.Tensor]:
    rng = torch.Generator().manual_seed(seed)
    return {
        name: (torch.randn(shape, generator=rng) * 3).to(dtype)
        for name, (shape, dtype) in ODD.items()
    }


@pytest.fixture
def odd(save_model: Any, tmp_path: Path) -> tuple[Path, Path]:
    return save_model(tmp_path / "base", _tensors(0)), save_model(tmp_path / "tuned", _tensors(1))


def test_every_method_bears_odd_shapes_and_dtypes(
    odd: tuple[Path, Path], compressing: MakeCompress, rebuilding: MakeRebuild, tmp_path: Path
) -> None:
    base, tuned = odd
    recipe = compressing(METHODS, base=base, experts=[tuned], scope="all")

    report = run(recipe, JobControl())

    assert [artefact.method for artefact in report.artefacts] == METHODS
    wanted = _tensors(1)
    for artefact in report.artefacts:
        assert artefact.file_bytes == Path(artefact.path).stat().st_size
        codecs = {tensor.name: tensor.codec for tensor in artefact.tensors}
        rebuilt = tmp_path / f"again-{artefact.method}"
        run(rebuilding(artefact.path, base=base, output=rebuilt), JobControl())
        with open_checkpoint(artefact.path, base=base) as delta, open_checkpoint(rebuilt) as again:
            for name, (shape, dtype) in ODD.items():
                found = delta.read(name)
                assert (tuple(found.shape), found.dtype) == (shape, dtype)
                assert torch.equal(found, again.read(name))
                assert bool(torch.isfinite(found).all())
                if codecs[name] == "lossless":
                    assert torch.equal(found, wanted[name])
        if artefact.method == "lossless":
            assert artefact.is_exact


@pytest.mark.parametrize("value", ["nan", "-inf"])
def test_every_method_leaves_numbers_that_are_none_as_they_are(
    value: str, odd: tuple[Path, Path], compressing: MakeCompress, save_model: Any, tmp_path: Path
) -> None:
    broken = _tensors(1)
    name = f"{AT}.self_attn.v_proj.weight"
    broken[name][3, 5] = float(value)
    expert = save_model(tmp_path / "broken", broken)

    report = run(
        compressing(METHODS, base=odd[0], experts=[expert], output=tmp_path / value), JobControl()
    )

    assert any(name in warning and "NaN or infinity" in warning for warning in report.warnings)
    for artefact in report.artefacts:
        with open_checkpoint(artefact.path, base=odd[0]) as delta:
            assert isinstance(delta, DeltaCheckpoint)
            assert delta.manifest.tensors[name].codec == "lossless"
            words = delta.read(name).view(torch.int16)
            assert torch.equal(words, broken[name].view(torch.int16))


def test_each_matrix_of_a_stack_is_coded_by_itself(
    odd: tuple[Path, Path], compressing: MakeCompress
) -> None:
    name = f"{AT}.mlp.experts.gate_up_proj"
    deltas = _tensors(1)[name].float() - _tensors(0)[name].float()

    settings = ["sign", {"method": "low-rank", "options": {"rank": 1}}]
    report = run(compressing(settings, base=odd[0], experts=[odd[1]]), JobControl())

    sign, low_rank = (open_checkpoint(one.path, base=odd[0]) for one in report.artefacts)
    with sign, low_rank:
        assert isinstance(sign, DeltaCheckpoint)
        assert isinstance(low_rank, DeltaCheckpoint)
        scales = torch.from_numpy(sign.parts(name)["scale"])
        torch.testing.assert_close(scales, deltas.abs().mean(dim=(1, 2)))
        parts = low_rank.parts(name)
        assert (parts["A"].shape, parts["B"].shape) == ((3, 1, 23), (3, 19, 1))


@pytest.mark.parametrize("method", ["lossless", "sign", "impart"])
def test_a_truncated_delta_is_refused_wherever_it_ends(
    method: str, compressing: MakeCompress, rebuilding: MakeRebuild, tmp_path: Path
) -> None:
    delta = Path(run(compressing([method]), JobControl()).artefacts[0].path)
    whole = delta.read_bytes()

    for length in (0, 7, 8, 100, len(whole) // 2, len(whole) - 1):
        delta.write_bytes(whole[:length])
        with pytest.raises(AppError) as caught:
            run(rebuilding(delta), JobControl())
        assert delta.name in str(caught.value)
        assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]


def test_an_expert_that_was_cut_is_refused_before_anything_is_written(
    odd: tuple[Path, Path], compressing: MakeCompress, tmp_path: Path
) -> None:
    file = odd[1] / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1])

    with pytest.raises(AppError, match=r"model\.safetensors"):
        run(compressing(METHODS, base=odd[0], experts=[odd[1]]), JobControl())

    assert not (tmp_path / "out").exists()


def test_one_number_of_the_base_edited_later_is_noticed(
    odd: tuple[Path, Path], compressing: MakeCompress, rebuilding: MakeRebuild, save_model: Any
) -> None:
    delta = run(compressing(["sign"], base=odd[0], experts=[odd[1]]), JobControl()).artefacts[0]
    name = f"{AT}.self_attn.o_proj.weight"
    edited = _tensors(0)
    edited[name][0, 0] += 1e-3
    save_model(odd[0], edited)

    with pytest.raises(AppError, match=name):
        run(rebuilding(delta.path, base=odd[0]), JobControl())
