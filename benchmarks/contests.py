"""Contestants take turns, A B A B, so that a busy machine slows all of them alike."""

from __future__ import annotations

import shutil
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.measuring import Measured, measure

OURS = "Deltaworks"
CLI = (sys.executable, "-c", "from deltaworks.cli.main import main; main()")
"""What the installed ``deltaworks-cli`` does."""
PEERS = Path(__file__).parent / "peers"


@dataclass(frozen=True)
class Contestant:
    """One way of doing the work.

    Args:
        name: for the table.
        command: from the place of its output to what is run.
    """

    name: str
    command: Callable[[Path], Sequence[str]]


@dataclass(frozen=True)
class Setup:
    """What every subject is told.

    Args:
        size: key of ``models.SIZES``.
        pairs: how often every contestant runs.
        threads: threads for each contestant; 0 leaves it to them.
        cache: folder for models and results.
        mergekit: interpreter that has mergekit; empty when there is none.
        case: only cases whose name holds this text.
        plain: whether plain scripts take part in merges.
    """

    size: str
    pairs: int
    threads: int
    cache: Path
    mergekit: str = ""
    case: str = ""
    plain: bool = False

    def wants(self, case: str) -> bool:
        """Whether a case is to be measured."""
        return self.case in case

    @property
    def environment(self) -> dict[str, str]:
        """Variables for every contestant."""
        found = {"HF_HUB_OFFLINE": "1", "QT_QPA_PLATFORM": "offscreen"}
        if self.threads:
            names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
            found |= dict.fromkeys(names, str(self.threads))
        return found


@dataclass
class Result:
    """One contestant in one case.

    Args:
        case: what was done.
        contestant: by whom.
        runs: in the order of the rounds.
        output_bytes: of what it made; 0 when it made nothing.
        cpu_ratio: this one's CPU seconds over ours, median over the rounds; None for ours.
        wall_ratio: likewise for seconds on the clock.
        engine_ratio: likewise for the work alone, where both tell it.
        note: what was found about the output.
    """

    case: str
    contestant: str
    runs: list[Measured]
    output_bytes: int = 0
    cpu_ratio: float | None = None
    wall_ratio: float | None = None
    engine_ratio: float | None = None
    note: str = ""
    more: dict[str, Any] = field(default_factory=dict)

    def median(self, name: str) -> float:
        """Give the middle of a measure over the runs."""
        return float(statistics.median(getattr(run, name) for run in self.runs))

    def engine(self, name: str = "engine_cpu") -> float:
        """Give the middle of what the work alone took, as the runs tell it; 0 for none."""
        told = [run.told[name] for run in self.runs if name in run.told]
        return float(statistics.median(told)) if told else 0.0

    def as_json(self) -> dict[str, Any]:
        """Give it as plain data."""
        return asdict(self)


Look = Callable[[dict[str, Path]], dict[str, str]]
"""From everybody's last output to a note for each."""


def hold(
    case: str,
    contestants: Sequence[Contestant],
    setup: Setup,
    *,
    look: Look = lambda _outputs: {},
) -> list[Result]:
    """Let contestants take turns; compare each with ours, round by round.

    Args:
        case: what is done.
        contestants: ours among them, or not.
        setup: how often, with how many threads.
        look: at the outputs of the last round, before they are taken away.
    """
    results = {one.name: Result(case, one.name, []) for one in contestants}
    with tempfile.TemporaryDirectory(prefix="work-", dir=setup.cache) as work:
        outputs = {one.name: Path(work) / str(place) for place, one in enumerate(contestants)}
        for _ in range(setup.pairs):
            for one in contestants:
                remove(outputs[one.name])
                command = one.command(outputs[one.name])
                results[one.name].runs.append(measure(command, setup.environment))
        for name, path in outputs.items():
            results[name].output_bytes = size_of(path)
        for name, note in look(outputs).items():
            results[name].note = note
    found = list(results.values())
    _compare(found)
    return found


def _compare(results: Sequence[Result]) -> None:
    ours = next((one for one in results if one.contestant == OURS), None)
    for one in results:
        if ours is None or one is ours:
            continue
        rounds = list(zip(one.runs, ours.runs, strict=True))
        one.cpu_ratio = statistics.median(peer.cpu / mine.cpu for peer, mine in rounds)
        one.wall_ratio = statistics.median(peer.wall / mine.wall for peer, mine in rounds)
        if one.engine() and ours.engine():
            one.engine_ratio = statistics.median(
                peer.told["engine_cpu"] / mine.told["engine_cpu"] for peer, mine in rounds
            )


def remove(path: Path) -> None:
    """Take a file or folder away."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def size_of(path: Path) -> int:
    """Count the bytes of a file or of everything in a folder."""
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())


def peer(script: str, *arguments: object) -> list[str]:
    """Give the command of one of the plain scripts."""
    return [sys.executable, str(PEERS / script), *map(str, arguments)]
