"""Flags that several commands share, and how their values are read."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deltaworks.errors import OptionError

if TYPE_CHECKING:
    from deltaworks.methods.method import Method

_SIZE = re.compile(r"^(\d+(?:\.\d+)?)\s*([kMGT]?i?B?)$", re.IGNORECASE)
_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
_UNITS |= {"ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}


def parse_bytes(text: str | int) -> int:
    """Read ``2GB``, ``512 MiB`` or a plain count of bytes."""
    match = _SIZE.match(str(text).strip())
    if match is None:
        raise typer.BadParameter(f"'{text}' is no size; write 512MB, 2GB or a count of bytes")
    return int(float(match[1]) * _UNITS[match[2].lower().removesuffix("b")])


Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Out = Annotated[Path, typer.Option("-o", "--out", help="Where the result goes.")]
Base = Annotated[Path | None, typer.Option("--base", help="The base model.")]
Seed = Annotated[int, typer.Option(help="Seed of everything that is drawn at random.")]
Device = Annotated[str, typer.Option(help="cpu, cuda:N or auto.")]
Threads = Annotated[int, typer.Option(min=0, help="Worker threads; 0 means one a core.")]
Resume = Annotated[
    bool, typer.Option("--resume", help="Go on from where a run that was killed has stopped.")
]
Memory = Annotated[
    int,
    typer.Option(
        parser=parse_bytes, metavar="SIZE", help="Most memory for data in flight: 512MB, 2GB."
    ),
]
BUNDLED = ("default", "demo")
"""Names of the calibration texts that come with the program."""
CalibrationText = Annotated[
    str,
    typer.Option(
        "--calibration",
        metavar="FILE",
        help="A .txt or .jsonl to run through each expert first; 'default' and 'demo' are bundled.",
    ),
]
Samples = Annotated[
    int | None, typer.Option(min=1, help="Sequences of the text at most; 128 when not given.")
]
Tokens = Annotated[
    int | None, typer.Option(min=8, help="Tokens of a sequence at most; 512 when not given.")
]
MEMORY: Any = "256MB"
"""Default of ``Memory``, as its parser reads it."""


def device_name(text: str) -> str:
    """Turn ``auto`` into the first GPU when torch finds one, else the CPU."""
    if text != "auto":
        return text
    import torch

    return "cuda:0" if torch.cuda.is_available() else "cpu"


def read_settings(method: str, pairs: Sequence[str]) -> dict[str, Any]:
    """Read ``key=value`` pairs and check them against a method's options.

    Args:
        method: id of a compression method.
        pairs: as typed.

    Returns:
        The values that were given, in their types.

    Raises:
        OptionError: an unknown method or option, or a value out of bounds.
    """
    from deltaworks.methods import compression_method

    return read_option_pairs(compression_method(method), pairs)


def read_option_pairs(record: Method, pairs: Sequence[str]) -> dict[str, Any]:
    """Read ``key=value`` pairs for a method of any family; see ``read_settings``."""
    from deltaworks.options import describe, read_options

    kinds = {info.name: info.kind for info in describe(record.options)}
    values: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name:
            raise OptionError(f"'{pair}' is no setting", where="--set", fix="Write key=value")
        name = name.strip()
        values[name] = (
            text if kinds.get(name) in {"choice", "text", "path", "file"} else _value(text)
        )
    checked = read_options(record.options, values, where=f"method '{record.id}'")
    return {name: getattr(checked, name) for name in values}


def _value(text: str) -> Any:
    try:
        return json.loads(text.strip().lower())
    except ValueError:
        return text.strip()


def reference(path: Path) -> dict[str, str]:
    """Name an input in a recipe."""
    return {"path": str(path.absolute()), "name": path.stem if path.is_file() else path.name}


def bundled_text(text: str) -> str:
    """Give the path of a calibration text; ``default`` and ``demo`` come with the program."""
    if text in BUNDLED:
        from deltaworks_resources import calibration_text

        return str(calibration_text(text))
    return str(Path(text).absolute()) if text else ""


def calibration_of(text: str, samples: int | None, tokens: int | None) -> dict[str, Any]:
    """Say in a recipe what runs through the experts first; what is not given is left out."""
    given = {"text": bundled_text(text) or None, "samples": samples, "tokens": tokens}
    return {name: value for name, value in given.items() if value is not None}


def common(seed: int, device: str, memory: int, threads: int) -> dict[str, Any]:
    """Say in a recipe how it runs."""
    return {
        "seed": seed,
        "device": device,  # the engine chooses for auto: it knows the plan
        "memory_bytes": max(memory, 16_000_000),
        "threads": threads,
    }
