"""bans of who was erased are found by name, too

Revision ID: 0014
Revises: 0013
"""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # The names of who was erased before this are gone: their bans stay without one.
    op.add_column("bans", sa.Column("name_digest", sa.LargeBinary(), nullable=True))
