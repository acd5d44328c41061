"""Which devices there are, how much memory they have, and which one a job should use.

Nothing here imports torch: the window asks as well. NVIDIA's own library tells of GPUs
(``nvidia-ml-py``, an optional extra); without it, or without a driver, there is the CPU.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psutil

from deltaworks.errors import OptionError
from deltaworks.formatting import size
from deltaworks.numerics.gpus import gpus

if TYPE_CHECKING:
    from deltaworks.numerics.device_link import DeviceLink

CPU, AUTO = "cpu", "auto"
_GPU = re.compile(r"cuda:(\d{1,3})")


@dataclass(frozen=True, slots=True)
class Device:
    """One device and what a cost model needs of it.

    Args:
        id: ``cpu``, ``cuda:0``.
        title: for people.
        total_bytes: its memory; ``free_bytes`` what is not in use.
        visible: what ``CUDA_VISIBLE_DEVICES`` calls it; empty for the CPU.
    """

    id: str
    title: str
    total_bytes: int
    free_bytes: int
    visible: str = ""


@dataclass(frozen=True, slots=True)
class Work:
    """What a job does, as far as the choice of a device depends on it.

    Args:
        n_bytes: read from models, that would have to travel.
        operations: of decompositions and products, that a device does faster.
        peak_bytes: in memory at once.
    """

    n_bytes: int
    operations: float
    peak_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Rates:
    """How fast a kind of device is.

    Args:
        link: bytes a second to the device; infinite for the CPU.
        traffic: bytes a second of elementwise work.
        operations: a second, in float64, of decompositions and products.
        start_s: to get going.
    """

    link: float
    traffic: float
    operations: float
    start_s: float


RATES = {
    # One core, measured (docs/benchmarks.md); a job uses every core it may.
    CPU: Rates(float("inf"), 1.0e9, 4.0e9, 0.0),
    # From data sheets and not measured: PCIe 4 x16 from page-locked memory; eigenvalues
    # in float64 on a card of a data centre.
    "cuda": Rates(20.0e9, 500.0e9, 500.0e9, 3.0),
}


def detect() -> tuple[Device, ...]:
    """Name the CPU, and every GPU that NVIDIA's library tells of."""
    memory = psutil.virtual_memory()
    return (Device(CPU, "CPU", memory.total, memory.available), *_gpus())


def _gpus() -> Iterator[Device]:
    for place, gpu in enumerate(gpus()):
        title, total, free = gpu.title, gpu.total_bytes, gpu.free_bytes
        yield Device(f"cuda:{place}", title, total, free, str(gpu.number))


def device_fault(name: str, devices: Iterable[Device] | None = None) -> OptionError | None:
    """Say what is wrong with a device's name; None when nothing is.

    Args:
        name: ``cpu``, ``auto`` or ``cuda:N``.
        devices: that there are; detected when not given.
    """
    if name in {CPU, AUTO}:
        return None
    if not _GPU.fullmatch(name):
        return OptionError(f"device '{name}' is none", fix="Choose cpu, auto or cuda:0.")
    there = [one.id for one in (detect() if devices is None else devices)]
    if name in there:
        return None
    gpus = ", ".join(one for one in there if one != CPU)
    what = f"there is no device '{name}' here ({gpus or 'no GPU was found'})"
    return OptionError(what, fix=f"Choose {', '.join([*there, AUTO])}.")


def choose(work: Work, devices: Sequence[Device], *, cores: int = 1) -> Device:
    """Give the device that should be done first.

    Elementwise work is bound by the way to the device, so it stays on the CPU; what
    decomposes large matrices goes to a GPU whose free memory holds it.
    """
    fitting = [one for one in devices if one.id == CPU or one.free_bytes > 2 * work.peak_bytes]
    return min(fitting, key=lambda one: seconds(work, one, cores=cores))


def seconds(work: Work, device: Device, *, cores: int = 1) -> float:
    """Estimate how long work takes on a device."""
    is_cpu = device.id == CPU
    rates, at_once = RATES[CPU if is_cpu else "cuda"], cores if is_cpu else 1
    arithmetic = work.n_bytes / rates.traffic + work.operations / rates.operations
    return rates.start_s + work.n_bytes / rates.link + arithmetic / at_once


def decomposition(shape: Sequence[int]) -> float:
    """Operations of decomposing a matrix, or a stack of them, by its Gram matrix."""
    if len(shape) < 2:
        return 0.0
    *stack, rows, cols = shape
    small, large = sorted((rows, cols))
    count = 1
    for one in stack:
        count *= one
    return count * (4.0 * small * small * large + 13.0 * float(small) ** 3)


def open_link(name: str, warn: Callable[[str], None]) -> DeviceLink | None:
    """Give the way to a GPU; None for the CPU.

    Raises:
        OptionError: torch cannot use it.
    """
    if name in {CPU, AUTO}:
        return None
    import torch

    from deltaworks.numerics.device_link import CudaBackend, DeviceLink

    if not torch.cuda.is_available():
        what = f"torch {torch.__version__} cannot use '{name}'"
        raise OptionError(what, fix="Install a torch made for CUDA, or choose cpu.")
    return DeviceLink(CudaBackend(name), warn)


def memory_text(device: Device) -> str:
    """Say how much of a device's memory is free."""
    return f"{size(device.free_bytes)} of {size(device.total_bytes)} free on {device.title}"
