"""Recovered fraction: where a model stands between its base and its expert."""

from __future__ import annotations

from deltaworks.evaluation.measures import Measure


def recovered(kl: Measure, kl_of_base: Measure) -> Measure | None:
    """Give 1 - KL(expert ‖ model) / KL(expert ‖ base): 0 is the base, 1 the expert.

    Args:
        kl: of the model that is measured.
        kl_of_base: of the base, on the same text.

    Returns:
        None when base and expert do not differ on the text. The interval takes the
        base's divergence as fixed.
    """
    whole = kl_of_base.value
    if whole <= 0.0:
        return None
    return Measure(
        id="recovered",
        title="Recovered fraction",
        value=1.0 - kl.value / whole,
        unit="fraction",
        data=kl.data,
        n=kl.n,
        low=None if kl.high is None else 1.0 - kl.high / whole,
        high=None if kl.low is None else 1.0 - kl.low / whole,
    )
