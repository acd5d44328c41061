from __future__ import annotations

from typing import Any

import pytest

from deltaworks.checkpoints import TensorInfo, TensorRole, roles_of

MATRIX, VECTOR = (8, 8), (8,)
# model type, tensor, shape, role, block, layer
CASES: list[tuple[str, str, tuple[int, ...], str, int | None, str]] = [
    ("llama", "model.embed_tokens.weight", MATRIX, "embedding", None, ""),
    ("llama", "model.layers.11.self_attn.q_proj.weight", MATRIX, "linear", 11, "self_attn.q_proj"),
    ("llama", "model.layers.0.input_layernorm.weight", VECTOR, "norm", 0, "input_layernorm"),
    ("llama", "model.norm.weight", VECTOR, "norm", None, ""),
    ("llama", "lm_head.weight", MATRIX, "head", None, ""),
    (
        "llama",
        "model.layers.0.self_attn.rotary_emb.inv_freq",
        VECTOR,
        "buffer",
        0,
        "self_attn.rotary_emb.inv_freq",
    ),
    ("mistral", "model.layers.3.mlp.down_proj.weight", MATRIX, "linear", 3, "mlp.down_proj"),
    ("qwen2", "model.layers.3.self_attn.k_proj.bias", VECTOR, "bias", 3, "self_attn.k_proj"),
    ("qwen3", "model.layers.3.self_attn.q_norm.weight", VECTOR, "norm", 3, "self_attn.q_norm"),
    ("qwen3_moe", "model.layers.3.mlp.gate.weight", MATRIX, "router", 3, "mlp.gate"),
    (
        "qwen3_moe",
        "model.layers.3.mlp.experts.7.up_proj.weight",
        MATRIX,
        "linear",
        3,
        "mlp.experts.7.up_proj",
    ),
    (
        "gemma2",
        "model.layers.1.pre_feedforward_layernorm.weight",
        VECTOR,
        "norm",
        1,
        "pre_feedforward_layernorm",
    ),
    ("gpt2", "transformer.wte.weight", MATRIX, "embedding", None, ""),
    ("gpt2", "wpe.weight", MATRIX, "embedding", None, ""),
    ("gpt2", "h.0.attn.bias", (1, 1, 8, 8), "buffer", 0, "attn"),
    ("gpt2", "h.0.ln_1.weight", VECTOR, "norm", 0, "ln_1"),
    ("gpt2", "ln_f.bias", VECTOR, "norm", None, ""),
    ("gpt_neox", "gpt_neox.embed_in.weight", MATRIX, "embedding", None, ""),
    ("gpt_neox", "embed_out.weight", MATRIX, "head", None, ""),
    (
        "gpt_neox",
        "gpt_neox.layers.2.attention.query_key_value.weight",
        MATRIX,
        "linear",
        2,
        "attention.query_key_value",
    ),
    (
        "gpt_neox",
        "gpt_neox.layers.2.attention.masked_bias",
        (),
        "buffer",
        2,
        "attention.masked_bias",
    ),
    ("bert", "bert.embeddings.LayerNorm.weight", VECTOR, "norm", None, ""),
    ("bert", "bert.embeddings.word_embeddings.weight", MATRIX, "embedding", None, ""),
    (
        "bert",
        "bert.encoder.layer.1.attention.output.dense.weight",
        MATRIX,
        "linear",
        1,
        "attention.output.dense",
    ),
    ("bert", "bert.pooler.dense.weight", MATRIX, "other", None, ""),
    ("bert", "classifier.weight", MATRIX, "head", None, ""),
    ("roberta", "classifier.out_proj.weight", MATRIX, "head", None, ""),
    ("roberta", "roberta.embeddings.position_embeddings.weight", MATRIX, "embedding", None, ""),
    ("t5", "shared.weight", MATRIX, "embedding", None, ""),
    (
        "t5",
        "decoder.block.2.layer.1.EncDecAttention.k.weight",
        MATRIX,
        "linear",
        2,
        "layer.1.EncDecAttention.k",
    ),
    ("t5", "encoder.block.0.layer.0.layer_norm.weight", VECTOR, "norm", 0, "layer.0.layer_norm"),
    (
        "t5",
        "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight",
        MATRIX,
        "other",
        0,
        "layer.0.SelfAttention.relative_attention_bias",
    ),
    ("vit", "vit.embeddings.cls_token", (1, 1, 8), "embedding", None, ""),
    (
        "vit",
        "vit.embeddings.patch_embeddings.projection.weight",
        (8, 3, 4, 4),
        "embedding",
        None,
        "",
    ),
    ("vit", "vit.encoder.layer.5.layernorm_before.weight", VECTOR, "norm", 5, "layernorm_before"),
    (
        "vit",
        "vit.encoder.layer.5.intermediate.dense.weight",
        MATRIX,
        "linear",
        5,
        "intermediate.dense",
    ),
    ("clip", "vision_model.pre_layrnorm.weight", VECTOR, "norm", None, ""),
    (
        "clip",
        "visual.transformer.resblocks.4.attn.in_proj_weight",
        MATRIX,
        "linear",
        4,
        "attn.in_proj_weight",
    ),
    ("clip", "text_projection.weight", MATRIX, "other", None, ""),
    (
        "llava",
        "vision_tower.vision_model.encoder.layers.0.mlp.fc1.weight",
        MATRIX,
        "linear",
        0,
        "mlp.fc1",
    ),
    ("llava", "multi_modal_projector.linear_1.weight", MATRIX, "other", None, ""),
    (
        "llava",
        "language_model.model.layers.9.mlp.up_proj.weight",
        MATRIX,
        "linear",
        9,
        "mlp.up_proj",
    ),
    (
        "mixtral",
        "model.layers.0.block_sparse_moe.gate.weight",
        MATRIX,
        "router",
        0,
        "block_sparse_moe.gate",
    ),
    (
        "mixtral",
        "model.layers.0.block_sparse_moe.experts.1.w2.weight",
        MATRIX,
        "linear",
        0,
        "block_sparse_moe.experts.1.w2",
    ),
    (
        "mixtral",
        "model.layers.0.mlp.experts.gate_up_proj",
        (4, 8, 8),
        "linear",
        0,
        "mlp.experts.gate_up_proj",
    ),
    ("mamba", "backbone.layers.0.mixer.conv1d.weight", (8, 1, 4), "other", 0, "mixer.conv1d"),
    ("mamba", "backbone.layers.0.mixer.A_log", MATRIX, "other", 0, "mixer.A_log"),
]


@pytest.mark.parametrize(("kind", "name", "shape", "role", "block", "layer"), CASES)
def test_names_tell_roles(
    kind: str, name: str, shape: tuple[int, ...], role: Any, block: int | None, layer: str
) -> None:
    roles = roles_of([TensorInfo(name, shape, "BF16")], {"model_type": kind})

    assert roles[name] == TensorRole(role, block, layer)


@pytest.mark.parametrize(
    ("config", "shape", "is_transposed"),
    [
        ({"model_type": "gpt2"}, (8, 24), True),
        ({"model_type": "gpt_bigcode"}, (24, 8), False),
        ({}, (8, 24), True),
        ({}, (24, 8), False),
    ],
)
def test_conv1d_is_told_by_config_or_shape(
    config: dict[str, str], shape: tuple[int, ...], is_transposed: bool
) -> None:
    infos = [
        TensorInfo("h.0.attn.c_attn.weight", shape, "F32"),
        TensorInfo("h.0.mlp.c_fc.weight", (8, 8), "F32"),
    ]

    roles = roles_of(infos, config)

    assert {role.is_transposed for role in roles.values()} == {is_transposed}
    assert {role.role for role in roles.values()} == {"linear"}


@pytest.mark.parametrize(
    ("dtype", "role"), [("I64", "buffer"), ("BOOL", "buffer"), ("U8", "other")]
)
def test_integers_are_never_treated(dtype: str, role: str) -> None:
    name = "model.layers.0.self_attn.q_proj.weight"

    assert roles_of([TensorInfo(name, MATRIX, dtype)], {})[name].role == role
