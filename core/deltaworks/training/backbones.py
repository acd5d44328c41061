"""Fine-tuning of a whole backbone with a fresh linear head over some classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from deltaworks.numerics.seeds import hash64
from deltaworks.progress import JobControl
from deltaworks.training.loop import Decay, Fit, FitLog, batches, train

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

Floats = npt.NDArray[np.float32]
Weights = dict[str, Floats]


class Backbone(Protocol):
    """A network that turns inputs into features.

    Attributes:
        module: the network, float32.
        left_out: names of parameters that are neither trained nor merged.
    """

    module: Module
    left_out: frozenset[str]

    def features(self, batch: Tensor) -> Tensor:
        """Give features ``(n, d)`` of a batch of inputs."""


class Examples(Protocol):
    """Labelled inputs that are read when they are wanted.

    Attributes:
        labels: number of each one's class.
    """

    labels: npt.NDArray[np.int64]

    def batch(self, places: Sequence[int]) -> Tensor:
        """Give the inputs at some places, one tensor."""


@dataclass(frozen=True, slots=True)
class Tuning:
    """How a backbone is tuned on one task.

    Args:
        epochs: over the task's examples.
        rate: highest learning rate of AdamW.
        batch: examples of a step.
        decay: of the rate.
        weight_decay: of AdamW.
        clip: largest norm of all gradients together; 0 leaves them.
        save_every: steps between saved states.
    """

    epochs: int = 5
    rate: float = 3e-5
    batch: int = 32
    decay: Decay = "cosine"
    weight_decay: float = 0.01
    clip: float = 1.0
    save_every: int = 50


@dataclass(frozen=True)
class LinearHead:
    """A linear classifier of some classes.

    Args:
        classes: number of each row's class.
        weight: ``(len(classes), d)``.
        bias: one a class.
    """

    classes: tuple[int, ...]
    weight: Floats
    bias: Floats

    def predict(self, features: Floats, among: Sequence[int]) -> npt.NDArray[np.int64]:
        """Give the likeliest of the classes that are ``among`` those known so far."""
        scores = features @ self.weight.T + self.bias
        scores[:, [one not in set(among) for one in self.classes]] = -np.inf
        found: npt.NDArray[np.int64] = np.array(self.classes)[scores.argmax(axis=1)]
        return found


def parameters_of(backbone: Backbone) -> dict[str, Tensor]:
    """Give what is trained and merged: floating parameters, tied ones once; no buffers."""
    return {
        name: one
        for name, one in backbone.module.named_parameters()
        if one.is_floating_point() and name not in backbone.left_out
    }


def weights_of(backbone: Backbone) -> Weights:
    """Copy a backbone's parameters."""
    return {
        name: one.detach().cpu().numpy().astype(np.float32, copy=True)
        for name, one in parameters_of(backbone).items()
    }


def put_weights(backbone: Backbone, weights: Mapping[str, Floats]) -> None:
    """Fill a backbone's parameters in place; names and shapes must be its own."""
    import torch

    with torch.no_grad():
        for name, one in parameters_of(backbone).items():
            one.copy_(torch.from_numpy(np.ascontiguousarray(weights[name])))


def features_of(
    backbone: Backbone, examples: Examples, control: JobControl, *, batch: int = 64
) -> Floats:
    """Run all examples through a backbone; features ``(n, d)`` in their order."""
    import torch

    backbone.module.eval()
    found = []
    with torch.inference_mode():
        for first in range(0, len(examples.labels), batch):
            control.check()
            places = range(first, min(first + batch, len(examples.labels)))
            found.append(backbone.features(examples.batch(places)).float().numpy())
    return np.concatenate(found)


def tune(
    backbone: Backbone,
    examples: Examples,
    classes: Sequence[int],
    tuning: Tuning,
    control: JobControl,
    *,
    seed: int,
    name: str,
    folder: Path | None = None,
    head: LinearHead | None = None,
) -> tuple[LinearHead, FitLog]:
    """Train all parameters of a backbone in place, with a linear head.

    Running statistics of batch norms stay as they are.

    Args:
        backbone: at the weights to start from.
        examples: of the task.
        classes: numbers of the head's classes, among which the examples' labels are.
        tuning: how.
        control: progress and Stop.
        seed: of the head, the order of examples and dropout.
        name: of what is trained; another one gives other random numbers.
        folder: where states are saved, so that a killed run goes on.
        head: to begin with, of the same classes; a fresh one where there is none.

    Returns:
        The trained head, and what training told.
    """
    import torch

    own = (seed ^ hash64(name)) & (2**63 - 1)
    labels = torch.from_numpy(_rows_of(examples.labels, classes))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(own)
        linear = _linear(backbone, examples, len(classes), head)
        parts = parameters_of(backbone)
        tensors = {**parts, "head.weight": linear.weight, "head.bias": linear.bias}
        chosen = batches(len(labels), tuning.batch, own)
        _prepare(backbone.module, tensors.values())

        def loss(step: int, _part: int) -> Tensor:
            places = chosen(step)
            scores = linear(backbone.features(examples.batch(places)))
            return torch.nn.functional.cross_entropy(scores, labels[places])

        log = train(tensors, loss, _fit(tuning, len(labels)), control, folder=folder, name=name)
    backbone.module.eval().requires_grad_(False)
    weight, bias = (one.detach().numpy().copy() for one in (linear.weight, linear.bias))
    return LinearHead(tuple(classes), weight, bias), log


def n_steps(tuning: Tuning, n_items: int) -> int:
    """Count the steps of the optimiser."""
    return tuning.epochs * -(-n_items // tuning.batch)


def _fit(tuning: Tuning, n_items: int) -> Fit:
    return Fit(
        steps=n_steps(tuning, n_items),
        rate=tuning.rate,
        decay=tuning.decay,
        weight_decay=tuning.weight_decay,
        clip=tuning.clip,
        save_every=tuning.save_every,
    )


def _rows_of(labels: npt.NDArray[np.int64], classes: Sequence[int]) -> npt.NDArray[np.int64]:
    """Number labels by their place among the head's classes."""
    places = {one: place for place, one in enumerate(classes)}
    return np.array([places[int(one)] for one in labels], dtype=np.int64)


def _linear(backbone: Backbone, examples: Examples, n_classes: int, head: LinearHead | None) -> Any:
    import torch

    backbone.module.eval()
    with torch.no_grad():
        width = backbone.features(examples.batch([0])).shape[1]
    linear = torch.nn.Linear(width, n_classes)
    if head is not None:
        with torch.no_grad():
            linear.weight.copy_(torch.from_numpy(head.weight))
            linear.bias.copy_(torch.from_numpy(head.bias))
    return linear


def _prepare(module: Module, tensors: Any) -> None:
    """Set a network to training, but for its running statistics."""
    import torch

    module.train().requires_grad_(False)
    for one in module.modules():
        if isinstance(one, torch.nn.modules.batchnorm._BatchNorm):
            one.eval()
    for tensor in tensors:
        tensor.requires_grad_(True)
