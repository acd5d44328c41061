"""Every method, one table a family. There is no other registry."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from deltaworks.errors import OptionError
from deltaworks.methods.compression_record import CompressionMethod
from deltaworks.methods.continual import CONTINUAL
from deltaworks.methods.fusion import FUSION
from deltaworks.methods.merging import MERGING
from deltaworks.methods.merging_record import MergingMethod
from deltaworks.methods.method import M, Method
from deltaworks.methods.safety_record import SafetyMethod
from deltaworks.methods.transfer import TRANSFER

if TYPE_CHECKING:
    from deltaworks.methods.compression import COMPRESSION
    from deltaworks.methods.continual.record import ContinualMethod
    from deltaworks.methods.safety import SAFETY
    from deltaworks.methods.transfer.record import TransferMethod

    METHODS: Mapping[str, Method]

__all__ = [
    "COMPRESSION",
    "CONTINUAL",
    "FUSION",
    "MERGING",
    "METHODS",
    "SAFETY",
    "TRANSFER",
    "compression_method",
    "continual_method",
    "merging_method",
    "safety_method",
    "transfer_method",
]


def __getattr__(name: str) -> Any:
    """Give a family's table, imported when it is first wanted."""
    if name == "METHODS":
        found: Any = {**__getattr__("COMPRESSION"), **MERGING, **__getattr__("SAFETY")}
        found |= {**CONTINUAL, **FUSION, **TRANSFER}
    elif name in {"COMPRESSION", "SAFETY"}:
        found = getattr(import_module(f"deltaworks.methods.{name.lower()}"), name)
    else:
        raise AttributeError(name)
    globals()[name] = found
    return found


def compression_method(method_id: str) -> CompressionMethod:
    """Look a compression method up.

    Raises:
        OptionError: there is none with this id.
    """
    from deltaworks.methods.compression import COMPRESSION

    return _look_up(COMPRESSION, method_id, "compression")


def merging_method(method_id: str) -> MergingMethod:
    """Look a merging method up.

    Raises:
        OptionError: there is none with this id.
    """
    return _look_up(MERGING, method_id, "merging")


def safety_method(method_id: str) -> SafetyMethod:
    """Look a method of safety repair up.

    Raises:
        OptionError: there is none with this id.
    """
    from deltaworks.methods.safety import SAFETY

    return _look_up(SAFETY, method_id, "safety")


def continual_method(method_id: str) -> ContinualMethod:
    """Look a continual method up.

    Raises:
        OptionError: there is none with this id.
    """
    return _look_up(CONTINUAL, method_id, "continual")


def transfer_method(method_id: str) -> TransferMethod:
    """Look a transfer method up.

    Raises:
        OptionError: there is none with this id.
    """
    return _look_up(TRANSFER, method_id, "transfer")


def _look_up(table: Mapping[str, M], method_id: str, family: str) -> M:
    method = table.get(method_id)
    if method is None:
        raise OptionError(
            f"unknown {family} method '{method_id}'", fix=f"Choose one of {', '.join(table)}"
        )
    return method
