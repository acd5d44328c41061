"""How long a job still takes, from how fast it lately was."""

from __future__ import annotations

from collections import deque

WINDOW_S = 30.0
SHOWN_AFTER_S = 5.0
SHOWN_AFTER_SHARE = 0.03
_BOUNDS = (0.5, 2.0)


class RemainingTime:
    """Remaining seconds of one job from its rate over the last 30 s of running.

    Args:
        bias: real time over first estimate of past jobs of this kind; 1 when unknown.
    """

    def __init__(self, bias: float = 1.0) -> None:
        self._bias = bias
        self._points: deque[tuple[float, float]] = deque()
        self.first_total: float | None = None
        """Seconds that the whole job was first thought to take, before the bias."""

    def update(self, running_seconds: float, share: float) -> float | None:
        """Note that ``share`` of the work was done after so many seconds of running.

        Returns:
            Seconds left; None before 5 s and 3 %, or while nothing moves.
        """
        self._points.append((running_seconds, share))
        while len(self._points) > 2 and running_seconds - self._points[1][0] >= WINDOW_S:
            self._points.popleft()
        if running_seconds < SHOWN_AFTER_S and share < SHOWN_AFTER_SHARE:
            return None
        start, before = self._points[0]
        if share <= before or running_seconds <= start:
            return None
        left = (1.0 - share) * (running_seconds - start) / (share - before)
        if self.first_total is None:
            self.first_total = running_seconds + left
        # Past jobs speak for the part that is not seen yet, so their word fades to the end.
        return left * (1.0 + (self._bias - 1.0) * (1.0 - share))


class RunningClock:
    """How long one job has really run, without waiting and pauses.

    Args:
        remaining: what it says of the rest.
    """

    def __init__(self, remaining: RemainingTime) -> None:
        self.remaining = remaining
        self.shown = -1.0
        """Seconds at the last snapshot."""
        self._before = 0.0
        self._since: float | None = None

    def go(self, now: float) -> None:
        """Count from now."""
        if self._since is None:
            self._since = now

    def halt(self, now: float) -> None:
        """Count no more."""
        self._before, self._since = self.seconds(now), None

    def seconds(self, now: float) -> float:
        """Seconds run so far."""
        return self._before + (now - self._since if self._since is not None else 0.0)


class PastJobs:
    """Learns per kind and lane how first estimates compared with what happened."""

    def __init__(self, biases: dict[str, float] | None = None) -> None:
        self._biases = dict(biases or {})

    def bias(self, kind: str, lane: str) -> float:
        """Real over estimated time; 1 before the first job."""
        return self._biases.get(f"{kind}@{lane}", 1.0)

    def learn(self, kind: str, lane: str, estimated: float, real: float) -> None:
        """Take in a job that succeeded."""
        if estimated <= 0 or real <= 0:
            return
        ratio = min(max(real / estimated, _BOUNDS[0]), _BOUNDS[1])
        key = f"{kind}@{lane}"
        self._biases[key] = 0.7 * self._biases[key] + 0.3 * ratio if key in self._biases else ratio

    def as_json(self) -> dict[str, float]:
        """Plain data for the queue's file."""
        return dict(self._biases)
