"""The way to a device and back: tensors in through page-locked buffers, results out likewise.

While one caller's numbers are computed with, the next caller's travel: two slots, each with a
buffer for both ways, and three streams (in, compute, out). The same code runs with the CPU in
the device's place, which is how it is tested where there is no GPU.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from torch import Tensor

    Function = Callable[..., tuple[Tensor, ...]]

log = logging.getLogger(__name__)

_SLOTS = 2
_OUT_OF_MEMORY = ("out of memory", "not enough memory", "can't allocate memory")


class Backend(Protocol):
    """What a link asks of a device."""

    name: str

    def buffer(self, n_bytes: int) -> Tensor:
        """Give bytes on the host that the device may read and write by itself."""

    def stream(self) -> Any:
        """Make a queue of work."""

    def on(self, stream: Any) -> contextlib.AbstractContextManager[Any]:
        """Put what is asked for inside into a stream."""

    def mark(self, stream: Any) -> Any:
        """Mark the end of what a stream has to do now."""

    def after(self, stream: Any, mark: Any) -> None:
        """Let a stream go on only after a mark."""

    def wait(self, mark: Any) -> None:
        """Let the host wait for a mark."""

    def hold(self, tensor: Tensor, stream: Any) -> None:
        """Keep a tensor's memory until a stream is done with it."""

    def free(self) -> None:
        """Give memory that is cached back to the device."""


class HostBackend:
    """The CPU in a device's place: everything happens at once."""

    name = "cpu"

    def buffer(self, n_bytes: int) -> Tensor:
        """Give plain bytes."""
        import torch

        return torch.empty(n_bytes, dtype=torch.uint8)

    def stream(self) -> None:
        """There is one order only."""

    def on(self, stream: None) -> contextlib.AbstractContextManager[None]:
        """Do it now."""
        del stream
        return contextlib.nullcontext()

    def mark(self, stream: None) -> None:
        """All is done already."""

    def after(self, stream: None, mark: None) -> None:
        """It is."""

    def wait(self, mark: None) -> None:
        """Nothing to wait for."""

    def hold(self, tensor: Tensor, stream: None) -> None:
        """Python holds it."""

    def free(self) -> None:
        """Nothing is cached."""


class CudaBackend:
    """A GPU, as torch drives it.

    Args:
        name: ``cuda:0``.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def buffer(self, n_bytes: int) -> Tensor:
        """Give page-locked bytes."""
        import torch

        return torch.empty(n_bytes, dtype=torch.uint8, pin_memory=True)

    def stream(self) -> Any:
        """Make a CUDA stream."""
        import torch

        return torch.cuda.Stream(self.name)  # type: ignore[no-untyped-call]  # torch's own

    def on(self, stream: Any) -> contextlib.AbstractContextManager[Any]:
        """Enter a CUDA stream on this thread."""
        import torch

        return torch.cuda.stream(stream)

    def mark(self, stream: Any) -> Any:
        """Record an event."""
        return stream.record_event()

    def after(self, stream: Any, mark: Any) -> None:
        """Wait on the device, not on the host."""
        stream.wait_event(mark)

    def wait(self, mark: Any) -> None:
        """Wait on the host."""
        mark.synchronize()

    def hold(self, tensor: Tensor, stream: Any) -> None:
        """Tell the allocator."""
        tensor.record_stream(stream)

    def free(self) -> None:
        """Empty the allocator's cache."""
        import torch

        torch.cuda.empty_cache()


class _Slot:
    """One buffer in and one out, made larger when they must be."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._bytes: dict[str, Tensor] = {}

    def staged(self, way: str, tensors: tuple[Tensor, ...]) -> list[Tensor]:
        """Give room in a buffer for tensors of these shapes and dtypes, one after another."""
        import torch

        sizes = [-(-tensor.nbytes // 64) * 64 for tensor in tensors]
        if way not in self._bytes or len(self._bytes[way]) < sum(sizes):
            self._bytes.pop(way, None)
            self._bytes[way] = self._backend.buffer(sum(sizes))
        found, at = [], 0
        for tensor, size in zip(tensors, sizes, strict=True):
            raw = self._bytes[way][at : at + tensor.nbytes]
            shape = tuple(tensor.shape)
            found.append(
                raw.view(tensor.dtype).view(shape)
                if tensor.numel()
                else torch.empty_like(tensor, device="cpu")
            )
            at += size
        return found

    def drop(self) -> None:
        """Let the buffers go."""
        self._bytes.clear()


class DeviceLink:
    """Computes on a device with tensors of the host; from any thread.

    Args:
        backend: the device.
        warn: told in words when memory runs out there.
    """

    def __init__(self, backend: Backend, warn: Callable[[str], None] = log.warning) -> None:
        self._backend = backend
        self._warn = warn
        self._told: set[str] = set()
        self._all = [_Slot(backend) for _ in range(_SLOTS)]
        self._slots: SimpleQueue[_Slot] = SimpleQueue()
        for slot in self._all:
            self._slots.put(slot)
        self._in, self._compute, self._out = (backend.stream() for _ in range(3))

    @property
    def device(self) -> str:
        """The device as torch names it."""
        return self._backend.name

    def run(self, function: Function, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Compute with tensors of the host and give results on the host.

        Args:
            function: pure, from tensors on the device to tensors on the device.
            tensors: never changed.
        """
        slot = self._slots.get()
        try:
            return self._through(slot, function, tensors)
        finally:
            self._slots.put(slot)

    def _through(
        self, slot: _Slot, function: Function, tensors: tuple[Tensor, ...]
    ) -> tuple[Tensor, ...]:
        backend = self._backend
        there = []
        with backend.on(self._in):
            for tensor, staged in zip(tensors, slot.staged("in", tensors), strict=True):
                staged.copy_(tensor)
                there.append(staged.to(backend.name, non_blocking=True))
            arrived = backend.mark(self._in)
        with backend.on(self._compute):
            backend.after(self._compute, arrived)
            for tensor in there:
                backend.hold(tensor, self._compute)
            results = function(*there)
            done = backend.mark(self._compute)
        with backend.on(self._out):
            backend.after(self._out, done)
            places = slot.staged("out", results)
            for result, staged in zip(results, places, strict=True):
                backend.hold(result, self._out)
                staged.copy_(result, non_blocking=True)
            left = backend.mark(self._out)
        backend.wait(left)
        return tuple(place.clone() for place in places)

    def run_in_parts(
        self, function: Function, stack: Tensor, *, at_once: int = 0
    ) -> Iterator[tuple[Tensor, ...]]:
        """Compute with a stack, part by part.

        Where memory does not suffice, parts get smaller; one entry that is still too large
        is computed with on the CPU.

        Args:
            function: as for ``run``; treats every entry of the stack for itself.
            stack: ``(count, ...)``.
            at_once: entries of a part at most; 0 for all.

        Yields:
            The results of each part, in order.
        """
        size, at = at_once or max(1, len(stack)), 0
        while at < len(stack):
            part = stack[at : at + size]
            try:
                yield self.run(function, part)
            except (MemoryError, RuntimeError) as error:
                if not is_out_of_memory(error):
                    raise
                self.release()
                if len(part) > 1:
                    size = (len(part) + 1) // 2
                    self._say("its memory was used up, so it gets smaller parts")
                    continue
                self._say("its memory was used up, so the largest parts are done on the CPU")
                yield function(part)
            at += len(part)

    def _say(self, what: str) -> None:
        if what not in self._told:
            self._told.add(what)
            self._warn(f"{self.device}: {what}")

    def release(self) -> None:
        """Give memory back that is not in use, on the device and on the host."""
        free = [self._slots.get() for _ in range(self._slots.qsize())]
        for slot in free:
            slot.drop()
            self._slots.put(slot)
        self._backend.free()


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an allocation failed; ``torch.OutOfMemoryError`` is a RuntimeError."""
    if isinstance(error, MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(
        text in str(error).lower() for text in _OUT_OF_MEMORY
    )


_current: DeviceLink | None = None
"""One a process: an engine runs one job at a time."""


def current_link() -> DeviceLink | None:
    """The device that decompositions go to; None for the CPU."""
    return _current


@contextlib.contextmanager
def computing_on(link: DeviceLink | None) -> Iterator[None]:
    """Let decompositions go to a device inside, on every thread."""
    global _current
    before, _current = _current, link
    try:
        yield
    finally:
        _current = before
        if link is not None:
            link.release()
