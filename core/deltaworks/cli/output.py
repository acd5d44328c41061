"""What goes to stdout: one JSON document, or tables and sentences for people."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import typer

_WIDE = 10_000
"""Columns when nobody looks: a table in a file or a pipe is never cut."""


def print_json(data: Any) -> None:
    """Print one document; numbers that JSON lacks become null."""
    typer.echo(json.dumps(_plain(data), indent=2, ensure_ascii=False))


def _plain(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def print_table(
    headers: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[str] = ()
) -> None:
    """Print aligned columns.

    Args:
        headers: one a column.
        rows: texts, as many as headers.
        right: headers of columns that are aligned to the right.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    is_seen = sys.stdout.isatty()
    table = Table(
        box=None,
        pad_edge=False,
        padding=(0, 2, 0, 0),
        header_style="bold",
        show_header=any(headers),
    )
    for header in headers:
        table.add_column(
            header,
            justify="right" if header in right else "left",
            no_wrap=True,
            overflow="ellipsis",
        )
    for row in rows:
        table.add_row(*(Text(text) for text in row))
    console = Console(width=None if is_seen else _WIDE)
    with console.capture() as capture:
        console.print(table)
    for line in capture.get().splitlines():
        typer.echo(line.rstrip())


def say(text: str) -> None:
    """Print one line."""
    typer.echo(text)
