from __future__ import annotations

import threading

import numpy as np
import pytest

from deltaworks.numerics.recent import remembers_last


def test_only_the_last_array_of_a_thread_is_given_again() -> None:
    calls: list[int] = []

    @remembers_last
    def drawn(count: int) -> np.ndarray:
        calls.append(count)
        return np.arange(count)

    first = drawn(3)
    assert drawn(3) is first
    with pytest.raises(ValueError, match="read-only"):
        first[0] = 1
    assert drawn(4).tolist() == [0, 1, 2, 3]
    assert drawn(3).tolist() == [0, 1, 2]
    thread = threading.Thread(target=drawn, args=(3,))
    thread.start()
    thread.join()

    assert calls == [3, 4, 3, 3]
