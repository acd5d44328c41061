from __future__ import annotations

from math import sqrt

import numpy as np
import pytest

from deltaworks.numerics.draws import drawn_bits, draws_for, odds

COUNT = 200_001


def _mask(seed: int = 0, name: str = "w", chance: float = 0.3, stream: str = "") -> np.ndarray:
    bits = drawn_bits(seed, name, COUNT, chance, stream)
    return np.unpackbits(bits, count=COUNT, bitorder="little").astype(bool)


def test_the_stream_is_the_same_for_ever() -> None:
    assert draws_for(7, "layer", "a").words(6).tolist() == [17542, 9116, 35839, 39083, 27912, 20374]


def test_seed_name_and_stream_each_decide() -> None:
    same, *others = _mask(), _mask(seed=1), _mask(name="v"), _mask(stream="s")

    assert np.array_equal(same, _mask())
    for other in others:
        assert abs(np.mean(same & other) - 0.09) < 0.01


@pytest.mark.parametrize("chance", [0.001, 0.3, 0.5, 0.97])
def test_the_share_is_the_chance(chance: float) -> None:
    share = _mask(chance=chance).mean()

    assert abs(share - chance) < 4 * sqrt(chance * (1 - chance) / COUNT) + 1 / 65_536


def test_neighbours_are_independent() -> None:
    mask = _mask(chance=0.5)

    for lag in (1, 2, 3, 4):
        assert abs(np.mean(mask[lag:] ^ mask[:-lag]) - 0.5) < 0.006


def test_no_chance_is_certain() -> None:
    assert odds(np.array([1e-9, 1 - 1e-9])).tolist() == [1, 65_535]
