"""Files that lie, made by hand; and a laboratory in which jobs meet with accidents."""

from __future__ import annotations

import importlib.util
import json
import os
import random
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

RawFile = Callable[..., Path]
_COUNTS: Counter[str] = Counter()
"""What the campaigns did, told at the end of the run."""


@pytest.fixture
def raw_file() -> RawFile:
    """Write a safetensors file from a header as data or bytes; ``length`` may lie."""

    def write(path: Path, header: Any, data: bytes = b"", *, length: int | None = None) -> Path:
        text = header if isinstance(header, bytes) else json.dumps(header).encode()
        n_bytes = len(text) if length is None else length
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(n_bytes.to_bytes(8, "little") + text + data)
        return path

    return write


@pytest.fixture(scope="session")
def counts() -> Counter[str]:
    """Count accidents here; the totals are shown at the end."""
    return _COUNTS


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Show how much was tried."""
    if _COUNTS:
        terminalreporter.section("accidents")
        for name, count in sorted(_COUNTS.items()):
            terminalreporter.line(f"{count:7,d}  {name}")


class Server:
    """The other end of ``server.py``."""

    def __init__(self, command: list[str]) -> None:
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
        )
        self._hear()

    def ask(self, word: str, **more: Any) -> dict[str, Any]:
        """Ask, and wait for the answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": word, **more}) + "\n")
        self._process.stdin.flush()
        return self._hear()

    def _hear(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise ConnectionError("the server is gone")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close(self) -> None:
        """End it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(20.0)
        self._process.stdout.close()


class Lab:
    """Recipes, a server that runs them, and what undisturbed runs of them give.

    Args:
        server: where jobs run.
        models: folder with ``base``, ``one`` and ``two``.
        out: folder for outputs, emptied before each job.
    """

    def __init__(self, server: Server, models: Path, out: Path) -> None:
        self.server, self.models, self.out = server, models, out
        self._whole: dict[str, tuple[dict[str, str], int, float]] = {}
        self._delta = str(models / "delta.safetensors")

    @property
    def kinds(self) -> tuple[str, ...]:
        """Every kind of job."""
        return tuple(self._makers())

    def _makers(self) -> dict[str, Callable[[], dict[str, Any]]]:
        return {
            "merge linear": lambda: self._merge("linear"),
            "merge ties, shards": lambda: self._merge("ties", shard_bytes=60_000),
            "merge dare-ties": lambda: self._merge("dare-ties", seed=4),
            "compress": lambda: self._compress("sign", "low-rank"),
            "compress dare": lambda: self._compress("dare"),
            "compress lossless": lambda: self._compress("lossless"),
            "rebuild": self._rebuild,
        }

    def recipe(self, kind: str) -> dict[str, Any]:
        """Give a job of a kind; its output is ``out/deep/result``."""
        return {**self._makers()[kind](), "output": str(self.out / "deep" / "result")}

    def _ref(self, name: str) -> dict[str, str]:
        return {"path": str(self.models / name)}

    def _merge(self, method: str, **more: Any) -> dict[str, Any]:
        experts = [{"model": self._ref(name)} for name in ("one", "two")]
        setting = {"method": method}
        base = None if method == "linear" else self._ref("base")
        return {"kind": "merge", "base": base, "experts": experts, "setting": setting, **more}

    def _compress(self, *methods: str) -> dict[str, Any]:
        return {
            "kind": "compress",
            "base": self._ref("base"),
            "experts": [self._ref("one"), self._ref("two")],
            "settings": [{"method": method} for method in methods],
            "seed": 5,
        }

    def _rebuild(self) -> dict[str, Any]:
        if not Path(self._delta).exists():
            recipe = {**self._compress("low-rank"), "experts": [self._ref("one")]}
            done = self.server.ask("run", recipe={**recipe, "output": self._delta})
            assert done["outcome"] == "done", done
        return {"kind": "rebuild", "base": self._ref("base"), "delta": {"path": self._delta}}

    def whole(self, kind: str) -> tuple[dict[str, str], int, float]:
        """Give files, moments and seconds of an undisturbed run."""
        if kind not in self._whole:
            self.clear()
            done = self.run(kind)
            assert done["outcome"] == "done", done
            self._whole[kind] = (self.files(), done["count"], done["seconds"])
        return self._whole[kind]

    def run(self, kind: str, **more: Any) -> dict[str, Any]:
        """Run a job of a kind; give what the server says."""
        return self.server.ask("run", recipe=self.recipe(kind), **more)

    def files(self) -> dict[str, str]:
        """Hash everything that lies in the folder for outputs."""
        files: dict[str, str] = self.server.ask("tree", folder=str(self.out))["files"]
        return {name: one for name, one in files.items() if name != "filler"}

    def clear(self) -> None:
        """Empty the folder for outputs."""
        self.server.ask("clear", folder=str(self.out))

    def damaged(self, kind: str) -> list[str]:
        """Name the files that have a final name and are not what they should be."""
        whole = self.whole_files(kind)
        return [
            name
            for name, one in self.files().items()
            if ".partial-" not in name and whole.get(name) != one
        ]

    def whole_files(self, kind: str) -> dict[str, str]:
        """Give the files of an undisturbed run, which must have been done before."""
        return self._whole[kind][0]


def _models(folder: Path, request: pytest.FixtureRequest) -> Path:
    """Make a base and two fine-tunes, the second in shards."""
    tools = next(
        plugin
        for plugin in request.config.pluginmanager.get_plugins()
        if hasattr(plugin, "TINY_CONFIG")
    )
    tensors = tools.tiny_tensors(0)
    tools.save_model(folder / "base", tensors)
    tools.save_model(folder / "one", tools.moved(tensors, 1))
    tools.save_model(folder / "two", tools.moved(tensors, 2), shards=3)
    return folder


@pytest.fixture(scope="session")
def server_and_disk(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Server, Path | None]]:
    """The server, and a disk of 4 MB that it alone sees; None where none can be mounted."""
    disk = tmp_path_factory.mktemp("small")
    command = [sys.executable, str(Path(__file__).with_name("server.py"))]
    unshare = next((one for one in _UNSHARE if _can_mount(one, disk)), None)
    if unshare is not None:
        command = [*unshare, *command, "--disk", str(disk), "4m"]
    server = Server(command)
    yield server, None if unshare is None else disk
    server.close()


@pytest.fixture(scope="session")
def lab(
    server_and_disk: tuple[Server, Path | None],
    tmp_path_factory: pytest.TempPathFactory,
    request: pytest.FixtureRequest,
) -> Lab:
    """A laboratory on the ordinary disk."""
    folder = tmp_path_factory.mktemp("lab")
    (folder / "out").mkdir()
    lab = Lab(server_and_disk[0], _models(folder / "models", request), folder / "out")
    _warm(lab)
    return lab


@pytest.fixture(scope="session")
def small_disk(server_and_disk: tuple[Server, Path | None], lab: Lab) -> Lab:
    """A laboratory whose outputs go to a small disk; skips where none can be mounted."""
    server, disk = server_and_disk
    if disk is None:
        pytest.skip("no private mounts on this system")
    return Lab(server, lab.models, disk)


_UNSHARE = (["unshare", "-m"], ["unshare", "-r", "-m"])


def _can_mount(unshare: list[str], folder: Path) -> bool:
    if shutil.which("unshare") is None:
        return False
    command = [*unshare, "mount", "-t", "tmpfs", "-o", "size=1m", "none", str(folder)]
    return subprocess.run(command, check=False, capture_output=True, timeout=20).returncode == 0


def _warm(lab: Lab) -> None:
    """Let the server load what jobs need, so that each child begins at once."""
    for kind in ("merge ties, shards", "compress"):
        done = lab.server.ask("warm", recipe=lab.recipe(kind))
        assert done["outcome"] == "done", done
        lab.clear()


@pytest.fixture
def dice(request: pytest.FixtureRequest) -> random.Random:
    """Chance that is the same in every run of one test."""
    return random.Random(request.node.name)


@pytest.fixture(scope="session")
def mutating() -> Any:
    """Give the functions of ``mutating.py``."""
    place = Path(__file__).with_name("mutating.py")
    spec = importlib.util.spec_from_file_location("faults_mutating", place)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
