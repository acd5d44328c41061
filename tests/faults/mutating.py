"""Seeded damage to bytes and to documents. Loaded by the conftest, since tests import nothing."""

from __future__ import annotations

import copy
import json
import random
from typing import Any

TOKENS = (
    b'"', b"{", b"}", b"[", b"]", b",", b":", b"-1", b"1e999", b"9" * 30, b"\x00", b"\xff\xfe",
    b"null", b"NaN", b"\\ud800", b"../", b"/etc/passwd", b"*a", b"&a", b"!!python/name:os.system",
    b"\n", b"\t", b"- ", b"? ", b"'", b"#", b"%", b"---\n",
)  # fmt: skip
"""What means something to one reader or another."""

VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**63 - 1, 2**63, 2**64, -(2**63), 10**40, 1e308, -0.0,
    0.5, "", " ", "0", "-1", "nan", "../x", "/etc/passwd", "\x00", "\u202e", "a" * 10_000, "é" * 50,
    "model.safetensors", "..", ".", "C:\\x", "~", "BF16", "F32", "I64", "U8", "lossless", "sign",
    "cuda:9", [], {}, [[]], [{}], {"": ""}, [None], [-1], [2**62, 2**62], [0], ["a", "a"],
    "(a+)+$", ".*.*.*.*.*.*x", "[", {"a": {"b": {"c": []}}},
)  # fmt: skip
"""What no document should say there, or only seldom."""


def damaged_bytes(raw: bytes, dice: random.Random) -> bytes:
    """Damage some bytes: flip, cut, double, insert, overwrite or end early."""
    data = bytearray(raw)
    for _ in range(dice.choice([1, 1, 1, 2, 5])):
        at = dice.randrange(len(data) + 1)
        size = min(dice.choice([1, 2, 8, 64, 500]), len(data) - at)
        match dice.randrange(6):
            case 0 if size:
                data[at] ^= 1 << dice.randrange(8)
            case 1:
                del data[at : at + size]
            case 2:
                data[at:at] = data[at : at + size]
            case 3:
                data[at:at] = dice.choice(TOKENS)
            case 4:
                token = dice.choice(TOKENS)
                data[at : at + len(token)] = token
            case _:
                del data[at:]
    return bytes(data)


def damaged_document(document: Any, dice: random.Random) -> Any:
    """Change a document in a place or two: replace, drop, rename, double or swap."""
    data = copy.deepcopy(document)
    for _ in range(dice.choice([1, 1, 1, 2, 4])):
        places = list(_places(data))
        if not places:
            return dice.choice(VALUES)
        holder, key = dice.choice(places)
        match dice.randrange(6):
            case 0:
                del holder[key]
            case 1 if isinstance(holder, dict):
                holder[dice.choice(["x", "", "a" * 300, f"{key}x", "__metadata__"])] = holder.pop(
                    key
                )
            case 2:
                other, at = dice.choice(places)
                if other is not holder or at != key:
                    holder[key] = copy.deepcopy(other[at])
            case 3 if isinstance(holder[key], int) and not isinstance(holder[key], bool):
                holder[key] += dice.choice([-1, 1, 8, -(2**40), 2**40])
            case 4 if isinstance(holder[key], str) and holder[key]:
                text = list(holder[key])
                text[dice.randrange(len(text))] = dice.choice('"/\\.:\x00é0aZ-')
                holder[key] = "".join(text)
            case _:
                holder[key] = copy.deepcopy(dice.choice(VALUES))
    return data


def _places(data: Any) -> Any:
    """Give every holder and key of a nested document."""
    keys = list(data) if isinstance(data, dict) else range(len(data))
    for key in keys:
        yield data, key
        if isinstance(data[key], dict | list):
            yield from _places(data[key])


def damaged_json(raw: bytes, dice: random.Random) -> bytes:
    """Damage a JSON text as a document, or as bytes."""
    if dice.random() < 0.35:
        return damaged_bytes(raw, dice)
    return json.dumps(damaged_document(json.loads(raw), dice)).encode()


def damaged_safetensors(raw: bytes, dice: random.Random) -> bytes:
    """Damage a weight file: its header as a document or as bytes, its length, its data."""
    n_bytes = int.from_bytes(raw[:8], "little")
    header, data = raw[8 : 8 + n_bytes], raw[8 + n_bytes :]
    chance = dice.random()
    if chance < 0.15:
        return damaged_bytes(raw, dice)
    if chance < 0.25:
        return raw[: 8 + n_bytes] + damaged_bytes(data, dice)
    header = damaged_json(header, dice)
    told = len(header) if dice.random() < 0.95 else dice.choice([0, 1, 2**31, 2**63, 2**64 - 1])
    return told.to_bytes(8, "little") + header + data


def damaged_metadata(raw: bytes, key: str, dice: random.Random) -> bytes:
    """Damage the JSON that stands under a key of a weight file's own texts."""
    n_bytes = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8 : 8 + n_bytes])
    text = header["__metadata__"][key].encode()
    if dice.random() < 0.8:  # as whoever means harm would do
        header["__metadata__"].pop("integrity", None)
    header["__metadata__"][key] = damaged_json(text, dice).decode("utf-8", errors="replace")
    again = json.dumps(header).encode()
    return len(again).to_bytes(8, "little") + again + raw[8 + n_bytes :]
