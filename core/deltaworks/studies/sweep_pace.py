"""How far a sweep is, and where its time went."""

from __future__ import annotations

import time

from deltaworks.engine.plan_types import Plan
from deltaworks.progress import Progress

_REFERENCE_PASSES = 2
"""Measurements of an expert before its first trial: itself and the base."""


class Ladder:
    """Bytes of work done at each step of a sweep.

    They are the compression's own, then one pass over the expert for every measurement.
    """

    def __init__(self, plan: Plan, n_experts: int, *, has_data: bool) -> None:
        per_expert = [0] * n_experts
        for item in plan.items:
            place = int(item.id.split("/", 1)[0])
            per_expert[place] += item.read_bytes + item.write_bytes
        self._compress = per_expert
        n_trials = len(plan.outputs) // n_experts
        self._pass = plan.original_bytes // n_experts if has_data else 0
        self._measure = self._pass * (_REFERENCE_PASSES + n_trials)
        self.total = sum(per_expert) + n_experts * self._measure

    def start(self, place: int) -> int:
        """Before an expert is compressed."""
        return sum(self._compress[:place]) + place * self._measure

    def references(self, place: int) -> int:
        """Before an expert and its base are measured."""
        return self.start(place) + self._compress[place]

    def trial(self, place: int, step: int) -> int:
        """Before one of its trials is measured."""
        return self.references(place) + (_REFERENCE_PASSES + step) * self._pass

    def end(self, place: int) -> int:
        """After an expert."""
        return self.start(place + 1)

    def at_end(self) -> Progress:
        """All of it."""
        return Progress(self.total, self.total, "done")


class Clock:
    """Adds the time inside it to a stage."""

    def __init__(self, seconds: dict[str, float], stage: str) -> None:
        self._seconds, self._stage = seconds, stage

    def __enter__(self) -> None:
        self._started = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        spent = time.perf_counter() - self._started
        self._seconds[self._stage] = self._seconds.get(self._stage, 0.0) + spent
