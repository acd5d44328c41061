"""A short fit that can be stopped anywhere and goes on with the same bits.

Batches are a function of the step's number alone, so that nothing of the data has to be
remembered; what is remembered are the trained tensors, the optimiser's state and the random
states, written to a new folder and renamed.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from deltaworks.errors import FileError, NotFiniteError
from deltaworks.progress import JobControl, Measured, Progress

if TYPE_CHECKING:
    from torch import Tensor

Decay = Literal["constant", "linear", "cosine"]
_KEPT = 3
"""Saved states that stay on disk."""
_PATIENCE = 5
"""Losses in a row that may be NaN or infinite."""


@dataclass(frozen=True, slots=True)
class Fit:
    """How something is trained.

    Args:
        steps: of the optimiser.
        rate: learning rate at its highest.
        warmup: share of the steps in which the rate rises, in [0, 1).
        decay: how it falls afterwards, to ``rate * floor``.
        floor: last rate over the highest, in [0, 1].
        start: first rate of the warm-up over the highest.
        betas: of AdamW; ``weight_decay`` likewise.
        clip: largest norm of all gradients together; 0 leaves them.
        accumulate: losses whose mean makes one step.
        save_every: steps between saved states; 0 saves none.
        measure_every: steps between measurements; 0 measures at the end only.
    """

    steps: int
    rate: float
    warmup: float = 0.0
    decay: Decay = "constant"
    floor: float = 0.0
    start: float = 0.0
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 0.0
    clip: float = 1.0
    accumulate: int = 1
    save_every: int = 0
    measure_every: int = 0

    def rate_at(self, step: int) -> float:
        """The learning rate of a step, from 0."""
        rising = round(self.warmup * self.steps)
        if step < rising:
            return self.rate * (self.start + (1 - self.start) * (step + 1) / rising)
        if self.decay == "constant":
            return self.rate
        share = (step - rising) / max(1, self.steps - rising)
        fall = 1 - share if self.decay == "linear" else (1 + math.cos(math.pi * share)) / 2
        return self.rate * (self.floor + (1 - self.floor) * fall)


@dataclass
class FitLog:
    """What training told, step by step.

    Args:
        losses: mean loss of each step; NaN where it was skipped.
        measures: (steps done, what was measured).
        skipped: steps whose loss was not finite.
    """

    losses: list[float] = field(default_factory=list)
    measures: list[tuple[int, dict[str, float]]] = field(default_factory=list)
    skipped: int = 0


Loss = Callable[[int, int], "Tensor"]
"""Step and part of it, both from 0, to a scalar with gradients. Depends on nothing else."""
Measure = Callable[[int], Mapping[str, float]]


def train(
    tensors: Mapping[str, Tensor],
    loss: Loss,
    fit: Fit,
    control: JobControl,
    *,
    measure: Measure | None = None,
    folder: Path | None = None,
    name: str = "training",
) -> FitLog:
    """Fit tensors in place with AdamW.

    Args:
        tensors: floating, requiring gradients, by names that stay the same.
        loss: of a step's part; batches follow from the two numbers.
        fit: how.
        control: progress in steps, ``Measured("fit", …)`` for each, Stop and pause.
        measure: called with the steps done, every ``fit.measure_every`` and at the end.
        folder: where states are saved, and from where a run that was broken off goes on;
            removed when training ends.
        name: of what is trained, for people.

    Raises:
        NotFiniteError: the loss was not finite five times in a row.
        FileError: a saved state does not belong to this fit.
    """
    import torch

    optimizer = torch.optim.AdamW(
        list(tensors.values()), lr=fit.rate, betas=fit.betas, weight_decay=fit.weight_decay
    )
    log, first = FitLog(), 0
    if folder is not None and (state := _newest(folder)) is not None:
        first = _load(state, tensors, optimizer, fit, log)
    in_a_row = 0
    for step in range(first, fit.steps):
        control.step(Progress(step, fit.steps, f"{name} · step {step + 1}/{fit.steps}"))
        value = _step(tensors, loss, fit, optimizer, step)
        log.losses.append(value)
        in_a_row = 0 if math.isfinite(value) else in_a_row + 1
        log.skipped += in_a_row > 0
        if in_a_row >= _PATIENCE:
            what = f"the loss was not finite {_PATIENCE} times in a row, last at step {step + 1}"
            raise NotFiniteError(what, where=name, fix="Choose a lower learning rate.")
        control.report(Measured("fit", {"name": name, "step": step + 1, "loss": value}))
        _measure(log, measure, fit, step + 1, control, name)
        if folder is not None and fit.save_every and (step + 1) % fit.save_every == 0:
            _save(folder, step + 1, tensors, optimizer, fit, log)
    control.step(Progress(fit.steps, fit.steps, name))
    if folder is not None and folder.exists():
        shutil.rmtree(folder)
    return log


def batches(n_items: int, size: int, seed: int) -> Callable[[int], list[int]]:
    """Give the items of each batch: every epoch another order, none left out.

    Args:
        n_items: how many there are, at least 1.
        size: of a batch; the items of one may span two epochs.
        seed: one gives one order.

    Returns:
        A function of the batch's number, from 0.
    """
    import numpy as np

    def order(epoch: int) -> list[int]:
        rng = np.random.Generator(np.random.Philox(key=[seed, epoch]))
        return [int(one) for one in rng.permutation(n_items)]

    known: dict[int, list[int]] = {}

    def batch(number: int) -> list[int]:
        found = []
        for at in range(number * size, (number + 1) * size):
            epoch, place = divmod(at, n_items)
            if epoch not in known:
                known.clear()
                known[epoch] = order(epoch)
            found.append(known[epoch][place])
        return found

    return batch


def _step(tensors: Mapping[str, Tensor], loss: Loss, fit: Fit, optimizer: Any, step: int) -> float:
    """One step; NaN where it was skipped because the loss was not finite."""
    import torch

    for group in optimizer.param_groups:
        group["lr"] = fit.rate_at(step)
    optimizer.zero_grad(set_to_none=True)
    total = 0.0
    for part in range(fit.accumulate):
        value = loss(step, part) / fit.accumulate
        total += float(value.detach())
        if not math.isfinite(total):
            optimizer.zero_grad(set_to_none=True)
            return math.nan
        value.backward()  # type: ignore[no-untyped-call]
    if fit.clip:
        norm = torch.nn.utils.clip_grad_norm_(list(tensors.values()), fit.clip)
        if not torch.isfinite(norm):
            optimizer.zero_grad(set_to_none=True)
            return math.nan
    optimizer.step()
    return total


def _measure(
    log: FitLog, measure: Measure | None, fit: Fit, done: int, control: JobControl, name: str
) -> None:
    due = done == fit.steps or (fit.measure_every and done % fit.measure_every == 0)
    if measure is not None and due:
        found = dict(measure(done))
        log.measures.append((done, found))
        control.report(Measured("fit-measure", {"name": name, "step": done, **found}))


# Saved states


def _save(
    folder: Path, done: int, tensors: Mapping[str, Tensor], optimizer: Any, fit: Fit, log: FitLog
) -> None:
    import torch
    from safetensors.torch import save_file

    fresh = folder / f"step-{done:08d}.partial"
    if fresh.exists():
        shutil.rmtree(fresh)
    fresh.mkdir(parents=True)
    save_file(
        {name: one.detach().contiguous().cpu() for name, one in tensors.items()},
        fresh / "tensors.safetensors",
    )
    state = {"optimizer": optimizer.state_dict(), "torch": torch.get_rng_state()}
    torch.save(state, fresh / "state.pt")
    facts = {"done": done, "fit": _facts(fit), "log": asdict(log)}
    (fresh / "log.json").write_text(json.dumps(facts), "utf-8")
    fresh.rename(folder / f"step-{done:08d}")
    for old in _states(folder)[:-_KEPT]:
        shutil.rmtree(old)


def _load(state: Path, tensors: Mapping[str, Tensor], optimizer: Any, fit: Fit, log: FitLog) -> int:
    import torch
    from safetensors.torch import load_file

    facts = json.loads((state / "log.json").read_text("utf-8"))
    saved = load_file(state / "tensors.safetensors")
    same = {name: one.shape for name, one in saved.items()} == {
        name: one.shape for name, one in tensors.items()
    }
    if not same or facts["fit"] != _facts(fit):
        raise FileError(
            "this saved state belongs to another training",
            where=str(state),
            fix="Remove the folder to begin anew.",
        )
    with torch.no_grad():
        for name, one in tensors.items():
            one.copy_(saved[name])
    kept = torch.load(state / "state.pt", weights_only=True)
    optimizer.load_state_dict(kept["optimizer"])
    torch.set_rng_state(kept["torch"])
    log.losses[:] = facts["log"]["losses"]
    log.measures[:] = [(int(step), found) for step, found in facts["log"]["measures"]]
    log.skipped = int(facts["log"]["skipped"])
    return int(facts["done"])


def _facts(fit: Fit) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads(json.dumps(asdict(fit)))
    return facts


def _states(folder: Path) -> list[Path]:
    found: Iterator[Path] = folder.glob("step-*")
    return sorted(path for path in found if path.suffix != ".partial")


def _newest(folder: Path) -> Path | None:
    states = _states(folder) if folder.is_dir() else []
    return states[-1] if states else None
