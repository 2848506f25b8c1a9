"""the letterbox hardened: mails in hand, deaths over a mail, and who wrote what waits

Revision ID: 0012
Revises: 0011
"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.add_column("spool", sa.Column("writer", sa.String(length=320), nullable=True))
    op.add_column("spool", sa.Column("client", sa.String(length=45), nullable=True))
    op.add_column("spool", sa.Column("deaths", sa.Integer(), server_default=sa.text("0"), nullable=False))
    op.create_table(
        "spool_hands",
        sa.Column("mail_id", _NUMBER, autoincrement=False, nullable=False),
        sa.Column("hand", sa.String(length=32), nullable=False),
        sa.Column("beat_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("mail_id", name=op.f("pk_spool_hands")),
    )
    unread = sa.text("outcome IN ('crowded-out', 'outlived')")
    op.create_index("ix_spool_unread", "spool", ["handled_at"], postgresql_where=unread, sqlite_where=unread)
    asked = sa.text("outcome = 'asked'")
    op.create_index("ix_spool_asked", "spool", ["handled_at"], postgresql_where=asked, sqlite_where=asked)
    # What waits already: as far as the return path says.
    op.execute("UPDATE spool SET writer = lower(sender) WHERE state IN ('owner', 'failed') AND sender <> ''")
