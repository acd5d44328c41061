"""Does this expert belong to this base? Evidence first, then a word for it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path

from deltaworks.checkpoints import open_checkpoint, roles_of
from deltaworks.checkpoints.checkpoint import Checkpoint
from deltaworks.checkpoints.delta_checkpoint import DeltaCheckpoint
from deltaworks.checkpoints.tensors import TensorInfo
from deltaworks.errors import AppError, CancelledError
from deltaworks.formatting import percent, significant
from deltaworks.library.delta_bases import wrong_tensors
from deltaworks.library.lineage import Likeness, likeness
from deltaworks.library.rows import Match
from deltaworks.library.samples import THOROUGH, SampleSize, block_matrices, chosen, read_sample
from deltaworks.progress import JobControl, Progress

FAR = 0.6
"""Beyond this relative distance a fine-tune is possible, but unusual."""

_FEW, _MOST = 0.5, 0.75
"""Shares of fitting tensors below which two models do not, or may not, belong together."""

_TOKENIZER = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt")
_QUICK_LIMIT, _NO_LIMIT = 4_000_000, 1 << 40


@dataclass(frozen=True, slots=True)
class _Shapes:
    """How the tensors of two models compare by name and shape."""

    fitting: tuple[str, ...]
    n_expert: int
    offenders: tuple[str, ...]
    extra_rows: int

    @property
    def common(self) -> float:
        return len(self.fitting) / self.n_expert if self.n_expert else 0.0


def match_headers(base: Path, expert: Path) -> Match:
    """Compare names and shapes only; reads no weights.

    A full model that fits is ``likely``: many models share one shape.

    Raises:
        AppError: either cannot be opened.
    """
    with open_checkpoint(base) as left, _open_expert(expert, base) as right:
        return _verdict(_compare_shapes(left, right), _same_tokenizer(left, right, _QUICK_LIMIT))


def match_sampled(base: Path, expert: Path, control: JobControl) -> Match:
    """Compare names, shapes and a few numbers of up to 48 matrices.

    Raises:
        AppError: either cannot be opened.
        CancelledError: stopped.
    """
    with open_checkpoint(base) as left, _open_expert(expert, base) as right:
        if isinstance(right, DeltaCheckpoint):
            return _match_delta(left, right, control)
        shapes = _compare_shapes(left, right)
        same_tokenizer = _same_tokenizer(left, right, _NO_LIMIT)
        match = _verdict(shapes, same_tokenizer)
        if match.level == "mismatch":
            return match
        like = compare_weights(left, right, control, THOROUGH)
        return match if like is None else _verdict(shapes, same_tokenizer, like)


def with_better(
    match: Match,
    expert: Path,
    candidates: Iterable[tuple[str, str]],
    control: JobControl,
    *,
    than: Path,
) -> Match:
    """Add the base that fits better, when there is one, to a match and its text."""
    better = better_base(expert, candidates, control, than=than)
    if better is None:
        return match
    return replace(match, better=better, text=f"{match.text}; {better[1]} fits better")


def better_base(
    expert: Path, candidates: Iterable[tuple[str, str]], control: JobControl, *, than: Path
) -> tuple[str, str] | None:
    """Name the base that fits an expert better than the one that was chosen.

    Args:
        expert: the fine-tuned model.
        candidates: path and name of other bases.
        control: to stop it.
        than: the chosen base.
    """
    # Its own progress would start again with every base.
    quiet = control.silent()
    best: tuple[float, tuple[str, str]] | None = None
    for path, name in candidates:
        control.check()
        if Path(path) in {than, expert}:
            continue
        try:
            match = match_sampled(Path(path), expert, quiet)
        except CancelledError:
            raise
        except AppError:
            continue  # a base that cannot be read fits no better
        fits = match.level in {"match", "likely"} and match.distance is not None
        if fits and match.distance is not None and (best is None or match.distance < best[0]):
            best = match.distance, (path, name)
    return best[1] if best else None


def compare_weights(
    base: Checkpoint, expert: Checkpoint, control: JobControl, size: SampleSize
) -> Likeness | None:
    """Compare sampled weights at the places that both have; None when there are none."""
    matrices = [
        info
        for info in block_matrices(expert)
        if info.name in base and base.info(info.name).shape == info.shape
    ]
    picked = chosen(matrices, size)
    if not picked:
        return None
    left, right = [], []
    for number, info in enumerate(picked):
        control.step(Progress(number, len(picked), "comparing weights"))
        left.append(read_sample(base, base.info(info.name), size))
        right.append(read_sample(expert, info, size))
    return likeness(left, right)


def _open_expert(expert: Path, base: Path) -> Checkpoint:
    """Open a model; an adapter needs its base to have tensors at all."""
    opened = open_checkpoint(expert)
    if opened.kind != "adapter":
        return opened
    opened.close()
    return open_checkpoint(expert, base=base)


def _match_delta(base: Checkpoint, delta: DeltaCheckpoint, control: JobControl) -> Match:
    """Compare a base with the hashes that a delta recorded of it: a fact, not an estimate."""
    match = _verdict(_compare_shapes(base, delta), None)
    if match.level == "mismatch":
        return match
    needs = delta.manifest.base.id
    wrong = [
        f"{name}: not as in {needs}, which the delta needs"
        for name in wrong_tensors(base, delta, control)
    ]
    if wrong:
        return replace(match, level="mismatch", text=wrong[0], offenders=tuple(wrong[:3]))
    return replace(match, level="match", text="the base that this delta was made from")


def _verdict(shapes: _Shapes, same_tokenizer: bool | None, like: Likeness | None = None) -> Match:
    level, finding = _level(shapes, like)
    notes = [f"{percent(shapes.common)} of tensors fit", finding]
    if shapes.extra_rows:
        notes.append(f"{shapes.extra_rows} extra vocabulary rows")
    if same_tokenizer is False:
        notes.append("another tokenizer")
    return Match(
        level=level,
        text=", ".join(notes),
        common=shapes.common,
        identical=like.identical if like else None,
        distance=like.distance if like else None,
        offenders=shapes.offenders[:3],
        extra_rows=shapes.extra_rows,
        same_tokenizer=same_tokenizer,
    )


def _level(shapes: _Shapes, like: Likeness | None) -> tuple[str, str]:
    """Give the word for the evidence, and the finding that decides it."""
    if shapes.offenders:
        return "mismatch", shapes.offenders[0]
    if shapes.common < _FEW:
        return "mismatch", "the others are not in the base"
    if like is None:
        return ("likely" if shapes.common >= _MOST else "doubtful"), "not confirmed"
    number = significant(like.distance, digits=2)
    if not like.is_related:
        return "doubtful", f"distance {number}, cosine {like.cosine:.2f}: the weights are unrelated"
    if like.distance > FAR:
        return "likely", f"distance {number}: far for a fine-tune"
    if like.identical == 1.0:
        number = "0: the same weights wherever compared"
    return ("match" if shapes.common >= _MOST else "doubtful"), f"distance {number}"


def _compare_shapes(base: Checkpoint, expert: Checkpoint) -> _Shapes:
    infos = [expert.info(name) for name in expert.names]
    roles = roles_of(infos, expert.config)
    counted = [info for info in infos if roles[info.name].role != "buffer"]
    fitting, offenders, extra_rows = [], [], 0
    for info in counted:
        if info.name not in base:
            continue
        other = base.info(info.name)
        vocabulary = roles[info.name].role in {"embedding", "head"}
        if info.shape == other.shape:
            fitting.append(info.name)
        elif vocabulary and info.shape[1:] == other.shape[1:]:
            fitting.append(info.name)
            extra_rows = max(extra_rows, abs(info.shape[0] - other.shape[0]))
        else:
            offenders.append(_offence(info, other))
    return _Shapes(tuple(fitting), len(counted), tuple(offenders), extra_rows)


def _offence(info: TensorInfo, other: TensorInfo) -> str:
    return f"{info.name}: shape {info.shape} in the expert, {other.shape} in the base"


def _same_tokenizer(base: Checkpoint, expert: Checkpoint, limit: int) -> bool | None:
    """Compare tokenizers by content; None when either has none or it would take too long."""
    for name in _TOKENIZER:
        left, right = base.side_files.get(name), expert.side_files.get(name)
        if left is None or right is None:
            continue
        sizes = left.stat().st_size, right.stat().st_size
        if sizes[0] == sizes[1] and _equal(left, right):
            return True
        if max(sizes) > limit:
            return None
        vocabularies = _vocabulary(left), _vocabulary(right)
        return vocabularies[0] is not None and vocabularies[0] == vocabularies[1]
    return None


def _equal(left: Path, right: Path) -> bool:
    with left.open("rb") as one, right.open("rb") as other:
        chunks = zip_longest(
            iter(lambda: one.read(1 << 20), b""), iter(lambda: other.read(1 << 20), b"")
        )
        return all(a == b for a, b in chunks)


def _vocabulary(path: Path) -> object:
    """The vocabulary of a tokenizer.json, without the settings around it; None for others."""
    if path.suffix != ".json":
        return None
    try:
        content = json.loads(path.read_bytes())
        model = content["model"]
        return model["vocab"], model.get("merges"), content.get("added_tokens")
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
