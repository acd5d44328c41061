from __future__ import annotations

from typing import Any

import pytest
import torch

from deltaworks.errors import NotFiniteError
from deltaworks.progress import JobControl
from deltaworks.training.answers import Lesson, lessons_of, mean_loss, measured_loss
from deltaworks.training.sensitivity import accumulate, sensitivity


class Bigrams(torch.nn.Module):
    """Scores the next token by the last one alone."""

    def __init__(self) -> None:
        super().__init__()
        rng = torch.Generator().manual_seed(0)
        self.table = torch.nn.Parameter(torch.randn(5, 5, generator=rng))

    def forward(self, input_ids: torch.Tensor, **_: Any) -> Any:
        return type("Out", (), {"logits": self.table[input_ids]})()


def test_sensitivities_are_summed_sample_by_sample() -> None:  # O1
    weight = torch.tensor([1.0, 2.0])
    x = torch.tensor([1.0, 1.0])

    found = accumulate(
        {"w": weight},
        [lambda: (weight @ x - 1) ** 2 / 2, lambda: (weight @ x - 5) ** 2 / 2],
        {"w"},
        JobControl(),
    )

    assert found.matrices["w"].tolist() == [4.0, 8.0]  # |w * sum of gradients| would be zero
    assert found.totals == {"w": 12.0}
    assert weight.grad is None
    assert not weight.requires_grad


def test_no_gradient_outlives_its_hook() -> None:
    tensors = {name: torch.ones(3) for name in "abc"}
    alive = []

    def loss() -> torch.Tensor:
        alive.append([one.grad for one in tensors.values()])
        return sum((one**2).sum() for one in tensors.values())  # type: ignore[return-value]

    found = accumulate(tensors, [loss, loss], set(), JobControl())

    assert alive == [[None] * 3, [None] * 3]
    assert found.matrices == {}
    assert found.totals == dict.fromkeys("abc", 12.0)


def test_a_model_gives_what_plain_autograd_gives() -> None:
    model, lessons = Bigrams(), [Lesson((1, 2, 3)), Lesson((0, 4, 1), 2)]
    wanted = torch.zeros(5, 5)
    for lesson in lessons:
        gradient = torch.autograd.grad(mean_loss(model, [lesson], "cpu"), model.table)[0]
        wanted += (gradient * model.table).abs().detach()
    model.requires_grad_(False)

    found = sensitivity(model, {"t": model.table}, lessons, {"t"}, JobControl())

    assert torch.allclose(found.matrices["t"], wanted)


def test_gradients_that_are_no_numbers_are_refused() -> None:
    weight = torch.tensor([0.0])

    with pytest.raises(NotFiniteError, match="w: a gradient is not finite"):
        accumulate({"w": weight}, [lambda: weight.sqrt().sum() / 0], set(), JobControl())
    assert weight.grad is None


def test_losses_count_answers_alone_and_do_not_see_padding() -> None:
    model = Bigrams().requires_grad_(False)
    lessons = [Lesson((1, 2, 3, 4), 3), Lesson((2, 0), 1), Lesson((3, 1, 1))]
    scores = model.table.log_softmax(-1)
    losses = [-scores[3, 4], -scores[2, 0], -scores[3, 1], -scores[1, 1]]

    wanted = float(torch.stack(losses).mean())

    assert float(mean_loss(model, lessons, "cpu")) == pytest.approx(wanted, rel=1e-6)
    assert measured_loss(model, lessons, "cpu", size=2) == pytest.approx(wanted, rel=1e-6)


def test_texts_without_an_answer_are_left_out() -> None:
    found = lessons_of([(1, 2, 3), (1, 2), (4,)], [1, 2, 0])

    assert found == [Lesson((1, 2, 3), 1)]
