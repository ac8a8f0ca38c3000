"""The tables of the store as they are now; `migrations` brings every earlier store here.

Rows are added and never changed, which triggers of the database hold. `number` counts rows in the order in which
they came; `id` is the same in every copy of a row.
"""

from __future__ import annotations

import sqlalchemy as sa

METADATA = sa.MetaData()

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _table(name: str, *columns: sa.Column[object] | sa.Index) -> sa.Table:
    """A table with the columns that all have."""
    return sa.Table(
        name,
        METADATA,
        sa.Column("number", _NUMBER, primary_key=True, autoincrement=True),
        sa.Column("id", sa.String(32), nullable=False, unique=True),
        *columns,
        sa.Column("by", sa.Text, nullable=False),
        sa.Column("at", sa.String(24), nullable=False),
    )


def _reference(name: str, to: str, *, nullable: bool = False, index: bool = True) -> sa.Column[object]:
    return sa.Column(name, sa.String(32), sa.ForeignKey(f"{to}.id"), nullable=nullable, index=index)


PROJECTS = _table(
    "projects",
    sa.Column("name", sa.Text, nullable=False, unique=True),
    sa.Column("signatures", sa.Integer, nullable=False),
)

REVIEWS = _table(
    "reviews",
    _reference("project", "projects"),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("evidence", sa.String(64), nullable=False, index=True),
    sa.Column("title", sa.Text, nullable=False),
    sa.Column("blind", sa.Boolean, nullable=False),
    _reference("supersedes", "reviews", nullable=True),
)
"""A piece of evidence is reviewed once in a project."""
REVIEWS.append_constraint(sa.UniqueConstraint("project", "evidence"))

VERDICTS = _table(
    "verdicts",
    _reference("review", "reviews", index=False),  # the index by subject begins with it
    sa.Column("subject_kind", sa.Text, nullable=False),
    sa.Column("subject", sa.Text, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("note", sa.Text, nullable=False),
    _reference("supersedes", "verdicts", nullable=True),
    sa.Column("adjudicates", sa.Boolean, nullable=False),
    sa.Column("undoes", sa.Boolean, nullable=True),
    sa.Index("verdicts_by_subject", "review", "subject_kind", "subject"),
)

COMMENTS = _table(
    "comments",
    _reference("review", "reviews"),
    sa.Column("subject_kind", sa.Text, nullable=False),
    sa.Column("subject", sa.Text, nullable=False),
    sa.Column("text", sa.Text, nullable=False),
    _reference("replies_to", "comments", nullable=True),
)

ASSIGNMENTS = _table(
    "assignments",
    _reference("review", "reviews"),
    sa.Column("reviewer", sa.Text, nullable=False),
    sa.Column("asked", sa.Boolean, nullable=False),
)

SIGNATURES = _table(
    "signatures",
    _reference("review", "reviews"),
    sa.Column("signature", sa.Text, nullable=False),
)
"""`signature` is the content of a report's `signatures/N.sig`."""

TRUSTED_KEYS = _table(
    "trusted_keys",
    _reference("project", "projects"),
    sa.Column("key", sa.Text, nullable=False),
)
"""`key` is the content of a `.pub` file. In a project that trusts none, any key counts."""

EVIDENCE = _table(
    "evidence",
    sa.Column("sha256", sa.String(64), nullable=False, index=True),
    sa.Column("data", sa.LargeBinary, nullable=False),
)
"""Files of evidence, the ZIP of a report or where a run lies; of several with one hash the latest counts."""

MODELS = _table(
    "models",
    _reference("project", "projects"),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("options", sa.Text, nullable=False),
    sa.Column("data", sa.LargeBinary, nullable=False),
)
"""Models that people share with a project: the model's id, the file of its weights, and what that does not say."""

EXPORTED = (PROJECTS, REVIEWS, VERDICTS, COMMENTS, ASSIGNMENTS, SIGNATURES, TRUSTED_KEYS)
"""What an export holds, in an order in which a table comes after those that it refers to."""
SAME = {PROJECTS: ("name",), REVIEWS: ("project", "evidence")}
"""What makes rows of two stores the same thing, whatever their ids."""
EARLIER_ROWS = {
    REVIEWS: ("supersedes", ("project",)),
    VERDICTS: ("supersedes", ("review", "subject_kind", "subject", "by", "adjudicates")),
    COMMENTS: ("replies_to", ("review", "subject_kind", "subject")),
}
"""Which column names an earlier row of the same table, and what both rows have in common: whoever supersedes a
verdict is who said it, of the same subject."""
TABLES = (*EXPORTED, EVIDENCE, MODELS)
