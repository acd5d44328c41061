from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from deltaworks.errors import CancelledError, FileError
from deltaworks.library.guard import match_headers, match_sampled
from deltaworks.library.library import Library
from deltaworks.progress import JobControl

Make = Callable[..., Path]
Weights = Callable[..., dict[str, np.ndarray]]


def test_headers_alone_make_it_likely_at_once(tiny_base: Path, tiny_expert2: Path) -> None:
    start = time.perf_counter()

    match = match_headers(tiny_base, tiny_expert2)

    assert (match.level, match.text) == ("likely", "100 % of tensors fit, not confirmed")
    assert (match.common, match.distance, match.same_tokenizer) == (1.0, None, True)
    assert time.perf_counter() - start < 5 * 0.2


def test_the_right_base_matches(tiny_base: Path, tiny_expert: Path, control: JobControl) -> None:
    match = match_sampled(tiny_base, tiny_expert, control)

    assert match.level == "match"
    assert match.distance == pytest.approx(0.2, abs=0.03)
    assert match.text == f"100 % of tensors fit, distance {match.distance:.2g}"


def test_a_model_matches_itself(tiny_base: Path, control: JobControl) -> None:
    match = match_sampled(tiny_base, tiny_base, control)

    assert (match.level, match.distance, match.identical) == ("match", 0.0, 1.0)
    assert "the same weights" in match.text


def test_unrelated_weights_are_doubtful(
    tiny_base: Path, tiny_stranger: Path, control: JobControl
) -> None:
    match = match_sampled(tiny_base, tiny_stranger, control)

    assert match.level == "doubtful"
    assert match.distance == pytest.approx(1.41, abs=0.1)
    assert "unrelated" in match.text


def test_other_shapes_are_a_mismatch_with_both_shapes(
    tmp_path: Path, write_model: Make, weights: Weights, control: JobControl
) -> None:
    base = write_model(tmp_path / "base", weights(1))
    wide = {name: np.zeros((24, 32), np.float32) for name in weights(1)}
    expert = write_model(tmp_path / "expert", wide)

    match = match_sampled(base, expert, control)

    assert match.level == "mismatch"
    assert len(match.offenders) == 3
    assert match.offenders[0] in match.text
    assert "(24, 32) in the expert, (24, 24) in the base" in match.offenders[0]


def test_other_names_are_a_mismatch(tmp_path: Path, write_model: Make, weights: Weights) -> None:
    base = write_model(tmp_path / "base", weights(1))
    renamed = {f"other.{name}": value for name, value in weights(1).items()}
    expert = write_model(tmp_path / "expert", renamed)

    match = match_headers(base, expert)

    assert (match.level, match.common) == ("mismatch", 0.0)


def test_extra_vocabulary_rows_are_reported_and_no_mismatch(
    tmp_path: Path, write_model: Make, weights: Weights, control: JobControl
) -> None:
    tensors = weights(1)
    base = write_model(
        tmp_path / "base", tensors | {"model.embed_tokens.weight": np.zeros((50, 24), np.float32)}
    )
    expert = write_model(
        tmp_path / "expert",
        weights(2, near=tensors) | {"model.embed_tokens.weight": np.zeros((53, 24), np.float32)},
    )

    match = match_sampled(base, expert, control)

    assert (match.level, match.extra_rows) == ("match", 3)
    assert "3 extra vocabulary rows" in match.text


def test_another_tokenizer_is_said(tmp_path: Path, write_model: Make, weights: Weights) -> None:
    base = write_model(tmp_path / "base", weights(1))
    expert = write_model(tmp_path / "expert", weights(2))
    (base / "tokenizer.json").write_text('{"model": {"vocab": {"a": 0}}}')
    (expert / "tokenizer.json").write_text('{"model": {"vocab": {"b": 0}}}')

    match = match_headers(base, expert)

    assert match.same_tokenizer is False
    assert "another tokenizer" in match.text


def test_settings_around_a_vocabulary_do_not_matter(
    tmp_path: Path, write_model: Make, weights: Weights
) -> None:
    base = write_model(tmp_path / "base", weights(1))
    expert = write_model(tmp_path / "expert", weights(2))
    (base / "tokenizer.json").write_text('{"model": {"vocab": {"a": 0}}}')
    (expert / "tokenizer.json").write_text('{"padding": 3, "model": {"vocab": {"a": 0}}}')

    assert match_headers(base, expert).same_tokenizer is True


def test_a_better_base_is_named_and_the_answer_remembered(
    tmp_path: Path, write_model: Make, weights: Weights, library: Library, control: JobControl
) -> None:
    right, wrong = weights(1), weights(2)
    write_model(tmp_path / "d" / "right-base", right)
    write_model(tmp_path / "d" / "wrong-base", wrong)
    write_model(tmp_path / "d" / "tuned", weights(3, near=right))
    library.add_root(tmp_path / "d")
    library.scan(control)
    library.relate(control)

    at = tmp_path / "d"
    match = library.match(at / "wrong-base", at / "tuned", control)

    assert match.level == "doubtful"
    assert match.better == (str(at / "right-base"), "right-base")
    assert match.text.endswith("right-base fits better")
    control.cancelled.set()  # a remembered answer needs no work that could be stopped
    assert library.match(at / "wrong-base", at / "tuned", control) == match
    write_model(at / "tuned", weights(4, near=wrong))
    with pytest.raises(CancelledError):
        library.match(at / "wrong-base", at / "tuned", control)


def test_what_cannot_be_opened_is_named(tmp_path: Path, tiny_base: Path) -> None:
    with pytest.raises(FileError, match="nowhere"):
        match_headers(tiny_base, tmp_path / "nowhere")
