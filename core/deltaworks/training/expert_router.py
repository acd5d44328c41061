"""Which expert an instruction is for, told from the base's last hidden states.

Trained: attention pooling ``a = softmax(H q / sqrt(d))``, ``z = a H``, logits ``W z + b``.
Prototype: no training; the nearest mean of some prompts of each expert. Our design.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from deltaworks.checkpoints.documents import read_object
from deltaworks.errors import FileError, OptionError
from deltaworks.inference.running import RunningModel
from deltaworks.numerics.seeds import rng_for
from deltaworks.progress import JobControl, Progress

if TYPE_CHECKING:
    from torch import Tensor

Floats = npt.NDArray[np.float32]
Kind = Literal["trained", "prototype"]

ROUTER_FILE = "expert_router.json"
EPOCHS, RATE, TEMPERATURE = 3, 1e-3, 0.05
_FEWEST = 2


@dataclass(frozen=True)
class Router:
    """Chooses an expert.

    Args:
        kind: how it was made.
        experts: names, in the order of the rows.
        weight: ``(experts, d)``: W, or the prototypes.
        bias: ``(experts,)``; zeros for prototypes.
        query: q, ``(d,)``; zeros pool evenly.
    """

    kind: Kind
    experts: tuple[str, ...]
    weight: Floats
    bias: Floats
    query: Floats

    @property
    def nbytes(self) -> int:
        """Bytes of its numbers."""
        return self.weight.nbytes + self.bias.nbytes + self.query.nbytes

    def shares(self, states: Tensor) -> Floats:
        """Give each expert's probability.

        Args:
            states: last hidden states of one instruction, ``(length, d)``.
        """
        hidden = states.float().numpy()
        scores = hidden @ self.query / np.sqrt(hidden.shape[1])
        pooled = _softmax(scores) @ hidden
        if self.kind == "trained":
            return _softmax(self.weight @ pooled + self.bias)
        lengths = np.linalg.norm(self.weight, axis=1) * np.linalg.norm(pooled)
        return _softmax(self.weight @ pooled / np.maximum(lengths, 1e-12) / TEMPERATURE)

    def choose(self, states: Tensor) -> str:
        """Name the likeliest expert."""
        return self.experts[int(self.shares(states).argmax())]

    def save(self, folder: Path) -> Path:
        """Write it beside a package; replaces an older one."""
        plain = {
            "format": 1,
            "kind": self.kind,
            "experts": list(self.experts),
            "weight": self.weight.tolist(),
            "bias": self.bias.tolist(),
            "query": self.query.tolist(),
        }
        path = folder / ROUTER_FILE
        partial = path.with_name(f".{ROUTER_FILE}.partial")
        partial.write_text(json.dumps(plain), encoding="utf-8")
        partial.replace(path)
        return path


def load_router(folder: Path) -> Router:
    """Read the router of a package.

    Raises:
        FileError: there is none, or it is damaged.
    """
    plain = read_object(folder / ROUTER_FILE)
    try:
        found = Router(
            plain["kind"],
            tuple(map(str, plain["experts"])),
            *(np.array(plain[name], dtype=np.float32) for name in ("weight", "bias", "query")),
        )
        count, width = found.weight.shape
        if found.kind not in {"trained", "prototype"} or len(found.experts) != count:
            raise ValueError("kind or experts")
        if found.bias.shape != (count,) or found.query.shape != (width,):
            raise ValueError("shapes")
    except (KeyError, TypeError, ValueError) as error:
        what = f"is no router ({error})"
        raise FileError(what, where=str(folder / ROUTER_FILE), fix="Train it again.") from error
    return found


def last_states(running: RunningModel, prompts: Sequence[str], control: JobControl) -> list[Tensor]:
    """Run instructions through the base; give the last hidden states of each, ``(length, d)``."""
    import torch

    found = []
    for number, prompt in enumerate(prompts):
        control.step(Progress(number, len(prompts), "instructions"))
        ids = running.text_tokenizer(prompt, add_special_tokens=False)["input_ids"]
        ids = ids[-running.context :] or [0]
        with torch.inference_mode():
            out: Any = running.model(
                input_ids=torch.tensor([ids]), use_cache=False, output_hidden_states=True
            )
        found.append(out.hidden_states[-1][0].float().clone())
    return found


def prototype_router(states: Mapping[str, Sequence[Tensor]]) -> Router:
    """Average the pooled states of each expert's prompts.

    Raises:
        OptionError: fewer than two experts, or one without a prompt.
    """
    _check(states)
    means = [
        np.mean([one.numpy().mean(0) for one in every], axis=0, dtype=np.float32)
        for every in states.values()
    ]
    weight = np.stack(means).astype(np.float32)
    none = np.zeros(len(weight), dtype=np.float32)
    return Router("prototype", tuple(states), weight, none, np.zeros_like(weight[0]))


def train_router(
    states: Mapping[str, Sequence[Tensor]],
    control: JobControl,
    *,
    seed: int = 0,
    epochs: int = EPOCHS,
) -> Router:
    """Fit the pooling and the classes by cross-entropy with AdamW.

    Args:
        states: of every expert's prompts; a few hundred each are enough.
        control: progress and Stop.
        seed: of the order of the prompts.
        epochs: passes over them.

    Raises:
        OptionError: fewer than two experts, or one without a prompt.
    """
    import torch

    _check(states)
    pairs = [(one, place) for place, every in enumerate(states.values()) for one in every]
    width = pairs[0][0].shape[1]
    query = torch.nn.Parameter(torch.zeros(width))
    weight = torch.nn.Parameter(torch.zeros(len(states), width))
    bias = torch.nn.Parameter(torch.zeros(len(states)))
    optimizer = torch.optim.AdamW([query, weight, bias], lr=RATE)
    for epoch in range(epochs):
        for step, place in enumerate(rng_for(seed, "router", str(epoch)).permutation(len(pairs))):
            hidden, label = pairs[int(place)]
            pooled = torch.softmax(hidden @ query / width**0.5, 0) @ hidden
            loss = torch.nn.functional.cross_entropy(weight @ pooled + bias, torch.tensor(label))
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
            done = epoch * len(pairs) + step
            control.step(Progress(done, epochs * len(pairs), "training the router"))
    numbers = (one.detach().numpy().astype(np.float32) for one in (weight, bias, query))
    return Router("trained", tuple(states), *numbers)


def _check(states: Mapping[str, Sequence[Tensor]]) -> None:
    empty = [name for name, every in states.items() if not every]
    if empty or len(states) < _FEWEST:
        what = f"'{empty[0]}' has no prompts" if empty else "a router needs at least two experts"
        raise OptionError(what, fix="Give some prompts of every expert.")


def _softmax(scores: npt.NDArray[Any]) -> Floats:
    raised = np.exp(scores - scores.max())
    shares: Floats = (raised / raised.sum()).astype(np.float32)
    return shares
