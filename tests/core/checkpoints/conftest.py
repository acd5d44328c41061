"""Raw safetensors files and a cache of the Hub, made by hand."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deltaworks.progress import Event, JobControl, Warned


@pytest.fixture
def write_raw() -> Callable[..., Path]:
    """Write a file from a header as data or as bytes, with or without a true length."""

    def write(path: Path, header: Any, data: bytes = b"", length: int | None = None) -> Path:
        text = header if isinstance(header, bytes) else json.dumps(header).encode()
        n_bytes = len(text) if length is None else length
        path.write_bytes(n_bytes.to_bytes(8, "little") + text + data)
        return path

    return write


@pytest.fixture
def cached_model(tmp_path: Path) -> Callable[[Path, str, str], Path]:
    """Lay a model folder out as the Hub's cache does: blobs by SHA-256, links to them."""

    def lay_out(model: Path, repo_id: str, revision: str) -> Path:
        repo = tmp_path / "hub" / f"models--{repo_id.replace('/', '--')}"
        snapshot = repo / "snapshots" / revision
        snapshot.mkdir(parents=True)
        (repo / "blobs").mkdir(exist_ok=True)
        (repo / "refs").mkdir(exist_ok=True)
        (repo / "refs" / "main").write_text(revision)
        for file in model.iterdir():
            data = file.read_bytes()
            blob = repo / "blobs" / hashlib.sha256(data).hexdigest()
            blob.write_bytes(data)
            (snapshot / file.name).symlink_to(Path("../../blobs") / blob.name)
        return snapshot

    return lay_out


@pytest.fixture
def control() -> JobControl:
    """A control that keeps what it is told in ``control.events``."""
    events: list[Event] = []
    control = JobControl(events.append)
    control.events = events  # type: ignore[attr-defined]  # for the test's eyes only
    return control


@pytest.fixture
def warned(control: JobControl) -> Callable[[], list[Warned]]:
    """What the control was warned of."""
    return lambda: [
        event
        for event in control.events  # type: ignore[attr-defined]  # see ``control``
        if isinstance(event, Warned)
    ]
