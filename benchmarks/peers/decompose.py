"""One delta encoded by a method that decomposes it; the time of the encoding alone is told.

Usage: decompose.py WHO METHOD ROWS COLS SPECTRUM

WHO: ours, or plain: the same method on what torch.linalg.svd gives.
SPECTRUM: noise, head (as many fine-tunes have: strong directions over noise) or falling
(singular values as k^-0.7 over a little noise).
"""

from __future__ import annotations

import json
import resource
import sys
import time

import torch

from deltaworks.methods import compression_method
from deltaworks.methods.compression import triples
from deltaworks.methods.compression_record import TensorPair
from deltaworks.methods.method import TensorSpec
from deltaworks.numerics.low_rank import Svd

_HEAD, _STRENGTH = 64, 8.0
_FALL, _GRAIN = -0.7, 1e-4


def delta_of(rows: int, cols: int, spectrum: str) -> torch.Tensor:
    rng = torch.Generator().manual_seed(0)
    noise = torch.randn(rows, cols, generator=rng)
    if spectrum == "noise":
        return noise
    if spectrum == "head":
        sizes = torch.arange(1.0, _HEAD + 1) ** -0.5 * _STRENGTH / rows**0.5
        left = torch.randn(rows, _HEAD, generator=rng).mul_(sizes)
        return noise.addmm_(left, torch.randn(_HEAD, cols, generator=rng))
    count = min(rows, cols)
    sizes = torch.arange(1.0, count + 1) ** _FALL / (rows * cols) ** 0.5
    left = torch.randn(rows, count, generator=rng).mul_(sizes)
    right = torch.randn(count, cols, generator=rng)
    return noise.addmm_(left, right, beta=_GRAIN / cols**0.5)


def plainly(matrix: torch.Tensor) -> Svd:
    left, sigma, right = torch.linalg.svd(matrix, full_matrices=False)
    return Svd(left, sigma, right.T)


def main(who: str, method_id: str, rows: int, cols: int, spectrum: str) -> None:
    torch.set_num_threads(1)
    if who == "plain":
        vars(triples)["batched_svd"] = lambda stack, _rank, **_: [plainly(one) for one in stack]
        vars(triples)["thin_svd"] = plainly
    method = compression_method(method_id)
    options = method.options()
    delta = delta_of(rows, cols, spectrum)
    pair = TensorPair(TensorSpec("layer", (rows, cols)), torch.zeros(rows, cols), delta)
    _ = pair.delta
    cpu, wall = time.process_time(), time.monotonic()
    parts = method.encode(pair, options)
    cpu, wall = time.process_time() - cpu, time.monotonic() - wall
    assert method.decode is not None
    left = delta - method.decode(parts, pair.spec, options)
    error = float(left.double().square().sum() / delta.double().square().sum()) ** 0.5
    peak = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    n_bytes = sum(part.nbytes for part in parts.values())
    told = {"cpu": cpu, "wall": wall, "error": error, "bytes": n_bytes, "peak": peak}
    print(json.dumps(told))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5])
