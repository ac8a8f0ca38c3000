"""A verdict says whether it takes back the one before, so that another undo goes on from there."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column("verdicts", sa.Column("undoes", sa.Boolean, nullable=True))
