"""Targets of a compression: how they are typed, and what was found."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from deltaworks.cli.output import say
from deltaworks.errors import OptionError
from deltaworks.formatting import size as in_words

if TYPE_CHECKING:
    from deltaworks.engine.reports import Report


def read_target(
    bits: float | None, size: int | None, quality: str, data: Path | None
) -> dict[str, Any] | None:
    """Read the flags of a target; None when none is given.

    Raises:
        OptionError: more than one, or a quality that is no recovered fraction.
    """
    given = [name for name, value in (("--bits", bits), ("--size", size)) if value is not None]
    given += ["--quality"] * bool(quality)
    if len(given) > 1:
        raise OptionError(f"{' and '.join(given)} are given", fix="Give one of them.")
    if data is not None and not quality:
        raise OptionError("is used with --quality only", where="--data")
    if bits is not None:
        return {"kind": "bits", "value": bits}
    if size is not None:
        return {"kind": "size", "value": size}
    if not quality:
        return None
    name, _, text = quality.partition("=")
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if name.strip() != "recovered" or not 0.0 < value < 1.0:
        raise OptionError(
            f"'{quality}' is no quality", where="--quality", fix="Write recovered=0.98."
        )
    return {
        "kind": "recovered",
        "value": value,
        "evaluation": str(data.absolute()) if data else "",
    }


def show_fit(report: Report, *, as_json: bool) -> None:
    """Tell what a search for a target has found; nothing when there was none."""
    fit = report.results.get("fit")
    if not fit or as_json:
        return
    found = f"{fit['option']} {fit['value']:.6g}, {fit['bits']:.4g} bits a weight"
    recovered = "" if fit["recovered"] is None else f", recovered {fit['recovered']:.4f}"
    n_passes = len(fit["passes"])
    passes = f"{n_passes} pass{'es' * (n_passes > 1)}"
    say(f"Target met: {found}{recovered}, {in_words(fit['file_bytes'])} in all ({passes}).")
