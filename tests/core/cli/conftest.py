"""Running the program in this process and as a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from deltaworks.cli.main import app


@dataclass(frozen=True)
class Outcome:
    """What a run of the program left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Run = Callable[..., Outcome]


@pytest.fixture
def cli() -> Run:
    """Run commands in this process: ``cli("scan", folder)``."""

    def run(*words: object) -> Outcome:
        result = CliRunner().invoke(app, [str(word) for word in words])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Outcome(result.exit_code, result.stdout, result.stderr)

    return run


@pytest.fixture
def program(home: Path) -> Run:
    """Run commands in a process of their own."""

    def run(*words: object) -> Outcome:
        code = "from deltaworks.cli.main import main; main()"
        arguments = [sys.executable, "-c", code, *(str(word) for word in words)]
        done = subprocess.run(arguments, capture_output=True, text=True, check=False)
        return Outcome(done.returncode, done.stdout, done.stderr)

    return run
