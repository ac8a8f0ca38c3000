"""A weight file is read without running anything in it, and one that lies costs a sentence, not time or memory."""

# ruff: noqa: E501 (a table with a row for each kind of file)
from __future__ import annotations

import argparse
import collections
import datetime
import io
import json
import os
import pickle
import pickletools
import resource
import struct
import tarfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from gradcam import ModelError, load_checkpoint, load_classifier
from gradcam.models.pickles import MAX_STEPS
from gradcam.models.weight_files import read_tensors

SECONDS = 5.0
"""CPU time that one file may take; the worst takes two on two busy cores. Memory is measured by `tests.fuzz`."""


def saved(content: object, **options: Any) -> bytes:
    out = io.BytesIO()
    torch.save(content, out, **options)
    return out.getvalue()


def archive(pickled: bytes, members: dict[str, bytes] | None = None, packed: bool = False) -> bytes:
    """A file as `torch.save` writes it, with any pickle and storages in it."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED) as writer:
        writer.writestr("a/data.pkl", pickled)
        for name, data in (members or {}).items():
            writer.writestr(f"a/{name}", data)
    return out.getvalue()


def program(body: bytes) -> bytes:
    return b"\x80\x02" + body + b"."


def text(value: str) -> bytes:
    data = value.encode("utf-8", "surrogatepass")
    return b"X" + struct.pack("<I", len(data)) + data


def whole(value: int) -> bytes:
    data = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    return b"\x8a" + bytes([len(data)]) + data


def row(values: tuple[int, ...]) -> bytes:
    return b"(" + b"".join(map(whole, values)) + b"t"


def tensor(
    shape: tuple[int, ...], stride: tuple[int, ...], offset: int = 0, count: int = 4, key: str = "0"
) -> bytes:
    """A call of `_rebuild_tensor_v2` with a storage of so many float32."""
    storage = b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text(key) + text("cpu") + whole(count) + b"tQ"
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + whole(offset) + row(shape) + row(stride) + b"\x89NtR"


def state(*items: bytes) -> bytes:
    return program(b"}(" + b"".join(items) + b"u")


def header(entries: object, data: int = 16, pad: int = 0) -> bytes:
    written = entries if isinstance(entries, bytes) else json.dumps(entries).encode()
    return struct.pack("<Q", len(written) + pad) + written + bytes(data)


# What is read -------------------------------------------------------------------------------------------------

WAYS = ({}, {"_use_new_zipfile_serialization": False}, {"pickle_protocol": 4}, {"pickle_protocol": 5})


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_tensors_of_every_kind_come_back_as_they_were_saved(way: dict[str, Any]) -> None:
    kinds: dict[str, Tensor] = {
        str(kind): torch.arange(6).reshape(2, 3).to(kind)
        for kind in (
            torch.float32,
            torch.float64,
            torch.float16,
            torch.bfloat16,
            torch.int64,
            torch.int32,
            torch.uint8,
        )
    }
    kinds |= {
        "float8": torch.ones(3).to(torch.float8_e4m3fn),
        "number": torch.tensor(3.0),
        "empty": torch.empty(0, 5),
        "turned": torch.arange(20.0).reshape(4, 5).t(),
        "part": torch.arange(100.0).reshape(10, 10)[2:4, 3:5],
        "parameter": nn.Parameter(torch.ones(2)),
        "channels last": torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last),
        "truth": torch.tensor([True, False]),
    }
    found = read_tensors(saved(kinds, **way))
    assert list(found) == list(kinds)
    assert all(torch.equal(found[key].double(), value.double()) for key, value in kinds.items())
    assert all(found[key].dtype is value.dtype for key, value in kinds.items())


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_what_training_scripts_put_beside_the_tensors_is_stepped_over(way: dict[str, Any]) -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.randn(5, 3)).sum().backward()
    optimizer.step()
    checkpoint = {
        "epoch": np.int64(3),
        "best": np.float32(0.7),
        "args": argparse.Namespace(
            path=Path("runs"), when=datetime.datetime(2026, 1, 1), rate=1e-3, classes={"cat", "dog"}, act=nn.ReLU
        ),
        "meters": collections.defaultdict(list, {"loss": [1.0], 3: 2}),
        "counts": collections.Counter("aab"),
        "history": np.linspace(0, 1, 1000),
        "random": (torch.get_rng_state(), np.random.default_rng(0).bit_generator.state, 2**200),
        "kinds": (
            torch.float16,
            torch.device("cpu"),
            torch.Size([1, 2]),
            frozenset([3]),
            1j,
            b"bytes",
            bytearray(3),
        ),
        "state_dict": model.state_dict(),
        "optimizer": optimizer.state_dict(),
    }
    found = read_tensors(saved(checkpoint, **way), "model_best.pth.tar")
    assert all(torch.equal(found[key], value) for key, value in model.state_dict().items())
    assert found._metadata == model.state_dict()._metadata  # pyright: ignore[reportAttributeAccessIssue]


def test_safetensors_are_read_as_their_own_library_reads_them(tmp_path: Path) -> None:
    tensors = {"a": torch.randn(2, 3), "b": torch.arange(5), "c": torch.empty(0, 3), "d": torch.ones(3).bfloat16()}
    safetensors.torch.save_file(tensors, tmp_path / "x.safetensors", {"format": "pt"})
    found = read_tensors(tmp_path / "x.safetensors")
    assert found.keys() == tensors.keys()
    assert all(torch.equal(found[key], value) for key, value in tensors.items())


def test_only_the_tensors_that_are_wanted_are_brought_to_memory(tmp_path: Path) -> None:
    torch.save({"state_dict": {"a": torch.ones(4)}, "optimizer": torch.zeros(50_000_000)}, tmp_path / "x.pt")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert read_tensors(tmp_path / "x.pt")["a"].tolist() == [1, 1, 1, 1]
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000


@pytest.mark.parametrize("way", [*WAYS, None], ids=str)
def test_pages_of_a_file_hold_what_reading_it_gives_and_never_change_it(
    way: dict[str, Any] | None, tmp_path: Path
) -> None:
    tensors = {
        "odd": torch.arange(3, dtype=torch.uint8),  # what follows it is not aligned in an older file
        "double": torch.arange(4.0, dtype=torch.float64),
        "turned": torch.arange(20.0).reshape(4, 5).t().contiguous()
        if way is None
        else torch.arange(20.0).reshape(4, 5).t(),
        "number": torch.tensor(3.0),
        "empty": torch.empty(0, 5),
    }
    file = tmp_path / "x.bin"
    file.write_bytes(safetensors.torch.save(tensors) if way is None else saved(tensors, **way))
    before = file.read_bytes()
    for found in (read_tensors(file, mapped=True), read_tensors(before, mapped=True)):
        assert all(torch.equal(found[key], value) for key, value in tensors.items())
        assert all(found[key].stride() == value.stride() for key, value in tensors.items())
        for tensor in found.values():
            tensor.zero_()
    assert file.read_bytes() == before


def test_a_large_file_is_not_brought_to_memory_before_it_is_used(tmp_path: Path) -> None:
    torch.save({"w": torch.zeros(50_000_000)}, tmp_path / "x.pt")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert read_tensors(tmp_path / "x.pt", mapped=True)["w"][7] == 0
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000


@pytest.mark.parametrize("model", ["timm/test_resnet", "torchvision/squeezenet1_1", "checkpoint"])
def test_a_model_does_not_change_when_its_file_is_written_anew(model: str, tmp_path: Path) -> None:
    name = "timm/test_resnet" if model == "checkpoint" else model
    file = tmp_path / "x.pt"
    torch.save(load_classifier(name, weights="random", device="cpu").module.state_dict(), file)
    if model == "checkpoint":
        classifier = load_checkpoint(file, name, device="cpu")
    else:
        classifier = load_classifier(name, weights=file, device="cpu")
    before = {key: tensor.clone() for key, tensor in classifier.module.state_dict().items()}
    with file.open("r+b") as opened:
        opened.write(bytes(file.stat().st_size))
    assert all(torch.equal(before[key], tensor) for key, tensor in classifier.module.state_dict().items())


# What is refused ----------------------------------------------------------------------------------------------

KEY = text("w")
DAMAGED = "damaged"
SHARED = b"h\x00h\x00\x86q\x000"
"""A tuple of the memo's first value, twice, kept in its place: 60 of these have 2^60 leaves."""

HOSTILE: dict[str, tuple[Callable[[], bytes], str]] = {
    "hashing 2^60 leaves": (lambda: archive(program(b"})q\x000" + SHARED * 60 + b"h\x00K\x01s")), "none"),
    "the same, not zipped": (lambda: program(b"})q\x000" + SHARED * 60 + b"h\x00K\x01s"), "a pickled dict"),
    "a set of them": (lambda: archive(program(b")q\x000" + SHARED * 60 + b"\x8f(h\x00\x90")), "none"),
    "a billion laughs": (lambda: archive(program(b"]q\x00" + b"](h\x00h\x00eq\x00" * 60)), "none"),
    "bytearray(2e9)": (lambda: archive(program(b"cbuiltins\nbytearray\nJ\x00\x945w\x85R")), "bytearray"),
    "text longer than the file": (lambda: archive(program(b"X\xff\xff\xff\xff")), DAMAGED),
    "bytes of 2^62": (lambda: archive(program(b"\x8e" + struct.pack("<Q", 2**62))), DAMAGED),
    "a bytearray of 2^62": (lambda: archive(program(b"\x96" + struct.pack("<Q", 2**62))), DAMAGED),
    "a number longer than the file": (lambda: archive(program(b"\x8b\xff\xff\xff\x7f")), DAMAGED),
    "a number of 20 MB": (lambda: archive(program(b"\x8b" + struct.pack("<I", 20_000_000) + b"\x7f" * 20_000_000)), "none"),
    "text of 20 MB": (lambda: archive(program(text("\U0001f600" + "a" * 20_000_000))), "none"),
    "400,000 brackets": (lambda: archive(program(b"]" * 400_000 + b"a" * 399_999)), "none"),
    "900,000 tuples in one another": (lambda: archive(program(b")" + b"\x85" * 900_000)), "none"),
    "900,000 marks": (lambda: archive(program(b"(" * 900_000)), DAMAGED),
    "instructions without end": (lambda: archive(program(b"N0" * 5_000_000)), "1,000,000 pickled instructions"),
    "pairs given over and over": (
        lambda: archive(
            program(
                b"](" + (b"(" + text("a") + b"Nt") * 50_000 + b"eq\x00"
                + b"ccollections\nOrderedDict\nh\x00\x85R0" * 100_000
            )
        ),
        "1,000,000 pickled instructions",
    ),
    "an unknown instruction": (lambda: archive(program(b"\xff")), DAMAGED),
    "a text protocol": (lambda: pickle.dumps({"w": 1}, protocol=0), DAMAGED),
    "nothing on the stack": (lambda: archive(program(b"s")), DAMAGED),
    "a memo that is empty": (lambda: archive(program(b"h\x07")), DAMAGED),
    "a stop too early": (lambda: archive(b"\x80\x02."), DAMAGED),
    "a call of eval": (lambda: archive(program(b"cbuiltins\neval\n" + text("1") + b"\x85R")), "a pickled call of builtins.eval"),
    "a call by the stack": (lambda: archive(program(text("os") + text("system") + b"\x93" + text("id") + b"\x85R")), "os.system"),
    "a name without end": (lambda: archive(program(b"c" + b"a" * 5_000_000)), DAMAGED),
    "a tensor of 2^40 over 4 numbers": (lambda: archive(state(KEY, tensor((2**40,), (0,))), {"data/0": bytes(16)}), "repeated"),
    "64 axes of 2^61": (lambda: archive(state(KEY, tensor((2**61,) * 64, (0,) * 64)), {"data/0": bytes(16)}), "repeated"),
    "a negative stride": (lambda: archive(state(KEY, tensor((4,), (-1,))), {"data/0": bytes(16)}), DAMAGED),
    "a negative offset": (lambda: archive(state(KEY, tensor((2,), (1,), -2)), {"data/0": bytes(16)}), DAMAGED),
    "a negative size": (lambda: archive(state(KEY, tensor((-4,), (1,))), {"data/0": bytes(16)}), DAMAGED),
    "a stride beyond its storage": (lambda: archive(state(KEY, tensor((2,), (2**40,))), {"data/0": bytes(16)}), DAMAGED),
    "a storage larger than its member": (lambda: archive(state(KEY, tensor((8,), (1,), 0, 8)), {"data/0": bytes(16)}), DAMAGED),
    "a storage that is not there": (lambda: archive(state(KEY, tensor((4,), (1,), key="7"))), DAMAGED),
    "a storage of 2^61": (lambda: archive(state(KEY, tensor((2**61,), (1,), 0, 2**61)), {"data/0": bytes(16)}), DAMAGED),
    "a storage by a strange name": (lambda: archive(state(KEY, tensor((4,), (1,), key="../data.pkl"))), DAMAGED),
    "three axes, two strides": (lambda: archive(state(KEY, tensor((1, 2, 2), (2, 1))), {"data/0": bytes(16)}), DAMAGED),
    "ten thousand views of one storage": (
        lambda: archive(
            state(*(text(f"w{n}") + tensor((2_000_000,), (1,), 0, 2_000_000) for n in range(10_000))),
            {"data/0": bytes(8_000_000)},
        ),
        "repeated",
    ),
    "two numbers far apart, often": (
        lambda: archive(
            state(*(text(f"w{n}") + tensor((2,), (1_999_999,), 0, 2_000_000) for n in range(10_000))),
            {"data/0": bytes(8_000_000)},
        ),
        "repeated",
    ),
    "a surrogate in a name": (
        lambda: archive(state(text("w\ud800"), tensor((4,), (1,))), {"data/0": bytes(16)}), r"with the name 'w\\ud800'",
    ),
    "a name that turns text around": (
        lambda: archive(state(text("\u202ew\n"), tensor((4,), (1,))), {"data/0": bytes(16)}), r"with the name '\\u202ew\\n'",
    ),
    "a name of 900 letters": (
        lambda: archive(state(text("w" * 900), tensor((4,), (1,))), {"data/0": bytes(16)}), "with the name 'www",
    ),
    "names that are no text": (lambda: archive(state(b"K\x01", tensor((4,), (1,))), {"data/0": bytes(16)}), "none"),
    "60,000 tensors": (
        lambda: archive(
            program(b"}q\x00" + tensor((), ()) + b"q\x010h\x00("
                    + b"".join(text(f"w{n}") + b"h\x01" for n in range(60_000)) + b"u"),
            {"data/0": bytes(16)},
        ),
        "60,000 of them, more than 50,000",
    ),
    "a packed archive": (lambda: archive(state(), {"data/0": bytes(50_000_000)}, packed=True), "a packed archive"),
    "200,000 members": (lambda: directory(200_000), "table of contents takes more than 4 MB"),
    "two pickles": (lambda: archive(state(), {"../b/data.pkl": b""}), DAMAGED),
    "a directory that lies": (lambda: archive(state())[:-10] + b"\xff" * 10, DAMAGED),
    "a TorchScript program": (lambda: archive(state(), {"constants.pkl": b""}), "TorchScript"),
    "big-endian numbers": (lambda: archive(state(), {"byteorder": b"big"}), "another order"),
    "a tar archive": (lambda: tar(), "a tar archive"),
    "half an older file": (lambda: saved({"w": torch.ones(9)}, _use_new_zipfile_serialization=False)[:-9], DAMAGED),
    "an older file whose storage lies": (
        lambda: saved({"w": torch.ones(9)}, _use_new_zipfile_serialization=False).replace(
            struct.pack("<Q", 9) + struct.pack("<f", 1), struct.pack("<Q", 2**60) + struct.pack("<f", 1)
        ), DAMAGED,
    ),
    "a header of 2^60": (lambda: struct.pack("<Q", 2**60) + b"{}", DAMAGED),
    "a header of 100 MB": (lambda: struct.pack("<Q", 100_000_000) + b"{" + b" " * 100_000_000, DAMAGED),
    "a header that nests": (lambda: header(b'{"a":' + b"[" * 1_000_000), DAMAGED),
    "a header with a number of 5,000 digits": (lambda: header(b'{"a":' + b"9" * 5000 + b"}"), DAMAGED),
    "a header that is a list": (lambda: header([]), DAMAGED),
    "NaN in a header": (lambda: header(b'{"__metadata__": NaN}'), DAMAGED),
    "an unknown kind of number": (lambda: header({"w": {"dtype": "F12", "shape": [4], "data_offsets": [0, 16]}}), DAMAGED),
    "a kind of number that is a list": (lambda: header({"w": {"dtype": [], "shape": [4], "data_offsets": [0, 16]}}), DAMAGED),
    "a shape of another size": (lambda: header({"w": {"dtype": "F32", "shape": [5], "data_offsets": [0, 16]}}), DAMAGED),
    "a shape of 10^40": (lambda: header({"w": {"dtype": "F32", "shape": [10**40], "data_offsets": [0, 16]}}), DAMAGED),
    "a shape of fractions": (lambda: header({"w": {"dtype": "F32", "shape": [4.0], "data_offsets": [0, 16]}}), DAMAGED),
    "a shape of text": (lambda: header({"w": {"dtype": "F32", "shape": "4", "data_offsets": [0, 16]}}), DAMAGED),
    "tensors over one another": (
        lambda: header({n: {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]} for n in "ab"}), DAMAGED,
    ),
    "a gap between tensors": (lambda: header({"w": {"dtype": "F32", "shape": [2], "data_offsets": [8, 16]}}), DAMAGED),
    "bytes after the tensors": (lambda: header({"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}), DAMAGED),
    "the same name twice": (
        lambda: header(
            b'{"w":{"dtype":"F32","shape":[4],"data_offsets":[0,16]},"w":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}'
        ), DAMAGED,
    ),
    "a surrogate in a header": (
        lambda: header({"\ud800": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}), r"'\\ud800'",
    ),
    "no bytes": (lambda: b"", DAMAGED),
    "seven bytes": (lambda: b"1234567", DAMAGED),
}  # fmt: skip


def directory(members: int) -> bytes:
    """An archive with one tiny member that its table of contents names over and over."""
    data = archive(state())
    at = data.rindex(b"PK\5\6")
    start = struct.unpack("<I", data[at + 16 : at + 20])[0]
    table = data[start:at] * members
    return data[:start] + table + data[at : at + 12] + struct.pack("<II", len(table), start) + bytes(2)


def tar() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as writer:
        writer.addfile(tarfile.TarInfo("pickle"))
    return out.getvalue()


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_file_costs_a_sentence(kind: str, tmp_path: Path) -> None:
    make, sentence = HOSTILE[kind]
    (tmp_path / "evil.pt").write_bytes(make())

    start = time.process_time()
    with pytest.raises(ModelError, match=sentence) as caught:
        read_tensors(tmp_path / "evil.pt")
    assert time.process_time() - start < SECONDS
    said = str(caught.value)
    assert said.startswith("expected the tensors of a model in 'evil.pt', got ")
    assert said.endswith("; save the model's state_dict(), best as .safetensors")
    assert len(said) < 500
    assert said.isprintable()


CASES = Path(__file__).parents[1] / "data" / "weights"


@pytest.mark.parametrize("name", ["hashbomb.pt", "bytearray.pt"])
def test_the_files_that_froze_a_server_are_refused(name: str) -> None:
    with pytest.raises(ModelError, match=f"in '{name}', got a pickled"):
        read_tensors(CASES / name)


class _Trap:
    """Unpickling it makes a folder."""

    def __init__(self, path: Path, act: Callable[..., Any] = os.mkdir) -> None:
        self.path, self.act = path, act

    def __reduce__(self):
        return self.act, (str(self.path),)


def make_folder(path: str) -> None:
    Path(path).mkdir()


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_nothing_in_a_file_is_called_or_imported_however_unknown_it_is(way: dict[str, Any], tmp_path: Path) -> None:
    trap = _Trap(tmp_path / "pwned", make_folder)
    found = read_tensors(saved({"state_dict": {"w": torch.ones(2)}, "args": trap}, **way))
    assert found["w"].tolist() == [1, 1]
    assert not (tmp_path / "pwned").exists()


def test_the_limit_on_instructions_leaves_room_for_large_checkpoints() -> None:
    state = {f"blocks.{n}.weight": torch.ones(1) for n in range(3000)}
    optimizer = {
        "state": {n: {"exp_avg": torch.ones(1), "exp_avg_sq": torch.ones(1), "step": n} for n in range(3000)}
    }
    with zipfile.ZipFile(io.BytesIO(saved({"model": state, "optimizer": optimizer}))) as opened:
        steps = sum(1 for _ in pickletools.genops(opened.read("archive/data.pkl")))
    assert steps < MAX_STEPS / 2
