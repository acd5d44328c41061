"""What a method that joins models of several kinds is."""

from __future__ import annotations

from dataclasses import dataclass, field

from deltaworks.methods.method import Method


@dataclass(frozen=True)
class FusionMethod(Method):
    """A method that merges one part of its models and keeps the others side by side.

    Args:
        merged: the part that becomes one, for people.
        kept: the parts that stay as they are, for people.
        operator: id of the merging method that the merged part gets by default.
    """

    merged: str = field(kw_only=True)
    kept: str = field(kw_only=True)
    operator: str = field(kw_only=True)
