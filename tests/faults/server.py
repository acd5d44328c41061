"""Runs jobs in processes of their own and lets something happen to each at a chosen moment.

A script: one JSON request a line on stdin, one JSON answer a line on stdout. The server is
warm and forks, so that a job costs no start-up. With ``--disk FOLDER BYTES`` it mounts a
disk of that size for itself alone (in a mount namespace that ``unshare -m`` has made).
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

_WRITING = ("pwrite", "pwritev", "fsync", "ftruncate", "posix_fallocate")
_AUDITED = {"open", "os.mkdir", "os.rename", "os.link", "os.remove", "os.rmdir", "mmap.__new__"}
_LIMIT_S = 100.0


class Moments:
    """Counts what a job asks of the disk, and acts at the n-th time."""

    def __init__(self, at: int, act: Callable[[str], None]) -> None:
        self.count = 0
        self._at, self._act = at, act
        self._is_acting = False
        for name in _WRITING:
            if hasattr(os, name):
                setattr(os, name, self._counted(name, getattr(os, name)))
        sys.addaudithook(self._hear)

    def _counted(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any) -> Any:
            self.pass_by(name)
            return call(*args)

        return counted

    def _hear(self, event: str, _args: Any) -> None:
        if event in _AUDITED:
            self.pass_by(event)

    def pass_by(self, name: str) -> None:
        if self._is_acting:
            return
        self.count += 1
        if self.count == self._at:
            self._is_acting = True
            try:
                self._act(name)
            finally:
                self._is_acting = False


def act_of(fault: dict[str, Any]) -> Callable[[str], None]:
    """Give what is to happen."""
    kind, path = fault["kind"], Path(fault.get("path", "."))

    def die(_name: str) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def fill(_name: str) -> None:
        facts = os.statvfs(path)
        left = facts.f_bavail * facts.f_frsize - fault["left"]
        with (path / "filler").open("wb") as file, contextlib.suppress(OSError):
            file.write(bytes(max(0, left)))

    def cut(_name: str) -> None:
        os.truncate(path, int(path.stat().st_size * fault["share"]))

    def replace(_name: str) -> None:
        beside = path.with_name("beside")
        shutil.copyfile(path, beside)
        beside.replace(path)

    def scribble(_name: str) -> None:
        with path.open("r+b") as file:
            file.seek(-9, os.SEEK_END)
            file.write(b"scribbled")

    def vanish(_name: str) -> None:
        shutil.rmtree(path, ignore_errors=True)

    def protect(_name: str) -> None:
        command = ["mount", "-t", "tmpfs", "-o", "ro", "none", str(path)]
        subprocess.run(command, check=True)

    def fail(_name: str) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    def nothing(_name: str) -> None:
        pass

    acts: dict[str, Callable[[str], None]] = {
        "die": die,
        "fill": fill,
        "cut": cut,
        "replace": replace,
        "scribble": scribble,
        "vanish": vanish,
        "protect": protect,
        "fail": fail,
        "nothing": nothing,
    }
    return acts[kind]


def limit(limits: dict[str, int]) -> None:
    """Take memory or file size away from this process."""
    if "memory" in limits:
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        most = used + limits["memory"]
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
    if "file_bytes" in limits:
        most = limits["file_bytes"]
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))


def turn_clock_back() -> None:
    """Let the clock of the day go backwards, an hour at every look."""
    whole, looks = time.time, iter(range(1, 1 << 30))
    time.time = lambda: whole() - 3600.0 * next(looks)


def work(request: dict[str, Any]) -> dict[str, Any]:
    """Do one job in this process and say how it went."""
    from deltaworks.errors import AppError
    from deltaworks.progress import JobControl
    from deltaworks.recipes import parse_recipe
    from deltaworks.studies.jobs import run_job

    recipe = parse_recipe(request["recipe"])
    fault = request.get("fault") or {"kind": "nothing", "at": -1}
    if request.get("clock"):
        turn_clock_back()
    limit(request.get("limits") or {})
    moments = Moments(fault["at"], act_of(fault))
    started = time.perf_counter()
    try:
        report = run_job(recipe, JobControl(), resume=request.get("resume", False))
        answer = {"outcome": "done", "warnings": list(report.warnings)}
    except AppError as error:
        answer = {"outcome": "refused", "kind": type(error).__name__, "text": str(error)}
    except BaseException as error:
        answer = {"outcome": "crashed", "kind": type(error).__name__, "text": str(error)}
    return answer | {"count": moments.count, "seconds": time.perf_counter() - started}


def run(request: dict[str, Any]) -> dict[str, Any]:
    """Do a job in a process of its own; kill it after ``kill_after`` seconds."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(read)
        try:
            text = json.dumps(work(request))
        except BaseException as error:
            text = json.dumps({"outcome": "crashed", "text": repr(error)})
        os.write(write, text.encode())
        os._exit(0)
    os.close(write)
    status, hung = wait(pid, request.get("kill_after"))
    with os.fdopen(read, "rb") as pipe:
        text = pipe.read().decode()
    if hung:
        return {"outcome": "hung"}
    if os.WIFSIGNALED(status):
        return {"outcome": "killed", "signal": os.WTERMSIG(status)}
    return json.loads(text) if text else {"outcome": "lost", "status": status}


def wait(pid: int, kill_after: float | None) -> tuple[int, bool]:
    """Wait for a process, and kill it at its time; whether it had to be given up."""
    started, is_killed = time.perf_counter(), False
    while True:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return status, is_killed and kill_after is None
        seconds = time.perf_counter() - started
        if not is_killed and seconds > (_LIMIT_S if kill_after is None else kill_after):
            os.kill(pid, signal.SIGKILL)
            is_killed = True
        time.sleep(0.0005)


def race(request: dict[str, Any]) -> dict[str, Any]:
    """Let several jobs begin at once, each in a process of its own."""
    answers = []
    for one in request["jobs"]:
        read, write = os.pipe()
        if os.fork() == 0:
            os.write(write, json.dumps(work(one)).encode())
            os._exit(0)
        os.close(write)
        answers.append(read)
    found = []
    for read in answers:
        with os.fdopen(read, "rb") as pipe:
            found.append(json.loads(pipe.read() or b'{"outcome": "lost"}'))
        os.wait()
    return {"answers": found}


def tree(folder: Path) -> dict[str, str]:
    """Give every file under a folder with a hash of its content."""
    return {
        str(path.relative_to(folder)): hashlib.blake2b(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """Do what is asked."""
    word = request["do"]
    if word == "run":
        return run(request)
    if word == "race":
        return race(request)
    if word == "warm":
        return work(request)
    folder = Path(request["folder"])
    if word == "tree":
        return {"files": tree(folder) if folder.exists() else {}}
    if word in {"clear", "uncover"} and os.statvfs(folder).f_flag & os.ST_RDONLY:
        subprocess.run(["umount", str(folder)], check=True)
    if word == "clear":
        for path in folder.iterdir() if folder.exists() else ():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        folder.mkdir(exist_ok=True)
    return {}


def main() -> None:
    """Serve until stdin ends."""
    if "--disk" in sys.argv:
        folder, n_bytes = sys.argv[2:4]
        options = ["-t", "tmpfs", "-o", f"size={n_bytes}", "none", folder]
        subprocess.run(["mount", *options], check=True)
    say({"ready": True})
    for line in sys.stdin:
        say(answer(json.loads(line)))


def say(found: dict[str, Any]) -> None:
    """Answer in one line."""
    sys.stdout.write(json.dumps(found) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
