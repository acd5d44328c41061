from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from deltaworks.numerics.heads import ClassMeans, Ridge
from deltaworks.numerics.ridge import RidgeSums, choose_strength, draw_projection, one_hot


def clouds(n: int = 60, width: int = 6, classes: int = 4, seed: int = 0) -> tuple[Any, Any]:
    rng = np.random.Generator(np.random.Philox(seed))
    centres = 3 * rng.standard_normal((classes, width))
    labels = np.arange(n) % classes
    return centres[labels] + rng.standard_normal((n, width)), labels


def test_the_worked_example() -> None:
    sums = RidgeSums.empty(2)
    sums.add(np.array([[1, 0], [0, 1], [1, 1]]), np.array([0, 1, 1]))

    np.testing.assert_array_equal(sums.gram, [[2, 1], [1, 2]])
    np.testing.assert_array_equal(sums.targets, [[1, 1], [0, 2]])
    np.testing.assert_allclose(sums.solve(1.0), [[0.375, 0.125], [-0.125, 0.625]], atol=1e-15)
    strong = sums.solve(1e12) * 1e12
    np.testing.assert_allclose(strong, sums.targets, atol=1e-9)


def test_any_split_and_order_gives_the_joint_head() -> None:
    features, labels = clouds()
    joint = Ridge.drawn(6, 32, 5)
    joint.add(features, labels)
    split = Ridge.drawn(6, 32, 5)
    for chosen in ([2, 3], [0], [1]):  # tasks of classes that were not there before
        rows = np.isin(labels, chosen)
        split.add(features[rows], labels[rows])
    assert joint.sums is not None
    assert split.sums is not None

    np.testing.assert_allclose(split.sums.gram, joint.sums.gram, atol=1e-9)
    np.testing.assert_allclose(split.sums.targets, joint.sums.targets, atol=1e-9)
    split.strength = joint.strength
    np.testing.assert_array_equal(split.predict(features), joint.predict(features))
    assert (joint.predict(features) == labels).mean() > 0.9


def test_the_strength_is_the_one_that_slow_solves_find() -> None:
    features, labels = clouds(n=40, width=30)
    strengths = [10.0**power for power in range(-3, 5)]
    from deltaworks.numerics.seeds import rng_for

    order = rng_for(3, "ridge-rows").permutation(40)
    rows, known = features[order], one_hot(labels, 4)[order]
    errors = []
    for strength in strengths:
        damped = rows[:32].T @ rows[:32] + strength * np.eye(30)
        weights = np.linalg.solve(damped, rows[:32].T @ known[:32])
        errors.append(np.square(rows[32:] @ weights - known[32:]).mean())

    found = choose_strength(features, labels, seed=3, strengths=strengths)

    assert found == strengths[int(np.argmin(errors))]
    assert len({round(error, 6) for error in errors}) == len(strengths)


def test_class_means_learn_task_by_task() -> None:
    features, labels = clouds()
    joint, split = ClassMeans(), ClassMeans()
    joint.add(features, labels)
    for chosen in ([3], [0, 1], [2]):
        rows = np.isin(labels, chosen)
        split.add(features[rows], labels[rows])

    np.testing.assert_allclose(split.prototypes, joint.prototypes, atol=1e-12)
    np.testing.assert_allclose(joint.prototypes[1], features[labels == 1].mean(axis=0))
    slow = [
        max(range(4), key=lambda c: row @ joint.prototypes[c] / np.linalg.norm(joint.prototypes[c]))
        for row in features
    ]
    np.testing.assert_array_equal(split.predict(features), slow)


@pytest.mark.parametrize("head", [ClassMeans(), Ridge(None)], ids=["means", "ridge"])
def test_classes_without_items_are_never_predicted(head: Any) -> None:
    features, labels = clouds()
    assert (head.predict(features) == -1).all()
    rows = np.isin(labels, [1, 3])
    head.add(features[rows], labels[rows])

    assert set(head.predict(features)) <= {1, 3}


def test_a_stored_head_predicts_the_same() -> None:
    features, labels = clouds()
    head = Ridge.drawn(6, 20, 1)
    head.add(features, labels)

    again = Ridge.stored(head.arrays())

    np.testing.assert_array_equal(again.predict(features), head.predict(features))
    assert set(head.arrays()) == {"W_o", "W_rand", "G", "Q", "counts"}


def test_one_row_takes_the_middle_strength() -> None:
    assert choose_strength(np.ones((1, 2)), np.zeros(1, int), seed=0) == 1.0


def test_a_projection_is_a_function_of_its_seed() -> None:
    np.testing.assert_array_equal(draw_projection(3, 4, 1), draw_projection(3, 4, 1))
    assert not np.array_equal(draw_projection(3, 4, 1), draw_projection(3, 4, 2))
    assert draw_projection(100, 200, 0, 0.125).std() == pytest.approx(0.125, rel=0.03)
