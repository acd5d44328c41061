from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from deltaworks.engine import plan, run
from deltaworks.engine.device_choice import resolve_device
from deltaworks.engine.devices import (
    Device,
    Work,
    choose,
    decomposition,
    detect,
    device_fault,
    memory_text,
    open_link,
    seconds,
)
from deltaworks.errors import OptionError
from deltaworks.methods import METHODS
from deltaworks.progress import JobControl

if TYPE_CHECKING:
    from tests.core.engine.conftest import MakeCompress

GIB = 2**30
HERE = Device("cpu", "CPU", 32 * GIB, 20 * GIB)
GPU = Device("cuda:0", "A card", 24 * GIB, 20 * GIB, "0")


class FakeNvidia:
    """NVIDIA's library with two cards, or with trouble."""

    NVMLError = type("NVMLError", (Exception,), {})

    def __init__(self, *, fails_at: str = "") -> None:
        self._fails_at = fails_at

    def __getattr__(self, name: str) -> Any:
        if name == self._fails_at:

            def fail(*_: Any) -> Any:
                raise self.NVMLError("no")

            return fail
        calls: dict[str, Any] = {
            "nvmlInit": lambda: None,
            "nvmlShutdown": lambda: None,
            "nvmlDeviceGetCount": lambda: 2,
            "nvmlDeviceGetHandleByIndex": lambda number: number,
            "nvmlDeviceGetMemoryInfo": lambda n: SimpleNamespace(total=8 * GIB, free=(n + 1) * GIB),
            "nvmlDeviceGetName": lambda n: f"Card {n}" if n else b"Card 0",
        }
        if name not in calls:
            raise AttributeError(name)
        return calls[name]


@pytest.fixture
def two_cards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", FakeNvidia())
    monkeypatch.setattr("deltaworks.numerics.gpus._is_there", lambda: True)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


@pytest.mark.usefixtures("two_cards")
def test_cards_are_named_as_torch_names_them() -> None:
    cpu, first, second = detect()

    assert cpu.id == "cpu"
    assert cpu.total_bytes >= cpu.free_bytes > 0
    assert (first.id, first.title, first.visible) == ("cuda:0", "Card 0", "0")
    assert (second.id, second.free_bytes) == ("cuda:1", 2 * GIB)
    assert memory_text(second) == "2.15 GB of 8.59 GB free on Card 1"


@pytest.mark.usefixtures("two_cards")
@pytest.mark.parametrize(
    ("visible", "found"),
    [("1", ["1"]), ("1,0", ["1", "0"]), ("", []), ("-1", []), ("0,9,1", ["0"])],
)
def test_cards_that_are_hidden_are_not_there(
    monkeypatch: pytest.MonkeyPatch, visible: str, found: list[str]
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)

    cards = detect()[1:]

    assert [card.visible for card in cards] == found
    assert [card.id for card in cards] == [f"cuda:{n}" for n in range(len(found))]


@pytest.mark.parametrize("fails_at", ["nvmlInit", "nvmlDeviceGetCount", "nvmlDeviceGetMemoryInfo"])
def test_trouble_with_the_driver_leaves_the_cpu(
    monkeypatch: pytest.MonkeyPatch, fails_at: str
) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", FakeNvidia(fails_at=fails_at))
    monkeypatch.setattr("deltaworks.numerics.gpus._is_there", lambda: True)

    assert [one.id for one in detect()] == ["cpu"]


def test_without_the_library_there_is_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deltaworks.numerics.gpus._is_there", lambda: False)

    assert [one.id for one in detect()] == ["cpu"]


@pytest.mark.parametrize(
    ("name", "devices", "text"),
    [
        ("gpu", [HERE], "device 'gpu' is none. Choose cpu, auto or cuda:0."),
        (
            "cuda:0",
            [HERE],
            "there is no device 'cuda:0' here (no GPU was found). Choose cpu, auto.",
        ),
        (
            "cuda:3",
            [HERE, GPU],
            "there is no device 'cuda:3' here (cuda:0). Choose cpu, cuda:0, auto.",
        ),
    ],
)
def test_a_device_that_is_not_here_is_told_in_a_sentence(
    name: str, devices: list[Device], text: str
) -> None:
    assert str(device_fault(name, devices)) == text


@pytest.mark.parametrize("name", ["cpu", "auto", "cuda:0"])
def test_devices_that_are_here_are_taken(name: str) -> None:
    assert device_fault(name, [HERE, GPU]) is None


def test_elementwise_work_stays_on_the_cpu_and_decompositions_go_to_the_gpu() -> None:
    merge = Work(n_bytes=40 * 10**9, operations=0.0)
    large = Work(n_bytes=27 * 10**9, operations=224 * decomposition((4096, 11008)))
    small = Work(n_bytes=10**6, operations=decomposition((64, 64)))

    assert choose(merge, [HERE, GPU], cores=16).id == "cpu"
    assert choose(large, [HERE, GPU], cores=16).id == "cuda:0"
    assert choose(small, [HERE, GPU]).id == "cpu"
    assert seconds(large, GPU) < seconds(large, HERE, cores=16)


def test_a_gpu_that_is_too_full_is_passed_over() -> None:
    work = Work(10**9, 1e16, peak_bytes=15 * GIB)

    assert choose(work, [HERE, GPU]).id == "cpu"


def test_a_stack_counts_as_its_matrices() -> None:
    assert decomposition((3, 8, 5)) == 3 * decomposition((8, 5)) == 3 * decomposition((5, 8))
    assert decomposition((7,)) == 0.0


def test_auto_asks_the_methods(compressing: MakeCompress, tiny_expert: Path) -> None:
    """The tiny models are done before a GPU has begun; a slow CPU would not change that."""
    quick = compressing(["sign"], device="auto")
    matrices = compressing(["low-rank"], device="auto")

    assert resolve_device(quick, [HERE, GPU]) == "cpu"
    assert resolve_device(matrices, [HERE, GPU]) == "cpu"
    assert resolve_device(matrices, [HERE]) == "cpu"
    assert resolve_device(compressing(["sign"], device="cuda:1"), [HERE, GPU]) == "cuda:1"


def test_auto_takes_the_gpu_where_decompositions_are_large(
    compressing: MakeCompress, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deltaworks.engine.device_choice.decomposition", lambda _: 1e15)

    assert resolve_device(compressing(["low-rank"], device="auto"), [HERE, GPU]) == "cuda:0"
    assert resolve_device(compressing(["sign"], device="auto"), [HERE, GPU]) == "cpu"


def test_the_methods_say_themselves_whether_they_decompose() -> None:
    assert METHODS["low-rank"].decomposes
    assert METHODS["tsv-merge"].decomposes
    assert not METHODS["sign"].decomposes
    assert not METHODS["ties"].decomposes


def test_a_job_for_a_device_that_is_not_here_is_refused_before_it_begins(
    compressing: MakeCompress, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deltaworks.numerics.gpus._is_there", lambda: False)

    with pytest.raises(OptionError, match="there is no device 'cuda:0' here"):
        plan(compressing(["sign"], device="cuda:0"))


def test_torch_that_cannot_use_a_gpu_is_named(
    compressing: MakeCompress, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)

    with pytest.raises(OptionError, match=r"torch .* cannot use 'cuda:0'"):
        run(compressing(["sign"], device="cuda:0"), JobControl())
    assert open_link("cpu", print) is None


def test_asking_for_devices_needs_no_torch() -> None:
    program = (
        "import sys; from deltaworks.engine.devices import detect; detect(); "
        "assert 'torch' not in sys.modules"
    )

    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
