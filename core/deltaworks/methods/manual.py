"""The part of a method's manual page that its declaration already says."""

from __future__ import annotations

from typing import Any

from deltaworks.methods.merging_record import MergingMethod
from deltaworks.methods.method import Method
from deltaworks.options import OptionInfo, Options, describe

BEGIN = "<!-- options -->"
END = "<!-- /options -->"

_HEAD = "| Option | Name | Values | Default | What it does |\n|---|---|---|---|---|"


def options_table(method: Method) -> str:
    """Write the options of a method as Markdown, from their declarations."""
    sections = [_section("Options", method.options)]
    if isinstance(method, MergingMethod):
        sections.append(_section("Options of each expert", method.expert_options))
    return "\n\n".join(sections)


def with_options(page: str, method: Method) -> str:
    """Replace what stands between the two markers of a page.

    Args:
        page: Markdown with ``BEGIN`` and ``END``, once each.
        method: whose page it is.

    Raises:
        ValueError: a marker is missing.
    """
    before, found_begin, rest = page.partition(BEGIN)
    _, found_end, after = rest.partition(END)
    if not found_begin or not found_end:
        raise ValueError(f"the page of '{method.id}' lacks {BEGIN} or {END}")
    return f"{before}{BEGIN}\n{options_table(method)}\n{END}{after}"


def _section(title: str, options: type[Options]) -> str:
    infos = describe(options)
    if not infos:
        return f"**{title}**: none."
    return "\n".join([f"**{title}**", "", _HEAD, *(_row(info) for info in infos)])


def _row(info: OptionInfo) -> str:
    cells = (
        info.title,
        f"`{info.name}`",
        _values(info),
        f"`{_text(info.default)}`",
        info.help,
    )
    return "| " + " | ".join(cells) + " |"


def _values(info: OptionInfo) -> str:
    if info.kind == "choice":
        return ", ".join(_choice(info, value) for value in info.choices)
    if info.kind == "flag":
        return "`true`, `false`"
    unit = f" {info.unit}" if info.unit else ""
    return f"{_bounds(info)}{unit}" or "text"


def _choice(info: OptionInfo, value: str) -> str:
    label = info.labels.get(value, "")
    return f"`{value}` ({label})" if label else f"`{value}`"


def _bounds(info: OptionInfo) -> str:
    low, high = info.minimum, info.maximum
    if low is None and high is None:
        return "any number"
    above = "" if low is None else f"{'above ' if info.excludes_minimum else ''}{low:g}"
    below = "" if high is None else f"{'below ' if info.excludes_maximum else ''}{high:g}"
    return " to ".join(bound for bound in (above, below) if bound)


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
