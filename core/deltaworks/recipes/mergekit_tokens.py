"""mergekit's tokenizer block: which tokens the result has, and where their rows come from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from deltaworks.errors import OptionError
from deltaworks.recipes.schema import TokenizerRule, TokenRule

_KNOWN = ("source", "tokens", "pad_to_multiple_of")
PlaceOf = Callable[[Any, str], int]
"""Gives a model's place by its reference; the second argument is for messages."""


def tokenizer_rule(data: Mapping[str, Any], place_of: PlaceOf, where: str) -> TokenizerRule | None:
    """Read ``tokenizer_source`` or ``tokenizer``.

    Raises:
        OptionError: both are there, or something in them is unknown.
    """
    short, block = data.get("tokenizer_source"), data.get("tokenizer")
    if short is not None and block is not None:
        raise OptionError(
            "says tokenizer_source and tokenizer", where=where, fix="Keep one of them."
        )
    if short is not None:
        block = {"source": short}
    if block is None:
        return None
    if not isinstance(block, Mapping):
        raise OptionError(f"tokenizer is {block!r}, not named fields", where=where)
    for name in block:
        if name not in _KNOWN:
            listed = ", ".join(_KNOWN)
            raise OptionError(f"tokenizer: unknown field '{name}' (known: {listed})", where=where)
    source = block.get("source", "union")
    multiple = block.get("pad_to_multiple_of") or 0
    if not isinstance(multiple, int) or isinstance(multiple, bool) or multiple < 0:
        raise OptionError(f"tokenizer.pad_to_multiple_of is {multiple!r}", where=where)
    is_named = source not in {"union", "base"} if isinstance(source, str) else True
    return TokenizerRule(
        source="model" if is_named else source,
        model=place_of(source, "tokenizer.source") if is_named else -1,
        tokens=_tokens(block.get("tokens"), place_of, where),
        pad_to_multiple_of=multiple,
    )


def _tokens(data: Any, place_of: PlaceOf, where: str) -> dict[str, TokenRule]:
    if data is None:
        return {}
    if not isinstance(data, Mapping):
        raise OptionError(f"tokenizer.tokens is {data!r}, not named tokens", where=where)
    return {
        str(token): _token(rule, place_of, f"tokenizer.tokens['{token}']", where)
        for token, rule in data.items()
    }


def _token(data: Any, place_of: PlaceOf, place: str, where: str) -> TokenRule:
    rule = data or {}
    if not isinstance(rule, Mapping):
        raise OptionError(f"{place} is {data!r}, not named fields", where=where)
    for name in rule:
        if name not in {"source", "force"}:
            raise OptionError(
                f"{place}: unknown field '{name}' (known: source, force)", where=where
            )
    force, source = rule.get("force", False) is True, rule.get("source")
    if source is None:
        return TokenRule(force=force)
    kind = source.get("kind") if isinstance(source, Mapping) else None
    if kind == "zero":
        return TokenRule(kind="zero", force=force)
    if kind == "model_token":
        token, number = source.get("token"), source.get("token_id")
        if (token is None) == (number is None):
            raise OptionError(f"{place}: say either token or token_id", where=where)
        return TokenRule(
            kind="token",
            model=place_of(source.get("model"), f"{place}.source.model"),
            token=token or "",
            token_id=number,
            force=force,
        )
    if kind is not None:
        raise OptionError(f"{place}: kind is {kind!r} (known: model_token, zero)", where=where)
    return TokenRule(kind="model", model=place_of(source, f"{place}.source"), force=force)
