"""What a method is: one record a method, one table a family."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Literal, TypeVar

from deltaworks.options import Options

Family = Literal["compression", "merging", "safety", "transfer", "fusion", "continual"]
Statistic = Literal["gram", "fisher"]
"""What a pass over texts collects: inputs' second moments, or squared gradients."""


@dataclass(frozen=True, slots=True)
class Needs:
    """Inputs of a method, in data, so that the window offers only what can run.

    Args:
        base: whether it cannot do without a base.
        min_experts: fewest experts.
        max_experts: most; None for any number.
        takes_base: whether it works on deltas where a base is given without need.
        statistics: what it cannot do without of texts that run through a model.
        helped_by: what makes it better, and without which it falls back to its
            data-free form.
    """

    base: bool = True
    min_experts: int = 1
    max_experts: int | None = None
    takes_base: bool = False
    statistics: tuple[Statistic, ...] = ()
    helped_by: tuple[Statistic, ...] = ()


@dataclass(frozen=True)
class Method:
    """What all methods share.

    Args:
        id: lower-case with hyphens; never changes once released.
        title: name as the field writes it.
        family: which table it is in.
        summary: one sentence for the picker.
        source: paper or specification, as ``arXiv:2311.03099``.
        options: its options; every one has a default.
        needs: inputs it cannot do without.
        evidence: how sure we are that this is the authors' method.
        is_random: whether the seed changes the result.
        decomposes: whether its time goes into decompositions, which a GPU does faster.
    """

    id: str
    title: str
    family: Family
    summary: str
    source: str
    options: type[Options]
    needs: Needs = Needs()
    evidence: str = ""
    is_random: bool = False
    decomposes: bool = False


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """A tensor without its numbers: what decoding knows.

    Args:
        name: parameter name in the checkpoint.
        shape: as stored, ``(out, in)`` for linear weights.
        seed: the job's seed; random streams come from (seed, name).
    """

    name: str
    shape: tuple[int, ...]
    seed: int = 0


M = TypeVar("M", bound=Method)


class Table(Mapping[str, M]):
    """A family's table that imports a method when it is looked up.

    Args:
        package: of the family's modules.
        places: ids to ``module.RECORD``, in the order of the picker.
    """

    def __init__(self, package: str, places: Mapping[str, str]) -> None:
        self._package, self._places = package, places
        self._known: dict[str, M] = {}

    def __getitem__(self, method_id: str) -> M:
        if method_id not in self._known:
            module, record = self._places[method_id].split(".")
            method: M = getattr(import_module(f"{self._package}.{module}"), record)
            if method.id != method_id:
                raise ValueError(f"{self._places[method_id]} is {method.id}, not {method_id}")
            self._known[method_id] = method
        return self._known[method_id]

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


def index(*methods: M) -> Mapping[str, M]:
    """Make a family's table: id to record, in the order of the picker."""
    table = {method.id: method for method in methods}
    if len(table) != len(methods):
        raise ValueError("two methods share an id")
    return table
