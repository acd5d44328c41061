"""Lossless: the fine-tuned tensor bit for bit, from the base and what differs.

Source: our design after FM-Delta (NeurIPS 2024) for the order-preserving map and ZipLLM
(arXiv:2505.06252) for byte planes under zstd. Floats become integers in the order of
their values; the zigzag difference of two close models has mostly empty high bytes.
Without a base, exponents and the rest are compressed apart, as ZipNN does
(arXiv:2411.05239). A base with fewer or more rows, as after a change of the vocabulary,
serves the rows that both have; further rows are coded as without a base. On request,
differences are entropy-coded in classes of size with the base's exponent as context.
"""

from __future__ import annotations

from functools import partial
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from deltaworks.errors import FileError, MismatchError
from deltaworks.methods.compression.difference_classes import code_difference, decode_difference
from deltaworks.methods.compression.parts import damaged, take
from deltaworks.methods.compression_record import CompressionMethod
from deltaworks.numerics.byte_coding import PLANES, Bytes, DamagedError, expand, squeeze
from deltaworks.numerics.byte_planes import rotate, rotate_back
from deltaworks.numerics.integer_delta import add_zigzag, zigzag_delta
from deltaworks.numerics.matrices import as_stack
from deltaworks.numerics.plane_coding import Coded, Step, code_planes, decode_planes
from deltaworks.numerics.words import NUMPY_DTYPE, dtype_name, tensor_words, words_tensor
from deltaworks.options import Options, option

if TYPE_CHECKING:
    from torch import Tensor

    from deltaworks.methods.compression_record import Parts, TensorPair
    from deltaworks.methods.method import TensorSpec

    Words = np.ndarray[Any, Any]

_PLANED: dict[str, np.dtype[Any]] = {
    "F16": np.dtype("<u2"),
    "BF16": np.dtype("<u2"),
    "F32": np.dtype("<u4"),
}
_ROTATED = {"BF16", "F32"}
_GOOD_ENOUGH = 0.6
_CHECK_BYTES = 8
_CHECK, _OLD_CHECK = "b3", "check"
_BYTES = 3
"""Least zstd level for bytes of which nothing is known."""
_REST = "rest"
_PLANE_NAMES = {2: ("lo", "hi"), 4: ("0", "1", "2", "3")}


class LosslessOptions(Options):
    """Options of lossless storage."""

    level: int = option(
        PLANES,
        ge=PLANES,
        le=19,
        title="Effort",
        help="1 is made for differences of weights and mostly the best; others are zstd's "
        "levels, slower, and smaller only where weights repeat.",
        advanced=True,
        sweepable=True,
    )
    coding: Literal["planes", "classes"] = option(
        "planes",
        title="Coding of differences",
        help="Bytes apart, or classes of size that depend on how large the weight was: a tenth "
        "to two thirds smaller, several times slower.",
        sweepable=True,
        labels={"planes": "Bytes (fast)", "classes": "Classes by exponent (smaller)"},
    )


def encode(pair: TensorPair, options: LosslessOptions) -> Parts:
    """Store what is needed beside the base; never more than the raw bytes and a checksum."""
    dtype = dtype_name(pair.tuned.dtype)
    words = tensor_words(pair.tuned).reshape(-1)
    raw = np.ascontiguousarray(words).view(np.uint8)
    best = _planes_of(words, _base_words(pair, dtype), dtype, options)
    if best is None or _size(best) >= len(raw):
        best = _named("raw", squeeze(raw, max(options.level, _BYTES)))
    return best | {_CHECK: _check(raw)}


def _base_words(pair: TensorPair, dtype: str) -> Words | None:
    """Words of the base when it is the same kind of tensor, perhaps of other rows."""
    if pair.base is None or dtype not in _PLANED:
        return None
    if pair.base.dtype != pair.tuned.dtype or not _have_rows_alike(pair.base, pair.spec):
        return None
    return tensor_words(pair.base).reshape(-1)


def _have_rows_alike(base: Tensor, spec: TensorSpec) -> bool:
    """Whether two tensors differ in their first axis at most."""
    return base.ndim == len(spec.shape) and tuple(base.shape[1:]) == spec.shape[1:]


def _planes_of(
    words: Words, base: Words | None, dtype: str, options: LosslessOptions
) -> Parts | None:
    """Code the difference; code the tensor by itself where there is none or it is large."""
    if dtype not in _PLANED:
        return None
    plain = words.view(_PLANED[dtype])
    best: Parts | None = None
    if base is not None:
        common = min(len(base), len(plain))
        old = base[:common].view(_PLANED[dtype])
        best = _difference(old, plain[:common], dtype, options)
        if common < len(plain):
            best |= _alone(_REST, plain[common:], dtype, options.level)
        if _size(best) <= _GOOD_ENOUGH * words.nbytes:
            return best
    alone = _alone("w", plain, dtype, options.level)
    return alone if best is None or _size(alone) < _size(best) else best


def _difference(old: Words, new: Words, dtype: str, options: LosslessOptions) -> Parts:
    """Code a difference as asked; as bytes all the same where that is smaller."""

    def give(span: slice, out: Words) -> None:
        zigzag_delta(old[span], new[span], out)

    planes = _coded("z", give, len(new), new.dtype, options.level)
    if options.coding == "planes":
        return planes
    classes = code_difference(zigzag_delta(old, new), old, dtype)
    return min(classes, planes, key=_size)


def _alone(prefix: str, words: Words, dtype: str, level: int) -> Parts:
    """Code words without a base."""

    def give(span: slice, out: Words) -> None:
        if dtype in _ROTATED:
            rotate(words[span], out)
        else:
            out[:] = words[span]

    return _coded(prefix, give, len(words), words.dtype, level)


def _coded(prefix: str, give: Step, count: int, kind: np.dtype[Any], level: int) -> Parts:
    parts: Parts = {}
    planes = code_planes(give, count, kind, level)
    for name, plane in zip(_PLANE_NAMES[kind.itemsize], planes, strict=True):
        parts |= _named(f"{prefix}_{name}", plane)
    return parts


def _named(name: str, coded: Coded) -> Parts:
    blob, offsets = coded
    return {name: blob} if offsets is None else {name: blob, f"{name}_off": offsets}


def _size(parts: Parts) -> int:
    return sum(part.nbytes for part in parts.values())


def _check(raw: Bytes) -> Bytes:
    from blake3 import blake3

    return np.frombuffer(blake3(raw.data).digest(_CHECK_BYTES), dtype=np.uint8).copy()


def _is_right(raw: Bytes, parts: Parts, spec: TensorSpec) -> bool:
    """Compare the checksum; older files hold one of another kind."""
    if _OLD_CHECK in parts:
        digest = blake2b(raw.data, digest_size=_CHECK_BYTES).digest()
        check, name = np.frombuffer(digest, dtype=np.uint8), _OLD_CHECK
    else:
        check, name = _check(raw), _CHECK
    return np.array_equal(check, take(parts, name, np.uint8, (_CHECK_BYTES,), spec))


def restore(base: Tensor | None, parts: Parts, spec: TensorSpec, dtype: str) -> Tensor:
    """Rebuild the fine-tuned tensor.

    Args:
        base: as stored; None when the base has no such tensor.
        parts: as stored.
        spec: of the fine-tuned tensor.
        dtype: safetensors name of the fine-tuned tensor.

    Returns:
        A new tensor, bit for bit the one that was encoded.

    Raises:
        MismatchError: the base that is needed is missing or of another kind.
        FileError: the parts are damaged, or the base is not the one they were made from.
    """
    n_elements = as_stack(spec.shape).n_elements
    words = _rebuilt(base, parts, spec, dtype, n_elements)
    raw = words.view(np.uint8)
    if not _is_right(raw, parts, spec):
        raise FileError(
            "the rebuilt tensor does not have its recorded checksum",
            where=spec.name,
            fix="Check that this is the base the delta was made from; else the file is damaged",
        )
    return words_tensor(words.view(NUMPY_DTYPE[dtype]).reshape(spec.shape), dtype)


def _rebuilt(
    base: Tensor | None, parts: Parts, spec: TensorSpec, dtype: str, n_elements: int
) -> Words:
    if "raw" in parts:
        n_bytes = n_elements * NUMPY_DTYPE[dtype].itemsize
        return _expanded(parts, "raw", n_bytes, spec).copy()
    kind = _PLANED.get(dtype)
    if kind is None:
        raise damaged(spec, f"it is coded as planes but its dtype is {dtype}")
    words = np.empty(n_elements, dtype=kind)
    has_planes = f"z_{_PLANE_NAMES[kind.itemsize][0]}" in parts
    if not has_planes and "k_cls" not in parts:
        _fill_alone(parts, "w", words, dtype, spec)
        return words
    old = _base_needed(base, parts, spec, dtype).view(kind)[:n_elements]
    common = words[: len(old)]
    if has_planes:
        _fill(parts, "z", common, partial(_add, old, common), spec)
    else:
        add_zigzag(old, decode_difference(parts, old, dtype, spec), common)
    if len(old) < n_elements:
        _fill_alone(parts, _REST, words[len(old) :], dtype, spec)
    return words


def _add(old: Words, new: Words, span: slice, zigzag: Words) -> None:
    add_zigzag(old[span], zigzag, new[span])


def _fill_alone(parts: Parts, prefix: str, words: Words, dtype: str, spec: TensorSpec) -> None:
    """Decode words that were coded without a base."""

    def take_piece(span: slice, piece: Words) -> None:
        if dtype in _ROTATED:
            rotate_back(piece, words[span])
        else:
            words[span] = piece

    _fill(parts, prefix, words, take_piece, spec)


def _fill(parts: Parts, prefix: str, words: Words, step: Step, spec: TensorSpec) -> None:
    names = [f"{prefix}_{name}" for name in _PLANE_NAMES[words.dtype.itemsize]]
    try:
        coded = [_plane(parts, name, spec) for name in names]
        decode_planes(coded, step, len(words), words.dtype)
    except DamagedError as error:
        raise damaged(spec, f"the planes '{prefix}': one {error}") from error


def _base_needed(base: Tensor | None, parts: Parts, spec: TensorSpec, dtype: str) -> Words:
    """Give the words of a base that the parts can have been made from."""
    what = "is missing"
    if base is not None:
        what = f"is {dtype_name(base.dtype)} {list(base.shape)}"
        is_alike = dtype_name(base.dtype) == dtype and _have_rows_alike(base, spec)
        is_shorter = is_alike and tuple(base.shape[:1]) < spec.shape[:1]
        if is_alike and is_shorter == any(name.startswith(_REST) for name in parts):
            return tensor_words(base).reshape(-1)
    raise MismatchError(
        f"the base tensor {what} where {dtype} {list(spec.shape)} is needed",
        where=spec.name,
        fix="Choose the base that the delta was made from",
    )


def _expanded(parts: Parts, name: str, count: int, spec: TensorSpec) -> Bytes:
    try:
        return expand(*_plane(parts, name, spec), count)
    except DamagedError as error:
        raise damaged(spec, f"part '{name}' {error}") from error


def _plane(parts: Parts, name: str, spec: TensorSpec) -> Coded:
    blob = take(parts, name, np.uint8, (-1,), spec)
    if f"{name}_off" not in parts:
        return blob, None
    return blob, take(parts, f"{name}_off", np.int64, (-1,), spec)


def stored_bits(shape: tuple[int, ...], options: LosslessOptions) -> float:  # noqa: ARG001
    """Guess: half of 16 bits a weight. What it will be depends on the numbers alone."""
    return 8.0 * as_stack(shape).n_elements + 8 * _CHECK_BYTES


def payload_bits(parts: Parts, spec: TensorSpec, options: LosslessOptions) -> float:  # noqa: ARG001
    """Bits of the coded bytes, without offsets, tables and checksum."""
    beside = ("_off", "_tab", _CHECK, _OLD_CHECK)
    codes = (part.nbytes for name, part in parts.items() if not name.endswith(beside))
    return 8.0 * sum(codes)


METHOD = CompressionMethod(
    id="lossless",
    title="Lossless",
    family="compression",
    summary="Gives the fine-tuned model back bit for bit; smallest when it moved little.",
    source="After FM-Delta (NeurIPS 2024), ZipLLM arXiv:2505.06252, ZipNN arXiv:2411.05239",
    options=LosslessOptions,
    evidence="Our own combination of published building blocks; exact by construction and check.",
    encode=encode,
    restore=restore,
    stored_bits=stored_bits,
    payload_bits=payload_bits,
)
