"""Parts of a model that has several, by the names that mergekit gives them."""

from __future__ import annotations

_PREFIXES = {
    "text_decoder": ("language_model.", "model.language_model.", "text_model.", "decoder."),
    "language_model": ("language_model.", "model.language_model."),
    "text_encoder": ("text_model.", "encoder."),
    "encoder": ("encoder.", "model.encoder."),
    "decoder": ("decoder.", "model.decoder."),
    "vision_tower": ("vision_tower.", "model.vision_tower.", "vision_model.", "visual."),
    "vision_model": ("vision_model.", "vision_tower.", "model.vision_tower."),
    "vision_encoder": ("vision_tower.", "vision_model.", "visual.", "model.visual."),
    "visual": ("visual.", "model.visual."),
    "multi_modal_projector": ("multi_modal_projector.", "model.multi_modal_projector."),
}
_HEADS = ("lm_head.", "language_model.lm_head.")
_WITH_HEAD = frozenset({"text_decoder", "language_model", "decoder"})
ALL = "default"


def in_module(module: str, name: str) -> bool:
    """Whether a tensor belongs to a module.

    ``default`` is everything; a name that is not in the table is a prefix.
    """
    if module == ALL:
        return True
    if module in _WITH_HEAD and name.startswith(_HEADS):
        return True
    return name.startswith(_PREFIXES.get(module, (f"{module}.", f"model.{module}.")))
