"""What people said, carried from one store to another: a row a line, as JSON."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from typing import Any, BinaryIO, get_args

import msgspec
import sqlalchemy as sa

from gradcam.errors import ReviewError, quoted
from gradcam.reviews.model import NEEDED_SIGNATURES, Kind
from gradcam.reviews.rows import rows_of
from gradcam.reviews.tables import CARRIED, SAME
from gradcam.statuses import STATUSES

ALLOWED: Mapping[str, Callable[[Mapping[str, Any]], Container[object]]] = {
    "signatures": lambda row: NEEDED_SIGNATURES,
    "kind": lambda row: get_args(Kind),
    "subject_kind": lambda row: STATUSES,
    "status": lambda row: STATUSES.get(row["subject_kind"], ()),
}
"""What a column may say in a row, whatever its table."""


def write_rows(connection: sa.Connection, file: BinaryIO) -> int:
    """Write every row of `CARRIED`. Returns: how many."""
    count = 0
    for table in CARRIED:
        columns = [column for column in table.c if column.name != "number"]
        for row in rows_of(connection, sa.select(*columns).order_by(table.c.number)):
            named = {"table": str(table.name)} | {str(name): value for name, value in row.items()}
            file.write(msgspec.json.encode(named) + b"\n")
            count += 1
    return count


def add_rows(connection: sa.Connection, file: BinaryIO) -> int:
    """Add the rows of an export that are not there yet. Returns: how many.

    Raises: ReviewError for a line that is no row, or says something else than the row of the same id.
    """
    tables = {table.name: table for table in CARRIED}
    here: dict[Any, str] = {}  # ids of what the store has under another id
    added = 0
    for number, line in enumerate(file, start=1):
        name, row = _imported(line, number, tables)
        table = tables[name]
        for column in table.c:
            if column.foreign_keys:
                row[column.name] = here.get(row[column.name], row[column.name])
        known = connection.execute(sa.select(table).where(table.c.id == row["id"])).mappings().first()
        if known is None and (same := _same(connection, table, row)):
            here[row["id"]] = same
        elif known is None:
            connection.execute(table.insert(), [row])
            added += 1
        elif any(known[key] != value for key, value in row.items()):
            raise ReviewError(
                f"expected in line {number} what is kept under {row['id']}, got something else; "
                "nothing was imported"
            )
    return added


def _same(connection: sa.Connection, table: sa.Table, row: Mapping[str, Any]) -> str | None:
    """The id of what the store has already and an imported row is too."""
    if table not in SAME:
        return None
    alike = (table.c[name] == row[name] for name in SAME[table])
    return connection.execute(sa.select(table.c.id).where(*alike)).scalar()


def _imported(line: bytes, number: int, tables: dict[str, sa.Table]) -> tuple[str, dict[str, Any]]:
    """The table of a line of an export, and its row. Raises: ReviewError."""
    wrong = f"expected a row of an export in line {number}, got {quoted(line[:80])}; nothing was imported"
    try:
        row = msgspec.json.decode(line, type=dict[str, str | int | bool | None])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ReviewError(wrong) from error
    name = row.pop("table", None)
    if name not in tables:
        raise ReviewError(wrong)
    later: Mapping[str, None] = {column.name: None for column in tables[name].c if column.nullable}
    row = {**later, **row}  # an earlier version did not know of these
    if row.keys() != {column.name for column in tables[name].c} - {"number"} or not _is_sound(tables[name], row):
        raise ReviewError(wrong)
    return str(name), row


def _is_sound(table: sa.Table, row: Mapping[str, Any]) -> bool:
    """Whether a row holds only what the store itself would have written: nothing is ever taken out of it again."""
    typed = all(
        type(row[column.name]) is column.type.python_type or (column.nullable and row[column.name] is None)
        for column in table.c
        if column.name != "number"
    )
    return typed and all(row[name] in allowed(row) for name, allowed in ALLOWED.items() if name in row)
