"""The program's first line to its last. Nothing heavy is imported before the window shows.

The engine's process imports this module again when it is spawned, so Qt stays inside.
"""

from __future__ import annotations

import argparse
import faulthandler
import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from deltaworks.product import DISPLAY_NAME, NAME, REVERSE_DNS, VERSION

if TYPE_CHECKING:
    from PySide6.QtWidgets import QApplication

    from deltaworks.library.home import Home
    from deltaworks_gui.context import AppContext
    from deltaworks_gui.lanes.lane import LaneSpec
    from deltaworks_gui.logs import LogBook
    from deltaworks_gui.main_window import MainWindow

log = logging.getLogger(__name__)

_FAULTS = "faults.log"
_SWITCH_S = 0.001  # a Python-heavy thread gives way to the window this soon


def main(arguments: list[str] | None = None) -> int:
    """Open the window, or hand the arguments to the one that is open."""
    import multiprocessing

    multiprocessing.freeze_support()
    options = parse(sys.argv[1:] if arguments is None else arguments)
    if options.self_test:
        return _self_test()
    home = _home(options)
    if options.diagnostics:
        return _print_diagnostics(home)
    faults = _watch_faults(home)
    os.environ.setdefault("HF_HUB_OFFLINE", "1")  # downloads ask for the network themselves
    sys.setswitchinterval(_SWITCH_S)
    try:
        return _run(options, home)
    finally:
        faulthandler.disable()
        faults.close()


def parse(arguments: list[str]) -> argparse.Namespace:
    """Read the command line; exits on a wrong one, on ``--help`` and ``--version``."""
    parser = argparse.ArgumentParser(prog=NAME, description=f"Open {DISPLAY_NAME}.")
    parser.add_argument("paths", nargs="*", type=Path, metavar="PATH", help="folders or a recipe")
    parser.add_argument("--home", type=Path, help="folder for settings, index, store and logs")
    parser.add_argument("--page", metavar="NAME", help="page to show first")
    parser.add_argument("--demo", action="store_true", help="set up the demo")
    parser.add_argument("--offline", action="store_true", help="never touch a network")
    parser.add_argument("--safe-mode", action="store_true", help="restore nothing")
    parser.add_argument("--reset-layout", action="store_true", help="forget the window's layout")
    parser.add_argument(
        "--diagnostics", action="store_true", help="print versions and the last log lines"
    )
    parser.add_argument(
        "--self-test", action="store_true", help="try this installation out, unseen; print JSON"
    )
    parser.add_argument("--version", action="version", version=f"{DISPLAY_NAME} {VERSION}")
    return parser.parse_args(arguments)


def _home(options: argparse.Namespace) -> Home:
    from deltaworks.library.home import VARIABLE, default_home

    if options.home is not None:
        # The engine and everything else that asks finds the same place.
        os.environ[VARIABLE] = str(options.home.expanduser().absolute())
    return default_home()


def _self_test() -> int:
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    from deltaworks_gui.self_test import run_self_test

    return run_self_test()


def _print_diagnostics(home: Home) -> int:
    from deltaworks_gui.diagnostics import diagnostics_of_file

    sys.stdout.write(diagnostics_of_file(home.logs) + "\n")
    return 0


def _watch_faults(home: Home) -> TextIO:
    home.logs.mkdir(parents=True, exist_ok=True)
    file = (home.logs / _FAULTS).open("a", encoding="utf-8")
    faulthandler.enable(file)
    return file


def _run(options: argparse.Namespace, home: Home) -> int:
    from deltaworks_gui.signals import SignalWatch
    from deltaworks_gui.single_instance import InstanceServer, hand_over, server_name
    from deltaworks_gui.warming import Warmer

    name = server_name(home.root)
    message = {
        "paths": [str(path.absolute()) for path in options.paths],
        "page": options.page,
        "demo": options.demo,
    }
    if hand_over(name, message):
        return 0
    from deltaworks_gui.door import Door
    from deltaworks_gui.garbage import GarbageKeeper
    from deltaworks_gui.mishaps import Mishaps

    app = make_app()
    keeper = GarbageKeeper(app)
    book = start_log(home)
    log.info("%s %s starts, home %s", DISPLAY_NAME, VERSION, home.root)
    context = make_context(app, home, options)
    try:
        window = make_window(context, book)
        mishaps = Mishaps(window, book)
        server = InstanceServer(name, window)
        door = Door(window)
        server.received.connect(door.take)
        signals = SignalWatch(window)
        signals.asked_to_end.connect(window.quit_now)
        window.gone.connect(app.quit)
        window.shown.connect(Warmer(context.tasks, window).start)
        window.show()
        door.first(message)
        code = app.exec()
        signals.stop()
        mishaps.stop()
        server.close()
    finally:
        # The second net: whatever went wrong, no thread outlives the objects it uses.
        context.tasks.close()
        context.queue.shutdown()
        context.library.close()
        keeper.stop()
        log.info("ended")
        book.close()
    return code


def make_app() -> QApplication:
    """The QApplication, named."""
    from PySide6.QtWidgets import QApplication

    from deltaworks_gui.widgets.focus_ring import FocusRing

    app = QApplication.instance() or QApplication(sys.argv[:1])
    assert isinstance(app, QApplication)
    if app.findChild(FocusRing) is None:
        FocusRing(app)
    app.setApplicationName(NAME)
    app.setApplicationDisplayName("")  # the window writes the name in its title itself
    app.setApplicationVersion(VERSION)
    app.setDesktopFileName(REVERSE_DNS)
    app.setQuitOnLastWindowClosed(False)
    return app


def start_log(home: Home) -> LogBook:
    """Log files, and nothing lost that nobody caught."""
    from deltaworks_gui.logs import LogBook, catch_everything

    book = LogBook(home.logs)
    catch_everything()
    return book


def make_context(
    app: QApplication,
    home: Home,
    options: argparse.Namespace,
    lanes: list[LaneSpec] | None = None,
) -> AppContext:
    """Everything that pages share."""
    from deltaworks.library.library import Library
    from deltaworks_gui.context import AppContext, Navigator
    from deltaworks_gui.lanes.queue import JobQueue
    from deltaworks_gui.lanes.tasks import TaskPool
    from deltaworks_gui.settings import Settings
    from deltaworks_gui.theme import current_theme

    settings = Settings(home.settings)
    if options.reset_layout:
        settings.remove("window")
    theme = current_theme()
    theme.apply(app, settings.text("look/theme", "system"))
    return AppContext(
        home=home,
        library=Library(home),
        queue=JobQueue(
            lanes or default_lanes(cpu_only=options.safe_mode), home.root / "queue.json"
        ),
        tasks=TaskPool(),
        settings=settings,
        theme=theme,
        navigator=Navigator(),
        is_offline=options.offline,
        is_safe=options.safe_mode,
    )


def default_lanes(*, cpu_only: bool = False) -> list[LaneSpec]:
    """One lane a device: the CPU's, and one for every GPU that is found."""
    from functools import partial

    from deltaworks.numerics.gpus import gpus
    from deltaworks_gui.lanes.engines import ProcessEngine
    from deltaworks_gui.lanes.lane import LaneSpec

    lanes = [LaneSpec("cpu", "CPU", ProcessEngine)]
    for number, gpu in enumerate(() if cpu_only else gpus()):
        # The engine of a lane sees its own GPU alone, so to it that one is the first.
        engine = partial(ProcessEngine, gpu=str(gpu.number))
        lanes.append(LaneSpec(f"gpu{number}", gpu.title, engine, gpu.total_bytes, "cuda:0"))
    return lanes


def make_window(context: AppContext, book: LogBook) -> MainWindow:
    """The window, not shown yet."""
    from deltaworks_gui.main_window import MainWindow

    return MainWindow(context, book)
