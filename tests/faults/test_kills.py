"""Processes killed at any moment: no damaged file has a final name, and the job goes on."""

from __future__ import annotations

import os
import random
from collections import Counter
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.faults.conftest import Lab

pytestmark = pytest.mark.skipif(os.name == "nt", reason="kills a process as POSIX does")

KINDS = (
    "merge linear",
    "merge ties, shards",
    "merge dare-ties",
    "compress",
    "compress dare",
    "compress lossless",
    "rebuild",
)


def kill(lab: Lab, kind: str, dice: random.Random, *, resume: bool) -> bool:
    """Run a job and kill it somewhere; False when it was done before its time came."""
    _, moments, seconds = lab.whole(kind)
    if dice.random() < 0.5:
        fault = {"kind": "die", "at": dice.randint(1, moments)}
        ended = lab.run(kind, resume=resume, fault=fault)
    else:
        ended = lab.run(kind, resume=resume, kill_after=dice.uniform(0.0, 1.1 * seconds))
    assert ended["outcome"] in {"killed", "done"}, ended
    return bool(ended["outcome"] == "killed")


def campaign(lab: Lab, kind: str, n_kills: int, dice: random.Random, counts: Counter[str]) -> None:
    """Kill until it happened so many times; resume, sometimes killed again; compare."""
    whole = lab.whole(kind)[0]
    done = 0
    while done < n_kills:
        lab.clear()
        n_now = 0
        # A kill may come when all is done: then there is nothing to go on with.
        while n_now < 3 and lab.files() != whole and kill(lab, kind, dice, resume=n_now > 0):
            n_now += 1
            assert lab.damaged(kind) == []
            if dice.random() < 0.6:
                break
        if lab.files() != whole:
            ended = lab.run(kind, resume=True)
            assert ended["outcome"] == "done", ended
        assert lab.files() == whole
        done += n_now
        counts[f"kills of {kind}, resumed to the same bytes"] += n_now


@pytest.mark.parametrize("kind", KINDS)
def test_a_killed_job_goes_on_to_the_same_bytes(
    lab: Lab, kind: str, dice: random.Random, counts: Counter[str]
) -> None:
    campaign(lab, kind, 2, dice, counts)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("kind", KINDS)
def test_many_kills(lab: Lab, kind: str, dice: random.Random, counts: Counter[str]) -> None:
    campaign(lab, kind, 40, dice, counts)


def test_the_kinds_are_all_there_are(lab: Lab) -> None:
    assert lab.kinds == KINDS
