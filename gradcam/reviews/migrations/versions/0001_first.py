"""Projects, reviews, verdicts, comments, assignments and signatures, to which rows are only added."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

NAMES = ("projects", "reviews", "verdicts", "comments", "assignments", "signatures")


def upgrade() -> None:
    _create("projects", sa.Column("name", sa.Text, nullable=False, unique=True), _int("signatures"))
    _create(
        "reviews",
        _reference("project", "projects"),
        _text("kind"),
        sa.Column("evidence", sa.String(64), nullable=False, index=True),
        _text("title"),
        _bool("blind"),
        more=(sa.UniqueConstraint("project", "evidence"),),
    )
    _create(
        "verdicts",
        _reference("review", "reviews", index=False),
        _text("subject_kind"),
        _text("subject"),
        _text("status"),
        _text("note"),
        _reference("supersedes", "verdicts", nullable=True),
        _bool("adjudicates"),
    )
    op.create_index("verdicts_by_subject", "verdicts", ["review", "subject_kind", "subject"])
    _create(
        "comments",
        _reference("review", "reviews"),
        _text("subject_kind"),
        _text("subject"),
        _text("text"),
        _reference("replies_to", "comments", nullable=True),
    )
    _create("assignments", _reference("review", "reviews"), _text("reviewer"), _bool("asked"))
    _create("signatures", _reference("review", "reviews"), _text("signature"))
    _only_add()


def _create(name: str, *columns: sa.Column, more: tuple[sa.UniqueConstraint, ...] = ()) -> None:
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        name,
        sa.Column("number", number, primary_key=True, autoincrement=True),
        sa.Column("id", sa.String(32), nullable=False, unique=True),
        *columns,
        _text("by"),
        sa.Column("at", sa.String(24), nullable=False),
        *more,
    )


def _text(name: str) -> sa.Column:
    return sa.Column(name, sa.Text, nullable=False)


def _int(name: str) -> sa.Column:
    return sa.Column(name, sa.Integer, nullable=False)


def _bool(name: str) -> sa.Column:
    return sa.Column(name, sa.Boolean, nullable=False)


def _reference(name: str, to: str, nullable: bool = False, index: bool = True) -> sa.Column:
    return sa.Column(name, sa.String(32), sa.ForeignKey(f"{to}.id"), nullable=nullable, index=index)


def _only_add() -> None:
    """Let the database refuse to change or delete a row, whoever asks."""
    if op.get_bind().dialect.name == "sqlite":
        for name in NAMES:
            for change in ("UPDATE", "DELETE"):
                op.execute(
                    f"CREATE TRIGGER {name}_no_{change.lower()} BEFORE {change} ON {name} "
                    "BEGIN SELECT RAISE(ABORT, 'what was said is never changed'); END"
                )
        return
    op.execute(
        "CREATE FUNCTION only_add() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'what was said is never changed'; END $$"
    )
    for name in NAMES:
        op.execute(
            f"CREATE TRIGGER {name}_only_add BEFORE UPDATE OR DELETE OR TRUNCATE ON {name} "
            "FOR EACH STATEMENT EXECUTE FUNCTION only_add()"
        )
