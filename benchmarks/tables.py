"""Results as a table in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from benchmarks.contests import Result

_TITLES = (
    "case",
    "who",
    "CPU ratio",
    "work alone",
    "wall ratio",
    "CPU s (kernel)",
    "work alone CPU s",
    "over floor",
    "wall s (fastest)",
    "anon MB",
    "RSS MB",
    "read / written MB",
    "output MB",
    "found",
)


def table(results: Iterable[Result]) -> str:
    """Give all results, ratios first: how many times the contestant needs what we need."""
    lines = [_line(_TITLES), _line(["---"] * len(_TITLES))]
    lines += [_line(_cells(result)) for result in results]
    return "\n".join(lines)


def _cells(result: Result) -> Sequence[str]:
    fastest = min(run.wall for run in result.runs)
    moved = f"{_mb(result.median('read'))} / {_mb(result.median('written'))}"
    return (
        result.case,
        result.contestant,
        _ratio(result.cpu_ratio),
        _ratio(result.engine_ratio),
        _ratio(result.wall_ratio),
        f"{result.median('cpu'):.2f} ({result.median('system'):.2f})",
        f"{result.engine():.2f}" if result.engine() else "",
        _over_floor(result),
        f"{result.median('wall'):.2f} ({fastest:.2f})",
        _mb(result.median("anon")),
        _mb(result.median("rss")),
        moved,
        _mb(result.output_bytes),
        result.note,
    )


def _over_floor(result: Result) -> str:
    """Say how many times the floor the work took; of bytes alone where no other is known."""
    floor = result.more.get("floor")
    if not floor or not result.engine():
        return ""
    if floor["work"]:
        return f"{result.engine() / floor['work']:.1f}"
    return f"bytes: {result.engine() / floor['bytes']:.1f}"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _ratio(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _mb(n_bytes: float) -> str:
    """Millions of bytes; nothing for nothing."""
    if not n_bytes:
        return ""
    return f"{n_bytes / 1e6:.0f}" if n_bytes >= 1e7 else f"{n_bytes / 1e6:.2f}"
