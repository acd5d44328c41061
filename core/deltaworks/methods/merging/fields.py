"""Options that several merging methods have, declared once."""

from __future__ import annotations

from typing import Any

from deltaworks.options import option


def weight_field(help_text: str) -> Any:
    """Declare the weight of an expert."""
    return option(
        1.0, ge=-100.0, le=100.0, title="Weight", help=help_text, step=0.05, sweepable=True
    )


def scale_field(
    help_text: str, *, default: float = 1.0, sweep: tuple[float, ...] = (0.5, 0.7, 1.0)
) -> Any:
    """Declare the factor of the merged delta."""
    return option(
        default,
        ge=-10.0,
        le=10.0,
        title="Scale (lambda)",
        help=help_text,
        step=0.05,
        sweepable=True,
        sweep=sweep,
    )


def density_field(
    default: float, help_text: str, *, sweep: tuple[float, ...] = (0.2, 0.5, 0.8)
) -> Any:
    """Declare the share of an expert's delta that is kept."""
    return option(
        default,
        gt=0.0,
        le=1.0,
        unit="fraction",
        title="Density",
        help=help_text,
        step=0.05,
        sweepable=True,
        sweep=sweep,
    )
