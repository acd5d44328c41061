"""Merging methods, one file each."""

from collections.abc import Mapping

from deltaworks.methods.merging import linear, slerp, task_arithmetic, ties
from deltaworks.methods.method import MergingMethod, index

MERGING: Mapping[str, MergingMethod] = index(
    linear.METHOD,
    slerp.METHOD,
    task_arithmetic.METHOD,
    ties.METHOD,
)
