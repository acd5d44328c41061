from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from deltaworks.methods.safety.irr import METHOD, IrrOptions

D_H = torch.tensor([[2.0, 1.0, 0.0], [1.0, 2.0, 0.0], [0.0, 0.0, 1.0]], dtype=torch.float64)
ZERO = torch.zeros(1, 3)
D_DELTA = torch.tensor([[0.3, 0.2, -0.1]])


def _irr(repair: Any, delta: Tensor, vector: list[float], **more: Any) -> Tensor:
    """Repair with the aligned model at zero, so that weights are deltas."""
    v = torch.tensor([vector])
    aligned = torch.zeros_like(delta)
    result: Tensor = repair("irr", aligned, delta, unaligned=-v, **more).tensor
    return result


def test_worked_d_removes_and_recalibrates(repair: Any) -> None:
    found = repair("irr", ZERO, D_DELTA, unaligned=-torch.tensor([[-1.0, 2.0, -3.0]]), h=D_H)

    assert found.tensor[0].tolist() == pytest.approx([0.0, 0.35, -0.1], abs=1e-7)
    assert found.facts["damage"] == pytest.approx(0.0675, rel=1e-6)
    assert found.facts["damage"] == pytest.approx(0.09 / (2 * 2 / 3), rel=1e-6)
    bare = _irr(repair, D_DELTA, [-1.0, 2.0, -3.0], recalibrate=False)
    assert bare[0].tolist() == pytest.approx([0.0, 0.2, -0.1])
    change = (bare - D_DELTA).double()
    assert float(change @ D_H @ change.T) / 2 == pytest.approx(0.09)


def test_worked_d_zero_rules(repair: Any) -> None:
    assert torch.equal(_irr(repair, D_DELTA, [1.0, 2.0, -3.0], h=D_H), D_DELTA)
    assert torch.equal(_irr(repair, D_DELTA, [1.0, 0.0, -3.0], h=D_H), D_DELTA)
    official = _irr(repair, D_DELTA, [1.0, 0.0, -3.0], h=D_H, zero_policy="official")
    assert official[0, 1] == 0.0


def test_worked_g_keeps_the_least_important(repair: Any) -> None:
    delta = -torch.ones(1, 5)
    fisher = torch.tensor([[5.0, 1.0, 4.0, 2.0, 3.0]])

    kept = _irr(repair, delta, [1.0] * 5, fisher=fisher, keep_fraction=0.5, recalibrate=False)

    assert (kept[0] != 0).tolist() == [False, True, False, True, False]


def test_worked_g_removes_agreeing_ones_last(repair: Any) -> None:
    delta = torch.tensor([[-1.0, -1.0, -1.0, -1.0, -1.0, 1.0, 1.0]])
    fisher = torch.tensor([[5.0, 1.0, 4.0, 2.0, 3.0, 9.0, 8.0]])
    options = {"ranking": "remove-more", "keep_fraction": 0.5, "recalibrate": False}

    kept = _irr(repair, delta, [1.0] * 7, fisher=fisher, **options)

    assert (kept[0] != 0).tolist() == [False, True, False, False, False, True, True]


def test_nothing_against_safety_changes_nothing(repair: Any, layer: Any) -> None:
    aligned, tuned, h = layer()
    agreeing = aligned - (tuned - aligned)

    found = repair("irr", aligned, tuned, unaligned=agreeing, h=h)

    assert torch.equal(found.tensor, tuned)
    assert found.facts["interference_share"] == 0.0


def test_everything_against_safety_gives_the_aligned_model(repair: Any, layer: Any) -> None:
    aligned, tuned, h = layer()

    for recalibrate in (True, False):
        options = {"h": h, "recalibrate": recalibrate, "mask_from": "original"}
        found = repair("irr", aligned, tuned, unaligned=tuned, **options)
        assert torch.equal(found.tensor, aligned)
        assert found.facts["removed_share"] == 1.0


def test_keeping_all_gives_the_tuned_model(repair: Any, layer: Any) -> None:
    aligned, tuned, h = layer()
    options = {"h": h, "fisher": torch.rand(6, 8), "keep_fraction": 1.0}

    assert torch.equal(repair("irr", aligned, tuned, unaligned=tuned, **options).tensor, tuned)


def test_without_recalibration_what_stays_is_untouched(repair: Any, layer: Any) -> None:
    aligned, tuned, _ = layer()
    away = aligned - torch.randn(6, 8, generator=torch.Generator().manual_seed(3))

    found = repair("irr", aligned, tuned, unaligned=away, recalibrate=False).tensor

    is_kept = found == tuned
    assert 0 < int(is_kept.sum()) < 48
    assert bool((is_kept | (found == aligned)).all())


def test_independent_inputs_need_no_recalibration(repair: Any, layer: Any) -> None:
    aligned, tuned, h = layer()
    away = aligned - torch.randn(6, 8, generator=torch.Generator().manual_seed(3))

    on = repair("irr", aligned, tuned, unaligned=away, h=torch.diag(h.diagonal()))
    off = repair("irr", aligned, tuned, unaligned=away, recalibrate=False)

    assert torch.equal(on.tensor, off.tensor)


@pytest.mark.parametrize("policy", ["strict", "official"])
def test_a_change_of_zero_stays_zero(repair: Any, layer: Any, policy: str) -> None:
    aligned, _, h = layer()

    found = repair("irr", aligned, aligned, unaligned=aligned - 1, h=h, zero_policy=policy).tensor

    assert torch.equal(found, aligned)


@pytest.mark.parametrize("block", [1, 3, 8])
def test_blocks_change_nothing_when_signs_are_the_original_ones(
    repair: Any, layer: Any, block: int
) -> None:
    aligned, tuned, h = layer()
    away = aligned - torch.randn(6, 8, generator=torch.Generator().manual_seed(3))
    options = {"unaligned": away, "h": h, "mask_from": "original"}

    whole = repair("irr", aligned, tuned, **options, block=8)
    cut = repair("irr", aligned, tuned, **options, block=block)

    assert torch.allclose(cut.tensor, whole.tensor, atol=1e-6)
    change = (whole.tensor - tuned).double()
    loss = float((change @ h * change).sum()) / 2
    assert whole.facts["damage"] == pytest.approx(loss, rel=1e-4)


@pytest.mark.parametrize("ranking", ["importance", "magnitude", "random"])
def test_other_rankings_keep_the_share_that_is_wanted(
    repair: Any, layer: Any, ranking: str
) -> None:
    aligned, tuned, _ = layer()
    fisher = torch.rand(6, 8, generator=torch.Generator().manual_seed(4))
    options = {"keep_fraction": 0.25, "ranking": ranking, "recalibrate": False, "block": 4}

    found = repair("irr", aligned, tuned, unaligned=aligned - 1, fisher=fisher, **options)

    kept = found.tensor == tuned
    assert [int(kept[:, span].sum()) for span in (slice(4), slice(4, 8))] == [6, 6]
    if ranking != "random":
        order = fisher if ranking == "importance" else (tuned - aligned).abs()
        part, stays = order[:, :4], kept[:, :4]
        assert part[stays].max() < part[~stays].min()


def test_which_statistics_it_needs_follows_the_options() -> None:
    assert METHOD.statistics(IrrOptions()) == ("gram",)
    assert METHOD.statistics(IrrOptions(keep_fraction=0.5)) == ("gram", "fisher")
    assert METHOD.statistics(IrrOptions(recalibrate=False)) == ()
    assert METHOD.statistics(IrrOptions(recalibrate=False, ranking="importance")) == ("fisher",)


def test_adapters_are_treated_in_queries_and_values_only() -> None:
    options = IrrOptions()

    assert METHOD.treats("self_attn.q_proj", True, options)
    assert not METHOD.treats("mlp.up_proj", True, options)
    assert METHOD.treats("mlp.up_proj", False, options)
    assert METHOD.treats("mlp.up_proj", True, IrrOptions(targets="all"))
