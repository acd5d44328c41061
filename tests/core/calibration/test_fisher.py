from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from deltaworks.calibration import Sequences, collect_fisher
from deltaworks.checkpoints import open_checkpoint
from deltaworks.errors import FileError
from deltaworks.inference import load_model
from deltaworks.progress import JobControl

if TYPE_CHECKING:
    from torch import Tensor

NAME = "model.layers.1.mlp.up_proj.weight"
PAIRS = Sequences(
    ((5, 9, 7, 11, 30), (40, 41, 42), (8, 8, 9, 20, 21, 22, 23)), (3, 1, 4), "three pairs"
)


def slow_gradient(model: Path, places: tuple[int, ...]) -> Tensor:
    """The gradient of the mean loss over the answer tokens of some pairs, one at a time."""
    import torch

    with open_checkpoint(model) as checkpoint:
        running = load_model(checkpoint)
    weight = running.model.get_parameter(NAME).requires_grad_(True)
    losses: list[Tensor] = []
    for place in places:
        ids, answer = PAIRS.ids[place], PAIRS.answers[place]
        scores = running.model(input_ids=torch.tensor([ids])).logits[0].log_softmax(-1)
        losses += [-scores[at - 1, ids[at]] for at in range(answer, len(ids))]
    (found,) = torch.autograd.grad(torch.stack(losses).mean(), [weight])
    return found


def test_it_is_the_mean_of_squared_batch_gradients(tiny_expert: Path) -> None:
    import torch

    wanted = (slow_gradient(tiny_expert, (0, 1)) ** 2 + slow_gradient(tiny_expert, (2,)) ** 2) / 2

    with open_checkpoint(tiny_expert) as model:
        found = collect_fisher(model, PAIRS, JobControl(), cache=None, batch=2)

        assert found.batches == 2
        torch.testing.assert_close(found.read(NAME), wanted, rtol=1e-3, atol=1e-12)
        found.close()


def test_parts_and_cache_give_the_same_numbers(tiny_expert: Path, tmp_path: Path) -> None:
    import torch

    with open_checkpoint(tiny_expert) as model:
        at_once = collect_fisher(model, PAIRS, JobControl(), cache=tmp_path)
        in_parts = collect_fisher(model, PAIRS, JobControl(), cache=None, group_bytes=20_000)
        again = collect_fisher(model, PAIRS, JobControl(), cache=tmp_path)

    assert again.from_cache
    assert not at_once.from_cache
    assert len(at_once.names) == 14
    for name in at_once.names:
        torch.testing.assert_close(in_parts.read(name), at_once.read(name))
        assert torch.equal(again.read(name), at_once.read(name))
    in_parts.close()


def test_pairs_without_an_answer_are_refused(tiny_expert: Path) -> None:
    texts = Sequences(((5, 6, 7),), (3,), "cut.jsonl")

    with open_checkpoint(tiny_expert) as model, pytest.raises(FileError, match=r"cut\.jsonl"):
        collect_fisher(model, texts, JobControl(), cache=None)
