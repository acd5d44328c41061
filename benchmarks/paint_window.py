"""The whole start of the window, as its own ``main`` does it; ends when it is painted.

Usage: paint_window.py HOME. The variable BENCHMARK_STARTED holds when it was started.
"""

from __future__ import annotations

import json
import os
import sys
import time

from deltaworks_gui import app, main_window

_on_shown = main_window.MainWindow._on_shown


def painted(self: main_window.MainWindow) -> None:
    self.repaint()
    wall = time.monotonic() - float(os.environ["BENCHMARK_STARTED"])
    print(json.dumps({"wall": wall, "cpu": time.process_time()}), flush=True)
    _on_shown(self)
    self.close()


if __name__ == "__main__":
    main_window.MainWindow._on_shown = painted  # type: ignore[method-assign]
    raise SystemExit(app.main(["--home", sys.argv[1]]))
