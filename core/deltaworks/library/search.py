"""The search field's language: plain words and ``key:value``, ``size>1GB``, ``used<30d``."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass

from deltaworks.library.rows import ROLES, ModelRow, State

Predicate = Callable[[ModelRow], bool]
_TERM = re.compile(r'(?P<not>-)?(?P<key>[A-Za-z]+)(?P<op><=|>=|[:<>=])(?P<value>"[^"]*"?|\S*)')
_TOKEN = re.compile(r'(?:[^\s"]|"[^"]*"?)+')
_NUMBER = re.compile(r"^(?P<number>\d+(?:[.,]\d+)?)\s*(?P<unit>[A-Za-z%]*)$")
_BYTES = {"": 1, "b": 1, "k": 1e3, "kb": 1e3, "m": 1e6, "mb": 1e6, "g": 1e9, "gb": 1e9}
_BYTES |= {"t": 1e12, "tb": 1e12, "kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40}
_COUNTS = {"": 1, "k": 1e3, "m": 1e6, "b": 1e9, "t": 1e12}
_SHARES = {"": 1, "%": 0.01}
_PLAIN = {"": 1.0}
_SPANS = {"min": 60e9, "h": 3600e9, "d": 86_400e9, "w": 604_800e9, "mo": 2_629_800e9}
_SPANS |= {"y": 31_557_600e9}

_TEXTS: dict[str, Callable[[ModelRow], str]] = {
    "name": lambda row: row.name,
    "family": lambda row: row.family,
    "path": lambda row: row.path,
    "root": lambda row: row.root,
    "type": lambda row: row.dtype,
    "arch": lambda row: row.arch,
    "licence": lambda row: row.licence,
    "source": lambda row: row.source,
    "method": lambda row: row.method,
    "kind": lambda row: row.kind,
    "hash": lambda row: row.content,
    "tag": lambda row: "\n".join(row.tags),
}
_NUMBERS: dict[str, tuple[Callable[[ModelRow], float | None], dict[str, float]]] = {
    "size": (lambda row: row.size_bytes, _BYTES),
    "saved": (lambda row: row.saved_bytes, _BYTES),
    "shared": (lambda row: row.shared_bytes, _BYTES),
    "params": (lambda row: row.n_parameters, _COUNTS),
    "quality": (lambda row: row.quality, _SHARES),
    "bits": (lambda row: row.bits_per_weight, _PLAIN),
}
_TIMES: dict[str, Callable[[ModelRow], int | None]] = {
    "used": lambda row: row.used_ns,
    "modified": lambda row: row.modified_ns,
}
_WORDS: dict[str, tuple[Callable[[ModelRow], str], tuple[str, ...]]] = {
    "role": (lambda row: row.role, ROLES),
    "state": (lambda row: row.state, tuple(State)),
}
_OTHER_NAMES = {"tags": "tag", "dtype": "type", "license": "licence", "parameters": "params"}
KEYS = tuple(sorted({*_TEXTS, *_NUMBERS, *_TIMES, *_WORDS}))


class _NotUnderstoodError(ValueError):
    """A term that is no filter; the text is a hint for the user."""


@dataclass(frozen=True, slots=True)
class Query:
    """What was typed, understood.

    Args:
        text: as typed.
        predicates: every one must hold.
        hint: what was not understood and is searched for as plain words; empty when all was.
    """

    text: str
    predicates: tuple[Predicate, ...] = ()
    hint: str = ""

    def __call__(self, row: ModelRow) -> bool:
        """Whether a row is to be shown."""
        return all(holds(row) for holds in self.predicates)


def parse_query(text: str, *, now_ns: int | None = None) -> Query:
    """Understand what was typed. Never raises: a wrong filter becomes plain words and a hint.

    Args:
        text: the search field's content.
        now_ns: the present, for ``used<30d``; the clock's when None.
    """
    now = time.time_ns() if now_ns is None else now_ns
    predicates: list[Predicate] = []
    hints = []
    for token in _TOKEN.findall(text):
        term = _TERM.fullmatch(token)
        try:
            predicates.append(_filter(term, now) if term else _plain(token))
        except _NotUnderstoodError as error:
            hints.append(str(error))
            predicates.append(_plain(token))
    return Query(text, tuple(predicates), "; ".join(hints))


def _plain(token: str) -> Predicate:
    word = token.replace('"', "").casefold()
    if not word:
        return lambda _row: True
    if len(word) > 1 and word.startswith("-"):
        return lambda row: word[1:] not in _haystack(row)
    return lambda row: word in _haystack(row)


def _haystack(row: ModelRow) -> str:
    return "\n".join((row.name, row.family, row.path, *row.tags)).casefold()


def _filter(term: re.Match[str], now: int) -> Predicate:
    key = term["key"].casefold()
    key = _OTHER_NAMES.get(key, key)
    operator = term["op"].replace("=", ":") if term["op"] == "=" else term["op"]
    value = term["value"].replace('"', "")
    if not value:
        raise _NotUnderstoodError(f"'{term[0]}' needs a value after '{term['op']}'")
    holds = _build(key, operator, value, now)
    if term["not"]:
        return lambda row: not holds(row)
    return holds


def _build(key: str, operator: str, value: str, now: int) -> Predicate:
    if key in _WORDS:
        return _word(key, operator, value)
    if key in _NUMBERS:
        read, units = _NUMBERS[key]
        return _compare(read, operator, _amount(key, value, units))
    if key in _TIMES:
        return _age(_TIMES[key], operator, _amount(key, value, _SPANS), now)
    if key not in _TEXTS:
        raise _NotUnderstoodError(f"no filter '{key}' (known: {', '.join(KEYS)})")
    if operator != ":":
        raise _NotUnderstoodError(f"'{key}' takes ':', as in {key}:{value}")
    text, wanted = _TEXTS[key], value.casefold()
    return lambda row: wanted in text(row).casefold()


def _word(key: str, operator: str, value: str) -> Predicate:
    read, words = _WORDS[key]
    if operator != ":":
        raise _NotUnderstoodError(f"'{key}' takes ':', as in {key}:{words[0].lower()}")
    wanted = value.casefold().replace("-", " ")
    allowed = frozenset(word for word in words if word.casefold().startswith(wanted))
    if not allowed:
        names = ", ".join(word.lower() for word in words)
        raise _NotUnderstoodError(f"no {key} '{value}' (known: {names})")
    return lambda row: read(row) in allowed


def _amount(key: str, value: str, units: dict[str, float]) -> float:
    number = _NUMBER.match(value)
    if number is None or number["unit"].casefold() not in units:
        known = ", ".join(unit for unit in units if unit)
        raise _NotUnderstoodError(f"'{value}' is no {key}{f' (units: {known})' if known else ''}")
    return float(number["number"].replace(",", ".")) * units[number["unit"].casefold()]


def _compare(read: Callable[[ModelRow], float | None], operator: str, amount: float) -> Predicate:
    def holds(row: ModelRow) -> bool:
        value = read(row)
        if value is None:
            return False
        if operator == ":":  # typed amounts are rounded, so equal means close
            return abs(value - amount) <= 0.01 * max(abs(amount), 1e-9)
        return _ordered(value, operator, amount)

    return holds


def _age(read: Callable[[ModelRow], int | None], operator: str, span: float, now: int) -> Predicate:
    """``used<30d`` and ``used:30d``: within the last 30 days; never used is older than all."""

    def holds(row: ModelRow) -> bool:
        value = read(row)
        age = float("inf") if value is None else now - value
        return _ordered(age, "<=" if operator == ":" else operator, span)

    return holds


def _ordered(value: float, operator: str, amount: float) -> bool:
    if operator == "<":
        return value < amount
    if operator == ">":
        return value > amount
    return value <= amount if operator == "<=" else value >= amount
