"""Every measure on text, in the order of reports. The only registry.

To add one: a module with a ``TextCounter``, and a line here.
"""

from __future__ import annotations

from collections.abc import Callable

from deltaworks.evaluation.agreement import TopFiveOverlap, TopOneAgreement
from deltaworks.evaluation.counting import TextCounter
from deltaworks.evaluation.divergence import Divergence
from deltaworks.evaluation.logit_gap import LogitGap
from deltaworks.evaluation.perplexity import Perplexity

ALONE: tuple[Callable[[], TextCounter], ...] = (Perplexity,)
"""Measures of a model by itself."""

AGAINST_EXPERT: tuple[Callable[[], TextCounter], ...] = (
    Divergence,
    TopOneAgreement,
    TopFiveOverlap,
    LogitGap,
)
"""Measures of a model against the expert it stands for."""
