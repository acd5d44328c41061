"""Option values that differ between tensors: gradients over layers, filters by name.

A value is plain; or a list of numbers, interpolated over the layers from first to last (a
list of other values gives the nearest earlier one); or a list of ``{filter, value}``,
where the first filter that is part of the tensor's name counts, and ``*`` or none fits
every name. The forms and their meaning are mergekit's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from deltaworks.errors import OptionError

MISSING: Final = object()
"""No filter fits the name."""


def value_at(value: Any, at: float, name: str) -> Any:
    """Give the value for one tensor.

    Args:
        value: in any of the forms.
        at: place in the slice, 0 for its first layer, 1 for its last one.
        name: of the tensor.

    Returns:
        A plain value, or ``MISSING``.
    """
    conditions = _conditions(value)
    if conditions is None:
        return _along(value, at)
    for condition in conditions:
        wanted = condition.get("filter")
        if wanted in {None, "*"} or wanted in name:
            return _along(condition["value"], at)
    return MISSING


def varies(value: Any) -> bool:
    """Whether a value may differ between tensors."""
    return isinstance(value, list | tuple | Mapping)


def followed_by(values: Sequence[Any]) -> Any:
    """Join values of several scopes: where no filter of one fits, the next one holds.

    Args:
        values: of one option, the innermost scope's first; at least one.
    """
    joined: list[Any] = []
    for value in values:
        conditions = _conditions(value)
        if conditions is None:
            return [*joined, {"filter": "*", "value": value}] if joined else value
        joined += conditions
    return joined


def check_value(value: Any, where: str) -> None:
    """Refuse what is in none of the forms.

    Raises:
        OptionError: it says what is wrong with the value.
    """
    if isinstance(value, list | tuple) and not value:
        raise OptionError("is an empty list", where=where, fix="Give at least one value.")
    conditions = _conditions(value)
    if conditions is None:
        _check_plain(value, where)
        return
    for condition in conditions:
        if not isinstance(condition, Mapping):
            what = f"{condition!r} stands among filters"
            raise OptionError(what, where=where, fix="Write {value: …} for the other tensors.")
        unknown = set(condition) - {"filter", "value"}
        if unknown or "value" not in condition:
            what = f"unknown field '{min(unknown)}'" if unknown else "field 'value' is missing"
            raise OptionError(f"{what} (known: filter, value)", where=where)
        if not isinstance(condition.get("filter") or "", str):
            raise OptionError(f"filter is {condition['filter']!r}, not text", where=where)
        check_value_of_condition(condition["value"], where)


def check_value_of_condition(value: Any, where: str) -> None:
    """Refuse filters inside filters, and what is no value at all."""
    if isinstance(value, list | tuple) and not value:
        raise OptionError("is an empty list", where=where, fix="Give at least one value.")
    _check_plain(value, where)


def _check_plain(value: Any, where: str) -> None:
    parts = value if isinstance(value, list | tuple) else [value]
    for part in parts:
        if not isinstance(part, bool | int | float | str):
            raise OptionError(f"{part!r} is not a number, text or true or false", where=where)


def _conditions(value: Any) -> Sequence[Any] | None:
    """Give the list of conditions; None for a plain value or a gradient."""
    if isinstance(value, Mapping):
        return [value]
    if isinstance(value, list | tuple) and any(isinstance(part, Mapping) for part in value):
        return value
    return None


def _along(value: Any, at: float) -> Any:
    """Give a gradient's value at a place between 0 and 1."""
    if not isinstance(value, list | tuple):
        return value
    place = at * (len(value) - 1)
    index = int(place)
    if not all(isinstance(part, int | float) and not isinstance(part, bool) for part in value):
        return value[index]
    share = place - index
    following = value[min(index + 1, len(value) - 1)]
    return (1.0 - share) * value[index] + share * following
