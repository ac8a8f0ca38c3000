"""Shards: the results of one batch of one column, as Parquet that is the same wherever and whenever it is made.

A row is a unit: photo × method × target. Arrays are tensors of float16 (maps of float32 where the plan says so)
with the scale that they were divided by beside them, so that faint and strong ones keep as many digits.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import parquet

from gradcam.runs.plan import MapType
from gradcam.types import View

Values = NDArray[np.float32]

TOP = 10
"""Predictions that are kept of each photo, the most probable first."""

_NUMBERS = pa.schema(
    [
        pa.field("photo", pa.int64(), nullable=False),
        pa.field("path", pa.string(), nullable=False),
        pa.field("photo_sha256", pa.string(), nullable=False),
        pa.field("height", pa.int32(), nullable=False),
        pa.field("width", pa.int32(), nullable=False),
        pa.field("method", pa.string(), nullable=False),
        pa.field("target", pa.string(), nullable=False),
        pa.field("key", pa.string()),
        pa.field("reason", pa.string()),
        pa.field("class", pa.int32()),
        pa.field("class_name", pa.string()),
        pa.field("against", pa.int32()),
        pa.field("score", pa.float64()),
        pa.field("probability", pa.float64()),
        pa.field("rank", pa.int32()),
        pa.field("label_class", pa.int32()),
        pa.field("top", pa.list_(pa.int32())),
        pa.field("top_logits", pa.list_(pa.float32())),
        pa.field("top_probabilities", pa.list_(pa.float32())),
        pa.field("view", pa.list_(pa.float64(), 4)),
        pa.field("peak", pa.float32()),
        pa.field("mean", pa.float32()),
        pa.field("positive", pa.float32()),
        pa.field("outside_box", pa.float32()),
        pa.field("on_border", pa.float32()),
    ]
)
"""The columns of a unit but for its arrays. `key` is the digest of its `PanelKey`; a unit that failed has a
`reason` and no numbers. `view` is the box of the input on the photo; `outside_box` and `on_border` are shares of
the heat."""

ARRAYS = ("map", "contributions", "means", "earlier", "earlier_spread")
"""The arrays of a unit. Only the first unit of each photo has the last three."""


@dataclass(frozen=True, eq=False)
class Result:
    """One unit, ready to be written: its numbers and arrays by name, and a JPEG of its map."""

    numbers: Mapping[str, Any]
    arrays: Mapping[str, Values] = field(default_factory=dict)
    preview: bytes | None = None


@dataclass(frozen=True)
class Encoded:
    """A batch of one column as bytes. rows: its units. previews: the file of previews, if the run wants one."""

    rows: int
    shard: bytes
    previews: bytes | None = None


def encode(results: Sequence[Result], maps: MapType, about: Mapping[str, str], previews: bool = False) -> Encoded:
    """Encode a batch of a column. about: the shard's metadata. previews: whether to encode previews too."""
    names = _NUMBERS.names
    columns: dict[str, Any] = {
        name: pa.array([result.numbers.get(name) for result in results], _NUMBERS.field(name).type)
        for name in names
    }
    for name in ARRAYS:
        dtype = np.dtype(maps if name == "map" else "float16")
        columns[name], columns[f"{name}_scale"] = _tensors([r.arrays.get(name) for r in results], dtype)
    table = pa.table(columns).replace_schema_metadata(dict(sorted(about.items())))
    kept = pa.table({"jpeg": pa.array([result.preview for result in results], pa.binary())}) if previews else None
    return Encoded(len(table), _parquet(table, "zstd"), None if kept is None else _parquet(kept, "none"))


def _parquet(table: pa.Table, compression: str) -> bytes:
    file = io.BytesIO()
    parquet.write_table(table, file, compression=compression, row_group_size=max(len(table), 1))
    return file.getvalue()


def read_previews(path: str) -> list[bytes | None]:
    """Each unit's preview as JPEG; None for a unit without one."""
    return parquet.read_table(path)["jpeg"].to_pylist()


def read_numbers(data: bytes | str) -> list[dict[str, Any]]:
    """The units of a shard without their arrays. data: its bytes, or its path."""
    return parquet.read_table(_source(data), columns=_NUMBERS.names).to_pylist()


def read_arrays(data: bytes | str, name: str) -> list[Values | None]:
    """One of `ARRAYS` for each unit, float32 in its own units; None for a unit without it."""
    table = parquet.read_table(_source(data), columns=[name, f"{name}_scale"])
    column = table[name].combine_chunks()
    scales = table[f"{name}_scale"].to_pylist()
    shape = tuple(column.type.shape)
    found = iter(column.storage.flatten().to_numpy(zero_copy_only=False).reshape(-1, *shape))
    return [None if scale is None else next(found).astype(np.float32) * np.float32(scale) for scale in scales]


def box_of(view: View) -> list[float]:
    return [float(side) for side in view.box]


def _source(data: bytes | str) -> Any:
    return io.BytesIO(data) if isinstance(data, bytes) else data


def _tensors(arrays: Sequence[Values | None], dtype: np.dtype[Any]) -> tuple[pa.Array, pa.Array]:
    """Arrays of one shape as a column of tensors, and a column of their scales; null for a missing array.

    A float16 array is divided by the next power of two above its largest value, so that no digit is lost.
    """
    shape = next((array.shape for array in arrays if array is not None), (1,))
    scales = [1.0 if array is None or dtype != np.float16 else _scale(array) for array in arrays]
    missing = np.array([array is None for array in arrays])
    filled = np.zeros((len(arrays), *shape), dtype)
    for row, array, scale in zip(filled, arrays, scales, strict=True):
        if array is not None:
            row[...] = array / scale
    value_type = pa.from_numpy_dtype(dtype)
    size = int(np.prod(shape))
    storage = pa.FixedSizeListArray.from_arrays(
        pa.array(filled.reshape(-1), value_type),
        size,
        mask=pa.array([array is None for array in arrays], pa.bool_()),
    )
    tensors = pa.ExtensionArray.from_storage(pa.fixed_shape_tensor(value_type, shape), storage)
    return tensors, pa.array(scales, pa.float32(), mask=missing)


def _scale(array: Values) -> float:
    """The power of two that brings the largest value between 0.5 and 1; 1 for zeros."""
    largest = float(np.abs(array).max(initial=0))
    return float(2.0 ** np.clip(np.ceil(np.log2(largest)), -100, 100)) if largest > 0 else 1.0
