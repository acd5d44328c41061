"""Which NVIDIA GPUs there are, by NVIDIA's own library; light, since the window asks at start.

The library (``nvidia-ml-py``) is an optional extra; without it or a driver there are none.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple


class Gpu(NamedTuple):
    """One GPU.

    Args:
        number: as the driver and ``CUDA_VISIBLE_DEVICES`` count.
        title: its name.
        total_bytes: of memory; ``free_bytes`` of it are not in use.
    """

    number: int
    title: str
    total_bytes: int
    free_bytes: int


def gpus() -> tuple[Gpu, ...]:
    """Give the GPUs that this process may use, in the order of their names in torch."""
    if not _is_there():
        return ()
    import pynvml

    with contextlib.suppress(pynvml.NVMLError), _library():
        return tuple(_facts(number) for number in _visible(pynvml.nvmlDeviceGetCount()))
    return ()


def used_bytes(gpu: str, pid: int) -> int:
    """Memory that one process uses on a GPU; 0 where that cannot be told.

    Args:
        gpu: its number.
        pid: of the process.
    """
    if not _is_there():
        return 0
    import pynvml

    with contextlib.suppress(pynvml.NVMLError, ValueError), _library():
        handle = pynvml.nvmlDeviceGetHandleByIndex(int(gpu))
        for one in pynvml.nvmlDeviceGetComputeRunningProcesses(handle):
            if one.pid == pid:
                return int(one.usedGpuMemory or 0)
    return 0


def _is_there() -> bool:
    """Whether to ask at all: loading the library costs what a start should not."""
    if sys.platform == "linux" and not Path("/proc/driver/nvidia").exists():
        return Path("/dev/dxg").exists() and find_spec("pynvml") is not None  # Windows beneath
    return find_spec("pynvml") is not None


@contextlib.contextmanager
def _library() -> Iterator[None]:
    import pynvml

    pynvml.nvmlInit()
    try:
        yield
    finally:
        pynvml.nvmlShutdown()


def _facts(number: int) -> Gpu:
    import pynvml

    handle = pynvml.nvmlDeviceGetHandleByIndex(number)
    memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
    name = pynvml.nvmlDeviceGetName(handle)
    title = name.decode() if isinstance(name, bytes) else str(name)
    return Gpu(number, title, int(memory.total), int(memory.free))


def _visible(count: int) -> Sequence[int]:
    text = os.environ.get("CUDA_VISIBLE_DEVICES")
    if text is None:
        return range(count)
    chosen = []
    for part in text.split(","):
        if not part.strip().isdecimal() or int(part) >= count:
            break  # as CUDA does: what follows is hidden
        chosen.append(int(part))
    return chosen
