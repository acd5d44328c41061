"""What a tensor is for, told from its name, its shape and the config, without torch."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from deltaworks.checkpoints.tensors import TensorInfo

Role = Literal["linear", "embedding", "head", "norm", "bias", "router", "buffer", "other"]


@dataclass(frozen=True, slots=True)
class TensorRole:
    """A tensor's place in the network.

    Args:
        role: ``linear`` is a weight matrix inside a block, the only one that lossy
            compression treats by default.
        block: index of the block it is in; None outside blocks.
        layer: name inside the block without the index, ``self_attn.q_proj``.
        is_transposed: stored ``(in, out)``, as GPT-2's Conv1D is.
    """

    role: Role
    block: int | None = None
    layer: str = ""
    is_transposed: bool = False


_BLOCKS = re.compile(
    r"(?:^|\.)(?:layers?|h|blocks?|resblocks|encoder_layers|decoder_layers)\.(\d+)\.(.+)$"
)
_BUFFER = re.compile(
    r"(inv_freq|masked_bias|position_ids|token_type_ids|num_batches_tracked|running_mean"
    r"|running_var|relative_position_index|causal_mask|attn_mask|cos_cached|sin_cached"
    r"|rotary_emb\.\w+)$"
)
_NORM = re.compile(
    r"(^|[._])(layer_?|batch_?|rms_?|group_?)?(norm|layrnorm)|(^|[._])(ln|bn)\d*(_|$)"
)
_EMBEDDING = re.compile(
    r"embed(?!_out)|(^|\.)(wte|wpe|shared|cls_token|mask_token|dist_token|pos_emb)(\.|$)"
)
_HEAD = re.compile(
    r"(^|\.)(lm_head|embed_out|score|classifier|qa_outputs|head|output|cls\.predictions\.decoder"
    r"|cls\.seq_relationship|vocab_projector|generator_lm_head|classification_head)(\.|$)"
)
_ROUTER = re.compile(r"(^|\.)(gate|router|shared_expert_gate|wg)(\.|$)|router\.|e_score_correction")
_TABLE = re.compile(r"relative_attention_bias|relative_position_bias|A_log$|(^|\.)conv1d\.")
_STACKED = re.compile(r"expert|(^|[._])(w[123]|\w*_proj|wi(_\d)?|wo)$")
_BARE_MATRIX = re.compile(r"(_weight|_proj|(^|\.)w\d)$")
_CONV1D = re.compile(r"(^|\.)(c_attn|c_proj|c_fc|q_attn)\.weight$")
_CONV1D_MODELS = frozenset(
    {"gpt2", "openai-gpt", "imagegpt", "decision_transformer", "clvp", "gpt2_double_heads"}
)


def roles_of(
    names_and_infos: Iterable[TensorInfo], config: Mapping[str, Any]
) -> dict[str, TensorRole]:
    """Tell the role of every tensor of a model.

    Args:
        names_and_infos: all tensors; some are told by their neighbours.
        config: parsed ``config.json``; may be empty.

    Returns:
        A role for every name, in the given order.
    """
    infos = tuple(names_and_infos)
    is_conv1d = _stores_conv1d(infos, config)
    return {info.name: _role_of(info, is_conv1d=is_conv1d) for info in infos}


def _stores_conv1d(infos: Iterable[TensorInfo], config: Mapping[str, Any]) -> bool:
    """Whether block matrices are stored (in, out).

    Without a config the fused query, key and value tells: it is three times as wide as
    its input, so (n, 3n) is (in, out).
    """
    kind = config.get("model_type")
    if kind:
        return kind in _CONV1D_MODELS
    return any(
        info.name.endswith("c_attn.weight")
        and len(info.shape) == 2
        and info.shape[1] == 3 * info.shape[0]
        for info in infos
    )


def _role_of(info: TensorInfo, *, is_conv1d: bool) -> TensorRole:
    match = _BLOCKS.search(info.name)
    if match is None:
        return TensorRole(_role_outside(info))
    inside = match[2]
    role = _role_inside(info, inside)
    layer = re.sub(r"(^|\.)(weight|bias)$", "", inside)
    turned = role == "linear" and is_conv1d and _CONV1D.search(inside) is not None
    return TensorRole(role, int(match[1]), layer, turned)


def _role_anywhere(info: TensorInfo, name: str) -> Role | None:
    """Tell the roles that do not depend on being in a block."""
    n_axes, leaf = len(info.shape), name.rpartition(".")[2]
    is_mask = leaf == "bias" and n_axes == 4  # GPT-2 and GPT-NeoX store their causal mask
    if _BUFFER.search(name) or is_mask or info.dtype in {"BOOL", "I64"}:
        return "buffer"
    if not info.is_floating:
        return "other"
    module = name.rpartition(".")[0] or name
    if n_axes <= 1 and _NORM.search(module.lower()):
        return "norm"
    if n_axes <= 1 and (leaf.endswith("bias") or leaf == "b"):
        return "router" if "e_score_correction" in leaf else "bias"
    return None


def _role_outside(info: TensorInfo) -> Role:
    found = _role_anywhere(info, info.name)
    if found:
        return found
    if _HEAD.search(info.name):
        return "head"
    return "embedding" if _EMBEDDING.search(info.name) else "other"


def _role_inside(info: TensorInfo, inside: str) -> Role:
    found = _role_anywhere(info, inside)
    if found:
        return found
    if _TABLE.search(inside):
        return "other"
    module = inside.removesuffix(".weight")
    n_axes = len(info.shape)
    if _ROUTER.search(module) and n_axes <= 2:
        return "router"
    if "embed" in module:
        return "embedding"
    is_matrix = n_axes == 2 and (inside != module or _BARE_MATRIX.search(inside) is not None)
    is_stack = n_axes == 3 and _STACKED.search(module) is not None
    return "linear" if is_matrix or is_stack else "other"
