"""Every method, one table a family. There is no other registry."""

from __future__ import annotations

from collections.abc import Mapping

from deltaworks.errors import OptionError
from deltaworks.methods.compression import COMPRESSION
from deltaworks.methods.merging import MERGING
from deltaworks.methods.method import CompressionMethod, M, MergingMethod, Method

__all__ = ["COMPRESSION", "MERGING", "METHODS", "compression_method", "merging_method"]

METHODS: Mapping[str, Method] = {**COMPRESSION, **MERGING}


def compression_method(method_id: str) -> CompressionMethod:
    """Look a compression method up.

    Raises:
        OptionError: there is none with this id.
    """
    return _look_up(COMPRESSION, method_id, "compression")


def merging_method(method_id: str) -> MergingMethod:
    """Look a merging method up.

    Raises:
        OptionError: there is none with this id.
    """
    return _look_up(MERGING, method_id, "merging")


def _look_up(table: Mapping[str, M], method_id: str, family: str) -> M:
    method = table.get(method_id)
    if method is None:
        raise OptionError(
            f"unknown {family} method '{method_id}'", fix=f"Choose one of {', '.join(table)}"
        )
    return method
