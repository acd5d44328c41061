"""The way to a device, with the CPU in the device's place; and on a GPU where there is one."""

from __future__ import annotations

import threading
from typing import Any

import pytest
import torch
from torch import Tensor

from deltaworks.numerics.device_link import (
    CudaBackend,
    DeviceLink,
    HostBackend,
    computing_on,
    current_link,
    is_out_of_memory,
)
from deltaworks.numerics.low_rank import thin_svd, top_svd

BACKENDS = [
    pytest.param(HostBackend, id="cpu"),
    pytest.param(
        lambda: CudaBackend("cuda:0"),
        id="gpu",
        marks=[
            pytest.mark.gpu,
            pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU"),
        ],
    ),
]


@pytest.fixture(params=BACKENDS)
def link(request: pytest.FixtureRequest) -> DeviceLink:
    return DeviceLink(request.param())


def double_and_sum(one: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    return 2 * one, one.float().sum() + other.float().sum()


def test_results_are_those_of_the_host(link: DeviceLink) -> None:
    one, other = torch.arange(1000.0), torch.ones(7, 3, dtype=torch.bfloat16)
    before = one.clone()

    doubled, total = link.run(double_and_sum, one, other)

    assert doubled.device.type == total.device.type == "cpu"
    torch.testing.assert_close(doubled, 2 * before)
    assert total.item() == pytest.approx(before.sum().item() + 21)
    assert torch.equal(one, before)


def test_later_results_do_not_touch_earlier_ones(link: DeviceLink) -> None:
    first = [link.run(lambda x: (x + 1,), torch.full((50,), float(n)))[0] for n in range(6)]

    assert [value[0].item() for value in first] == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("shape", [(0,), (0, 4), (1,), ()])
def test_small_and_empty_tensors_go_the_way_too(link: DeviceLink, shape: tuple[int, ...]) -> None:
    (out,) = link.run(lambda x: (x * 3,), torch.ones(shape))

    assert torch.equal(out, torch.full(shape, 3.0))


def test_many_threads_share_the_way(link: DeviceLink) -> None:
    wrong: list[int] = []

    def work(number: int) -> None:
        for size in (10, 1000, 5):
            (out,) = link.run(lambda x: (x * 2,), torch.full((size,), float(number)))
            if not torch.equal(out, torch.full((size,), 2.0 * number)):
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert wrong == []


def test_a_failure_gives_the_way_free_again(link: DeviceLink) -> None:
    def fail(_: Tensor) -> tuple[Tensor, ...]:
        raise ValueError("no")

    for _ in range(5):
        with pytest.raises(ValueError, match="no"):
            link.run(fail, torch.ones(3))

    assert link.run(lambda x: (x,), torch.ones(3))[0].sum() == 3


class Small:
    """A device that holds so many entries at once; the host holds all."""

    def __init__(self, most: int, error: type[Exception] = torch.OutOfMemoryError) -> None:
        self.most, self.error = most, error
        self.sizes: list[int] = []
        self.is_host = threading.local()

    def __call__(self, part: Tensor) -> tuple[Tensor, ...]:
        self.sizes.append(len(part))
        if len(part) > self.most and len(self.sizes) < 100:
            raise self.error("CUDA out of memory. Tried to allocate 2 GiB")
        return (part * 2,)


@pytest.mark.parametrize("error", [torch.OutOfMemoryError, MemoryError])
def test_parts_get_smaller_where_memory_runs_out(error: type[Exception]) -> None:
    told: list[str] = []
    link = DeviceLink(HostBackend(), told.append)
    function = Small(3, error)
    stack = torch.arange(20.0).reshape(10, 2)

    out = torch.cat([part for (part,) in link.run_in_parts(function, stack)])

    assert torch.equal(out, 2 * stack)
    assert function.sizes == [10, 5, 3, 3, 3, 1]
    assert told == ["cpu: its memory was used up, so it gets smaller parts"]


def test_what_does_not_fit_at_all_is_done_on_the_cpu() -> None:
    told: list[str] = []
    link = DeviceLink(HostBackend(), told.append)
    calls = []

    def never_there(part: Tensor) -> tuple[Tensor, ...]:
        calls.append(len(part))
        if len(calls) % 2:  # the second call of each entry is the one on the CPU
            raise torch.OutOfMemoryError("CUDA out of memory")
        return (part + 1,)

    out = torch.cat(
        [part for (part,) in link.run_in_parts(never_there, torch.ones(3, 2), at_once=1)]
    )

    assert torch.equal(out, torch.full((3, 2), 2.0))
    assert told == ["cpu: its memory was used up, so the largest parts are done on the CPU"]


def test_other_errors_are_not_taken_for_want_of_memory() -> None:
    def fail(_: Tensor) -> tuple[Tensor, ...]:
        raise RuntimeError("illegal address")

    with pytest.raises(RuntimeError, match="illegal address"):
        list(DeviceLink(HostBackend()).run_in_parts(fail, torch.ones(4)))


def test_want_of_memory_is_told_from_other_errors() -> None:
    assert is_out_of_memory(MemoryError())
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory."))
    assert is_out_of_memory(RuntimeError("DefaultCPUAllocator: not enough memory: you tried"))
    assert not is_out_of_memory(RuntimeError("shapes"))
    assert not is_out_of_memory(ValueError("out of memory"))


def test_buffers_are_let_go_when_the_job_is_over() -> None:
    link: Any = DeviceLink(HostBackend())
    with computing_on(link):
        assert current_link() == link
        link.run(lambda x: (x,), torch.ones(1000))
        assert any(slot._bytes for slot in link._all)

    assert current_link() is None
    assert not any(slot._bytes for slot in link._all)


def test_large_matrices_go_to_the_device_and_small_ones_do_not(
    link: DeviceLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    large, small = torch.randn(300, 400), torch.randn(20, 30)
    n_runs, run = 0, link.run

    def counted(*args: Any) -> Any:
        nonlocal n_runs
        n_runs += 1
        return run(*args)

    monkeypatch.setattr(link, "run", counted)
    with computing_on(link):
        there, few, here = thin_svd(large), top_svd(large, 5), thin_svd(small)

    assert n_runs == 2
    assert len(few.sigma) >= 5
    assert len(here.sigma) == 20
    again = (there.left * there.sigma) @ there.right.T
    torch.testing.assert_close(again, large, rtol=0, atol=1e-3)
