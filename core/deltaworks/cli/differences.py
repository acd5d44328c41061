"""What ``compare`` shows of two models: every tensor's distance, read block by block."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deltaworks import formatting
from deltaworks.checkpoints import Checkpoint, TensorInfo, open_checkpoint
from deltaworks.cli.output import print_table, say
from deltaworks.progress import JobControl, Progress

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

_BLOCK_ELEMENTS = 2**21


def compare_checkpoints(first: Path, second: Path, control: JobControl) -> dict[str, Any]:
    """Compare all tensors of two models.

    Args:
        first: the base or older one; distances are relative to its norms.
        second: the other; an adapter or a delta file stands on the first.
        control: progress counts bytes of the second.

    Raises:
        AppError: either cannot be opened or read.
        CancelledError: stopped.
    """
    with open_checkpoint(first) as a, _over(second, a) as b:
        common = [name for name in b.names if name in a]
        fitting = [name for name in common if a.info(name).shape == b.info(name).shape]
        total = sum(b.info(name).nbytes for name in fitting)
        tensors, done = [], 0
        for name in fitting:
            control.step(Progress(done, total, f"comparing {name}"))
            tensors.append(_compare_tensor(a, b, name, control))
            done += b.info(name).nbytes
        return {
            "only_in_a": [name for name in a.names if name not in b],
            "only_in_b": [name for name in b.names if name not in a],
            "shapes_differ": [
                {"name": name, "a": list(a.info(name).shape), "b": list(b.info(name).shape)}
                for name in common
                if a.info(name).shape != b.info(name).shape
            ],
            "dtypes_differ": [
                {"name": name, "a": a.info(name).dtype, "b": b.info(name).dtype}
                for name in common
                if a.info(name).dtype != b.info(name).dtype
            ],
            "identical": sum(tensor["changed"] == 0 for tensor in tensors),
            "tensors": sorted(tensors, key=lambda tensor: -tensor["distance"]),
        }


def _over(path: Path, base: Checkpoint) -> Checkpoint:
    opened = open_checkpoint(path)
    if opened.kind not in {"adapter", "delta"}:
        return opened
    opened.close()
    return open_checkpoint(path, base=base)


def _compare_tensor(a: Checkpoint, b: Checkpoint, name: str, control: JobControl) -> dict[str, Any]:
    """Give distance, cosine and share of changed numbers of one tensor."""
    import numpy as np

    gap = square_a = square_b = dot = 0.0
    changed = 0
    info = b.info(name)
    with np.errstate(invalid="ignore", over="ignore"):  # NaN in a model shows as NaN here
        for left, right in _blocks(a, b, info):
            control.check()
            gap += float(np.sum((right - left) ** 2))
            square_a, square_b = square_a + float(left @ left), square_b + float(right @ right)
            dot += float(left @ right)
            changed += int(np.count_nonzero(left != right))
    scale = (square_a * square_b) ** 0.5
    return {
        "name": name,
        "distance": (gap / square_a) ** 0.5 if square_a else (0.0 if gap == 0 else float("inf")),
        "cosine": dot / scale if scale else float(square_a == square_b),
        "changed": changed / max(1, info.n_elements),
        "bytes": info.nbytes,
    }


def _blocks(a: Checkpoint, b: Checkpoint, info: TensorInfo) -> Iterator[tuple[Array, Array]]:
    """Read the same rows of both as float64 vectors, a few at a time."""
    import numpy as np

    from deltaworks.numerics.words import to_float32

    def flat(checkpoint: Checkpoint, rows: slice | None) -> Array:
        words = checkpoint.read_words(info.name, rows)
        values = to_float32(words, checkpoint.info(info.name).dtype)
        return values.reshape(-1).astype(np.float64)

    if not info.shape:
        yield flat(a, None), flat(b, None)
        return
    n_rows = info.shape[0]
    step = max(1, _BLOCK_ELEMENTS * n_rows // max(1, info.n_elements))
    # A delta is decoded whole whatever is asked for, so it is asked once.
    step = n_rows if b.kind == "delta" else step
    for start in range(0, n_rows, max(1, step)):
        rows = slice(start, start + step)
        yield flat(a, rows), flat(b, rows)


def print_comparison(data: dict[str, Any], top: int) -> None:
    """Show a comparison to a person.

    Args:
        data: as ``compare_checkpoints`` gave it, with the verdict.
        top: how many tensors to list, the most changed first.
    """
    verdict = data["verdict"]
    say(f"{verdict['level'].capitalize()}: {verdict['text']}")
    for key, title in (("only_in_a", "Only in A"), ("only_in_b", "Only in B")):
        if data[key]:
            say(f"{title}: {len(data[key])} tensors ({', '.join(data[key][:3])}…)")
    for one in data["shapes_differ"]:
        say(f"Shapes differ: {one['name']}: {tuple(one['a'])} in A, {tuple(one['b'])} in B")
    if data["dtypes_differ"]:
        say(f"Types differ in {len(data['dtypes_differ'])} tensors")
    say(f"{data['identical']} of {len(data['tensors'])} compared tensors are identical")
    print_table(
        ("Tensor", "Distance", "Cosine", "Changed"),
        [
            (
                tensor["name"],
                formatting.significant(tensor["distance"]),
                f"{tensor['cosine']:.4f}",
                formatting.percent(tensor["changed"]),
            )
            for tensor in data["tensors"][:top]
        ],
        right=("Distance", "Cosine", "Changed"),
    )
