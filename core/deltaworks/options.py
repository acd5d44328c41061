"""Options declared once: bounds, unit, title and help.

The form, the command line, the recipe reader and the manual are derived from the
declaration; none repeats a bound or a text.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from deltaworks.errors import OptionError

# pydantic would search every installed package for plugins: half of its own start.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")

Kind = Literal["integer", "real", "flag", "choice", "text", "path", "file"]
T = TypeVar("T", bound="Options")


class Options(BaseModel):
    """A frozen record that refuses unknown names.

    Attributes:
        dropped: options of earlier versions, and what holds in their place.
    """

    # Built when first used: a start that needs one method does not pay for all.
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, defer_build=True)
    dropped: ClassVar[Mapping[str, str]] = {}


def option(
    default: Any,
    *,
    title: str,
    help: str,  # noqa: A002 - the word that users and manuals know
    ge: float | None = None,
    gt: float | None = None,
    le: float | None = None,
    lt: float | None = None,
    unit: str = "",
    step: float | None = None,
    log: bool = False,
    advanced: bool = False,
    sweepable: bool = False,
    sweep: tuple[Any, ...] = (),
    labels: Mapping[str, str] | None = None,
    is_path: bool = False,
    is_file: bool = False,
) -> Any:
    """Declare one option of an ``Options`` class.

    Args:
        default: value when the user says nothing.
        title: short label, sentence case.
        help: one or two sentences; says what more or less of it does.
        ge: smallest value allowed; ``gt``, ``le``, ``lt`` likewise.
        gt: values must be larger.
        le: largest value allowed.
        lt: values must be smaller.
        unit: ``fraction``, ``bits``, ``rank``…; empty when a plain number.
        step: step of the spin box.
        log: whether the slider is logarithmic.
        advanced: whether the form folds it away.
        sweepable: whether a sweep may vary it.
        sweep: values that the default sweep tries.
        labels: texts for the values of a choice.
        is_path: whether the text is a folder.
        is_file: whether the text is a file.
    """
    extra: dict[str, Any] = {
        "unit": unit,
        "step": step,
        "log": log,
        "advanced": advanced,
        "sweepable": sweepable,
        "sweep": list(sweep),
        "labels": dict(labels or {}),
        "is_path": is_path,
        "is_file": is_file,
    }
    return Field(
        default,
        ge=ge,
        gt=gt,
        le=le,
        lt=lt,
        title=title,
        description=help,
        json_schema_extra=extra,
    )


@dataclass(frozen=True, slots=True)
class OptionInfo:
    """One option as forms, command lines and manuals need it."""

    name: str
    kind: Kind
    default: Any
    title: str
    help: str
    unit: str = ""
    minimum: float | None = None
    maximum: float | None = None
    excludes_minimum: bool = False
    excludes_maximum: bool = False
    step: float | None = None
    log: bool = False
    advanced: bool = False
    sweepable: bool = False
    sweep: tuple[Any, ...] = ()
    choices: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)


_KINDS: dict[str, Kind] = {
    "integer": "integer",
    "number": "real",
    "boolean": "flag",
    "string": "text",
}


def describe(options: type[Options]) -> tuple[OptionInfo, ...]:
    """List the options of a class in declaration order, from its JSON schema."""
    schema = options.model_json_schema()
    return tuple(_info(name, facts) for name, facts in schema.get("properties", {}).items())


def _info(name: str, facts: dict[str, Any]) -> OptionInfo:
    choices = tuple(str(value) for value in facts.get("enum", ()))
    if not choices and "const" in facts:
        choices = (str(facts["const"]),)
    kind: Kind = "choice" if choices else _KINDS[facts["type"]]
    if facts.get("is_path") or facts.get("is_file"):
        kind = "path" if facts.get("is_path") else "file"
    low, above = facts.get("minimum"), facts.get("exclusiveMinimum")
    high, below = facts.get("maximum"), facts.get("exclusiveMaximum")
    return OptionInfo(
        name=name,
        kind=kind,
        default=facts.get("default"),
        title=facts["title"],
        help=facts.get("description", ""),
        unit=facts.get("unit", ""),
        minimum=above if low is None else low,
        maximum=below if high is None else high,
        excludes_minimum=low is None and above is not None,
        excludes_maximum=high is None and below is not None,
        step=facts.get("step"),
        log=facts.get("log", False),
        advanced=facts.get("advanced", False),
        sweepable=facts.get("sweepable", False),
        sweep=tuple(facts.get("sweep", ())),
        choices=choices,
        labels=facts.get("labels", {}),
    )


def read_options(options: type[T], values: Mapping[str, Any], *, where: str) -> T:
    """Check values from outside against a declaration.

    Args:
        options: the class to build.
        values: names and values as a recipe, a form or a command line gave them.
        where: what the message names, such as ``method 'dare'``.

    Raises:
        OptionError: one sentence naming every value that does not fit.
    """
    try:
        return options(**values)
    except ValidationError as error:
        faults = "; ".join(_fault(item, options) for item in error.errors())
        raise OptionError(faults, where=where, fix="Correct the options and try again") from error


def _fault(item: Any, options: type[Options]) -> str:
    name = ".".join(str(part) for part in item["loc"])
    if name in options.dropped:
        return f"option '{name}' is no more: {options.dropped[name]}"
    if item["type"] == "extra_forbidden":
        known = ", ".join(options.model_fields) or "none"
        return f"unknown option '{name}' (known: {known})"
    text = str(item["msg"]).removeprefix("Value error, ")
    if not name:  # what the options say of each other
        return text
    return f"option '{name}' is {item['input']!r}: {text[0].lower()}{text[1:]}"
