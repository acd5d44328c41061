"""Figures as files that say where they come from."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from deltaworks.errors import FileError, OptionError
from deltaworks.product import NAME, VERSION

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMATS = ("png", "svg", "pdf")
MIN_DPI, MAX_DPI = 50, 600


def save_figure(
    figure: Figure,
    path: Path | str,
    dpi: float = 200,
    metadata: Mapping[str, str] | None = None,
) -> Path:
    """Write a PNG, SVG or PDF, by the ending of the name.

    The same figure gives the same bytes: no time is written.

    Args:
        figure: one that no window shows; draw a copy for exports.
        path: replaced only when the new file is whole.
        dpi: of a PNG and of rasterised marks.
        metadata: what to write into the file beside the app's version, such as
            ``{"sweep": id}``.

    Raises:
        OptionError: unknown ending, or dpi out of bounds.
        FileError: the place cannot be written.
    """
    path = Path(path)
    kind = path.suffix.lower().removeprefix(".")
    if kind not in FORMATS:
        raise OptionError(f"unknown ending {path.suffix!r}", fix="Use .png, .svg or .pdf")
    if not MIN_DPI <= dpi <= MAX_DPI:
        raise OptionError(f"dpi is {dpi:g}", fix=f"Choose {MIN_DPI} to {MAX_DPI}")
    partial = path.with_name(f".{path.name}.partial-{os.getpid()}")
    try:
        _write(figure, partial, kind, dpi, _facts(kind, metadata or {}))
        partial.replace(path)
    except OSError as error:
        raise FileError(f"cannot be written ({error})", where=str(path)) from error
    finally:
        partial.unlink(missing_ok=True)
    return path


def _write(figure: Figure, path: Path, kind: str, dpi: float, facts: dict[str, str | None]) -> None:
    import matplotlib as mpl

    with mpl.rc_context({"svg.hashsalt": NAME, "pdf.fonttype": 42}):
        figure.savefig(path, format=kind, dpi=dpi, metadata=facts, facecolor=figure.get_facecolor())


def _facts(kind: str, more: Mapping[str, str]) -> dict[str, str | None]:
    """Put the facts under the names that the format knows."""
    maker = f"{NAME} {VERSION}"
    text = "; ".join(f"{name}={value}" for name, value in more.items())
    if kind == "png":
        return {"Software": maker, "Description": text}
    if kind == "svg":
        return {"Creator": maker, "Description": text, "Date": None}
    return {"Creator": maker, "Subject": text, "CreationDate": None}
