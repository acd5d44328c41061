"""From a picture to tokens of a language model: one branch a tower.

Imports torch and transformers at the top: import it inside functions only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel
from transformers.activations import ACT2FN

from deltaworks.checkpoints.llava import tower_tokens
from deltaworks.errors import MismatchError


class VisionBranch(Protocol):
    """What a fused model asks of each of its towers."""

    def encode(self, images: Tensor) -> list[Tensor]:
        """Turn prepared pictures into tokens.

        Args:
            images: ``(pictures, channels, side, side)``.

        Returns:
            ``(n_i, d)`` for each picture.
        """


class PlainBranch(nn.Module):
    """Tower and projector of a plain LLaVA model.

    Args:
        facts: one of a fused config's ``towers``.

    Raises:
        MismatchError: a tower or projector that we cannot run.
    """

    def __init__(self, facts: Mapping[str, Any]) -> None:
        super().__init__()
        self.name = str(facts["id"])
        vision, shape = dict(facts["vision_config"]), facts["projector"]
        self.n_tokens = tower_tokens(vision, str(shape["select_strategy"]), where=self.name)
        described = AutoConfig.for_model(str(vision.pop("model_type")), **vision)
        auto: Any = AutoModel
        self.vision = auto.from_config(described, trust_remote_code=False)
        self.projector = Projector(shape, self.name)
        layer = shape["feature_layer"]
        self._layers = [layer] if isinstance(layer, int) else list(layer)
        self._drops_first = shape["select_strategy"] == "default"

    def encode(self, images: Tensor) -> list[Tensor]:
        """Give the projected features of one hidden state, or of several side by side."""
        weight = self.projector.linear_1.weight
        states = self.vision(images.to(weight.dtype), output_hidden_states=True).hidden_states
        first = 1 if self._drops_first else 0
        features = torch.cat([states[layer][:, first:] for layer in self._layers], dim=-1)
        return list(self.projector(features))


class Projector(nn.Module):
    """Two linear layers with an activation between them.

    Args:
        shape: ``in``, ``hidden``, ``out``, ``act`` and ``bias``.
        where: for the message.

    Raises:
        MismatchError: an activation that transformers does not know.
    """

    def __init__(self, shape: Mapping[str, Any], where: str) -> None:
        super().__init__()
        if shape["act"] not in ACT2FN:
            raise MismatchError(f"unknown projector activation {shape['act']!r:.40}", where=where)
        self.linear_1 = nn.Linear(shape["in"], shape["hidden"], bias=bool(shape["bias"]))
        self.act = ACT2FN[shape["act"]]
        self.linear_2 = nn.Linear(shape["hidden"], shape["out"], bias=bool(shape["bias"]))

    def forward(self, features: Tensor) -> Tensor:
        """Project features to the width of the language model."""
        out: Tensor = self.linear_2(self.act(self.linear_1(features)))
        return out
