from __future__ import annotations

from typing import Any

import numpy as np
import torch

from deltaworks.methods.compression.ultradelta import (
    METHOD,
    UltraDeltaOptions,
    decode,
    encode,
    kept_of_each,
)
from deltaworks.methods.compression_record import TensorPair
from deltaworks.methods.method import TensorSpec


def test_hand_computed_case(round_trip: Any) -> None:
    delta = torch.tensor([[-1.0, 0.0, 1.0, 2.0], [2.0, -1.0, 0.1, 0.9]])

    parts, decoded = round_trip(METHOD, delta, drop_rate=0.0, bits=2)

    assert parts["range"].tolist() == [[-1.0, 2.0]]
    assert decoded.tolist() == [[-1.0, 0.0, 1.0, 2.0], [2.0, -1.0, 0.0, 1.0]]


def test_of_every_value_the_same_share_is_kept() -> None:
    codes = np.repeat(np.arange(4, dtype=np.uint8), [100, 40, 10, 1])
    words = np.random.Generator(np.random.Philox(1)).integers(0, 2**63, len(codes), np.uint64)

    mask = kept_of_each(codes, words, 0.3)

    assert np.bincount(codes[mask], minlength=4).tolist() == [30, 12, 3, 0]
    for code in range(4):
        mine = codes == code
        kept, dropped = words[mine & mask], words[mine & ~mask]
        assert not len(kept) or not len(dropped) or kept.max() < dropped.min()


def test_what_is_kept_is_scaled_up(round_trip: Any, gaussian: Any) -> None:
    delta = gaussian(64, 64)

    _, decoded = round_trip(METHOD, delta, drop_rate=0.75, bits=8)

    kept = decoded != 0
    step = float(delta.max() - delta.min()) / 255
    assert abs(float(kept.float().mean()) - 0.25) < 0.03
    assert float((decoded[kept] / 4 - delta[kept]).abs().max()) <= 0.51 * step


def test_the_mean_over_seeds_is_the_rounded_change() -> None:
    delta = torch.linspace(-1.0, 1.0, 64).view(8, 8).repeat(4, 1)
    options = UltraDeltaOptions(drop_rate=0.75, bits=3)
    whole = UltraDeltaOptions(drop_rate=0.0, bits=3)

    def decoded(seed: int, chosen: UltraDeltaOptions) -> torch.Tensor:
        pair = TensorPair(TensorSpec("w", (32, 8), seed), torch.zeros(32, 8), delta)
        return decode(encode(pair, chosen), pair.spec, chosen)

    found = torch.stack([decoded(seed, options) for seed in range(2000)])

    wanted = decoded(0, whole)
    error = found.std(dim=0) / 2000**0.5
    # 256 entries: the largest of as many deviations stays below five standard errors.
    assert bool(((found.mean(dim=0) - wanted).abs() <= 5 * error + 1e-6).all())


def test_a_slow_decoder_gives_the_same(round_trip: Any, gaussian: Any) -> None:
    parts, decoded = round_trip(METHOD, gaussian(9, 31), drop_rate=0.5, bits=4)

    bits = np.unpackbits(parts["q"], bitorder="little").reshape(-1, 4)
    codes = [int(sum(bit << place for place, bit in enumerate(one))) for one in bits]
    low, high = parts["range"][0].astype(float)
    values = iter(codes)
    for value in decoded.reshape(-1).tolist():
        if value != 0.0:
            assert abs(value - 2 * (low + next(values) * (high - low) / 15)) < 1e-6
