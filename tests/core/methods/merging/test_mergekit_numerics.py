"""Hand vectors of the merging specification, 7.1 and 7.2, in mergekit's numerics.

Every row was computed with mergekit 0.1.5; here they go through the same choice of kernel
as a merge does.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch

from deltaworks.errors import NotFiniteError, OptionError
from deltaworks.methods import merging_method
from deltaworks.methods.merging.mergekit_numerics import in_mergekits_order
from deltaworks.methods.merging_record import MergeExpert, MergeInputs
from deltaworks.methods.method import TensorSpec
from deltaworks.numerics.rounding import Arithmetic

BASE, A, B = [1.0, 1, 1, 1], [1.4, 0.9, 1.3, 1], [1.2, 1.3, 0.5, 1.1]
TEN = [0.1, -0.2, 0.3, -0.4, 0.5, -0.6, 0.7, -0.8, 0.9, -1]


def merged(
    method_id: str,
    base: Any,
    experts: list[Any],
    each: list[dict[str, Any]] | None = None,
    dtype: str = "F32",
    **options: Any,
) -> Any:
    kind = {"F32": torch.float32, "BF16": torch.bfloat16}[dtype]
    method = merging_method(method_id)
    own = [method.expert_options(**one) for one in (each or [{}] * len(experts))]
    tensors = [torch.tensor(one, dtype=kind) for one in experts]
    method = in_mergekits_order(method, len(own), tensors[0].numel())
    inputs = MergeInputs(
        TensorSpec("w", tuple(tensors[0].shape)),
        None if base is None else torch.tensor(base, dtype=kind),
        tuple(MergeExpert(x, o) for x, o in zip(tensors, own, strict=True)),
        arithmetic=Arithmetic("mergekit-0.1.5", dtype),
    )
    return method.merge(inputs, method.options(**options)).float()


def both(density: float = 1.0, weights: tuple[float, float] = (1.0, 1.0)) -> list[dict[str, Any]]:
    return [{"weight": weight, "density": density} for weight in weights]


def crumbs(density: float, gamma: float) -> list[dict[str, Any]]:
    return [{"weight": 1.0, "density": density, "gamma": gamma}]


@pytest.mark.parametrize(
    ("method", "base", "experts", "each", "options", "wanted"),
    [
        ("ties", BASE, [A, B], both(), {}, [1.3, 1.3, 0.5, 1.1]),
        ("ties", BASE, [A, B], both(), {"normalize": False}, [1.6, 1.3, 0.5, 1.1]),
        ("ties", BASE, [A, B], both(), {"scale": 0.5}, [1.15, 1.15, 0.75, 1.05]),
        ("ties", BASE, [A, B], both(0.5), {}, [1.4, 1.3, 0.5, 1.0]),
        ("ties", BASE, [A, B], both(1.0, (0.3, 0.7)), {}, [1.26, 1.3, 0.5, 1.1]),
        ("ties", [0.0, 0], [[1.0, -1], [-1.0, 1]], both(), {}, [1, 1]),
        ("ties", [0.0], [[1.0]], both(0.5)[:1], {}, [1]),
        ("sce", BASE, [A, B], None, {}, [1.28, 1.3, 0.5, 1.1]),
        ("sce", BASE, [A, B], None, {"select_topk": 0.5}, [1.0, 1.3, 0.5, 1.0]),
        ("sce", [0.0] * 4, [[4e-4, 0, 0, 0], [0, 2e-4, 0, 0]], None, {}, [4e-4, 2e-4, 0, 0]),
        ("ram", BASE, [A, B], None, {}, [1.3, 1.1, 0.9, 1.1]),
        ("ramplus-tl", BASE, [A, B], None, {}, [1.3, 1.1, 0.9, 1.102]),
        ("ram", [0.0] * 4, [[1.0, 0, 2, 0], [0, 3.0, 4, 0]], None, {}, [1, 3, 3, 0]),
        ("ramplus-tl", [0.0] * 4, [[1.0, 0, 2, 0], [0, 3.0, 4, 0]], None, {}, [1.02, 3.06, 3, 0]),
        ("breadcrumbs", [0.0] * 10, [TEN], crumbs(0.5, 0.1), {}, [0, 0, 0, 0, *TEN[4:9], 0]),
        ("breadcrumbs", [0.0] * 10, [TEN], crumbs(0.5, 0.0), {}, [0, 0, 0, 0, 0, *TEN[5:]]),
        ("breadcrumbs", [0.0] * 10, [TEN], crumbs(0.5, 0.5), {}, [*TEN[:5], 0, 0, 0, 0, 0]),
        ("breadcrumbs", [0.0] * 10, [TEN], crumbs(0.9, 0.01), {}, [0, *TEN[1:]]),
        ("nuslerp", [-1.0, -1], [[1.0, 0], [0.0, 1]], None, {}, [0.581139, 0.581139]),
        ("multislerp", None, [[1.0, 0], [0.0, 1]], None, {}, [0.707107, 0.707107]),
        ("multislerp", None, [[2.0, 0], [0.0, 1]], None, {}, [1.06066, 1.06066]),
        ("multislerp", None, [[1.0, 2], [-1.0, -2]], None, {}, [0, 0]),
        ("karcher", None, [[1.0, 0, 0], [0, 2.0, 0], [0, 0, 3.0]], None, {}, [1.154701] * 3),
        ("karcher", None, [[0.0, 0], [0.0, 1]], None, {}, [0, 0.5]),
        ("model-stock", [0.0, 0], [[1.0, 0], [0.6, 0.8]], None, {}, [0.6, 0.3]),
        (
            "model-stock",
            [0.0, 0],
            [[1.0, 0], [0.6, 0.8], [0.0, 1]],
            None,
            {},
            [0.386207, 0.434483],
        ),
        ("model-stock", [0.0, 0], [[1.0, 0], [0.0, 1]], None, {}, [0, 0]),
        ("model-stock", [0.0, 0], [[1.0, 0], [1.0, 0]], None, {}, [1, 0]),
        ("model-stock", [0.0, 0], [[1.0, 0], [-1.0, 0]], None, {}, [0, 0]),
        (
            "model-stock",
            [[0.0, 0], [0, 0]],
            [[[1.0, 0], [1.0, 0]], [[0.6, 0.8], [0.0, 1]]],
            None,
            {"filter_wise": True},
            [[0.6, 0.3], [0, 0]],
        ),
        ("arcee-fusion", [0.0] * 8, [[1.0, 2, 3, 4, 5, 6, 7, 80]], None, {}, [0] * 7 + [80]),
        ("passthrough", None, [[1.0, -2]], [{"scale": 0.5}], {}, [0.5, -1]),
    ],
)
def test_hand_vectors_are_met(
    method: str, base: Any, experts: Any, each: Any, options: dict[str, Any], wanted: Any
) -> None:
    got = merged(method, base, experts, each, **options)

    torch.testing.assert_close(got, torch.tensor(wanted, dtype=torch.float32), rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize(
    ("vectors", "wanted"),
    [
        ("tensor", [[0.595862, 0.595862], [0.595862, 1.191723]]),
        ("rows", [[0.707107, 0.707107], [0.541196, 1.082392]]),
        ("columns", [[0.707107, 0.541196], [0.707107, 1.082392]]),
    ],
)
def test_arcs_may_go_over_rows_or_columns(vectors: str, wanted: Any) -> None:
    got = merged("nuslerp", None, [[[1.0, 0], [0, 1]], [[0.0, 1], [1, 1]]], vectors=vectors)

    torch.testing.assert_close(got, torch.tensor(wanted), rtol=2e-6, atol=2e-6)


def test_weights_are_rounded_to_the_type_that_is_computed_in() -> None:
    """0.3 is 0.30078125 in bfloat16, and every step is rounded."""
    got = merged(
        "task-arithmetic", [0.0, 0], [[1.0, 3]], [{"weight": 0.3}], dtype="BF16", scale=1.0
    )

    assert got.tolist() == [0.30078125, 0.90234375]


@pytest.mark.parametrize("method", ["ties", "breadcrumbs", "sce", "ram", "model-stock", "nuslerp"])
def test_experts_that_are_the_base_stay_the_base(method: str) -> None:
    rng = torch.Generator().manual_seed(1)
    base = torch.randn(6, 5, generator=rng).tolist()
    each = [{"density": 0.5}] * 2 if method in {"ties", "breadcrumbs"} else None

    got = merged(method, base, [base, base], each)

    assert torch.equal(got, torch.tensor(base))


def test_methods_that_stream_to_the_same_bits_stream() -> None:
    for one in (
        *("linear", "slerp", "task-arithmetic", "nearswap", "passthrough", "dare-ties"),
        *("ties", "breadcrumbs", "breadcrumbs-ties", "sce", "ram", "ramplus-tl"),
    ):
        method = merging_method(one)
        assert in_mergekits_order(method, 2, 8) is method
    assert in_mergekits_order(merging_method("karcher"), 2, 8).stream is None
    fusion = merging_method("arcee-fusion")
    assert in_mergekits_order(fusion, 1, 2_000_000) is fusion


@pytest.mark.parametrize("density", [0.05, 0.3, 0.77])
@pytest.mark.parametrize("dtype", ["F32", "BF16"])
def test_of_equal_changes_a_stable_sort_chooses(dtype: str, density: float) -> None:
    rng = torch.Generator().manual_seed(3)
    change = torch.randint(-9, 10, (50, 41), generator=rng) / 4
    size, count = change.abs().view(-1), change.numel()
    keep, outliers = int(density * count), int(0.1 * count)
    falling = torch.argsort(size, descending=True, stable=True)[:keep]
    rising = torch.argsort(size, stable=True)[count - outliers - keep : count - outliers]
    base = torch.zeros_like(change).tolist()

    for method, chosen in (("ties", falling), ("breadcrumbs", rising)):
        own: dict[str, Any] = {"weight": 1.0, "density": density}
        if method == "breadcrumbs":
            own["gamma"] = 0.1
        wanted = torch.zeros(count)
        wanted[chosen] = change.view(-1)[chosen]
        got = merged(method, base, [change.tolist()], [own], dtype)
        assert torch.equal(got.view(-1), wanted), method


def test_a_share_below_one_number_selects_none() -> None:
    base, changed = [0.0] * 8, [1.0, 2, 3, 4, 5, 6, 7, 8]

    assert merged("sce", base, [changed, base], select_topk=0.1).tolist() == base
    each = [{"density": 0.1, "gamma": 0.0}]
    assert merged("breadcrumbs", base, [changed], each).tolist() == base


def test_a_share_is_counted_in_float32() -> None:
    """0.29 of 100 is 29 there, and 28 in float64."""
    base, changed = [0.0] * 100, [float(number) for number in range(1, 101)]

    found = merged("sce", base, [changed, base], select_topk=0.29)

    assert int(found.count_nonzero()) == 29


def test_directions_that_cancel_and_nan_are_refused() -> None:
    with pytest.raises(OptionError, match="cancel"):
        merged("multislerp", None, [[1.0, 0], [-0.5, 0.75**0.5], [-0.5, -(0.75**0.5)]])
    with pytest.raises(NotFiniteError):
        merged("ram", [0.0, 0], [[float("nan"), 1]])
