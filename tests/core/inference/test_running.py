from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from deltaworks.errors import CancelledError, MismatchError, OptionError
from deltaworks.inference import can_generate, load_model
from deltaworks.inference.slots import slots_of
from deltaworks.progress import Event, JobControl, Progress

Reader = Callable[..., Any]
IDS = torch.arange(20).reshape(2, 10)


def _weights(running: Any) -> dict[str, torch.Tensor]:
    return {slot.names[0]: slot.tensor.clone() for slot in slots_of(running.model)}


def _same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[n], other[n]) for n in one)


def test_logits_are_those_of_transformers(tiny_base: Path, in_memory: Reader) -> None:
    from transformers import AutoModelForCausalLM

    theirs: Any = AutoModelForCausalLM.from_pretrained(tiny_base, dtype=torch.float32)
    theirs.eval()

    ours = load_model(in_memory(tiny_base)).logits(IDS)

    with torch.no_grad():
        assert torch.equal(ours, theirs(IDS).logits)
    assert ours.dtype == torch.float32


def test_log_probs_sum_to_one(tiny_base: Path, in_memory: Reader) -> None:
    running = load_model(in_memory(tiny_base))

    total = running.log_probs(IDS).exp().sum(-1)

    torch.testing.assert_close(total, torch.ones(2, 10))


def test_last_positions_are_the_end_of_all(tiny_base: Path, in_memory: Reader) -> None:
    running = load_model(in_memory(tiny_base))

    some = running.logits(IDS, last=3)

    torch.testing.assert_close(some, running.logits(IDS)[:, -3:])


def test_swap_there_and_back_keeps_bits_and_places(
    tiny_base: Path, tiny_expert: Path, in_memory: Reader
) -> None:
    base, expert = in_memory(tiny_base), in_memory(tiny_expert)
    running = load_model(base)
    before, places, scores = _weights(running), running.addresses, running.logits(IDS)

    running.put(expert)
    between = _weights(running)
    running.put(base)

    assert not _same(before, between)
    assert _same(before, _weights(running))
    assert running.addresses == places
    assert torch.equal(running.logits(IDS), scores)


def test_wrong_shape_is_refused_before_anything_changes(
    tiny_base: Path, tiny_expert: Path, in_memory: Reader
) -> None:
    running = load_model(in_memory(tiny_base))
    before, wrong = _weights(running), in_memory(tiny_expert)
    wrong.tensors["lm_head.weight"] = torch.zeros(95, 32)

    with pytest.raises(MismatchError, match=r"lm_head.weight is \(95, 32\) here, \(96, 32\)"):
        running.put(wrong)

    assert _same(before, _weights(running))


def test_missing_and_unknown_tensors_are_named_together(tiny_base: Path, in_memory: Reader) -> None:
    source = in_memory(tiny_base)
    source.tensors["extra.weight"] = source.tensors.pop("model.norm.weight")

    with pytest.raises(MismatchError, match=r"model\.norm\.weight.*extra\.weight"):
        load_model(source)


def test_computed_buffers_in_the_file_are_no_fault(tiny_base: Path, in_memory: Reader) -> None:
    source = in_memory(tiny_base)
    source.tensors["model.layers.0.self_attn.rotary_emb.inv_freq"] = torch.ones(4)

    running = load_model(source)

    assert running.source is source


def test_failed_swap_brings_the_old_weights_back(
    tiny_base: Path, tiny_expert: Path, in_memory: Reader
) -> None:
    running = load_model(in_memory(tiny_base))
    before, broken = _weights(running), in_memory(tiny_expert)
    broken.breaks_at = "model.layers.1.mlp.up_proj.weight"

    with pytest.raises(OSError, match="disk went away"):
        running.put(broken)

    assert _same(before, _weights(running))


def test_swap_that_cannot_be_undone_is_said(
    tiny_base: Path, tiny_expert: Path, in_memory: Reader
) -> None:
    base, broken = in_memory(tiny_base), in_memory(tiny_expert)
    running = load_model(base)
    broken.breaks_at = base.breaks_at = "model.layers.1.mlp.up_proj.weight"

    with pytest.raises(OSError, match="disk went away"):
        running.put(broken)

    with pytest.raises(MismatchError, match="could not be undone"):
        running.logits(IDS)


def test_stopped_swap_gives_the_old_answers(
    tiny_base: Path, tiny_expert: Path, in_memory: Reader
) -> None:
    running = load_model(in_memory(tiny_base))
    scores, stop = running.logits(IDS), threading.Event()

    def halfway(event: Event) -> None:
        if isinstance(event, Progress) and event.done > event.total / 2:
            stop.set()

    with pytest.raises(CancelledError):
        running.put(in_memory(tiny_expert), JobControl(halfway, stop))

    assert torch.equal(running.logits(IDS), scores)


def test_tied_head_follows_the_embedding(tiny_base: Path, in_memory: Reader) -> None:
    source = in_memory(tiny_base, tie_word_embeddings=True)
    del source.tensors["lm_head.weight"]

    model: Any = load_model(source).model

    assert model.lm_head.weight.data_ptr() == model.model.embed_tokens.weight.data_ptr()
    assert torch.equal(model.lm_head.weight, source.tensors["model.embed_tokens.weight"].float())


def test_tied_tensors_that_differ_are_refused(tiny_base: Path, in_memory: Reader) -> None:
    source = in_memory(tiny_base, tie_word_embeddings=True)

    with pytest.raises(MismatchError, match="the config ties the two"):
        load_model(source)


def test_backbone_names_without_prefix_load(tmp_path: Path, in_memory: Reader) -> None:
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(n_embd=16, n_head=2, n_layer=1, vocab_size=32, n_positions=16)
    theirs: Any = GPT2LMHeadModel(config)
    theirs.eval()
    theirs.transformer.save_pretrained(tmp_path)
    source = in_memory(tmp_path, architectures=["GPT2LMHeadModel"])

    ours = load_model(source).logits(IDS[:, :5])

    with torch.no_grad():
        assert torch.equal(ours, theirs(IDS[:, :5]).logits)


def test_stored_dtype_can_be_kept(tiny_base: Path, in_memory: Reader) -> None:
    running = load_model(in_memory(tiny_base), keep_dtype=True)

    assert {slot.tensor.dtype for slot in slots_of(running.model)} == {torch.bfloat16}
    assert running.logits(IDS).dtype == torch.float32


def test_unknown_architecture_is_refused_with_its_name(tiny_base: Path, in_memory: Reader) -> None:
    with pytest.raises(MismatchError, match="'no-such-net'"):
        load_model(in_memory(tiny_base, model_type="no-such-net"))


def test_only_text_models_can_generate(tiny_base: Path, in_memory: Reader) -> None:
    assert can_generate(in_memory(tiny_base))
    assert not can_generate(in_memory(tiny_base, architectures=["BertModel"]))
    assert not can_generate(in_memory(tiny_base, model_type=""))


def test_greedy_text_takes_the_likeliest_token(tiny_base: Path, in_memory: Reader) -> None:
    running = load_model(in_memory(tiny_base))
    ids = running.text_tokenizer("ab", add_special_tokens=False)["input_ids"]
    expected: list[int] = []
    for _ in range(6):
        token = int(running.logits(torch.tensor([ids + expected]))[0, -1].argmax())
        if token in running.end_ids:
            break
        expected.append(token)

    text = running.generate("ab", 6)

    assert text == running.text_tokenizer.decode(expected, skip_special_tokens=True)


def test_drawn_text_depends_on_the_seed_alone(tiny_base: Path, in_memory: Reader) -> None:
    running = load_model(in_memory(tiny_base))

    texts = [running.generate("ab", 20, temperature=1.0, seed=seed) for seed in (1, 1, 2)]

    assert texts[0] == texts[1] != texts[2]


def test_pieces_make_the_text_and_stop_ends_it(tiny_base: Path, in_memory: Reader) -> None:
    running = load_model(in_memory(tiny_base))
    pieces: list[str] = []
    stop = threading.Event()

    def take(piece: str) -> None:
        pieces.append(piece)
        if len(pieces) == 3:
            stop.set()

    text = running.generate("ab", 40, temperature=2.0, on_text=take, stop=stop)

    assert "".join(pieces) == text
    assert len(pieces) == 3


def test_text_ends_at_the_context(tiny_base: Path, in_memory: Reader) -> None:
    running = load_model(in_memory(tiny_base))
    running.end_ids = ()

    text = running.generate("a" * 60, 100, temperature=3.0)

    assert len(running.text_tokenizer(text)["input_ids"]) <= 4


def test_empty_prompt_is_refused(tiny_base: Path, in_memory: Reader) -> None:
    running = load_model(in_memory(tiny_base))

    with pytest.raises(OptionError, match="prompt is empty"):
        running.generate("")


def test_model_without_tokenizer_says_so(
    tmp_path: Path, tiny_base: Path, in_memory: Reader
) -> None:
    source = in_memory(tiny_base)
    source.side_files = {}

    running = load_model(source)

    assert not running.has_tokenizer
    with pytest.raises(MismatchError, match="no tokenizer"):
        running.generate("ab")


def test_side_files_inside_a_file_give_the_tokenizer(tiny_base: Path, in_memory: Reader) -> None:
    source = in_memory(tiny_base)
    inside = {name: path.read_bytes() for name, path in source.side_files.items()}
    source.side_files = {}
    source.side_file_bytes = lambda: inside

    running = load_model(source)

    assert running.text_tokenizer("a")["input_ids"] == [ord("a") - 30]


def test_asking_what_can_generate_loads_no_torch() -> None:
    code = "import sys, deltaworks.inference; sys.exit('torch' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
