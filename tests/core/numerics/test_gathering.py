from __future__ import annotations

import numpy as np
import pytest

from deltaworks.numerics.gathering import gather, scatter


@pytest.mark.parametrize("count", [0, 1, 1000, (1 << 16) + 3, 3 << 16])
@pytest.mark.parametrize("share", [0.0, 0.1, 1.0])
def test_what_a_mask_keeps_comes_out_and_goes_back(count: int, share: float) -> None:
    rng = np.random.default_rng(0)
    values = rng.standard_normal(count).astype(np.float32)
    mask = rng.random(count) < share
    out = np.full(count, 7, dtype=np.float32)

    kept = gather(values, mask)
    scatter(kept, mask, out)

    assert np.array_equal(kept, values[mask])
    assert np.array_equal(out, np.where(mask, values, 7))
