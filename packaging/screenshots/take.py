"""Take the pictures of the manual: the real window does the real demo, page by page.

    QT_QPA_PLATFORM=offscreen python packaging/screenshots/take.py --out docs/images

Opens the window at 1280 x 800 on a home that is made for it and removed afterwards,
presses what a person would press (Try the demo, Run), waits for what happens, and saves
every page and state in both themes as ``<name>-<theme>.png`` with at most 256 colours.
It takes as long as the demo. With Xvfb instead of the offscreen platform: ``xvfb-run``.

Look at every picture before it is committed. Names of states: ``NAMES``.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PySide6.QtWidgets import QAbstractButton, QApplication, QWidget

    from deltaworks_gui.main_window import MainWindow
    from deltaworks_gui.theme import Scheme

NAMES = (
    "welcome",
    "library",
    "workbench-compress",
    "workbench-merge",
    "results-running",
    "jobs",
    "results",
    "results-merges",
    "families",
    "storage",
    "workbench-repair",
    "playground",
)
WIDTH, HEIGHT = 1280, 800
COLOURS = 256
MOST_BYTES = 120_000
SETTLE_S = 0.4
"""After a change: layouts, fades and icons come to rest."""


class Camera:
    """Saves the window in both themes under the name of a state."""

    def __init__(self, window: MainWindow, app: QApplication, out: Path, only: set[str]) -> None:
        self.window, self._app, self._out, self._only = window, app, out, only

    def take(self, name: str) -> None:
        """Save one state; it must hold still for a second or two."""
        if self._only and name not in self._only:
            return
        from deltaworks_gui.theme import Scheme

        for scheme in (Scheme.LIGHT, Scheme.DARK):
            self._show(scheme)
            self.rest(SETTLE_S)
            path = self._out / f"{name}-{scheme.value}.png"
            self.window.grab().save(str(path))
            n_bytes = shrink(path)
            print(f"{path.name}: {n_bytes:,} bytes")
            if n_bytes > MOST_BYTES:
                print(f"  more than {MOST_BYTES:,}", file=sys.stderr)
        self._show(Scheme.LIGHT)

    def _show(self, scheme: Scheme) -> None:
        self.window.context.theme.apply(self._app, scheme)

    def rest(self, seconds: float) -> None:
        """Let the window work for a while."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self._app.processEvents()
            time.sleep(0.005)

    def wait(self, what: str, is_there: Callable[[], bool], seconds: float) -> None:
        """Let the window work until something holds; end the program when it does not."""
        end = time.monotonic() + seconds
        while not is_there():
            if time.monotonic() > end:
                self.window.grab().save(str(self._out / "stuck.png"))
                raise SystemExit(f"{what}: not within {seconds:g} s; see stuck.png")
            self.rest(0.05)
        self.rest(SETTLE_S)


def shrink(path: Path) -> int:
    """Store a picture with few colours, without dithering; give its size in bytes."""
    from PIL import Image

    with Image.open(path) as image:
        few = image.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
    few.save(path, optimize=True)
    return path.stat().st_size


class Trials:
    """Counts the trials of the running sweep as the window hears of them."""

    def __init__(self) -> None:
        self.states: dict[int, str] = {}

    def hear(self, _job: str, subject: str, values: Mapping[str, Any]) -> None:
        """Take a measurement of the queue's."""
        for trial in values["trials"] if subject == "sweep" else [values]:
            if "state" in trial and "number" in trial:
                self.states[trial["number"]] = trial["state"]

    @property
    def share_done(self) -> float:
        """Trials that are done, 0 to 1."""
        done = sum(state == "done" for state in self.states.values())
        return done / max(1, len(self.states))


def tell(camera: Camera) -> None:
    """Go through the demo as a person would."""
    window, queue, trials = camera.window, camera.window.context.queue, Trials()
    queue.measured.connect(trials.hear)

    def press(name: str) -> None:
        camera.wait(name, lambda: _button(window, name).isEnabled(), 60)
        _button(window, name).click()

    camera.wait("the welcome", lambda: _button(window, "btn_demo").isVisible(), 10)
    camera.take("welcome")

    press("btn_demo")
    camera.wait("the demo", lambda: window.space.page_name == "Workbench", 60)
    window.show_page("Library")
    strip = _strip(window)
    camera.rest(1.0)
    camera.wait("the scan", lambda: not strip.isVisible(), 60)
    _select(window, "polder-sums")
    camera.rest(1.0)
    camera.take("library")

    window.show_page("Workbench")
    camera.wait("Run", lambda: _button(window, "btn_run").isEnabled(), 60)
    camera.take("workbench-compress")
    press("OpSwitch_merge")
    camera.rest(2.0)
    camera.take("workbench-merge")
    press("OpSwitch_compress")

    press("btn_run")
    window.show_page("Results")
    camera.wait("half of the trials", lambda: trials.share_done >= 0.5, 1200)
    camera.take("jobs")
    window.space.jobs.close()
    camera.rest(SETTLE_S)
    camera.take("results-running")
    camera.wait("the sweep", lambda: not queue.busy, 2400)
    camera.rest(1.0)
    camera.take("results")

    window.show_page("Workbench")
    press("OpSwitch_merge")
    press("btn_compare_all")
    camera.wait("the comparison", lambda: not queue.busy, 2400)
    window.space.jobs.close()
    camera.rest(8.0)  # the banner says the same and goes
    camera.take("results-merges")
    look_around(camera)


def look_around(camera: Camera) -> None:
    """Show the pages that the demo does not lead to, as it left them."""
    window = camera.window
    window.show_page("Families")
    camera.rest(2.0)
    _select(window, "polder-sums", "FamilyTree")
    _button(window, "btn_banner_close").click()  # what the sweep said is known by now
    camera.rest(1.0)
    camera.take("families")
    window.show_page("Storage")
    camera.rest(3.0)
    camera.take("storage")
    window.show_page("Library")
    _select(window, "polder-unsafe")
    camera.rest(1.0)
    window.actions_["act_repair"].trigger()
    camera.rest(4.0)
    camera.take("workbench-repair")
    ask(camera)


def ask(camera: Camera) -> None:
    """Let a base and its fine-tunes answer side by side."""
    from PySide6.QtWidgets import QPlainTextEdit

    from deltaworks_gui.payloads import LibraryChoice

    window = camera.window
    rows = window.context.library.rows()
    paths = {row.name: row.path for row in rows}
    chosen = tuple(paths[name] for name in ("polder-base", "polder-sums", "polder-brackets"))
    window.show_page("Playground", LibraryChoice(chosen))
    camera.rest(2.0)
    prompt = window.findChild(QPlainTextEdit, "PlaygroundPrompt")
    assert prompt is not None
    prompt.setPlainText("sum: 87+65=")
    camera.wait("Send", lambda: _button(window, "btn_send").isEnabled(), 30)
    _button(window, "btn_send").click()
    camera.wait("answers", lambda: not _button(window, "btn_stop").isEnabled(), 120)
    camera.rest(1.0)
    camera.take("playground")


def _button(window: MainWindow, name: str) -> QAbstractButton:
    from PySide6.QtWidgets import QAbstractButton

    found = window.findChildren(QAbstractButton, name)
    if not found:
        raise SystemExit(f"the window has no button {name}")
    return next((one for one in found if one.isVisible()), found[0])


def _strip(window: MainWindow) -> QWidget:
    """The line over the Library's table that says what is being read."""
    from PySide6.QtWidgets import QWidget

    found = window.findChild(QWidget, "LibraryStrip")
    assert found is not None
    return found


def _select(window: MainWindow, name: str, tree: str = "LibraryView") -> None:
    """Select the model of this name in a list, wherever it stands in it."""
    from PySide6.QtCore import Qt
    from PySide6.QtWidgets import QTreeView

    view = window.findChild(QTreeView, tree)
    assert view is not None
    model = view.model()
    whole = Qt.MatchFlag.MatchExactly | Qt.MatchFlag.MatchRecursive
    for index in model.match(model.index(0, 0), Qt.ItemDataRole.DisplayRole, name, 1, whole):
        view.setCurrentIndex(index)


def main(arguments: list[str] | None = None) -> int:
    """Open the window on a fresh home and take the pictures."""
    parser = argparse.ArgumentParser(prog="take.py", description="Take the manual's pictures.")
    parser.add_argument("--out", type=Path, required=True, help="folder for the PNG files")
    parser.add_argument("--only", choices=NAMES, action="append", default=[], help="save only this")
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    root = Path(tempfile.mkdtemp(prefix="deltaworks-"))
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    os.environ["HF_HUB_OFFLINE"] = "1"
    try:
        _open(root / "home", options.out, set(options.only))
    finally:
        shutil.rmtree(root, ignore_errors=True)
    return 0


def _open(root: Path, out: Path, only: set[str]) -> None:
    from deltaworks.library.home import VARIABLE, Home
    from deltaworks_gui import app as program
    from deltaworks_gui.garbage import GarbageKeeper

    os.environ[VARIABLE] = str(root)
    home = Home(root)
    app = program.make_app()
    keeper = GarbageKeeper(app)
    book = program.start_log(home)
    context = program.make_context(app, home, program.parse(["--offline"]))
    window = program.make_window(context, book)
    window.resize(WIDTH, HEIGHT)
    window.show()
    camera = Camera(window, app, out, only)
    ended: list[bool] = []
    window.gone.connect(lambda: ended.append(True))
    try:
        tell(camera)
    finally:
        window.quit_now()
        end = time.monotonic() + 20
        while not ended and time.monotonic() < end:
            camera.rest(0.05)
        context.library.close()
        book.close()
        keeper.stop()


if __name__ == "__main__":  # the engine's process imports this module again
    raise SystemExit(main())
