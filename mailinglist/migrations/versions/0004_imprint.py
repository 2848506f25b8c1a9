"""what of a list's settings recipients see is frozen with an approval

Revision ID: 0004
Revises: 0003

Columns are only added. An issue that was approved before has none of it; its digest does not know of it either, and
still holds.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for table in ("issues", "approvals"):
        op.add_column(table, sa.Column("imprint", sa.Text(), nullable=True))
