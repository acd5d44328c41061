from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from deltaworks.errors import FileError, MismatchError
from deltaworks.methods.compression.lossless import METHOD, LosslessOptions, encode, restore
from deltaworks.methods.compression_record import Parts, TensorPair
from deltaworks.methods.method import TensorSpec
from deltaworks.numerics.words import dtype_name, tensor_words, words_tensor

ALL16 = np.arange(1 << 16, dtype=np.uint16)
DTYPES = [
    torch.bfloat16,
    torch.float16,
    torch.float32,
    torch.float64,
    torch.int64,
    torch.uint8,
    torch.bool,
    torch.float8_e4m3fn,
]


def _coded(base: Tensor | None, tuned: Tensor) -> tuple[Parts, TensorSpec]:
    spec = TensorSpec("w", tuple(tuned.shape))
    return encode(TensorPair(spec, base, tuned), LosslessOptions()), spec


def _size(parts: Parts) -> int:
    return sum(part.nbytes for part in parts.values())


def _same_bits(one: Tensor, two: Tensor) -> bool:
    return one.dtype == two.dtype and np.array_equal(
        tensor_words(one).reshape(-1).view(np.uint8),
        tensor_words(two).reshape(-1).view(np.uint8),
    )


@pytest.mark.parametrize("kind", ["BF16", "F16"])
@pytest.mark.parametrize("seed", [0, 1])
def test_all_16_bit_words_come_back_from_random_bases(kind: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    dtype = np.uint16 if kind == "BF16" else np.float16
    tuned = words_tensor(ALL16.view(dtype).reshape(256, 256).copy(), kind)
    base = words_tensor(rng.permutation(ALL16).view(dtype).reshape(256, 256), kind)

    for start in (base, tuned, None):
        parts, spec = _coded(start, tuned)

        assert _same_bits(restore(start, parts, spec, kind), tuned)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", [(), (1,), (0, 3), (13, 7), (2, 3, 4)])
def test_every_dtype_and_shape_comes_back(dtype: torch.dtype, shape: tuple[int, ...]) -> None:
    rng = torch.Generator().manual_seed(0)
    base = (torch.randn(shape, generator=rng) * 3).to(dtype)
    tuned = (torch.randn(shape, generator=rng) * 3).to(dtype)
    name = dtype_name(dtype)

    for start in (base, None, torch.zeros(5, 5)):
        parts, spec = _coded(start, tuned)

        assert _same_bits(restore(start, parts, spec, name), tuned)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=40), st.integers(0, 99))
def test_any_32_bit_words_come_back(words: list[int], seed: int) -> None:
    tuned = words_tensor(np.array(words, dtype=np.uint32).view(np.float32), "F32")
    base = torch.randn(len(words), generator=torch.Generator().manual_seed(seed))

    parts, spec = _coded(base, tuned)

    assert _same_bits(restore(base, parts, spec, "F32"), tuned)


def test_identical_tensors_cost_nothing() -> None:
    tuned = torch.randn(1024, 1024).bfloat16()

    parts, _ = _coded(tuned.clone(), tuned)

    assert _size(parts) < 0.001 * 2 * tuned.numel()


def test_sizes_are_those_of_the_simulation() -> None:
    rng = torch.Generator().manual_seed(0)
    base = torch.randn(2000, 2000, generator=rng) * 0.02
    tuned = base.bfloat16().float() + 0.0002 * torch.randn(2000, 2000, generator=rng)
    raw = 2 * tuned.numel()

    with_base, _ = _coded(base.bfloat16(), tuned.bfloat16())
    without, _ = _coded(None, tuned.bfloat16())

    assert _size(with_base) / raw == pytest.approx(0.314, abs=0.02)
    assert 0.65 < _size(without) / raw < 0.67  # the ideal coder of exponents: 0.659


def test_a_base_that_does_not_help_is_not_used() -> None:
    rng = torch.Generator().manual_seed(0)
    base = (torch.randn(300, 300, generator=rng) * 1e-6).bfloat16()
    tuned = (torch.randn(300, 300, generator=rng) * 0.02).bfloat16()

    parts, _ = _coded(base, tuned)

    assert _size(parts) <= _size(_coded(None, tuned)[0])


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 300), st.sampled_from(["u1", "u2", "u4"]), st.integers(0, 9))
def test_noise_never_costs_more_than_a_checksum(count: int, kind: str, seed: int) -> None:
    name, dtype = {"u1": ("U8", "u1"), "u2": ("BF16", "u2"), "u4": ("F32", "f4")}[kind]
    noise = np.random.default_rng(seed).bytes(count * np.dtype(kind).itemsize)
    tuned = words_tensor(np.frombuffer(noise, dtype=dtype).copy(), name)

    parts, _ = _coded(None, tuned)

    assert set(parts) == {"raw", "b3"}
    assert _size(parts) <= len(noise) + 64


def test_any_flipped_bit_is_noticed() -> None:
    rng = torch.Generator().manual_seed(0)
    base = torch.randn(40, 30, generator=rng).bfloat16()
    tuned = (base.float() + 0.01 * torch.randn(40, 30, generator=rng)).bfloat16()
    parts, spec = _coded(base, tuned)

    for name, part in parts.items():
        flat = part.view(np.uint8)
        for place in range(0, len(flat), max(1, len(flat) // 40)):
            broken = flat.copy()
            broken[place] ^= 0x04
            try:
                restored = restore(base, parts | {name: broken.view(part.dtype)}, spec, "BF16")
            except FileError:
                continue
            assert _same_bits(restored, tuned)


def test_truncated_parts_are_refused() -> None:
    base = torch.zeros(64, 64).bfloat16()
    tuned = torch.randn(64, 64).mul(0.01).bfloat16()
    parts, spec = _coded(base, tuned)

    for name in parts:
        with pytest.raises(FileError):
            restore(base, parts | {name: parts[name][:-1]}, spec, "BF16")


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
@pytest.mark.parametrize(("rows", "base_rows"), [(40, 32), (32, 40), (33, 32), (1, 2)])
def test_a_base_of_other_rows_serves_those_that_both_have(
    dtype: torch.dtype, rows: int, base_rows: int
) -> None:
    rng = torch.Generator().manual_seed(rows)
    base = torch.randn(base_rows, 64, generator=rng).to(dtype)
    tuned = torch.randn(rows, 64, generator=rng).to(dtype)
    common = min(rows, base_rows)
    tuned[:common] = (base[:common].float() * 1.0001).to(dtype)

    parts, spec = _coded(base, tuned)
    alone, _ = _coded(None, tuned)

    assert _same_bits(restore(base, parts, spec, dtype_name(dtype)), tuned)
    assert _size(parts) < _size(alone)


def test_a_base_of_another_vocabulary_is_refused() -> None:
    base = torch.randn(8, 64).bfloat16()
    tuned = torch.cat([base, torch.ones(2, 64).bfloat16()])
    longer, long_spec = _coded(base, tuned)
    whole, spec = _coded(base, base.clone())

    assert any(name.startswith("rest_") for name in longer)
    with pytest.raises(MismatchError, match=r"BF16 \[10, 64\] where BF16 \[10, 64\]"):
        restore(tuned, longer, long_spec, "BF16")
    with pytest.raises(MismatchError, match=r"BF16 \[4, 64\] where BF16 \[8, 64\]"):
        restore(base[:4], whole, spec, "BF16")
    with pytest.raises(FileError):
        restore(base[:4], longer, long_spec, "BF16")
    with pytest.raises(MismatchError, match=r"BF16 \[8, 32\]"):
        restore(base[:, :32], longer, long_spec, "BF16")


def test_another_base_is_refused() -> None:
    base = torch.randn(32, 32).bfloat16()
    tuned = (base.float() * 1.001).bfloat16()
    parts, spec = _coded(base, tuned)
    assert "z_hi" in parts

    with pytest.raises(FileError, match="checksum"):
        restore(base + 1, parts, spec, "BF16")
    with pytest.raises(MismatchError, match="is missing"):
        restore(None, parts, spec, "BF16")
    with pytest.raises(MismatchError, match=r"F32 \[32, 32\]"):
        restore(base.float(), parts, spec, "BF16")


def test_restored_tensors_can_be_written_to() -> None:
    tuned = torch.randn(300).to(torch.float64)
    parts, spec = _coded(None, tuned)

    restored = restore(None, parts, spec, "F64")
    restored += 1

    assert torch.equal(restored, tuned + 1)


def test_more_effort_gives_the_same_tensor() -> None:
    tuned = torch.randn(100, 100).bfloat16()
    pair = TensorPair(TensorSpec("w", (100, 100)), None, tuned)

    parts = encode(pair, LosslessOptions(level=12))

    assert _same_bits(restore(None, parts, pair.spec, "BF16"), tuned)
    assert METHOD.payload_bits(parts, pair.spec, LosslessOptions()) <= 8 * _size(parts)
