"""Lossless storage with differences in classes of size."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from deltaworks.errors import FileError, MismatchError
from deltaworks.methods.compression import difference_classes
from deltaworks.methods.compression.difference_classes import (
    code_difference,
    decode_difference,
    exponents,
)
from deltaworks.methods.compression.lossless import METHOD, LosslessOptions, encode, restore
from deltaworks.methods.compression_record import Parts, TensorPair
from deltaworks.methods.method import TensorSpec
from deltaworks.numerics.words import dtype_name, tensor_words, words_tensor

ALL16 = np.arange(1 << 16, dtype=np.uint16)
CLASSES = LosslessOptions(coding="classes")
NAMES = {"k_tab", "k_cls", "k_low", "k_off", "b3"}


def _coded(base: Tensor | None, tuned: Tensor) -> tuple[Parts, TensorSpec]:
    spec = TensorSpec("w", tuple(tuned.shape))
    return encode(TensorPair(spec, base, tuned), CLASSES), spec


def _size(parts: Parts) -> int:
    return sum(part.nbytes for part in parts.values())


def _same_bits(one: Tensor, two: Tensor) -> bool:
    return one.dtype == two.dtype and np.array_equal(
        tensor_words(one).reshape(-1).view(np.uint8), tensor_words(two).reshape(-1).view(np.uint8)
    )


def _update(share: float, count: int = 2000) -> tuple[Tensor, Tensor]:
    rng = torch.Generator().manual_seed(0)
    base = (torch.randn(count, count, generator=rng) * 0.02).bfloat16()
    noise = torch.randn(count, count, generator=rng)
    return base, (base.float() + 0.02 * share * noise).bfloat16()


@pytest.mark.parametrize("kind", ["BF16", "F16"])
def test_all_16_bit_words_come_back_from_random_bases(kind: str) -> None:
    rng = np.random.default_rng(0)
    dtype = np.uint16 if kind == "BF16" else np.float16
    base, tuned = rng.permutation(ALL16), ALL16

    parts = code_difference(tuned, base, kind)

    assert np.array_equal(decode_difference(parts, base, kind, TensorSpec("w", ())), tuned)
    tensors = [words_tensor(one.view(dtype).copy(), kind) for one in (base, tuned)]
    whole, spec = _coded(*tensors)
    assert _same_bits(restore(tensors[0], whole, spec, kind), tensors[1])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.int64])
@pytest.mark.parametrize("shape", [(), (1,), (0, 3), (13, 7), (2, 30, 40)])
def test_every_dtype_and_shape_comes_back(dtype: torch.dtype, shape: tuple[int, ...]) -> None:
    rng = torch.Generator().manual_seed(0)
    base = (torch.randn(shape, generator=rng) * 3).to(dtype)
    tuned = (base.float() + 0.01 * torch.randn(shape, generator=rng)).to(dtype)

    for start in (base, None, torch.zeros(5, 5)):
        parts, spec = _coded(start, tuned)

        assert _same_bits(restore(start, parts, spec, dtype_name(dtype)), tuned)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 2**32 - 1), max_size=40), st.integers(0, 99))
def test_any_32_bit_differences_come_back(words: list[int], seed: int) -> None:
    zigzag = np.array(words, dtype=np.uint32)
    base = np.random.default_rng(seed).integers(0, 2**32, len(words), dtype=np.uint32)

    parts = code_difference(zigzag, base, "F32")

    assert np.array_equal(decode_difference(parts, base, "F32", TensorSpec("w", ())), zigzag)


@pytest.mark.parametrize(("share", "size"), [(0.0005, 0.031), (0.01, 0.241), (0.05, 0.389)])
def test_sizes_come_near_the_bound_of_the_simulation(share: float, size: float) -> None:
    base, tuned = _update(share)

    parts, spec = _coded(base, tuned)

    assert set(parts) == NAMES
    assert _size(parts) / (2 * tuned.numel()) == pytest.approx(size, abs=0.012)
    assert _same_bits(restore(base, parts, spec, "BF16"), tuned)


@pytest.mark.parametrize("share", [0.0, 0.001, 0.1, 100.0])
@pytest.mark.parametrize("count", [1, 12, 150])
def test_they_are_never_larger_than_bytes(share: float, count: int) -> None:
    base, tuned = _update(share, count)
    pair = TensorPair(TensorSpec("w", tuple(tuned.shape)), base, tuned)

    assert _size(encode(pair, CLASSES)) <= _size(encode(pair, LosslessOptions()))


def test_identical_tensors_cost_nothing() -> None:
    tuned = torch.randn(1024, 1024).bfloat16()

    parts, _ = _coded(tuned.clone(), tuned)

    assert _size(parts) < 0.001 * 2 * tuned.numel()


def test_a_grown_vocabulary_comes_back() -> None:
    base, tuned = _update(0.01, 200)

    parts, spec = _coded(base[:150], tuned)

    assert "k_cls" in parts
    assert "rest_hi" in parts
    assert _same_bits(restore(base[:150], parts, spec, "BF16"), tuned)


def test_several_pieces_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(difference_classes, "PIECE", 7000)
    base, tuned = _update(0.01, 150)

    parts, spec = _coded(base, tuned)

    assert parts["k_off"].shape == (4, 3)
    assert _same_bits(restore(base, parts, spec, "BF16"), tuned)


def test_any_flipped_bit_is_noticed() -> None:
    base, tuned = _update(0.01, 100)
    parts, spec = _coded(base, tuned)
    assert set(parts) == NAMES

    for name, part in parts.items():
        flat = np.ascontiguousarray(part).reshape(-1).view(np.uint8)
        for place in range(0, len(flat), max(1, len(flat) // 40)):
            broken = flat.copy()
            broken[place] ^= 0x04
            changed = broken.view(part.dtype).reshape(part.shape)
            try:
                restored = restore(base, parts | {name: changed}, spec, "BF16")
            except FileError:
                continue
            assert _same_bits(restored, tuned)


def test_truncated_and_missing_parts_are_refused() -> None:
    base, tuned = _update(0.01, 100)
    parts, spec = _coded(base, tuned)

    for name in parts:
        with pytest.raises(FileError):
            restore(base, parts | {name: parts[name][:-1]}, spec, "BF16")
        with pytest.raises(FileError):
            restore(base, {one: parts[one] for one in parts if one != name}, spec, "BF16")


def test_another_base_is_refused() -> None:
    base, tuned = _update(0.01, 100)
    parts, spec = _coded(base, tuned)

    with pytest.raises(FileError, match=r"^w: "):
        restore(base + 1, parts, spec, "BF16")
    with pytest.raises(MismatchError, match="is missing"):
        restore(None, parts, spec, "BF16")


def test_exponents_are_those_of_the_format() -> None:
    values = torch.tensor([1.0, -2.0, 0.5, 0.0, -3.0])

    for dtype, bias in ((torch.bfloat16, 127), (torch.float16, 15), (torch.float32, 127)):
        words = tensor_words(values.to(dtype))
        words = words.view(np.dtype(f"u{words.itemsize}"))

        found = exponents(words, dtype_name(dtype))

        assert found.tolist() == [bias, bias + 1, bias - 1, 0, bias + 1]


def test_tables_are_no_payload() -> None:
    base, tuned = _update(0.01, 100)
    parts, spec = _coded(base, tuned)

    bits = METHOD.payload_bits(parts, spec, CLASSES)

    assert bits == 8 * (len(parts["k_cls"]) + len(parts["k_low"]))
