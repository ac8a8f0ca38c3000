"""How honest inputs are spoiled: bytes, numbers, texts and JSON."""

from __future__ import annotations

import json
import re
import struct
from copy import deepcopy
from random import Random
from typing import Any

NUMBERS: tuple[Any, ...] = (
    *(0, -1, 1, 2**31 - 1, 2**31, 2**32, 2**63, 2**64, -(2**63), 10**30, 10**400, -(10**400)),
    *(0.5, -0.0, 1e-320, 1e308, -1e308, 1e39, float("inf"), float("-inf"), float("nan")),
)
TEXTS = (
    *("", " ", "a" * 201, "W" * 100_000, "0" * 5000, "9" * 30, "-1", "1e308", "NaN", "top", "#10", "#", "%23"),
    *("\n", "a\nb\r\nc", "\0", "\x1b[31m", "\u2028\u2029", "\u202eabc", "\ud800", "caf\udce9", "é\u0301" * 50),
    *("../../etc/passwd", "C:\\x", "a..b/c", "<script>", "=1+1", "{{7*7}}", "{0.__class__}", "%s%n", "' OR 1=1"),
    *("0999-01-01T00:00:00Z", "2200-01-01T00:00:00Z", "2026-02-30T00:00:00Z", "2026-01-01T25:61:61Z"),
)
VALUES: tuple[Any, ...] = (None, True, False, [], {}, [[]], {"": None}, [None] * 50, "text")


def spoil_bytes(data: bytes, random: Random, most: int = 8) -> bytes:
    """Some bytes changed, cut out, doubled or put in; often near the beginning, where headers are."""
    spoiled = bytearray(data)
    for _ in range(random.randint(1, most)):
        if not spoiled:
            break
        reach = min(len(spoiled), random.choice((32, 128, 512, len(spoiled))))
        at = random.randrange(reach)
        match random.randrange(8):
            case 0 | 1 | 2:
                spoiled[at] = random.choice((0, 1, 127, 128, 255, random.randrange(256)))
            case 3:
                spoiled[at] ^= 1 << random.randrange(8)
            case 4:
                width, order = random.choice((2, 4)), random.choice("<>")
                value = random.choice((0, 1, 255, 2**15, 2**16 - 1, 2**31 - 1, 2**32 - 1)) % 256**width
                spoiled[at : at + width] = struct.pack(order + {2: "H", 4: "I"}[width], value)
            case 5:
                del spoiled[at : at + random.choice((1, 4, 64, len(spoiled)))]
            case 6:
                spoiled[at:at] = spoiled[at : at + random.choice((1, 12, 200))] * random.choice((1, 2, 50))
            case _:
                spoiled[at:at] = random.randbytes(random.choice((1, 4, 100)))
    return bytes(spoiled)


def odd_value(random: Random) -> Any:
    return deepcopy(
        random.choice(random.choice((NUMBERS, TEXTS, VALUES)))
    )  # what is spoiled next is changed in place


def spoil_json(value: Any, random: Random) -> Any:
    """A copy of plain data with a few places changed, most often one: numbers, texts, types, lengths, depth."""
    value = json.loads(json.dumps(value))
    for _ in range(random.choice((1, 1, 1, 2, 4))):
        value = _spoil_one(value, random)
    return value


def _spoil_one(value: Any, random: Random) -> Any:
    """Walk to a random place and change it."""
    if isinstance(value, dict | list) and value and random.random() < 0.95:
        key = random.choice(list(value)) if isinstance(value, dict) else random.randrange(len(value))
        value[key] = _spoil_one(value[key], random)
        return value
    match random.randrange(8):
        case 0 if isinstance(value, dict) and value:
            value.pop(random.choice(list(value)))
            return value
        case 1 if isinstance(value, dict):
            return {**value, random.choice(TEXTS): odd_value(random)}
        case 2 if isinstance(value, list):
            return value * random.choice((0, 2, 1000))
        case 3:
            return nested(random.choice((5, 20, 80)), random.choice(("list", "dict")))
        case 4 | 5 | 6 if isinstance(value, int | float):
            return random.choice(NUMBERS)
        case 4 | 5 | 6 if isinstance(value, str):
            return random.choice(TEXTS)
        case _:
            return odd_value(random)


def nested(depth: int, kind: str) -> Any:
    value: Any = 0
    for _ in range(depth):
        value = [value] if kind == "list" else {"a": value}
    return value


def to_json(value: Any, random: Random) -> bytes:
    """JSON as a stranger writes it: NaN, big integers and all, sometimes with a key twice or bytes spoiled."""
    text = _dumped(value)
    if random.random() < 0.1 and "{" in text:
        at = text.index("{") + 1
        text = f'{text[:at]}"title": 1, "title": 2, "{random.choice(("a", "photos", "format"))}": 3,{text[at:]}'
    if random.random() < 0.1:
        places = [match.span() for match in re.finditer(r"(?<=[:,\[] )-?\d+(\.\d+)?", text)] or [(0, 0)]
        start, end = random.choice(places)
        text = text[:start] + random.choice(("9" * 5000, "[" * 100_000, '{"a":' * 100_000, "1e400")) + text[end:]
    data = text.encode("utf-8", "surrogatepass")
    return spoil_bytes(data, random, 2) if random.random() < 0.15 else data


def _dumped(value: Any) -> str:
    """`json.dumps` without its limits on depth and on the digits of a number."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(str(key))}: {_dumped(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_dumped, value)) + "]"
    return json.dumps(value)
