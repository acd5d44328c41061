"""One command, measured from outside: its time, its memory, the bytes it moved."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_LOOK = 0.01
"""Seconds between looks at the memory of the process; shorter peaks may be missed."""


class BenchmarkError(Exception):
    """A command that was to be measured did not end well."""


@dataclass(frozen=True)
class Measured:
    """What one run of a command took.

    Args:
        cpu: seconds, user and system, of the process and the children it waited for.
        system: of these, seconds in the kernel.
        wall: seconds from start to end, or to the moment that the command reports.
        anon: bytes of anonymous memory at its highest, sampled; 0 where /proc is missing.
        rss: bytes resident at the highest, mapped libraries and inputs included; likewise.
        read: bytes through read calls; what is mapped is not among them.
        written: bytes through write calls.
        load: runnable tasks on the machine just before, a mean over a minute.
        told: the JSON object on the last line of its output; empty when there is none.
    """

    cpu: float
    system: float
    wall: float
    anon: int
    rss: int
    read: int
    written: int
    load: float
    told: dict[str, Any]


def measure(command: Sequence[str], environment: Mapping[str, str]) -> Measured:
    """Run a command to its end.

    A JSON object on its last line with ``wall`` or ``cpu`` overrides what was measured
    from outside: for what begins or ends within a process, such as a window's painting.

    Raises:
        BenchmarkError: its exit code is not 0; with the end of its output.
    """
    load = os.getloadavg()[0]
    with tempfile.TemporaryFile("w+") as output:
        started = time.monotonic()
        process = subprocess.Popen(
            command,
            env={**os.environ, **environment, "BENCHMARK_STARTED": repr(started)},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        watch = _Watch(process.pid)
        watch.start()
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.monotonic() - started
        watch.end()
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        text = output.read()
    if process.returncode:
        raise BenchmarkError(
            f"{' '.join(command)}\nended with {process.returncode}:\n{text[-3000:]}"
        )
    told = _last_object(text)
    return Measured(
        cpu=told.get("cpu", usage.ru_utime + usage.ru_stime),
        system=usage.ru_stime,
        wall=told.get("wall", wall),
        anon=watch.anon,
        # What the system reports at the end counts the moment of the fork as well.
        rss=watch.rss,
        read=watch.moved.get("rchar", 0),
        written=watch.moved.get("wchar", 0),
        load=load,
        told=told,
    )


class _Watch(threading.Thread):
    """Looks at a process until it has ended."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.anon = 0
        self.rss = 0
        self.moved: dict[str, int] = {}
        self._folder = Path(f"/proc/{pid}")
        self._over = threading.Event()

    def run(self) -> None:
        """Look, and look again."""
        while not self._over.wait(_LOOK):
            try:
                status = _numbers(self._folder / "status")
                self.anon = max(self.anon, 1024 * status.get("RssAnon", 0))
                self.rss = max(self.rss, 1024 * status.get("VmHWM", 0))
                self.moved = _numbers(self._folder / "io") or self.moved
            except OSError:
                return

    def end(self) -> None:
        """The process is gone."""
        self._over.set()
        self.join()


def _numbers(path: Path) -> dict[str, int]:
    """Read the lines ``name: number`` of a file under /proc."""
    found = {}
    for line in path.read_text().splitlines():
        name, _, rest = line.partition(":")
        number = rest.split()[0] if rest.split() else ""
        if number.isdecimal():
            found[name] = int(number)
    return found


def _last_object(text: str) -> dict[str, Any]:
    """Give the JSON object that the output ends with, on one line or on many."""
    stripped = text.strip()
    for start in (stripped.rfind("\n{") + 1, 0):
        try:
            told = json.loads(stripped[start:])
        except json.JSONDecodeError:
            continue
        if isinstance(told, dict):
            return told
    return {}
