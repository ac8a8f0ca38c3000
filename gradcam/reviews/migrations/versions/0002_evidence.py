"""A review can take the place of an earlier one, and the store keeps the files of its evidence."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    column = sa.Column("supersedes", sa.String(32), sa.ForeignKey("reviews.id"), nullable=True)
    op.add_column("reviews", column, inline_references=True)
    op.create_index("ix_reviews_supersedes", "reviews", ["supersedes"])
    op.create_table(
        "evidence",
        sa.Column(
            "number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True, autoincrement=True
        ),
        sa.Column("id", sa.String(32), nullable=False, unique=True),
        sa.Column("sha256", sa.String(64), nullable=False, index=True),
        sa.Column("data", sa.LargeBinary, nullable=False),
        sa.Column("by", sa.Text, nullable=False),
        sa.Column("at", sa.String(24), nullable=False),
    )
    _only_add("evidence")


def _only_add(name: str) -> None:
    """Let the database refuse to change or delete a row, as it does for the tables of the first schema."""
    if op.get_bind().dialect.name == "sqlite":
        for change in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER {name}_no_{change.lower()} BEFORE {change} ON {name} "
                "BEGIN SELECT RAISE(ABORT, 'what was said is never changed'); END"
            )
        return
    op.execute(
        f"CREATE TRIGGER {name}_only_add BEFORE UPDATE OR DELETE OR TRUNCATE ON {name} "
        "FOR EACH STATEMENT EXECUTE FUNCTION only_add()"
    )
