"""What people said, carried from one store to another: a row a line, as JSON."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO, get_args

import msgspec
import sqlalchemy as sa

from gradcam.errors import GradcamError, ReviewError, quoted
from gradcam.keys import read_public_key
from gradcam.reviews.model import NEEDED_SIGNATURES, Kind, Subject
from gradcam.reviews.rows import checked_name, checked_text, rows_of
from gradcam.reviews.tables import EARLIER_ROWS, EXPORTED, SAME, TRUSTED_KEYS
from gradcam.signatures import read_signature
from gradcam.statuses import STATUSES

_ID, _SHA256 = re.compile(r"[0-9a-f]{32}"), re.compile(r"[0-9a-f]{64}")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", re.ASCII)

SOUND: Mapping[str, Callable[[Mapping[str, Any], Any], object]] = {
    "id": lambda row, value: _ID.fullmatch(value),
    "at": lambda row, value: _TIME.fullmatch(value),
    "evidence": lambda row, value: _SHA256.fullmatch(value),
    "signatures": lambda row, value: value in NEEDED_SIGNATURES,
    "kind": lambda row, value: value in get_args(Kind),
    "subject": lambda row, value: Subject(row["subject_kind"], value),
    "status": lambda row, value: value in STATUSES[row["subject_kind"]],
    "note": lambda row, value: checked_text(value) == value,
    "text": lambda row, value: checked_text(value).strip(),
    "signature": lambda row, value: read_signature(value.encode(), ""),
    "key": lambda row, value: read_public_key(value.encode(), ""),
} | {
    name: lambda row, value: checked_name(value, "a name") == value for name in ("by", "name", "title", "reviewer")
}
"""Whether a column may say something in a row, whatever its table: it is false then, or raises a GradcamError."""


def write_rows(connection: sa.Connection, file: BinaryIO) -> int:
    """Write every row of `EXPORTED`. Returns: how many."""
    count = 0
    for table in EXPORTED:
        columns = [column for column in table.c if column.name != "number"]
        for row in rows_of(connection, sa.select(*columns).order_by(table.c.number)):
            named = {"table": str(table.name)} | {str(name): value for name, value in row.items()}
            file.write(msgspec.json.encode(named) + b"\n")
            count += 1
    return count


def add_rows(connection: sa.Connection, file: BinaryIO) -> int:
    """Add the rows of an export that are not there yet. Returns: how many.

    Raises: ReviewError for a line that is no row, says something else than the row of the same id, supersedes what
    somebody else said, or has a project of this store trust a key that it does not trust yet.
    """
    tables = {table.name: table for table in EXPORTED}
    here: dict[Any, str] = {}  # ids of what the store has under another id
    new: set[Any] = set()  # ids of the rows that are added
    for number, line in enumerate(file, start=1):
        name, row = _imported(line, number, tables)
        table = tables[name]
        for column in table.c:
            if column.foreign_keys:
                row[column.name] = here.get(row[column.name], row[column.name])
        known = _row_of(connection, table, row["id"])
        if known is None and (same := _same(connection, table, row)):
            here[row["id"]] = same
        elif known is None:
            _check_earlier(connection, table, row, number)
            if table is TRUSTED_KEYS and row["project"] not in new:
                _check_trusted(connection, row, number)
            connection.execute(table.insert(), [row])
            new.add(row["id"])
        elif any(known[key] != value for key, value in row.items()):
            raise ReviewError(
                f"expected in line {number} what is kept under {row['id']}, got something else; "
                "nothing was imported"
            )
    return len(new)


def _row_of(connection: sa.Connection, table: sa.Table, id: str) -> sa.RowMapping | None:
    return connection.execute(sa.select(table).where(table.c.id == id)).mappings().first()


def _check_earlier(connection: sa.Connection, table: sa.Table, row: Mapping[str, Any], number: int) -> None:
    """Raises: ReviewError where a row supersedes or answers one about something else, or one that is not there."""
    column, common = EARLIER_ROWS.get(table, ("", ()))
    if row.get(column) is None:
        return
    earlier = _row_of(connection, table, row[column])
    if earlier is None or any(earlier[name] != row[name] for name in common):
        raise ReviewError(
            f"expected in line {number} what {column.replace('_', ' ')} an earlier row about the same, got "
            f"{row['id']}, which names another; nothing was imported"
        )


def _check_trusted(connection: sa.Connection, row: Mapping[str, Any], number: int) -> None:
    """Raises: ReviewError where the row's project does not trust its key yet: its first key voids all others."""
    key = read_public_key(row["key"].encode(), "")
    known = sa.select(TRUSTED_KEYS.c.key).where(TRUSTED_KEYS.c.project == row["project"])
    if all(read_public_key(one.encode(), "").key != key.key for one in connection.execute(known).scalars()):
        raise ReviewError(
            f"expected in line {number} a key that its project trusts here too, got {key}; if you trust it, do so "
            "by its .pub file, then import again; nothing was imported"
        )


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
    try:
        return typed and all(is_sound(row, row[name]) for name, is_sound in SOUND.items() if name in row)
    except GradcamError:
        return False
