"""What a fusion knows without a model: names, family, overhead."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from deltaworks.checkpoints.llava import canonical_names, tower_tokens
from deltaworks.errors import MismatchError
from deltaworks.methods.fusion.family import Products, check_family, products_of
from deltaworks.methods.fusion.overhead import (
    BranchCost,
    LanguageShape,
    language_shape,
    overhead_of,
    projector_parameters,
)
from deltaworks.methods.fusion.visionfuse import VisionFuseOptions

LLAMA_2 = {"num_hidden_layers": 32, "hidden_size": 4096, "num_attention_heads": 32}
LLAMA_3 = {**LLAMA_2, "num_key_value_heads": 8}
PARTS = {
    "llm.model.layers.0.mlp.up_proj.weight",
    "llm.lm_head.weight",
    "projector.linear_1.weight",
    "vision.encoder.layers.0.mlp.fc1.weight",
}


# --- O9 -------------------------------------------------------------------------------------


def test_the_cache_of_one_token_is_what_the_specification_counts() -> None:
    assert language_shape(LLAMA_2).kv_bytes_per_token == 524_288
    assert language_shape(LLAMA_3).kv_bytes_per_token == 131_072
    assert 576 * language_shape(LLAMA_2).kv_bytes_per_token == 288 * 2**20
    assert 576 * language_shape(LLAMA_3).kv_bytes_per_token == 72 * 2**20


def test_a_projector_of_llava_has_twenty_one_million_numbers() -> None:
    assert projector_parameters(1024, 4096, 4096) == 20_979_712
    assert projector_parameters(1024, 4096, 4096, has_bias=False) == 20_971_520


def test_two_fused_models_keep_one_language_model() -> None:
    branch = BranchCost("clip", 300_000_000, 20_979_712, 576, 576)
    cost = overhead_of(language_shape(LLAMA_2), 6_740_000_000, [branch, branch])

    assert cost.fused.parameters == 6_740_000_000 + 2 * 320_979_712
    assert cost.separate.parameters == 2 * 7_060_979_712
    assert cost.fused.picture_tokens == 1152
    assert cost.fused.kv_bytes - cost.single.kv_bytes == 288 * 2**20


def test_work_counts_parameters_attention_and_towers() -> None:
    shape = LanguageShape(layers=2, hidden=10, kv_heads=1, head_dim=10, number_bytes=2)
    cost = overhead_of(shape, 100, [BranchCost("a", 7, 3, 4, 5)], text_tokens=6)

    assert cost.fused.prefill_flops == 2 * 100 * 10 + 4 * 2 * 10 * 10**2 + 2 * 7 * 5
    assert cost.fused.decode_flops == 2 * 100 + 4 * 2 * 10 * 10


# --- family ---------------------------------------------------------------------------------


def test_norms_and_cosines_by_hand() -> None:
    base = np.array([3.0, 4.0], dtype=np.float32)
    tuned = [base + np.array(step, dtype=np.float32) for step in ([0.5, 0.0], [0.5, 0.5])]

    found = check_family(("A", "B"), {None: products_of(base, tuned)}, VisionFuseOptions())

    assert found.norms == pytest.approx((0.1, 0.5 * 2**0.5 / 5))
    assert found.cosines[0][1] == pytest.approx(2**-0.5)
    assert found.cosines[0][0] == pytest.approx(1.0)
    assert found.warnings == ()


def test_a_large_change_is_warned_of_and_one_unlike_the_other() -> None:
    products = Products(100.0, ((0.01, 0.0), (0.0, 9.0)))

    found = check_family(("A", "B"), {0: products}, VisionFuseOptions())

    assert found.norms == pytest.approx((0.01, 0.3))
    assert len(found.warnings) == 2
    assert found.warnings[0].startswith("B differs from the base by 0.3")
    assert "30.0 times that of A" in found.warnings[1]


def test_sums_over_layers_are_the_whole_and_pieces_change_nothing() -> None:
    rng = np.random.default_rng(0)
    base = rng.standard_normal(600_000).astype(np.float32)
    tuned = [base + 0.1 * rng.standard_normal(600_000).astype(np.float32) for _ in range(2)]

    whole = products_of(base, tuned)
    halves = products_of(base[:5], [one[:5] for one in tuned]) + products_of(
        base[5:], [one[5:] for one in tuned]
    )

    assert whole.base == pytest.approx(halves.base, rel=1e-12)
    assert np.array(whole.deltas) == pytest.approx(np.array(halves.deltas), rel=1e-9)
    assert abs(whole.cosine(0, 1)) < 0.01


def test_a_model_that_did_not_change_has_no_direction() -> None:
    base = np.ones(4, dtype=np.float32)
    found = check_family(
        ("A", "B"), {None: products_of(base, [base, base + 1])}, VisionFuseOptions()
    )

    assert found.norms[0] == 0.0
    assert found.cosines[0] == (0.0, 0.0)
    assert any("unlike" in warning for warning in found.warnings)


# --- names ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "prefixes",
    [
        ("language_model.model.", "language_model.", "multi_modal_projector.", "vision_tower."),
        (
            "language_model.model.",
            "language_model.",
            "multi_modal_projector.",
            "vision_tower.vision_model.",
        ),
        ("model.language_model.", "", "model.multi_modal_projector.", "model.vision_tower."),
    ],
    ids=["5.x on disk", "4.x on disk", "in memory"],
)
def test_every_version_of_the_names_means_the_same(prefixes: tuple[str, ...]) -> None:
    language, head, projector, vision = prefixes
    stored = [
        f"{language}layers.0.mlp.up_proj.weight",
        f"{head}lm_head.weight",
        f"{projector}linear_1.weight",
        f"{vision}encoder.layers.0.mlp.fc1.weight",
    ]

    found = canonical_names(stored)

    assert set(found) == PARTS
    assert list(found.values()) == stored


def test_the_authors_own_names_are_known_too() -> None:
    stored = {
        "model.layers.0.mlp.up_proj.weight": "llm.model.layers.0.mlp.up_proj.weight",
        "lm_head.weight": "llm.lm_head.weight",
        "model.mm_projector.0.weight": "projector.linear_1.weight",
        "model.mm_projector.2.bias": "projector.linear_2.bias",
        "model.vision_tower.vision_tower.vision_model.encoder.layers.0.mlp.fc1.weight": (
            "vision.encoder.layers.0.mlp.fc1.weight"
        ),
    }

    assert canonical_names(stored) == {new: old for old, new in stored.items()}


def test_names_that_are_left_over_are_listed() -> None:
    with pytest.raises(MismatchError, match=r"image_newline, model\.resampler\.x"):
        canonical_names(["lm_head.weight", "image_newline", "model.resampler.x"])


def test_two_names_for_one_tensor_are_refused() -> None:
    with pytest.raises(MismatchError, match="lm_head"):
        canonical_names(["lm_head.weight", "language_model.lm_head.weight"])


def test_tokens_of_a_picture() -> None:
    clip = {"model_type": "clip_vision_model", "image_size": 336, "patch_size": 14}
    siglip = {"model_type": "siglip_vision_model", "image_size": 384, "patch_size": 16}

    assert tower_tokens(clip, "default") == 576
    assert tower_tokens(clip, "full") == 577
    assert tower_tokens(siglip, "full") == 576
    with pytest.raises(MismatchError, match="unsupported: vision tower 'pixtral'"):
        tower_tokens({"model_type": "pixtral"}, "default")


def test_planning_a_fusion_needs_no_torch() -> None:
    code = (
        "import sys, deltaworks.engine.fuse, deltaworks.methods.fusion;"
        "print('torch' in sys.modules or 'transformers' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "False"
