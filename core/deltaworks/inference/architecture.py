"""Which network a checkpoint's config describes, and that network with empty weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from deltaworks.checkpoints.checkpoint import Checkpoint
from deltaworks.checkpoints.llava import FUSED
from deltaworks.errors import MismatchError

if TYPE_CHECKING:
    from torch import dtype as TorchDtype  # noqa: N812 - a type, not a constant
    from torch.nn import Module

_GENERATORS = ("ForCausalLM", "LMHeadModel")


def can_generate(checkpoint: Checkpoint) -> bool:
    """Whether its config names an architecture that writes text; needs no torch.

    Models that read pictures answer when they are asked, and are not measured on texts.
    """
    if not checkpoint.config.get("model_type"):
        return False
    names = checkpoint.config.get("architectures") or ()
    return any(str(name).endswith(_GENERATORS) for name in names)


def build_model(config: Mapping[str, Any], dtype: TorchDtype, *, where: str) -> Module:
    """Build the architecture of a config on the CPU, in ``eval`` mode, weights not set.

    Args:
        config: parsed ``config.json``.
        dtype: of every parameter.
        where: what the message names.

    Raises:
        MismatchError: the installed transformers does not know the architecture, or it
            would need code from outside.
    """
    from transformers import AutoConfig, AutoModelForCausalLM
    from transformers.initialization import no_init_weights

    facts = dict(config)
    kind = str(facts.pop("model_type", ""))
    facts.pop("auto_map", None)  # points at code beside the weights; we run none
    if kind == FUSED:
        from deltaworks.inference.fused_model import register

        register()
    try:
        described = AutoConfig.for_model(kind, **facts)
        with no_init_weights():  # every weight is read from the checkpoint; drawing them is waste
            model: Any = AutoModelForCausalLM.from_config(  # type: ignore[no-untyped-call]
                described, dtype=dtype, trust_remote_code=False
            )
        model.tie_weights()  # skipped together with the drawing
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        raise MismatchError(
            f"no built-in architecture fits model type {kind!r} ({_first_line(error)})",
            where=where,
            fix="Only architectures that transformers carries itself can be run",
        ) from error
    if kind == FUSED:
        model.language_model.tie_weights()
    built: Module = model.eval().requires_grad_(False)
    return built


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n", 1)[0][:160]
