"""Whether this installation works: builds the window unseen and runs the demo's smallest job."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from PySide6.QtCore import QEventLoop, QTimer

from deltaworks.library.home import Home
from deltaworks_gui.lanes.jobs import Job, JobState

_MOST_S = 300
"""Seconds that it may take on the slowest machine."""


def run_self_test() -> int:
    """Print one JSON document; 0 when everything works."""
    started = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="deltaworks-self-test-") as folder:
        try:
            facts = _facts(Home(Path(folder)))
        except Exception as error:  # whatever is wrong with it is the answer
            facts = {"ok": False, "error": f"{type(error).__name__}: {error}"}
    facts["seconds"] = round(time.perf_counter() - started, 2)
    sys.stdout.write(json.dumps(facts, indent=2) + "\n")
    return 0 if facts["ok"] else 1


def _facts(home: Home) -> dict[str, Any]:
    from deltaworks.library.demo import unpack_demo
    from deltaworks_gui import app
    from deltaworks_gui.dialogs.about import versions
    from deltaworks_resources import demo_folder

    application = app.make_app()
    book = app.start_log(home)
    context = app.make_context(application, home, app.parse(["--offline", "--safe-mode"]))
    try:
        window = app.make_window(context, book)
        window.show()
        pages = [record.name for _, record in window.page_places()]
        for name in pages:
            window.show_page(name)
        demo = unpack_demo(demo_folder(), home.store / "demo")
        made = home.store / "self-test.safetensors"
        recipe = {
            "kind": "compress",
            "base": {"path": str(demo.base)},
            "experts": [{"path": str(demo.experts[0])}],
            "settings": [{"method": "sign"}],
            "output": str(made),
        }
        job = _run(context.queue, recipe)
        window.quit_now()
    finally:
        context.tasks.close()
        context.queue.shutdown()
        context.library.close()
        book.close()
    is_good = job.state in (JobState.SUCCEEDED, JobState.WARNED) and made.exists()
    size = made.stat().st_size if made.exists() else 0
    return {
        "ok": is_good,
        "error": job.error,
        "pages": pages,
        "delta_bytes": size,
        "versions": versions(),
    }


def _run(queue: Any, recipe: dict[str, Any]) -> Job:
    """Queue a job and wait for its end, or for too long."""
    loop = QEventLoop()
    queue.job_ended.connect(loop.quit)
    QTimer.singleShot(_MOST_S * 1000, loop.quit)
    job = queue.submit("Self-test", recipe)
    loop.exec()
    ended: Job = queue.job(job.id)
    return ended
