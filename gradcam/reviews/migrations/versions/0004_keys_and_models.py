"""A project can name the keys whose signatures count in it, and holds models that people share with it."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    _create("trusted_keys", _text("key"))
    _create("models", _text("name"), _text("options"), sa.Column("data", sa.LargeBinary, nullable=False))


def _create(name: str, *columns: sa.Column) -> None:
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        name,
        sa.Column("number", number, primary_key=True, autoincrement=True),
        sa.Column("id", sa.String(32), nullable=False, unique=True),
        sa.Column("project", sa.String(32), sa.ForeignKey("projects.id"), nullable=False, index=True),
        *columns,
        _text("by"),
        sa.Column("at", sa.String(24), nullable=False),
    )
    _only_add(name)


def _text(name: str) -> sa.Column:
    return sa.Column(name, sa.Text, nullable=False)


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
