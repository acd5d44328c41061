from __future__ import annotations

from typing import Literal

import pytest

from deltaworks.errors import OptionError
from deltaworks.options import Options, describe, option, read_options


class Sample(Options):
    rate: float = option(
        0.5, gt=0.0, le=1.0, unit="fraction", title="Rate", help="How much.", sweep=(0.1, 0.5)
    )
    count: int = option(3, ge=1, le=9, title="Count", help="How many.", step=2, log=True)
    kind: Literal["a", "b"] = option("a", title="Kind", help="Which.", labels={"a": "First"})
    only: Literal["x"] = option("x", title="Only", help="One choice.")
    on: bool = option(True, title="On", help="Whether.", advanced=True, sweepable=True)
    where: str = option("", title="Where", help="A folder.", is_path=True)
    note: str = option("", title="Note", help="Any text.")


def test_every_option_is_described_in_order() -> None:
    infos = describe(Sample)

    assert [info.name for info in infos] == list(Sample.model_fields)
    assert [info.kind for info in infos] == [
        "real",
        "integer",
        "choice",
        "choice",
        "flag",
        "path",
        "text",
    ]


def test_bounds_units_and_texts_survive() -> None:
    rate, count, kind, only, on, _, _ = describe(Sample)

    assert (rate.minimum, rate.maximum, rate.excludes_minimum) == (0.0, 1.0, True)
    assert (rate.unit, rate.title, rate.help, rate.sweep) == (
        "fraction",
        "Rate",
        "How much.",
        (0.1, 0.5),
    )
    assert (count.minimum, count.excludes_minimum, count.step, count.log) == (1, False, 2, True)
    assert (kind.choices, kind.labels, only.choices) == (("a", "b"), {"a": "First"}, ("x",))
    assert (on.default, on.advanced, on.sweepable) == (True, True, True)


def test_values_from_outside_become_options() -> None:
    options = read_options(Sample, {"rate": 1, "kind": "b"}, where="here")

    assert (options.rate, options.kind, options.count) == (1.0, "b", 3)


def test_all_faults_are_named_in_one_sentence() -> None:
    with pytest.raises(OptionError) as caught:
        read_options(Sample, {"rate": 2.0, "speed": 1}, where="method 'sample'")

    message = str(caught.value)
    assert message.startswith("method 'sample': ")
    assert "option 'rate' is 2.0" in message
    assert "unknown option 'speed' (known: rate, count, kind, only, on, where, note)" in message


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 0.0])
def test_values_outside_the_bounds_are_refused(value: float) -> None:
    with pytest.raises(OptionError, match="rate"):
        read_options(Sample, {"rate": value}, where="")


def test_options_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        setattr(Sample(), "rate", 0.7)  # noqa: B010 - mypy would refuse the assignment itself
