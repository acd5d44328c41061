"""Short fits: exact resume, schedules, losses that are not finite."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from deltaworks.errors import CancelledError, FileError, NotFiniteError
from deltaworks.progress import Event, JobControl, Measured, Progress
from deltaworks.training.loop import Fit, batches, train


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def problem(seed: int = 0) -> tuple[dict[str, torch.Tensor], torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(seed)
    tensors = {
        "w1": torch.randn(8, 5, generator=rng).requires_grad_(True),
        "w2": torch.randn(1, 8, generator=rng).requires_grad_(True),
    }
    x = torch.randn(64, 5, generator=rng)
    return tensors, x, (x[:, :1] * x[:, 1:2]).detach()


def loss_of(tensors: dict[str, torch.Tensor], x: torch.Tensor, y: torch.Tensor, seed: int = 1):  # type: ignore[no-untyped-def]
    pick = batches(len(x), 8, seed)

    def loss(step: int, part: int) -> torch.Tensor:
        rows = pick(2 * step + part)
        hidden = torch.dropout(torch.tanh(x[rows] @ tensors["w1"].T), 0.2, True)
        return ((hidden @ tensors["w2"].T - y[rows]) ** 2).mean()

    return loss


FIT = Fit(steps=20, rate=1e-2, warmup=0.1, decay="cosine", accumulate=2, save_every=5)


def test_a_run_that_was_killed_goes_on_with_the_same_bits(tmp_path: Path) -> None:
    whole, x, y = problem()
    torch.manual_seed(7)
    log = train(whole, loss_of(whole, x, y), FIT, JobControl(), folder=tmp_path / "a")
    broken, _, _ = problem()
    torch.manual_seed(7)
    control = JobControl()

    def stop(event: Event) -> None:
        if isinstance(event, Progress) and event.done == 12:
            control.cancelled.set()

    control.report = stop
    with pytest.raises(CancelledError):
        train(broken, loss_of(broken, x, y), FIT, control, folder=tmp_path / "b")
    again, _, _ = problem()
    torch.manual_seed(99)

    resumed = train(again, loss_of(again, x, y), FIT, JobControl(), folder=tmp_path / "b")

    assert all(torch.equal(whole[name], again[name]) for name in whole)
    assert resumed.losses == log.losses
    assert not (tmp_path / "b").exists()


def test_a_state_of_another_training_is_refused(tmp_path: Path) -> None:
    tensors, x, y = problem()
    control = JobControl()
    control.report = lambda event: (
        control.cancelled.set() if isinstance(event, Progress) and event.done == 6 else None
    )
    with pytest.raises(CancelledError):
        train(tensors, loss_of(tensors, x, y), FIT, control, folder=tmp_path / "a")

    with pytest.raises(FileError, match="belongs to another training"):
        train(
            tensors,
            loss_of(tensors, x, y),
            Fit(steps=30, rate=1e-2),
            JobControl(),
            folder=tmp_path / "a",
        )


def test_a_loss_that_is_not_finite_is_skipped_and_five_in_a_row_end_it() -> None:
    tensors, x, y = problem()
    good = loss_of(tensors, x, y)

    def sometimes(step: int, part: int) -> torch.Tensor:
        return good(step, part) * (math.nan if step == 3 else 1.0)  # type: ignore[no-any-return]

    log = train(tensors, sometimes, Fit(steps=8, rate=1e-3), JobControl())

    assert log.skipped == 1
    assert math.isnan(log.losses[3])
    assert all(torch.isfinite(one).all() for one in tensors.values())
    with pytest.raises(NotFiniteError, match="5 times in a row"):
        train(tensors, lambda s, p: good(s, p) * math.inf, Fit(steps=8, rate=1e-3), JobControl())


def test_the_rate_rises_and_falls_as_declared() -> None:
    fit = Fit(steps=10, rate=1.0, warmup=0.2, decay="linear", floor=0.1)

    rates = [fit.rate_at(step) for step in range(10)]

    assert rates[:3] == [0.5, 1.0, 1.0]
    assert rates[-1] == pytest.approx(0.1 + 0.9 * (1 - 7 / 8))
    assert Fit(steps=4, rate=2.0).rate_at(3) == 2.0
    cosine = Fit(steps=10, rate=1.0, decay="cosine")
    assert cosine.rate_at(5) == pytest.approx(0.5)


def test_every_epoch_holds_every_item_once_in_another_order() -> None:
    pick = batches(7, 3, seed=5)

    items = [one for number in range(7) for one in pick(number)]

    epochs = [items[at : at + 7] for at in (0, 7, 14)]
    assert all(sorted(epoch) == list(range(7)) for epoch in epochs)
    assert epochs[0] != epochs[1]
    assert batches(7, 3, seed=5)(4) == pick(4)


def test_what_is_measured_is_told_and_kept() -> None:
    tensors, x, y = problem()
    events: list[Event] = []

    log = train(
        tensors,
        loss_of(tensors, x, y),
        Fit(steps=6, rate=1e-2, measure_every=4),
        JobControl(events.append),
        measure=lambda done: {"held": float(done)},
    )

    assert log.measures == [(4, {"held": 4.0}), (6, {"held": 6.0})]
    told = [one.values["step"] for one in events if isinstance(one, Measured)]
    assert told.count(4) == 2


def test_training_lowers_the_loss() -> None:
    tensors, x, y = problem()

    log = train(tensors, loss_of(tensors, x, y), Fit(steps=150, rate=2e-2), JobControl())

    assert sum(log.losses[-10:]) < 0.8 * sum(log.losses[:10])
