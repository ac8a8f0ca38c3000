"""Files of class names: text, CSV and JSON."""

from __future__ import annotations

import json
from random import Random
from typing import Any

from gradcam.models.label_files import read_labels
from tests.fuzz.kind import Kind
from tests.fuzz.mutate import TEXTS, spoil_bytes, spoil_json, to_json

LONGEST = 2_000_000
"""Letters of a file that is made, about."""

NAMES = ["cat", "dog", "0", "10", "a bird", "räv"]
_TABLES: tuple[Any, ...] = (NAMES, {str(index): name for index, name in enumerate(NAMES)}, {"cat": 0, "dog": 1})
_TEXTS = (
    "\n".join(NAMES),
    "index,name,wnid\n0,cat,n02123045\n1,dog,n02084071\n",
    "0;cat\n1;dog\n",
    'name\tindex\n"a ""bird"""\t0\ndog\t1\n',
)


def make(random: Random) -> tuple[bytes, str]:
    name = random.choice(("labels", "x", "", "a" * 300, *TEXTS[:20])) + random.choice(
        (".txt", ".csv", ".tsv", ".json")
    )
    if random.random() < 0.4:
        return to_json(spoil_json(random.choice(_TABLES), random), random), name
    lines = random.choice(_TEXTS).split("\n")
    for _ in range(random.randint(0, 3)):
        lines.insert(random.randrange(len(lines) + 1), random.choice(TEXTS))
    most = LONGEST // (sum(map(len, lines)) + 1) + 1
    text = "\n".join(lines * min(random.choice((1, 1, 1, 100, 20_000)), most))
    data = text.encode(random.choice(("utf-8", "utf-8", "utf-8-sig", "utf-16", "utf-32")), "surrogatepass")
    return (spoil_bytes(data, random) if random.random() < 0.5 else data), name


def meet(given: tuple[bytes, str]) -> None:
    labels = read_labels(*given)
    json.dumps(labels.names).encode()
    assert len(labels) >= 1


KIND = Kind("labels", make, meet, seconds=5, megabytes=300)
