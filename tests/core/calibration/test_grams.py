from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from deltaworks.calibration import Sequences, collect_grams, for_each_block
from deltaworks.calibration import grams as grams_module
from deltaworks.calibration.blocks import NoBlocksError, States
from deltaworks.calibration.passes import Pass, run_whole
from deltaworks.calibration.store import halved, halved_count, whole
from deltaworks.calibration.targets import linear_names
from deltaworks.checkpoints import open_checkpoint
from deltaworks.checkpoints.checkpoint import Checkpoint
from deltaworks.errors import CancelledError
from deltaworks.inference import load_model
from deltaworks.progress import JobControl

if TYPE_CHECKING:
    from torch import Tensor

ARCHITECTURES: list[tuple[str, dict[str, Any]]] = [
    ("llama", {}),
    ("gpt2", {"n_embd": 32, "n_layer": 3, "n_head": 4, "n_positions": 64}),
    ("gemma3_text", {"head_dim": 8, "sliding_window": 8}),
    ("gpt_neox", {}),
    ("mixtral", {"num_local_experts": 4}),
]


@pytest.mark.parametrize(("kind", "facts"), ARCHITECTURES, ids=[name for name, _ in ARCHITECTURES])
def test_block_by_block_gives_what_the_whole_model_gives(
    kind: str,
    facts: dict[str, Any],
    random_model: Callable[..., Checkpoint],
    few_texts: Sequences,
) -> None:
    import torch

    model = random_model(kind, **facts)

    with collect_grams(model, few_texts, JobControl(), cache=None) as found:
        assert not [note for note in found.notes if "whole" in note]
        together = run_whole(Pass(model, few_texts, linear_names(model)), JobControl())
        for name, leader in together.leaders.items():
            torch.testing.assert_close(found.read(name), together.found[leader].mean())


def test_it_is_the_mean_of_outer_products(tiny_expert: Path, few_texts: Sequences) -> None:
    import torch

    name = "model.layers.1.mlp.down_proj.weight"
    rows: list[Tensor] = []
    with open_checkpoint(tiny_expert) as model:
        running = load_model(model)
        module = running.model.get_submodule(name.removesuffix(".weight"))
        module.register_forward_pre_hook(lambda _, args: rows.append(args[0].double()))
        for ids in few_texts.ids:
            running.logits(torch.tensor([ids]))

        with collect_grams(model, few_texts, JobControl(), cache=None) as found:
            seen = torch.cat([row.reshape(-1, row.shape[-1]) for row in rows])
            slow = torch.einsum("ti,tj->ij", seen, seen) / len(seen)

            assert found.tokens == found.seen(name) == len(seen) == few_texts.n_tokens
            torch.testing.assert_close(found.read(name).double(), slow, rtol=1e-5, atol=1e-9)
            torch.testing.assert_close(found.diagonal(name).double(), slow.diagonal())


def test_layers_that_see_one_input_share_a_matrix(tiny_expert: Path, few_texts: Sequences) -> None:
    with (
        open_checkpoint(tiny_expert) as model,
        collect_grams(model, few_texts, JobControl(), cache=None) as found,
    ):
        at = "model.layers.0."
        query, key = (found.read(f"{at}self_attn.{one}_proj.weight") for one in "qk")
        gate, up = (found.read(f"{at}mlp.{one}_proj.weight") for one in ("gate", "up"))
        out = found.read(f"{at}self_attn.o_proj.weight")

    assert query is key
    assert gate is up
    assert query is not gate
    assert out is not query


def test_squares_alone_are_the_diagonal(tiny_expert: Path, few_texts: Sequences) -> None:
    import torch

    name = "model.layers.0.mlp.up_proj.weight"
    with open_checkpoint(tiny_expert) as model:
        with collect_grams(model, few_texts, JobControl(), cache=None) as full:
            wanted = full.diagonal(name)
        with collect_grams(model, few_texts, JobControl(), cache=None, diagonal=True) as squares:
            found = squares.read(name)

    torch.testing.assert_close(found, wanted.diag())


def test_a_second_run_reads_what_the_first_found(
    tiny_expert: Path, few_texts: Sequences, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    name = "model.layers.0.mlp.up_proj.weight"
    with open_checkpoint(tiny_expert) as model:
        with collect_grams(model, few_texts, JobControl(), cache=tmp_path) as first:
            wanted = first.read(name)
        monkeypatch.setattr(grams_module, "run_blocks", None)
        with collect_grams(model, few_texts, JobControl(), cache=tmp_path) as again:
            found = again.read(name)

    assert (first.from_cache, again.from_cache) == (False, True)
    assert torch.equal(found, wanted)


def test_other_weights_or_texts_are_another_pass(
    tiny_expert: Path, tiny_base: Path, few_texts: Sequences, tmp_path: Path
) -> None:
    fewer = Sequences(few_texts.ids[:2], few_texts.answers[:2], few_texts.source)

    with open_checkpoint(tiny_expert) as expert, open_checkpoint(tiny_base) as base:
        for model, texts in ((expert, few_texts), (base, few_texts), (expert, fewer)):
            with collect_grams(model, texts, JobControl(), cache=tmp_path) as found:
                assert not found.from_cache

    assert len(list(tmp_path.iterdir())) == 3


def test_a_stopped_pass_leaves_nothing(
    tiny_expert: Path, few_texts: Sequences, tmp_path: Path
) -> None:
    stop = threading.Event()

    def report(event: object) -> None:
        if "block 2" in getattr(event, "stage", ""):
            stop.set()

    with open_checkpoint(tiny_expert) as model, pytest.raises(CancelledError):
        collect_grams(model, few_texts, JobControl(report, stop), cache=tmp_path)

    assert list(tmp_path.iterdir()) == []


def test_a_network_without_blocks_runs_as_a_whole_and_says_so(
    tiny_expert: Path, few_texts: Sequences, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise NoBlocksError("the network has no list of blocks")

    with open_checkpoint(tiny_expert) as model:
        with collect_grams(model, few_texts, JobControl(), cache=None) as usual:
            pass
        monkeypatch.setattr(grams_module, "run_blocks", refuse)
        with collect_grams(model, few_texts, JobControl(), cache=None) as found:
            assert "as a whole" in found.notes[0]
            assert set(found.names) == set(usual.names)


def test_an_expert_with_too_few_tokens_gets_its_mean_square(
    random_model: Callable[..., Checkpoint],
) -> None:
    import torch

    texts = Sequences(((5, 6, 7, 8),), (0,), "four tokens")
    name = "model.layers.0.mlp.experts.gate_up_proj"
    model = random_model("mixtral", num_local_experts=4)

    with collect_grams(model, texts, JobControl(), cache=None) as found:
        stack = found.read(name)

    assert any("Fewer than 32" in note for note in found.notes)
    assert stack.shape == (4, 32, 32)
    for matrix in stack:
        torch.testing.assert_close(matrix, matrix[0, 0] * torch.eye(32))


def test_stacked_experts_see_the_tokens_routed_to_them(
    random_model: Callable[..., Checkpoint], few_texts: Sequences
) -> None:
    import torch

    at = "model.layers.1.mlp.experts"
    model = random_model("mixtral", num_local_experts=4)
    running = load_model(model)
    rows: list[list[Tensor]] = [[] for _ in range(4)]

    def look(_: object, args: tuple[Tensor, ...]) -> None:
        for expert in range(4):
            rows[expert].append(args[0][(args[1] == expert).any(dim=1)])

    running.model.get_submodule(at).register_forward_pre_hook(look)
    for ids in few_texts.ids:
        running.logits(torch.tensor([ids]))

    with collect_grams(model, few_texts, JobControl(), cache=None) as found:
        stack = found.read(f"{at}.gate_up_proj")

    for matrix, pieces in zip(stack, rows, strict=True):
        seen = torch.cat(pieces)
        if len(seen) >= 32:
            torch.testing.assert_close(matrix, seen.T @ seen / len(seen), rtol=1e-4, atol=1e-6)


def test_states_in_a_file_are_those_in_memory() -> None:
    import torch

    kept, spilled = States([(2, 3, 4), (1, 5, 4)]), States([(2, 3, 4), (1, 5, 4)], spill=10)
    for states in (kept, spilled):
        for batch in range(2):
            states[batch].copy_(torch.arange(states[batch].numel()).view_as(states[batch]))

    assert (kept.is_spilled, spilled.is_spilled) == (False, True)
    assert all(torch.equal(kept[batch], spilled[batch]) for batch in range(2))
    spilled.close()


@pytest.mark.parametrize("size", [1, 5, 256, 300, 600])
def test_half_of_a_symmetric_matrix_is_all_of_it(size: int) -> None:
    import torch

    half = torch.randn(size, size)
    matrix = half + half.T

    flat = halved(matrix)

    assert len(flat) == halved_count(size)
    assert torch.equal(whole(flat, size), matrix)


def test_later_blocks_see_what_replaced_blocks_give(
    tiny_expert: Path, tiny_base: Path, few_texts: Sequences
) -> None:
    import torch

    name = "model.layers.1.self_attn.q_proj.weight"
    seen: dict[int, Tensor] = {}
    with open_checkpoint(tiny_expert) as expert, open_checkpoint(tiny_base) as base:

        def replaced(
            block: int, names: tuple[str, ...], read: Callable[[str], Tensor]
        ) -> dict[str, Tensor]:
            seen[block] = read(names[0])
            return {one: base.read(one) for one in names} if block == 0 else {}

        for_each_block(expert, few_texts, JobControl(), replaced)
        # Base and expert differ in projections alone: block 1 now sees what it sees in the base.
        with collect_grams(base, few_texts, JobControl(), cache=None) as of_base:
            torch.testing.assert_close(seen[1], of_base.read(name))


def test_inputs_are_as_they_were(tiny_expert: Path, few_texts: Sequences) -> None:
    files = {path: path.read_bytes() for path in tiny_expert.iterdir()}

    with open_checkpoint(tiny_expert) as model:
        collect_grams(model, few_texts, JobControl(), cache=None).close()

    assert {path: path.read_bytes() for path in tiny_expert.iterdir()} == files
