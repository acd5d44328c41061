"""A language model behind one or more vision towers, as a network of transformers.

Imports torch and transformers at the top: import it inside functions only. Nothing is
registered with transformers before ``register`` is called, and no code from a model's
folder is ever run.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    GenerationMixin,
    PreTrainedConfig,
    PreTrainedModel,
)

from deltaworks.checkpoints.llava import FUSED
from deltaworks.errors import MismatchError
from deltaworks.inference.branches import PlainBranch

_PIXELS = "pixel_values_"


class VisionFuseConfig(PreTrainedConfig):  # type: ignore[no-untyped-call]
    """What ``config.json`` of a fused model says; see the manual's page on fusing."""

    model_type = FUSED
    sub_configs: ClassVar[dict[str, Any]] = {"text_config": AutoConfig}

    def __init__(
        self,
        text_config: Any = None,
        towers: Any = (),
        image_token_index: int = 32000,
        **rest: Any,
    ) -> None:
        if isinstance(text_config, Mapping):
            facts = dict(text_config)
            text_config = AutoConfig.for_model(str(facts.pop("model_type", "llama")), **facts)
        self.text_config = text_config or AutoConfig.for_model("llama")
        self.towers = [dict(tower) for tower in towers]
        self.image_token_index = image_token_index
        super().__init__(**rest)


class VisionFuseForConditionalGeneration(PreTrainedModel, GenerationMixin):
    """Every tower's tokens, one after the other, before one language model."""

    config_class = VisionFuseConfig
    main_input_name = "input_ids"
    _supports_sdpa = True
    _supports_flash_attn = True

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        auto: Any = AutoModelForCausalLM
        self.language_model = auto.from_config(config.text_config, trust_remote_code=False)
        self.towers = nn.ModuleDict({one["id"]: PlainBranch(one) for one in config.towers})
        self.post_init()  # type: ignore[no-untyped-call]

    def get_input_embeddings(self) -> nn.Module:
        """Give the language model's embedding."""
        found: nn.Module = self.language_model.get_input_embeddings()
        return found

    def get_output_embeddings(self) -> nn.Module:
        """Give the language model's head."""
        found: nn.Module = self.language_model.get_output_embeddings()
        return found

    def picture_tokens(self, pixels: Mapping[str, Tensor]) -> Tensor:
        """Encode pictures with every tower, in the order of the config.

        Args:
            pixels: ``pixel_values_<id>`` of every tower.

        Returns:
            ``(pictures, sum of n_i, d)``.

        Raises:
            MismatchError: a tower has no pictures, or not as many as another.
        """
        encoded = []
        for name, tower in self.towers.items():
            branch: Any = tower
            images = pixels.get(_PIXELS + name)
            if images is None:
                raise MismatchError(f"no picture was prepared for tower '{name}'")
            encoded.append(torch.stack(branch.encode(images)))
        if len({len(one) for one in encoded}) > 1:
            counts = ", ".join(str(len(one)) for one in encoded)
            raise MismatchError(f"the towers got {counts} pictures")
        return torch.cat(encoded, dim=1)

    def embedded(self, input_ids: Tensor, pixels: Mapping[str, Tensor]) -> Tensor:
        """Give the embeddings of a prompt, its placeholders replaced by picture tokens.

        Raises:
            MismatchError: not as many placeholders as picture tokens.
        """
        is_place = input_ids == self.config.image_token_index
        # The placeholder itself may lie beyond the embedding: its row is never used.
        embeds = self.get_input_embeddings()(input_ids.masked_fill(is_place, 0))
        tokens = self.picture_tokens(pixels).to(embeds)
        wanted, count = int(is_place.sum()), tokens.shape[0] * tokens.shape[1]
        if wanted != count:
            raise MismatchError(
                f"{wanted} places for picture tokens in the prompt, {count} tokens of "
                f"{tokens.shape[0]} pictures",
                fix="Let the processor expand <image>.",
            )
        placed: Tensor = embeds.masked_scatter(is_place.unsqueeze(-1).expand_as(embeds), tokens)
        return placed

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: Any = None,
        inputs_embeds: Tensor | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int | Tensor = 0,
        labels: Tensor | None = None,
        **kwargs: Any,
    ) -> Any:
        """Run the language model; pictures come as ``pixel_values_<id>``, at first only."""
        pixels = {name: kwargs.pop(name) for name in list(kwargs) if name.startswith(_PIXELS)}
        if any(one is not None for one in pixels.values()) and input_ids is not None:
            inputs_embeds, input_ids = self.embedded(input_ids, pixels), None
        return self.language_model(
            input_ids=input_ids,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            inputs_embeds=inputs_embeds,
            use_cache=use_cache,
            logits_to_keep=logits_to_keep,
            labels=labels,
            **kwargs,
        )

    def prepare_inputs_for_generation(
        self, *args: Any, is_first_iteration: bool | None = False, **kwargs: Any
    ) -> dict[str, Any]:
        """Leave the pictures out once the cache holds them."""
        parent: Any = super()
        prepared: dict[str, Any] = parent.prepare_inputs_for_generation(
            *args, is_first_iteration=is_first_iteration, **kwargs
        )
        if not is_first_iteration and kwargs.get("use_cache", True):
            return {k: v for k, v in prepared.items() if not k.startswith(_PIXELS)}
        return prepared

    def _validate_model_kwargs(self, model_kwargs: dict[str, Any]) -> None:
        """Let ``generate`` take the pictures of every tower."""
        names = {_PIXELS + name for name in self.towers}
        known = {name: value for name, value in model_kwargs.items() if name not in names}
        parent: Any = super()
        parent._validate_model_kwargs(known)


def register() -> None:
    """Tell transformers of the class, in this process."""
    AutoConfig.register(FUSED, VisionFuseConfig, exist_ok=True)
    AutoModelForCausalLM.register(
        VisionFuseConfig, VisionFuseForConditionalGeneration, exist_ok=True
    )
