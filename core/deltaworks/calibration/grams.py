"""Gram matrices of the inputs of a model's linear layers, over texts.

``G`` is the mean over tokens of ``x x^T``: what GPTQ and its kin call the Hessian, up to a
factor. Sums are float32. Layers that see one input share one matrix. Inputs come from the
unchanged model. A pass is kept on disk under everything that decides its result.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from weakref import WeakValueDictionary

from deltaworks.calibration.blocks import NoBlocksError
from deltaworks.calibration.experts import expert_name
from deltaworks.calibration.moments import FEWEST, Moments
from deltaworks.calibration.passes import Pass, Watched, run_blocks, run_whole
from deltaworks.calibration.sequences import Sequences
from deltaworks.calibration.store import Writer, halved, key_of, read_index, read_tensor, whole
from deltaworks.calibration.targets import linear_names
from deltaworks.checkpoints import content_hash
from deltaworks.checkpoints.checkpoint import Checkpoint
from deltaworks.errors import AppError
from deltaworks.progress import JobControl, Progress

if TYPE_CHECKING:
    from torch import Tensor

_SHOWN = 3


class Grams:
    """Gram matrices on disk, read one at a time. Use as a context.

    Attributes:
        tokens: that ran through the model.
        notes: sentences for the report.
        from_cache: whether an earlier pass had found them.
    """

    def __init__(
        self, folder: Path, index: Mapping[str, Any], *, is_temporary: bool, from_cache: bool
    ) -> None:
        self._folder, self._is_temporary = folder, is_temporary
        self._leaders: dict[str, str] = index["leaders"]
        self._entries: dict[str, dict[str, Any]] = index["entries"]
        self._n_experts: dict[str, int] = index["experts"]
        self._held: WeakValueDictionary[str, Tensor] = WeakValueDictionary()
        self.tokens: int = index["tokens"]
        self.notes: tuple[str, ...] = tuple(index["notes"])
        self.from_cache = from_cache

    @property
    def names(self) -> tuple[str, ...]:
        """Weights whose inputs are known, by their names in the checkpoint."""
        return (*self._leaders, *self._n_experts)

    def __contains__(self, name: object) -> bool:
        """Whether the inputs of a weight are known."""
        return name in self._leaders or name in self._n_experts

    @property
    def folder(self) -> Path:
        """Where they lie; what is computed from them may be kept there too."""
        return self._folder

    def leader(self, name: str) -> str:
        """Name the weight whose matrix a weight shares; itself for stacked experts."""
        return self._leaders.get(name, name)

    def read(self, name: str) -> Tensor:
        """Read the mean over tokens of ``x x^T``, float32 ``(in, in)``; never write to it.

        Of a stack of experts ``(experts, in, in)``. A pass that kept squares only gives
        a diagonal matrix.
        """
        import torch

        if name in self._n_experts:
            return torch.stack([self._read(one) for one in self._of_stack(name)])
        leader = self._leaders[name]
        held = self._held.get(leader)
        if held is None:
            held = self._held[leader] = self._read(leader)
        return held

    def diagonal(self, name: str) -> Tensor:
        """Read the mean squares of a weight's inputs, float32 ``(in,)``."""
        return self.read(name).diagonal(dim1=-2, dim2=-1).clone()

    def seen(self, name: str) -> int:
        """Tokens that a weight's input saw; of a stack of experts the fewest."""
        return min(int(self._entries[one]["seen"]) for one in self._of(name))

    def dead(self, name: str) -> int:
        """Inputs of a weight that were always 0; of a stack of experts in all of them."""
        return sum(int(self._entries[one]["dead"]) for one in self._of(name))

    def close(self) -> None:
        """Let go; what was not to be cached goes away."""
        if self._is_temporary:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _of(self, name: str) -> list[str]:
        return self._of_stack(name) if name in self._n_experts else [self._leaders[name]]

    def _of_stack(self, name: str) -> list[str]:
        return [expert_name(name, number) for number in range(self._n_experts[name])]

    def _read(self, entry: str) -> Tensor:
        facts = self._entries[entry]
        flat = read_tensor(self._folder, facts["file"], entry)
        return flat.diag() if facts["diagonal"] else whole(flat, int(facts["size"]))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close."""
        self.close()


def collect_grams(
    checkpoint: Checkpoint,
    sequences: Sequences,
    control: JobControl,
    *,
    cache: Path | None,
    device: str = "cpu",
    names: Collection[str] | None = None,
    diagonal: bool = False,
) -> Grams:
    """Run texts through a model and sum its layers' inputs, or read what an earlier run found.

    One block is in memory at a time; a network that cannot be run so is loaded as a whole.

    Args:
        checkpoint: the model.
        sequences: the texts.
        control: progress, in bytes of the model, and Stop.
        cache: folder of finished passes; None keeps nothing.
        device: where to compute.
        names: weights whose inputs are wanted; the matrices inside blocks when None.
        diagonal: keep squares only.

    Raises:
        MismatchError: no architecture that can be run fits the config.
        CancelledError: stopped; nothing is left.
    """
    wanted = tuple(linear_names(checkpoint) if names is None else names)
    key = gram_key(checkpoint, sequences, control, wanted, diagonal=diagonal)
    known = read_index(cache, key)
    if cache is not None and known is not None:
        control.step(Progress(checkpoint.nbytes, checkpoint.nbytes, "inputs of layers"))
        return Grams(cache / key, known, is_temporary=False, from_cache=True)
    job = Pass(checkpoint, sequences, wanted, device, diagonal)
    writer = Writer(cache, key)
    try:
        index = _collect(job, control, writer)
        folder = writer.finish(index)
    except BaseException:
        writer.drop()
        raise
    return Grams(folder, index, is_temporary=writer.is_temporary, from_cache=False)


def gram_key(
    checkpoint: Checkpoint,
    sequences: Sequences,
    control: JobControl,
    names: Collection[str],
    *,
    diagonal: bool,
) -> str:
    """Name a pass: by the model's weights and config, the tokens, and what is wanted."""
    return key_of(
        {
            "what": "gram",
            **model_facts(checkpoint, control),
            "tokens": sequences.hash,
            "names": sorted(names),
            "diagonal": diagonal,
        }
    )


def model_facts(checkpoint: Checkpoint, control: JobControl) -> dict[str, Any]:
    """Everything of a model that decides what it computes."""
    content = checkpoint.identity.content or content_hash(checkpoint, control.silent())
    base = getattr(checkpoint, "base", None)
    below = model_facts(base, control) if isinstance(base, Checkpoint) else {}
    return {"content": content, "config": dict(checkpoint.config), "base": below}


def for_each_block(
    checkpoint: Checkpoint,
    sequences: Sequences,
    control: JobControl,
    replaced: Callable[[int, tuple[str, ...], Callable[[str], Tensor]], Mapping[str, Tensor]],
    *,
    device: str = "cpu",
    names: Collection[str] | None = None,
) -> None:
    """Treat a model block by block; later blocks see what the treated ones give.

    Args:
        checkpoint: the model.
        sequences: the texts.
        control: progress, in bytes of the model, and Stop.
        replaced: number of the block, names of its weights, and a function from name to
            Gram matrix; gives new weights by name. May give none.
        device: where to compute.
        names: weights whose inputs are wanted; the matrices inside blocks when None.

    Raises:
        MismatchError: the network cannot be run block by block.
    """
    from deltaworks.errors import MismatchError

    def take(watched: Watched) -> Mapping[str, Tensor]:
        def read(name: str) -> Tensor:
            return watched.found[watched.leaders[name]].mean().cpu()

        return replaced(watched.number, tuple(watched.leaders), read)

    wanted = tuple(linear_names(checkpoint) if names is None else names)
    try:
        run_blocks(Pass(checkpoint, sequences, wanted, device), control, take, replaces=True)
    except NoBlocksError as error:
        raise MismatchError(
            f"cannot be run block by block ({error})", where=str(checkpoint.path)
        ) from error


def _collect(job: Pass, control: JobControl, writer: Writer) -> dict[str, Any]:
    index = _empty(job)
    try:
        run_blocks(job, control, lambda watched: _keep(watched, writer, index))
    except (AppError, OSError, MemoryError):
        raise
    except Exception as error:  # whatever a network that does not follow the pattern may raise
        index = _empty(job)
        index["notes"].append(f"The model ran as a whole, not block by block: {error}.")
        _keep(run_whole(job, control), writer, index)
    missing = [
        name for name in job.names if name not in index["leaders"] and name not in index["experts"]
    ]
    if missing:
        index["notes"].append(f"No text reached {_some(missing)}; without it there is no input.")
    few = [name for name, entry in index["entries"].items() if entry["few"]]
    if few:
        text = f"Fewer than {FEWEST} tokens reached {_some(few)}; the mean square stands for all."
        index["notes"].append(text)
    return index


def _empty(job: Pass) -> dict[str, Any]:
    return {
        "tokens": job.sequences.n_tokens,
        "source": job.sequences.source,
        "leaders": {},
        "experts": {},
        "entries": {},
        "notes": [],
    }


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _keep(watched: Watched, writer: Writer, index: dict[str, Any]) -> None:
    """Write what was found in a block."""
    file = f"block-{watched.number:05d}"
    tensors: dict[str, Tensor] = {}
    found = dict(watched.found)
    for name, count in watched.n_experts.items():
        index["experts"][name] = count
        _add_unseen(name, count, found)
    for name, moments in found.items():
        mean, few = _mean(moments, is_expert="expert" in name)
        size = len(mean)
        diagonal = mean.ndim == 1
        dead = int(((mean if diagonal else mean.diagonal()) == 0).sum())
        tensors[name] = mean if diagonal else halved(mean)
        index["entries"][name] = {
            "file": file,
            "size": size,
            "seen": moments.seen,
            "dead": dead,
            "diagonal": diagonal,
            "few": few,
        }
    index["leaders"].update(watched.leaders)
    if tensors:
        writer.write(file, tensors)


def _add_unseen(name: str, count: int, found: dict[str, Moments]) -> None:
    """Give experts that no token reached an empty sum."""
    import torch

    names = [expert_name(name, number) for number in range(count)]
    like = next((found[one].total for one in names if one in found), None)
    for one in names:
        if one not in found and like is not None:
            found[one] = Moments(torch.zeros_like(like))


def _mean(moments: Moments, *, is_expert: bool) -> tuple[Tensor, bool]:
    """Give the mean; for an expert that saw too little, the mean square for every input."""
    mean = moments.mean().cpu()
    if not is_expert or moments.seen >= FEWEST:
        return mean, False
    squares = mean if mean.ndim == 1 else mean.diagonal()
    level = float(squares.mean()) if moments.seen else 1.0
    return squares.new_full((len(squares),), level or 1.0), True
