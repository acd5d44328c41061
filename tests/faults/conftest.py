"""Files that lie, made by hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

RawFile = Callable[..., Path]


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
