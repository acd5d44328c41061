"""Merging, whole process and work alone: ours, mergekit, and a plain script of torch."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from benchmarks.contests import OURS, Contestant, Result, Setup, hold, peer, remove
from benchmarks.measuring import measure
from benchmarks.models import Family, family
from benchmarks.outputs import compare

from deltaworks.recipes import dump_recipe, load_recipe

_MERGEKIT = "mergekit"
_AS_MERGEKIT = "Deltaworks, mergekit's numerics"
_PLAIN = "plain torch script"
_QUICK = ("--quiet", "--no-copy-tokenizer", "--no-write-model-card")
"""Whatever spares mergekit work that we do not do."""
_IN, _OUT = 11e9, 3.5e9
"""Bytes a second of one core, from the page cache and into it."""


@dataclass(frozen=True)
class Case:
    """One method as mergekit names it, with its parameters.

    Args:
        own: of each of the two experts.
        common: of the merge.
        base: ``base``, or ``first`` where the base is a model like the others, or none.
        n_experts: how many take part.
        floor: CPU seconds for 100 million numbers, bytes moved and every pass of
            arithmetic at the rate of one core; 0 where it was not worked out.
        plain: whether there is a plain script.
        stable: whether mergekit's choice among equal magnitudes depends on its sort.
    """

    own: tuple[Mapping[str, float], ...] = ({}, {})
    common: Mapping[str, Any] = field(default_factory=dict)
    base: str = "base"
    n_experts: int = 2
    floor: float = 0.0
    plain: bool = False
    stable: bool = False


def _weighted(**more: float) -> tuple[Mapping[str, float], ...]:
    return ({"weight": 0.7, **more}, {"weight": 0.5, **more})


CASES = {
    "linear": Case(({"weight": 0.6}, {"weight": 0.4}), base="", floor=0.14, plain=True),
    "slerp": Case(common={"t": 0.4}, base="first", n_experts=1, floor=0.22, plain=True),
    "task_arithmetic": Case(_weighted(), floor=0.25, plain=True),
    "ties": Case(({"weight": 1.0, "density": 0.3},) * 2, floor=0.65, plain=True, stable=True),
    "dare_ties": Case(_weighted(density=0.3), floor=0.69),
    "della": Case(_weighted(density=0.5, epsilon=0.1)),
    "breadcrumbs": Case(_weighted(density=0.6, gamma=0.01)),
    "model_stock": Case(),
    "sce": Case(common={"select_topk": 0.3}),
    "karcher": Case(base=""),
}


def results(setup: Setup) -> Iterator[Result]:
    """Measure every method."""
    models = family(setup.size, setup.cache)
    for method, case in CASES.items():
        if setup.wants(f"merge {method}"):
            yield from _method(method, case, models, setup)


def _method(method: str, case: Case, models: Family, setup: Setup) -> list[Result]:
    config = setup.cache / f"{method}-{setup.size}.yml"
    config.write_text(yaml.safe_dump(_document(method, case, models)))
    mine = _own_recipe(config)
    contestants = [
        Contestant(OURS, lambda out: peer("timed_deltaworks.py", "merge", mine, out, "--json")),
        Contestant(
            _AS_MERGEKIT,
            lambda out: peer("timed_deltaworks.py", "merge", config, out, "--json"),
        ),
    ]
    if case.plain and setup.plain:
        contestants.append(Contestant(_PLAIN, lambda out: peer("plain_merge.py", config, out)))
    if setup.mergekit:
        contestants.append(
            Contestant(
                _MERGEKIT,
                lambda out: [
                    setup.mergekit,
                    *peer("timed_mergekit.py", config, out, *_QUICK)[1:],
                ],
            )
        )

    def look(outputs: dict[str, Path]) -> dict[str, str]:
        theirs = outputs.get(_MERGEKIT)
        whose, measured = ("ours", outputs[OURS]) if theirs is None else ("mergekit's", theirs)
        notes = {
            name: f"{whose}: {compare(measured, path)}"
            for name, path in outputs.items()
            if path != measured
        }
        if theirs is not None and case.stable:
            stable = theirs.with_name("stable")
            command = peer("mergekit_stable.py", config, stable, *_QUICK)
            measure([setup.mergekit, *command[1:]], setup.environment)
            for name in (OURS, _AS_MERGEKIT):
                found = compare(stable, outputs[name])
                notes[name] += f"; with a stable sort: {found}"
            remove(stable)
        return notes

    found = hold(f"merge {method}", contestants, setup, look=look)
    for result in found:
        result.more = {"floor": _floors(case, models)}
    return found


def _floors(case: Case, models: Family) -> dict[str, float]:
    """Give CPU seconds below which one core cannot get: bytes alone, and with arithmetic."""
    n_inputs = case.n_experts + bool(case.base)
    bytes_floor = models.model_bytes * (n_inputs / _IN + 1 / _OUT)
    return {"bytes": bytes_floor, "work": case.floor * models.n_parameters / 1e8}


def _own_recipe(config: Path) -> Path:
    """Write the same merge as a recipe of ours, in our own numerics."""
    recipe = load_recipe(config, output=str(config.with_suffix("")))
    path = config.with_suffix(".json")
    ours = recipe.model_copy(update={"numerics": "app-fp32"})
    path.write_text(json.dumps(dump_recipe(ours)))
    return path


def _document(method: str, case: Case, models: Family) -> dict[str, Any]:
    """Make the file that all contestants read: float32 inside, one rounding at the end."""
    base, experts = str(models.base), [str(one) for one in models.experts][: case.n_experts]
    document: dict[str, Any] = {
        "merge_method": method,
        "dtype": "float32",
        "out_dtype": "bfloat16",
        "models": [
            {"model": path, **({"parameters": dict(own)} if own else {})}
            for path, own in zip(experts, case.own, strict=False)
        ],
    }
    if case.base:
        document["base_model"] = base
    if case.base == "first":
        document["models"].insert(0, {"model": base})
    if case.common:
        document["parameters"] = dict(case.common)
    return document
