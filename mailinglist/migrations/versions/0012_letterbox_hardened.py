"""the letterbox hardened: mails in hand, deaths over a mail, who wrote what waits, and when what was sent on went

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
    op.add_column("spool", sa.Column("forward_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("spool", sa.Column("forward_tries", sa.Integer(), server_default=sa.text("0"), nullable=False))
    op.add_column("spool", sa.Column("deaths", sa.Integer(), server_default=sa.text("0"), nullable=False))
    op.create_table(
        "spool_hands",
        sa.Column("mail_id", _NUMBER, autoincrement=False, nullable=False),
        sa.Column("hand", sa.String(length=32), nullable=False),
        sa.Column("process", sa.String(length=64), nullable=False),
        sa.Column("beat_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("mail_id", name=op.f("pk_spool_hands")),
    )
    unread = sa.text("outcome IN ('crowded-out', 'outlived')")
    op.create_index("ix_spool_unread", "spool", ["handled_at"], postgresql_where=unread, sqlite_where=unread)
    asked = sa.text("outcome = 'asked'")
    op.create_index("ix_spool_asked", "spool", ["handled_at"], postgresql_where=asked, sqlite_where=asked)
    forwarded = sa.text("forwarded IS NOT NULL")
    op.create_index(
        "ix_spool_forwarded", "spool", ["list_id", "forward_at"], postgresql_where=forwarded, sqlite_where=forwarded
    )
    op.drop_index("ix_spool_owner", "spool")  # ix_spool_unseen serves
    # Of what is sent on, these said when, and how often it was put off.
    op.execute("UPDATE spool SET forward_at = not_before, forward_tries = tries WHERE forwarded IS NOT NULL")
