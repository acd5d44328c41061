"""One scan of a folder, timed without the start of Python.

Usage: scan_library.py HOME ROOT new|again
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from pathlib import Path

from deltaworks.library.home import Home
from deltaworks.library.library import Library
from deltaworks.progress import JobControl


def main(home: Path, root: Path, kind: str) -> None:
    if kind == "new":
        shutil.rmtree(home, ignore_errors=True)
    library = Library(Home(home))
    library.add_root(root)
    wall, cpu = time.perf_counter(), time.process_time()
    library.scan(JobControl())
    rows = len(library.rows())
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    library.close()
    print(json.dumps({"wall": wall, "cpu": cpu, "rows": rows}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
