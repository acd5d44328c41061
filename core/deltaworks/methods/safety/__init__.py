"""Methods of safety repair, one file each."""

from collections.abc import Mapping

from deltaworks.methods.method import index
from deltaworks.methods.safety import (
    antidote,
    interpolation,
    irr,
    resta,
    safe_delta,
    safelora,
    safemerge,
)
from deltaworks.methods.safety_record import SafetyMethod

SAFETY: Mapping[str, SafetyMethod] = index(
    safe_delta.METHOD,
    interpolation.METHOD,
    safelora.METHOD,
    resta.METHOD,
    irr.METHOD,
    safemerge.METHOD,
    antidote.METHOD,
)
