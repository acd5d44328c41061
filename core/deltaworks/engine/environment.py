"""What a job ran on: versions, cores, memory. Without importing what it names."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version

import psutil

from deltaworks import product

_PACKAGES = ("torch", "numpy", "transformers", "safetensors", "zstandard")


def versions() -> dict[str, str]:
    """Name what may change a result: the app, Python, the libraries, the machine kind."""
    found = {
        product.NAME: product.VERSION,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
    }
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def n_workers(threads: int) -> int:
    """Worker threads to use: what was asked for, or one a core that this process may use.

    ``OMP_NUM_THREADS`` counts as a limit, as it does for the libraries underneath.
    """
    if threads:
        return threads
    limit = os.environ.get("OMP_NUM_THREADS", "")
    if limit.isdecimal() and int(limit):
        return int(limit)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def resident_bytes() -> int:
    """Memory of this process that is in RAM now, mapped files included."""
    rss: int = psutil.Process().memory_info().rss
    return rss
