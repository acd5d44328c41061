"""What a package of channel-merged experts says of itself, and what it costs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from deltaworks.checkpoints.documents import read_object
from deltaworks.checkpoints.faults import DAMAGED, place
from deltaworks.checkpoints.tensors import DTYPE_BYTES
from deltaworks.errors import FileError, OptionError
from deltaworks.numerics.channel_groups import label_bits

MANIFEST = "channel_package.json"
GROUPS, INDEX, OWN = "::groups", "::index", "::own"
"""Endings of stored names: merged rows, labels, and tensors that experts keep for themselves."""
BETWEEN = "#"
"""Between a package and the experts wanted of it: ``package#sums`` or ``package#a=0.5+b=0.5``."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class GroupedTensor(_Part):
    """A tensor whose channels are grouped.

    Args:
        shape: of an expert's tensor.
        dtype: safetensors name, of groups and of experts.
        groups: variants that are kept.
    """

    shape: tuple[int, ...]
    dtype: str
    groups: int = Field(ge=1)

    @property
    def rows(self) -> int:
        """Channels: all axes but the last."""
        return prod(self.shape[:-1])


class OwnTensor(_Part):
    """A tensor that every expert keeps for itself.

    Args:
        stored: stored name of each expert's; empty where it has none. Equal ones share one.
        shape: of each expert's tensor, empty where it has none.
        dtype: likewise.
    """

    stored: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    dtypes: tuple[str, ...]


class ChannelManifest(_Part):
    """A package, described.

    Args:
        base: name of the base for people; ``base_header`` tells it from others.
        experts: names, in the order of the labels.
        options: of channel merging.
        store: whether groups hold weights, or changes to add to the base.
        grouped: tensors whose channels are grouped, by name.
        own: all others.
        order: names in the order of the experts' files.
        expert_bytes: bytes of each expert's tensors.
    """

    format: Literal[1] = 1
    base: str
    base_header: str
    experts: tuple[str, ...] = Field(min_length=1)
    options: dict[str, Any]
    store: Literal["weights", "deltas"]
    grouped: dict[str, GroupedTensor]
    own: dict[str, OwnTensor]
    order: tuple[str, ...]
    expert_bytes: tuple[int, ...]
    app_version: str = ""


@dataclass(frozen=True, slots=True)
class Account:
    """Bytes of a package by what they are for.

    Args:
        groups: merged rows.
        index: labels.
        own: what experts keep for themselves, equal ones once.
        base: a copy of the base, where groups hold changes.
        router: what chooses an expert.
        experts: bytes of all experts apart.
    """

    groups: int
    index: int
    own: int
    base: int
    router: int
    experts: int

    @property
    def total(self) -> int:
        """Bytes of everything that must be kept."""
        return self.groups + self.index + self.own + self.base + self.router

    @property
    def ratio(self) -> float:
        """Share of the experts' bytes."""
        return self.total / self.experts


def account_of(
    manifest: ChannelManifest, *, base_bytes: int, router_bytes: int = 0, deltas: bool
) -> Account:
    """Count bytes in one of the two ways.

    Args:
        manifest: of the package.
        base_bytes: of the base's tensors.
        router_bytes: of a router that goes with it.
        deltas: count as if groups held changes: then the base must be kept too.
    """
    groups = index = own = 0
    for tensor in manifest.grouped.values():
        groups += tensor.groups * prod(tensor.shape) * DTYPE_BYTES[tensor.dtype]
        labels = tensor.rows * len(manifest.experts)
        index += -(-labels * label_bits(tensor.groups) // 8)
    for tensor_own in manifest.own.values():
        sizes = {
            stored: prod(shape) * DTYPE_BYTES[dtype]
            for stored, shape, dtype in zip(
                tensor_own.stored, tensor_own.shapes, tensor_own.dtypes, strict=True
            )
            if stored
        }
        own += sum(sizes.values())
    base = base_bytes if deltas else 0
    return Account(groups, index, own, base, router_bytes, sum(manifest.expert_bytes))


def read_manifest(folder: Path) -> ChannelManifest:
    """Read the manifest of a package.

    Raises:
        FileError: it is damaged.
    """
    try:
        return ChannelManifest.model_validate(read_object(folder / MANIFEST))
    except ValidationError as error:
        first = error.errors()[0]
        what = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
        raise FileError(what, where=place(folder / MANIFEST), fix=DAMAGED) from error


def wanted_experts(text: str, manifest: ChannelManifest, where: str) -> Mapping[int, float]:
    """Read which experts are wanted: ``sums``, or ``sums=0.7+topics=0.3``.

    Raises:
        OptionError: no expert is named, or one that is not in the package.
    """
    found: dict[int, float] = {}
    for part in text.split("+"):
        name, equals, weight = part.partition("=")
        if name not in manifest.experts:
            raise OptionError(
                f"'{name}' is not in the package" if name else "no expert is named",
                where=where,
                fix=f"Write {BETWEEN} and one of {', '.join(manifest.experts)} after the path.",
            )
        try:
            found[manifest.experts.index(name)] = float(weight) if equals else 1.0
        except ValueError as error:
            raise OptionError(
                f"'{weight}' is no weight", where=where, fix="Write name=0.5."
            ) from error
    return found
