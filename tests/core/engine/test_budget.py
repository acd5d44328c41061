from __future__ import annotations

import threading

from deltaworks.engine.budget import ByteBudget


def test_bytes_are_granted_up_to_the_limit() -> None:
    budget, stop = ByteBudget(100), threading.Event()

    assert budget.take(60, stop)
    assert budget.take(40, stop)

    assert budget.peak == 100


def test_a_request_waits_for_bytes_to_be_given_back() -> None:
    budget, stop, granted = ByteBudget(100), threading.Event(), threading.Event()
    budget.take(60, stop)
    waiting = threading.Thread(target=lambda: granted.set() if budget.take(60, stop) else None)
    waiting.start()

    assert not granted.wait(0.05)
    budget.give_back(60)

    assert granted.wait(2.0)
    waiting.join()
    assert budget.peak == 60


def test_a_request_above_the_limit_runs_alone() -> None:
    budget, stop, granted = ByteBudget(100), threading.Event(), threading.Event()

    assert budget.take(500, stop)
    waiting = threading.Thread(target=lambda: granted.set() if budget.take(1, stop) else None)
    waiting.start()

    assert not granted.wait(0.05)
    budget.give_back(500)
    assert granted.wait(2.0)
    waiting.join()


def test_a_stop_ends_the_wait() -> None:
    budget, stop = ByteBudget(100), threading.Event()
    budget.take(100, stop)
    answers: list[bool] = []
    waiting = threading.Thread(target=lambda: answers.append(budget.take(1, stop)))
    waiting.start()

    stop.set()

    waiting.join(2.0)
    assert answers == [False]
