"""bans of one list alone; an index for deleting requests

Revision ID: 0010
Revises: 0009
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_IN_FORCE = sa.text("lifted_at IS NULL")


def upgrade() -> None:
    # 0: all lists, which is what every ban until now is.
    op.add_column("bans", sa.Column("list_id", sa.Integer(), server_default=sa.text("0"), nullable=False))
    op.drop_index("uq_bans_in_force", table_name="bans")
    op.create_index(
        "uq_bans_in_force",
        "bans",
        ["digest", "channel", "list_id"],
        unique=True,
        postgresql_where=_IN_FORCE,
        sqlite_where=_IN_FORCE,
    )
    # Each request that goes asks whether a confirmation rests on it: without this, by reading all confirmations.
    op.create_index("ix_confirmations_request_id", "confirmations", ["request_id"])
