# ruff: noqa: E501 (a table of instructions)
"""Checkpoints: pickles made of random instructions, spoiled archives and streams, headers that lie."""

from __future__ import annotations

import contextlib
import io
import struct
from random import Random
from typing import Any

import torch

from gradcam.errors import GradcamError
from gradcam.models.checkpoint import load_checkpoint
from gradcam.models.weight_files import read_tensors
from tests.fuzz.kind import Kind
from tests.fuzz.mutate import TEXTS, spoil_bytes, spoil_json, to_json
from tests.models.test_weight_files import HOSTILE, archive, program, state, tensor, text

_TENSORS = {"conv1.weight": torch.ones(4, 3, 3, 3), "fc.weight": torch.ones(3, 4), "fc.bias": torch.ones(3)}
_CONTENTS: tuple[Any, ...] = (
    _TENSORS,
    {"state_dict": {f"module.{key}": value for key, value in _TENSORS.items()}, "epoch": 3},
    {"student": _TENSORS, "teacher": _TENSORS, "optimizer": {"state": {0: {"step": torch.tensor(1.0)}}}},
    [torch.eye(3).to_sparse(), torch.ones(2, dtype=torch.complex64), {1: 2}],
)
_HEADER = {
    "__metadata__": {"format": "pt"},
    "conv1.weight": {"dtype": "F32", "shape": [4, 3, 3, 3], "data_offsets": [0, 432]},
    "fc.bias": {"dtype": "BF16", "shape": [3], "data_offsets": [432, 438]},
}
_WORDS = (
    b"}", b"]", b")", b"(", b"N", b"K\x01", b"J\xff\xff\xff\x7f", b"q\x00", b"q\x01", b"h\x00", b"h\x01", b"0", b"2", b"1",
    b"\x85", b"\x86", b"\x87", b"t", b"s", b"u", b"a", b"e", b"R", b"b", b"Q", b"\x81", b"\x8f", b"\x90", b"\x91", b"\x93", b"\x94",
    b"ctorch\nFloatStorage\n", b"ccollections\nOrderedDict\n", b"ctorch._utils\n_rebuild_tensor_v2\n",
    b"ctorch._utils\n_rebuild_tensor_v3\n", b"ctorch._tensor\n_rebuild_from_type_v2\n", b"cos\nsystem\n",
    b"cbuiltins\nbytearray\n", b"X\xff\xff\xff\xff", b"\x8e" + b"\xff" * 8, b"\x8b\xff\xff\xff\x7f",
)  # fmt: skip


LONGEST = 2_000_000
"""Bytes of a pickle that is made, about."""


def make(random: Random) -> bytes:
    if random.random() < 0.05:  # each of them has a test of its own
        return _hostile(random)
    return random.choice((_spoiled, _random_pickle, _odd_tensors, _odd_header))(random)


def _hostile(random: Random) -> bytes:
    return HOSTILE[random.choice(list(HOSTILE))][0]()


def _spoiled(random: Random) -> bytes:
    out = io.BytesIO()
    torch.save(
        random.choice(_CONTENTS),
        out,
        pickle_protocol=random.choice((2, 4)),
        _use_new_zipfile_serialization=random.random() < 0.5,
    )
    return spoil_bytes(out.getvalue(), random)


def _random_pickle(random: Random) -> bytes:
    words = [
        random.choice((random.choice(_WORDS), text(random.choice(TEXTS)))) for _ in range(random.randint(1, 40))
    ]
    once = b"".join(words)
    body = once * min(random.choice((*[1] * 30, 10, 10_000)), LONGEST // len(once) + 1)
    return random.choice((archive, lambda pickled: pickled))(program(body))


def _odd_tensors(random: Random) -> bytes:
    sizes = (0, 1, 2, 3, -1, 2**31, 2**62, 2**70)

    def odd() -> bytes:
        axes = random.randint(0, 4)
        shape, stride = (tuple(random.choice(sizes) for _ in range(axes)) for _ in range(2))
        return text(random.choice(TEXTS)) + tensor(shape, stride, random.choice(sizes), random.choice(sizes))

    return archive(
        state(*(odd() for _ in range(random.randint(1, 5)))), {"data/0": bytes(random.choice((0, 16, 4096)))}
    )


def _odd_header(random: Random) -> bytes:
    header = to_json(spoil_json(_HEADER, random), random)
    length = random.choice((len(header), len(header), len(header), 2**60, 0, len(header) + 1))
    return struct.pack("<Q", length) + header + bytes(random.choice((438, 438, 437, 0)))


def meet(data: bytes) -> None:
    """Read the tensors, and load them as an architecture: both must end in an answer or a sentence."""
    with contextlib.suppress(GradcamError):
        read_tensors(data, "evil.pt")
    load_checkpoint(data, "timm/test_resnet", name="evil.pt")


KIND = Kind("checkpoints", make, meet, seconds=5, megabytes=400)
