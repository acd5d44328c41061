"""What the window shows and does not compute: icons, fonts, style sheet, demo.

Everything is read with importlib.resources, so it works from a source tree, a
wheel and a packed application alike. No Qt here: the window tints and scales.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import as_file, files
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

APP_ICON = "app"
WELCOME = "welcome"

_PICTURES = frozenset({APP_ICON, WELCOME})  # drawn in several colours, never tinted whole


def _folder(name: str) -> Traversable:
    return files(__name__).joinpath(name)


@cache
def icon_names() -> tuple[str, ...]:
    """Names of the icons that take one colour, in alphabetical order."""
    names = (entry.name.removesuffix(".svg") for entry in _folder("icons").iterdir())
    return tuple(sorted(name for name in names if name not in _PICTURES))


@cache
def icon_svg(name: str) -> bytes:
    """The drawing of one icon; its only colour is ``currentColor``.

    Raises:
        KeyError: there is no icon of this name.
    """
    try:
        return _folder("icons").joinpath(f"{name}.svg").read_bytes()
    except FileNotFoundError as error:
        raise KeyError(f"no icon named {name!r}") from error


@cache
def illustration(name: str = WELCOME) -> str:
    """A drawing in several colours, written as ``@token@`` for the theme to fill in."""
    return _folder("icons").joinpath(f"{name}.svg").read_text(encoding="utf-8")


@cache
def style_template() -> str:
    """The style sheet with an ``@token@`` wherever the theme decides."""
    return _folder("styles").joinpath("app.qss.template").read_text(encoding="utf-8")


@cache
def font_files() -> tuple[tuple[str, bytes], ...]:
    """Name and content of every bundled font."""
    entries = (entry for entry in _folder("fonts").iterdir() if not entry.name.endswith(".txt"))
    return tuple((entry.name, entry.read_bytes()) for entry in sorted(entries, key=_name))


@cache
def font_licences() -> tuple[tuple[str, str], ...]:
    """Name and text of the licence of every bundled font family."""
    entries = (entry for entry in _folder("fonts").iterdir() if entry.name.endswith(".txt"))
    return tuple((e.name, e.read_text(encoding="utf-8")) for e in sorted(entries, key=_name))


def demo_folder() -> Path:
    """Where the demo's files lie on disk."""
    with as_file(_folder("demo")) as path:
        return Path(path)


def calibration_text(name: str) -> Path:
    """A bundled text on disk: ``default``, or ``demo`` for the demo's models.

    Raises:
        KeyError: there is no text of this name.
    """
    file = {"default": "default.txt", "demo": "demo.jsonl"}[name]
    with as_file(_folder("calibration").joinpath(file)) as path:
        return Path(path)


def _name(entry: Traversable) -> str:
    return entry.name
