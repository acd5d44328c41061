"""The router of a package."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from deltaworks.errors import FileError, OptionError
from deltaworks.progress import JobControl
from deltaworks.training.expert_router import (
    ROUTER_FILE,
    Router,
    load_router,
    prototype_router,
    train_router,
)


def _states(count: int, seed: int) -> dict[str, list[Tensor]]:
    """Prompts whose one telling token, at any place, points into the expert's direction."""
    rng = torch.Generator().manual_seed(seed)
    found: dict[str, list[Tensor]] = {}
    for place, name in enumerate(("sums", "words", "topics")):
        every = []
        for _ in range(count):
            hidden = 0.3 * torch.randn(7, 16, generator=rng)
            at = int(torch.randint(0, 7, (1,), generator=rng))
            hidden[at, place] += 4.0
            hidden[at, 9] += 4.0
            every.append(hidden)
        found[name] = every
    return found


def _right(router: Router, states: dict[str, list[Tensor]]) -> float:
    hits = [router.choose(one) == name for name, every in states.items() for one in every]
    return sum(hits) / len(hits)


def test_both_kinds_tell_experts_apart() -> None:
    trained = train_router(_states(60, 0), JobControl())
    prototype = prototype_router(_states(10, 0))

    assert _right(trained, _states(30, 1)) > 0.9
    assert _right(prototype, _states(30, 1)) > 0.9


def test_training_repeats_itself_and_shares_sum_to_one() -> None:
    one, two = (train_router(_states(20, 0), JobControl(), seed=3) for _ in range(2))

    assert np.array_equal(one.weight, two.weight)
    assert one.shares(_states(1, 5)["sums"][0]).sum() == pytest.approx(1.0)


def test_training_looks_at_the_telling_token() -> None:
    router = train_router(_states(60, 0), JobControl(), epochs=4)

    hidden = _states(1, 7)["sums"][0].numpy()
    scores = hidden @ router.query

    assert int(scores.argmax()) == int(hidden[:, 9].argmax())


def test_a_prototype_by_hand() -> None:
    states = {"a": [torch.tensor([[1.0, 0.0]])], "b": [torch.tensor([[0.0, 1.0], [0.0, 3.0]])]}

    router = prototype_router(states)

    assert router.weight.tolist() == [[1.0, 0.0], [0.0, 2.0]]
    assert router.choose(torch.tensor([[0.9, 1.0]])) == "b"
    e = np.exp(np.array([0.9, 1.0]) / np.hypot(0.9, 1.0) / 0.05)
    assert router.shares(torch.tensor([[0.9, 1.0]])) == pytest.approx(e / e.sum(), rel=1e-4)


def test_a_router_comes_back_from_its_file(tmp_path: Path) -> None:
    router = train_router(_states(5, 0), JobControl())

    router.save(tmp_path)

    found = load_router(tmp_path)
    assert (found.kind, found.experts) == (router.kind, router.experts)
    for name in ("weight", "bias", "query"):
        assert np.array_equal(getattr(found, name), getattr(router, name))
    assert found.nbytes == 4 * (3 * 16 + 3 + 16)


def test_what_is_no_router_is_refused(tmp_path: Path) -> None:
    (tmp_path / ROUTER_FILE).write_text(
        '{"kind": "trained", "experts": ["a"], "weight": [[1.0]], "bias": [1.0, 2.0], "query": [1]}'
    )

    with pytest.raises(FileError, match="is no router"):
        load_router(tmp_path)


def test_experts_without_prompts_are_refused() -> None:
    with pytest.raises(OptionError, match="'b' has no prompts"):
        prototype_router({"a": [torch.ones(1, 2)], "b": []})
    with pytest.raises(OptionError, match="at least two"):
        train_router({"a": [torch.ones(1, 2)]}, JobControl())
