"""Starting: the command line's help, and the window until it is painted."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from benchmarks.contests import CLI, Contestant, Result, Setup, hold


def results(setup: Setup) -> Iterator[Result]:
    """Measure both beside what Python itself and torch take."""
    nothing = Contestant("python, nothing", lambda _out: [sys.executable, "-c", "pass"])
    yield from hold(
        "command line",
        [
            nothing,
            Contestant("python, import torch", lambda _out: [sys.executable, "-c", "import torch"]),
            Contestant("deltaworks-cli --help", lambda _out: [*CLI, "--help"]),
        ],
        setup,
    )
    if find_spec("PySide6") is not None:
        script = str(Path(__file__).with_name("paint_window.py"))
        window = Contestant("until painted", lambda out: [sys.executable, script, str(out)])
        yield from hold("window", [nothing, window], setup)
