"""The style sheet, made from its template and the tokens.

Style sheets load pictures from files only, so the few icons in it (arrows,
check marks) are written, tinted, to a temporary folder.
"""

from __future__ import annotations

import atexit
import re
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory

from deltaworks_gui.theme_icons import tinted
from deltaworks_gui.theme_tokens import (
    FOCUS_WIDTH,
    LINE,
    MONO_FAMILY,
    RADIUS,
    RADIUS_CARD,
    TYPE,
    UI_FAMILY,
    Metrics,
    Tokens,
)
from deltaworks_resources import style_template

_PLACEHOLDER = re.compile(r"@([a-z0-9:-]+)@")

_RADIO_RIM = 5  # px of accent around the dot of a chosen radio button
_SPIN_BOX_EXTRA = 3  # px that the style adds to a spin box's height


class StyleSheet:
    """Builds the sheet; owns the folder of its pictures."""

    def __init__(self) -> None:
        self._folder: TemporaryDirectory[str] | None = None

    def build(self, tokens: Tokens, metrics: Metrics, points: Callable[[float], float]) -> str:
        """The sheet for these tokens.

        Raises:
            KeyError: the template names a token that does not exist.
        """
        values = _values(tokens, metrics, points)

        def fill(match: re.Match[str]) -> str:
            key = match[1]
            if key.startswith("icon:"):
                _, name, token = key.split(":")
                return f'url("{self._picture(name, tokens.color(token))}")'
            return values[key]

        return _PLACEHOLDER.sub(fill, style_template())

    def _picture(self, name: str, color: str) -> str:
        if self._folder is None:
            self._folder = TemporaryDirectory(prefix="deltaworks-look-")
            atexit.register(self._folder.cleanup)
        path = Path(self._folder.name) / f"{name}-{color[1:]}.svg"
        if not path.exists():
            path.write_bytes(tinted(name, color))
        return path.as_posix()


def _values(tokens: Tokens, metrics: Metrics, points: Callable[[float], float]) -> dict[str, str]:
    values = tokens.as_template_values()
    values |= {f"type-{role}": f"{points(style.size):.3f}pt" for role, style in TYPE.items()}
    values |= {f"weight-{role}": str(style.weight) for role, style in TYPE.items()}
    for name, size in asdict(metrics).items():
        hyphenated = name.replace("_", "-")
        values[f"m-{hyphenated}"] = f"{size}px"
        values[f"m-{hyphenated}-inner"] = f"{size - 2 * LINE}px"
        values[f"m-{hyphenated}-half"] = f"{size // 2}px"
    values |= {
        "m-control-spin": f"{metrics.control - 2 * LINE - _SPIN_BOX_EXTRA}px",
        "m-dot": f"{metrics.indicator - 2 * _RADIO_RIM}px",
        "radius": f"{RADIUS}px",
        "radius-inner": f"{RADIUS - LINE}px",
        "radius-card": f"{RADIUS_CARD}px",
        "line-width": f"{LINE}px",
        "focus-width": f"{FOCUS_WIDTH}px",
        "ui-family": UI_FAMILY,
        "mono-family": MONO_FAMILY,
    }
    return values
