"""A model run block by block: one decoder block in memory, hidden states of all texts kept.

Everything outside the blocks runs once, with the blocks replaced by recorders: that gives
the first hidden states and what every block is handed beside them (positions, masks). Then
each block is read from the checkpoint, run on all texts and let go.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from deltaworks.checkpoints import roles_of
from deltaworks.checkpoints.checkpoint import Checkpoint
from deltaworks.inference.architecture import build_model
from deltaworks.inference.slots import Filling, match
from deltaworks.progress import JobControl

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module, ModuleList

SPILL_BYTES = 2_000_000_000
"""Hidden states above it are kept in a file."""


class NoBlocksError(Exception):
    """The network cannot be run block by block; it may still run as a whole."""


class _Enough(Exception):  # noqa: N818 - not an error: the last block was reached
    """Ends a forward pass that has shown everything."""


@contextmanager
def empty_parameters() -> Iterator[None]:
    """Build modules whose parameters take no memory; buffers are computed as usual."""
    from torch import nn

    register = nn.Module.register_parameter

    def on_meta(module: Module, name: str, parameter: nn.Parameter | None) -> None:
        if parameter is not None and parameter.device.type != "meta":
            parameter = nn.Parameter(parameter.to("meta"), parameter.requires_grad)
        register(module, name, parameter)

    nn.Module.register_parameter = on_meta  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        nn.Module.register_parameter = register  # type: ignore[method-assign]


@dataclass
class Call:
    """What a block is handed in one batch, beside the hidden states."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]


@dataclass
class Skeleton:
    """A model without its weights, and where they come from.

    Args:
        model: parameters on ``meta``; buffers on ``device``.
        path: name of the list of blocks.
        blocks: that list.
        fillings: by name in the model.
    """

    model: Module
    path: str
    blocks: ModuleList
    fillings: dict[str, Filling]
    checkpoint: Checkpoint
    device: str

    @classmethod
    def build(cls, checkpoint: Checkpoint, device: str) -> Skeleton:
        """Build it.

        Raises:
            MismatchError: no architecture fits the config, or the weights do not fit it.
            NoBlocksError: it has no single list of blocks.
        """
        import torch

        with empty_parameters():
            model = build_model(checkpoint.config, torch.float32, where=str(checkpoint.path))
        fillings = {
            name: filling for filling in match(model, checkpoint) for name in filling.slot.names
        }
        path, blocks = _block_list(model)
        for module in model.modules():
            for name, buffer in module._buffers.items():
                if buffer is not None:
                    module._buffers[name] = buffer.to(device)
        return cls(model, path, blocks, fillings, checkpoint, device)

    def load(self, prefix: str, *, skip: Callable[[str], bool] = lambda _: False) -> list[str]:
        """Read every weight whose name begins so; give the names for ``unload``."""
        names = [name for name in self.fillings if name.startswith(prefix) and not skip(name)]
        loaded: dict[int, Any] = {}
        for name in names:
            filling = self.fillings[name]
            if id(filling) not in loaded:
                value = self.checkpoint.read(filling.source)
                loaded[id(filling)] = value.to(self.device, copy=True)
                self.checkpoint.release(filling.source)
            self.set(name, loaded[id(filling)])
        return names

    def set(self, name: str, value: Tensor) -> None:
        """Put a weight into its module."""
        from torch import nn

        module, leaf = self._place(name)
        if leaf in module._parameters:
            module._parameters[leaf] = nn.Parameter(
                value.to(self.device).float(), requires_grad=False
            )
        else:
            module._buffers[leaf] = value.to(self.device, module._buffers[leaf].dtype)  # type: ignore[union-attr]

    def heads(self) -> frozenset[str]:
        """Names of the weights that only score tokens: not needed, and often the largest."""
        infos = [self.checkpoint.info(one.source) for one in self.fillings.values()]
        roles = roles_of(infos, self.checkpoint.config)
        return frozenset(
            name
            for name, filling in self.fillings.items()
            if roles[filling.source].role == "head" and len(filling.slot.names) == 1
        )

    def unload(self, names: Sequence[str]) -> None:
        """Give the memory of weights back."""
        from torch import nn

        for name in names:
            module, leaf = self._place(name)
            parameter = module._parameters.get(leaf)
            if parameter is not None:
                module._parameters[leaf] = nn.Parameter(parameter.to("meta"), requires_grad=False)

    def _place(self, name: str) -> tuple[Module, str]:
        parent, _, leaf = name.rpartition(".")
        return self.model.get_submodule(parent), leaf


def _block_list(model: Module) -> tuple[str, ModuleList]:
    """Find the list of blocks: the one that holds most numbers.

    Raises:
        NoBlocksError: it holds less than all but one of the other lists.
    """
    from torch import nn

    lists = {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, nn.ModuleList) and len(module) and _is_outermost(name, model)
    }
    if not lists:
        raise NoBlocksError("the network has no list of blocks")
    name = max(lists, key=lambda one: sum(p.numel() for p in lists[one].parameters()))
    return name, lists[name]


def _is_outermost(name: str, model: Module) -> bool:
    from torch import nn

    parts = name.split(".")
    parents = (".".join(parts[:end]) for end in range(1, len(parts)))
    return not any(isinstance(model.get_submodule(one), nn.ModuleList) for one in parents)


class States:
    """Hidden states of all batches, in memory or, above a limit, in a file.

    Args:
        shapes: of each batch, ``(sequences, tokens, width)``.
        spill: bytes above which a file is used.
    """

    def __init__(self, shapes: Sequence[tuple[int, ...]], *, spill: int = SPILL_BYTES) -> None:
        import torch

        self._shapes = list(shapes)
        sizes = [int(np.prod(shape)) for shape in shapes]
        self._ends = np.cumsum([0, *sizes]).tolist()
        total = self._ends[-1]
        self._file: Any = None
        if total * 4 > spill:
            self._file = tempfile.NamedTemporaryFile(prefix="deltaworks-states-")  # noqa: SIM115
            self._file.truncate(total * 4)
            mapped = np.memmap(self._file.name, dtype=np.float32, mode="r+", shape=(total,))
            self._flat = torch.from_numpy(mapped)
        else:
            self._flat = torch.empty(total)

    @property
    def is_spilled(self) -> bool:
        """Whether they are in a file."""
        return self._file is not None

    def __getitem__(self, batch: int) -> Tensor:
        """Give the states of a batch, a view."""
        return self._flat[self._ends[batch] : self._ends[batch + 1]].view(self._shapes[batch])

    def close(self) -> None:
        """Let go of the memory or the file."""
        import torch

        self._flat = torch.empty(0)
        if self._file is not None:
            self._file.close()
            Path(self._file.name).unlink(missing_ok=True)


class _Recorder:
    """Stands in for the blocks and writes down what they are handed."""

    def __init__(self, skeleton: Skeleton, take: Callable[[Tensor], None]) -> None:
        self._skeleton, self._take = skeleton, take
        self._real = list(skeleton.blocks)
        self.calls: list[list[Call]] = []
        self._like: Any = None

    @contextmanager
    def recording(self) -> Iterator[None]:
        from torch import nn

        recorder, blocks = self, self._skeleton.blocks

        class Stand(nn.Module):
            def __init__(self, number: int, real: Module) -> None:
                super().__init__()
                self.number = number
                self.__dict__["real"] = real  # not a child

            def __getattr__(self, name: str) -> Any:
                try:
                    return super().__getattr__(name)
                except AttributeError:
                    return getattr(self.__dict__["real"], name)

            def forward(self, hidden: Tensor, *args: Any, **kwargs: Any) -> Any:
                return recorder.record(self.number, hidden, args, kwargs)

        for number, real in enumerate(self._real):
            blocks[number] = Stand(number, real)
        try:
            yield
        finally:
            for number, real in enumerate(self._real):
                blocks[number] = real

    def next_batch(self) -> None:
        self.calls.append([])

    def record(
        self, number: int, hidden: Tensor, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        if number == 0:
            self._take(hidden)
        self.calls[-1].append(Call(args, kwargs))
        if number == len(self._real) - 1:
            raise _Enough
        if self._like is None:
            self._like = self._try(hidden, args, kwargs)
        return (hidden, *self._like[1:]) if isinstance(self._like, tuple) else hidden

    def _try(self, hidden: Tensor, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run the first block once, to see what blocks give back."""
        names = self._skeleton.load(f"{self._skeleton.path}.0.")
        found = self._real[0](hidden, *args, **kwargs)
        self._skeleton.unload(names)
        return found


class BlockRun:
    """All texts on their way through a model, one block after another. Use as a context.

    Args:
        skeleton: the model.
        batches: token ids ``(sequences, tokens)`` of each batch.
        spill: bytes of hidden states above which they are kept in a file.
    """

    def __init__(
        self, skeleton: Skeleton, batches: Sequence[Tensor], *, spill: int = SPILL_BYTES
    ) -> None:
        self._skeleton, self._batches = skeleton, batches
        self._spill = spill
        self._calls: list[list[Call]] = []
        self._states: States | None = None
        self._n_started = 0

    @property
    def n_blocks(self) -> int:
        """Blocks of the model."""
        return len(self._skeleton.blocks)

    def start(self, control: JobControl) -> None:
        """Run everything before the blocks.

        Raises:
            NoBlocksError: the network does not hand hidden states from block to block.
        """
        import torch

        skeleton = self._skeleton
        inside = f"{skeleton.path}."
        heads = skeleton.heads()
        outside = skeleton.load("", skip=lambda name: name.startswith(inside) or name in heads)
        recorder = _Recorder(skeleton, self._take)
        with recorder.recording(), torch.inference_mode():
            for ids in self._batches:
                control.check()
                recorder.next_batch()
                try:
                    skeleton.model(input_ids=ids.to(skeleton.device), use_cache=False)
                except _Enough:
                    _share(recorder.calls)
                    continue
                raise NoBlocksError("the blocks are not run one after another")
        skeleton.unload(outside)
        if any(len(calls) != self.n_blocks for calls in recorder.calls):
            raise NoBlocksError("hidden states are not handed from block to block")
        self._calls = recorder.calls

    def _take(self, hidden: Tensor) -> None:
        """Keep the first hidden states of the next batch."""
        batch = self._n_started
        wanted = self._batches[batch].shape
        if hidden.ndim != 3 or hidden.shape[:2] != wanted:
            raise NoBlocksError(f"hidden states are {tuple(hidden.shape)}, texts {tuple(wanted)}")
        if self._states is None:
            shapes = [(*ids.shape, hidden.shape[-1]) for ids in self._batches]
            self._states = States(shapes, spill=self._spill)
        self._states[batch].copy_(hidden)
        self._n_started += 1

    @contextmanager
    def block(self, number: int) -> Iterator[Module]:
        """Have one block in memory."""
        names = self._skeleton.load(f"{self._skeleton.path}.{number}.")
        try:
            yield self._skeleton.blocks[number]
        finally:
            self._skeleton.unload(names)

    def replace(self, weights: Mapping[str, Tensor]) -> None:
        """Put other weights into the block that is in memory, under their stored names."""
        stored = {
            source: name
            for name, filling in self._skeleton.fillings.items()
            for source in (filling.source, *filling.twins)
        }
        for source, value in weights.items():
            self._skeleton.set(stored[source], value)

    def forward(
        self,
        number: int,
        tell: Callable[[int], None],
        before_batch: Callable[[], None],
        *,
        keep: bool = True,
    ) -> None:
        """Run a block on all batches.

        Args:
            number: of the block that is in memory.
            tell: called before each batch with its number.
            before_batch: called before each batch.
            keep: whether its outputs are the next block's inputs.
        """
        import torch

        assert self._states is not None
        block = self._skeleton.blocks[number]
        with torch.inference_mode():
            for batch in range(len(self._batches)):
                tell(batch)
                before_batch()
                call = self._calls[batch][number]
                hidden = self._states[batch].to(self._skeleton.device, copy=True)
                found = block(hidden, *call.args, **call.kwargs)
                if keep:
                    self._states[batch].copy_(found[0] if isinstance(found, tuple) else found)

    def __enter__(self) -> BlockRun:
        return self

    def __exit__(self, *_: object) -> None:
        """Let go of the hidden states."""
        if self._states is not None:
            self._states.close()


def _share(calls: Sequence[Sequence[Call]]) -> None:
    """Keep equal masks and positions of the last two batches, and of all blocks, once."""
    known: list[Any] = []
    for batch in calls[-2:]:
        for call in batch:
            call.args = tuple(_known(value, known) for value in call.args)
            call.kwargs = {name: _known(value, known) for name, value in call.kwargs.items()}


def _known(value: Any, known: list[Any]) -> Any:
    import torch

    if isinstance(value, tuple):
        return tuple(_known(one, known) for one in value)
    if not isinstance(value, torch.Tensor):
        return value
    for other in known:
        if other is value:
            return other
        same_kind = other.shape == value.shape and other.dtype == value.dtype
        if same_kind and torch.equal(other, value):
            return other
    known.append(value)
    return value
