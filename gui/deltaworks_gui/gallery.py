"""Every widget in several states, as pictures: a tool for looking.

``python -m deltaworks_gui.gallery --theme dark --scale 2 --out DIR``
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path


def main(arguments: list[str] | None = None) -> int:
    """Render the gallery's pages to PNG files."""
    parser = argparse.ArgumentParser(prog="gallery", description=__doc__)
    parser.add_argument("--theme", choices=("light", "dark", "both"), default="both")
    parser.add_argument("--scale", type=float, default=1.0, help="device pixels a pixel")
    parser.add_argument("--text", type=float, default=1.0, help="text size, 1 is normal")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args(arguments)
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    os.environ["QT_SCALE_FACTOR"] = str(options.scale)  # read when the application starts
    from deltaworks_gui.gallery_pages import render

    themes = ("light", "dark") if options.theme == "both" else (options.theme,)
    options.out.mkdir(parents=True, exist_ok=True)
    for theme in themes:
        render(theme, options.text, options.out, f"{theme}-{options.scale:g}x")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
