"""What the settings of a sweep do once for all of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from deltaworks.engine import run
from deltaworks.methods.compression import triples
from deltaworks.progress import JobControl

if TYPE_CHECKING:
    from tests.core.engine.conftest import MakeCompress

    from deltaworks.numerics.low_rank import Svd

SETTINGS: list[str | dict[str, Any]] = [
    {"method": "low-rank", "options": {"rank": 2}},
    {"method": "low-rank", "options": {"rank": 5}},
    {"method": "impart", "options": {"cut": 0.5}},
    {"method": "impart", "options": {"cut": 0.9}},
    "impart-qt",
    "delta-come",
]


@pytest.fixture
def ranks(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Ranks of every decomposition of the largest triples, as if matrices were large."""
    found: list[int] = []
    plain = triples.batched_svd  # type: ignore[attr-defined]

    def counted(stack: Any, rank: int, **more: Any) -> list[Svd]:
        found.append(rank)
        svds: list[Svd] = plain(stack, rank, **more)
        return [svd.first(rank) for svd in svds]

    monkeypatch.setattr(triples, "batched_svd", counted)
    monkeypatch.setattr(triples, "prefers_sketch", lambda *_: True)
    return found


def test_one_decomposition_serves_methods_and_ranks(
    compressing: MakeCompress, ranks: list[int]
) -> None:
    report = run(compressing(SETTINGS), JobControl())

    treated = [one for one in report.artefacts[0].tensors if one.codec == "low-rank"]
    assert len(ranks) == len(treated) > 0
    assert min(ranks) > 5  # what ImPart needs, which is more than low rank asks for


def test_the_largest_triples_alone_give_the_files_that_all_triples_give(
    compressing: MakeCompress, ranks: list[int], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    few = run(compressing(SETTINGS), JobControl())
    assert ranks
    monkeypatch.setattr(triples, "prefers_sketch", lambda *_: False)

    whole = run(compressing(SETTINGS, output=tmp_path / "whole"), JobControl())

    for one, other in zip(few.artefacts, whole.artefacts, strict=True):
        assert one.file_bytes == other.file_bytes
        assert Path(one.path).read_bytes() == Path(other.path).read_bytes()
