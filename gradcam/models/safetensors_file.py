"""Files of the format safetensors: a JSON header, then the numbers of every tensor.

Source: https://huggingface.co/docs/safetensors
"""

from __future__ import annotations

from math import prod
from typing import Any, BinaryIO

import torch

from gradcam import strict_json
from gradcam.models.pickles import PickleError
from gradcam.models.stored_tensors import MAX_AXES, Source, Storage, StoredTensor, are_sizes, check_inside

MAX_HEADER = 8_000_000
"""Bytes of the header."""

_DTYPES = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn, "F8_E5M2": torch.float8_e5m2, "BOOL": torch.bool,
    "I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8,
    "U64": torch.uint64, "U32": torch.uint32, "U16": torch.uint16, "U8": torch.uint8, "C64": torch.complex64,
}  # fmt: skip


def read_safetensors(source: Source, opened: BinaryIO) -> dict[str, Any]:
    """A header of JSON says where each tensor lies; together they fill the rest of the file, without a gap.

    Raises: PickleError for a header that is damaged or lies.
    """
    length = int.from_bytes(opened.read(8), "little")
    if not 2 <= length <= min(MAX_HEADER, source.size - 8):
        raise PickleError
    try:
        header = strict_json.loads(opened.read(length), parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise PickleError from error
    check_inside(isinstance(header, dict))
    header.pop("__metadata__", None)
    tensors = {key: _of_header(source, 8 + length, entry) for key, entry in header.items()}
    end = 8 + length
    for tensor in sorted(tensors.values(), key=lambda tensor: (tensor.storage.start, tensor.cost)):
        check_inside(tensor.storage.start == end)
        end += tensor.cost
    check_inside(end == source.size)
    return tensors


def _of_header(source: Source, data: int, entry: Any) -> StoredTensor:
    try:
        dtype, shape, (start, end) = _DTYPES[entry["dtype"]], tuple(entry["shape"]), entry["data_offsets"]
    except (KeyError, TypeError, ValueError) as error:
        raise PickleError from error
    check_inside(are_sizes((start, end, *shape)) and start <= end and len(shape) <= MAX_AXES)
    stored = StoredTensor(source, Storage(dtype, end - start, data + start), 0, shape, _contiguous(shape), dtype)
    check_inside(start + stored.cost == end)
    return stored


def _refuse(constant: str) -> None:
    raise PickleError


def _contiguous(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(prod(shape[axis + 1 :]) for axis in range(len(shape)))
