"""``deltaworks-cli`` that tells what the work took once everything was imported.

Usage: as the program itself. The last line of the output is JSON.
"""

from __future__ import annotations

import json
import sys
import time

from deltaworks.cli.main import app
from deltaworks.recipes import load_recipe  # noqa: F401 - imported before the clock starts
from deltaworks.studies.jobs import run_job  # noqa: F401


def main() -> None:
    """Run one command."""
    if sys.argv[1] == "merge":
        import deltaworks.engine.merge  # noqa: F401
    cpu, wall = time.process_time(), time.perf_counter()
    app(standalone_mode=False)
    took = {
        "engine_cpu": time.process_time() - cpu,
        "engine_wall": time.perf_counter() - wall,
        "has_torch": "torch" in sys.modules,
    }
    print(f"\n{json.dumps(took)}")


main()
