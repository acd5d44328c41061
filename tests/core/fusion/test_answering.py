"""Running what was fused: the same numbers as its parts, with and without a cache."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import typer.testing

from deltaworks.checkpoints import open_checkpoint
from deltaworks.cli.main import app
from deltaworks.errors import FileError, MismatchError, OptionError
from deltaworks.inference import load_model
from deltaworks.inference.running import RunningModel


@pytest.fixture(scope="module")
def running(fused: Path) -> RunningModel:
    return load_model(open_checkpoint(fused))


def reference(folder: Path, pixels: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
    """What transformers' own class says."""
    from transformers import LlavaForConditionalGeneration as Llava

    model: Any = Llava.from_pretrained(folder, dtype=torch.float32)
    model.eval()
    with torch.no_grad():
        logits: torch.Tensor = model(input_ids=ids, pixel_values=pixels).logits
    return logits


def logits(running: RunningModel, ids: torch.Tensor, pixels: dict[str, Any]) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = running.model(input_ids=ids, **pixels).logits
    return found


def prompt(token: int, count: int) -> torch.Tensor:
    return torch.tensor([[5, 6, *[token] * count, 7, 8]])


def test_one_llava_model_gives_the_logits_of_transformers(kin: Any) -> None:
    running = load_model(open_checkpoint(kin.b))
    assert running.pictures is not None
    pixels = running.pictures.pixels(kin.picture)
    ids = prompt(97, 4)

    ours = logits(running, ids, pixels)

    assert torch.allclose(
        ours, reference(kin.b, pixels["pixel_values_main"], ids), atol=1e-5, rtol=0
    )


def test_weight_one_and_tokens_of_one_model_alone_give_its_logits(
    kin: Any, fuse: Callable[..., Any], tmp_path: Path
) -> None:
    fuse(kin.base, [kin.a, kin.b], tmp_path / "out", (1.0, 0.0), out_dtype="F32")
    running = load_model(open_checkpoint(tmp_path / "out"))
    assert running.pictures is not None
    pixels = running.pictures.pixels(kin.picture)
    model: Any = running.model
    del model.towers["b"]
    ids = prompt(96, 9)

    ours = logits(running, ids, {"pixel_values_a": pixels["pixel_values_a"]})
    theirs = reference(kin.a, pixels["pixel_values_a"], ids)

    # The row of <image> is not the base's: A's own is copied. All its other rows follow.
    assert torch.allclose(ours[..., :97], theirs, atol=1e-5, rtol=0)


def test_tokens_of_the_towers_stand_in_the_order_of_the_config(
    kin: Any, running: RunningModel
) -> None:
    assert running.pictures is not None
    pixels = running.pictures.pixels(kin.picture)
    model: Any = running.model
    with torch.no_grad():
        every = model.picture_tokens(pixels)
        first = torch.stack(model.towers["b"].encode(pixels["pixel_values_b"]))

    assert every.shape == (1, 13, 32)
    assert torch.equal(every[:, :4], first)


def test_places_that_do_not_fit_the_pictures_are_an_error(kin: Any, running: RunningModel) -> None:
    assert running.pictures is not None
    pixels = running.pictures.pixels(kin.picture)

    with pytest.raises(MismatchError, match="12 places for picture tokens in the prompt, 13"):
        logits(running, prompt(96, 12), pixels)
    with pytest.raises(MismatchError, match="no picture was prepared for tower 'a'"):
        logits(running, prompt(96, 13), {"pixel_values_b": pixels["pixel_values_b"]})


def test_a_cache_changes_nothing(kin: Any, running: RunningModel) -> None:
    assert running.pictures is not None
    pixels = running.pictures.pixels(kin.picture)
    model: Any = running.model
    with torch.no_grad():
        texts = [
            model.generate(
                prompt(96, 13),
                max_new_tokens=8,
                do_sample=False,
                use_cache=use_cache,
                eos_token_id=None,
                pad_token_id=1,
                **pixels,
            )
            for use_cache in (True, False)
        ]

    assert texts[0].shape == (1, 17 + 8)
    assert torch.equal(*texts)


def test_saving_and_loading_by_transformers_alone_keeps_the_logits(
    kin: Any, running: RunningModel, tmp_path: Path
) -> None:
    from transformers import AutoModelForCausalLM

    assert running.pictures is not None
    pixels = running.pictures.pixels(kin.picture)
    model: Any = running.model
    model.save_pretrained(tmp_path)
    again: Any = AutoModelForCausalLM.from_pretrained(tmp_path)
    again.eval()

    with torch.no_grad():
        found = again(input_ids=prompt(96, 13), **pixels).logits
    assert torch.equal(found, logits(running, prompt(96, 13), pixels))


def test_the_picture_changes_the_answer_and_its_place_is_expanded(
    kin: Any, running: RunningModel
) -> None:
    with_picture = running.generate("ab<image>cd", 6, image=str(kin.picture))
    without = running.generate("abcd", 6)

    assert with_picture != without
    assert running.pictures is not None
    ids = running.pictures.token_ids("a<image>b", lambda text: [ord(one) for one in text])
    assert ids == [ord("a"), *[96] * 13, ord("b")]
    assert running.pictures.token_ids("b", lambda text: [ord(one) for one in text])[13:] == [98]


def test_pictures_that_cannot_be_read_are_refused(
    kin: Any, running: RunningModel, tmp_path: Path
) -> None:
    (tmp_path / "x.png").write_text("no picture")
    with pytest.raises(FileError, match="is no picture"):
        running.generate("a", 2, image=str(tmp_path / "x.png"))
    with pytest.raises(MismatchError, match="2 places for pictures"):
        running.generate("<image><image>", 2, image=str(kin.picture))
    blind = load_model(open_checkpoint(kin.base))
    with pytest.raises(OptionError, match="reads no pictures"):
        blind.generate("a", 2, image=str(kin.picture))


def test_the_program_fuses_and_answers(kin: Any, tmp_path: Path) -> None:
    def run(*words: Any) -> typer.testing.Result:
        return typer.testing.CliRunner().invoke(app, [str(word) for word in words])

    out = tmp_path / "seeing"
    tried = run("fuse", kin.base, kin.a, kin.b, "-o", out, "--dry-run", "--json")
    assert not out.exists()
    assert json.loads(tried.stdout)["overhead"]["fused"]["picture_tokens"] == 13
    made = run("fuse", kin.base, kin.a, kin.b, "-o", out, "--weights", "0.4,0.6")
    assert made.exit_code == 0, made.output
    assert "Change / base" in made.stdout
    for model in (out, kin.a):
        answer = run("ask", model, "what?", "--image", kin.picture, "--max-tokens", 4)
        assert answer.exit_code == 0, answer.output
        assert answer.stdout.strip()
    blind = run("ask", kin.base, "what?", "--image", kin.picture)
    assert "reads no pictures (model type 'llama')" in blind.output
    assert run("verify", out).stdout.strip().endswith("seeing: sound")
    wrong = run("fuse", kin.base, kin.a, kin.b, "-o", tmp_path / "x", "--weights", "1")
    assert "1 weights for 2 models" in wrong.output
