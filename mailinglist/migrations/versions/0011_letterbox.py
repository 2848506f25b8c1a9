"""the letterbox: mail that comes in, bounces, complaints, holds

Revision ID: 0011
Revises: 0010
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_MOMENT = sa.DateTime(timezone=True)


def _only_where(condition: str) -> dict[str, sa.TextClause]:
    return {"postgresql_where": sa.text(condition), "sqlite_where": sa.text(condition)}


def upgrade() -> None:
    op.create_table(
        "spool",
        sa.Column("id", _NUMBER, nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("recipient", sa.String(length=320), nullable=False),
        sa.Column("sender", sa.String(length=320), nullable=False),
        sa.Column("via", sa.String(length=4), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("raw", sa.LargeBinary(), nullable=True),
        sa.Column("received_at", _MOMENT, nullable=False),
        sa.Column("not_before", _MOMENT, nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=7), nullable=False),
        sa.Column("kind", sa.String(length=10), nullable=True),
        sa.Column("outcome", sa.String(length=40), nullable=True),
        sa.Column("list_id", sa.Integer(), nullable=True),
        sa.Column("person_id", sa.Integer(), nullable=True),
        sa.Column("handled_at", _MOMENT, nullable=True),
        sa.Column("forwarded", sa.String(length=9), nullable=True),
        sa.CheckConstraint("state IN ('waiting', 'handled', 'owner', 'seen', 'failed')", name=op.f("ck_spool_state")),
        sa.CheckConstraint("via IN ('lmtp', 'smtp', 'pipe', 'imap')", name=op.f("ck_spool_via")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_spool")),
        sa.UniqueConstraint("digest", name=op.f("uq_spool_digest")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_spool_waiting", "spool", ["not_before", "id"], **_only_where("state = 'waiting'"))
    op.create_index("ix_spool_owner", "spool", ["list_id", "id"], **_only_where("state = 'owner'"))
    op.create_index("ix_spool_unseen", "spool", ["list_id", "id"], **_only_where("state IN ('owner', 'failed')"))
    op.create_index("ix_spool_person_id", "spool", ["person_id"])
    op.create_index("ix_spool_received_at", "spool", ["received_at"])
    op.create_table(
        "bounces",
        sa.Column("id", _NUMBER, nullable=False),
        sa.Column("handoff_id", _NUMBER, nullable=False),
        sa.Column("bulletin_id", sa.Integer(), nullable=False),
        sa.Column("list_id", sa.Integer(), nullable=False),
        sa.Column("person_id", sa.Integer(), nullable=False),
        sa.Column("domain", sa.String(length=255), nullable=False),
        sa.Column("verdict", sa.String(length=8), nullable=False),
        sa.Column("origin", sa.String(length=12), nullable=False),
        sa.Column("code", sa.Integer(), nullable=True),
        sa.Column("status", sa.String(length=11), nullable=True),
        sa.Column("words", sa.String(length=500), nullable=True),
        sa.Column("at", _MOMENT, nullable=False),
        sa.Column("mailed_at", _MOMENT, nullable=False),
        sa.Column("due", sa.Boolean(), nullable=False),
        sa.CheckConstraint("verdict IN ('dead', 'mailbox', 'sender')", name=op.f("ck_bounces_verdict")),
        sa.CheckConstraint("origin IN ('conversation', 'report')", name=op.f("ck_bounces_origin")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_bounces")),
        sa.UniqueConstraint("handoff_id", name=op.f("uq_bounces_handoff_id")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_bounces_person_id", "bounces", ["person_id"])
    op.create_index("ix_bounces_bulletin_id_verdict", "bounces", ["bulletin_id", "verdict"])
    op.create_index("ix_bounces_list_id_at", "bounces", ["list_id", "at"])
    op.create_index(
        "ix_bounces_due", "bounces", ["id"], postgresql_where=sa.text("due"), sqlite_where=sa.text("due = 1")
    )
    op.create_index("ix_bounces_said", "bounces", ["at"], **_only_where("words IS NOT NULL"))
    op.create_table(
        "complaints",
        sa.Column("id", _NUMBER, nullable=False),
        sa.Column("handoff_id", _NUMBER, nullable=False),
        sa.Column("bulletin_id", sa.Integer(), nullable=False),
        sa.Column("list_id", sa.Integer(), nullable=False),
        sa.Column("person_id", sa.Integer(), nullable=False),
        sa.Column("provider", sa.String(length=100), nullable=False),
        sa.Column("at", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_complaints")),
        sa.UniqueConstraint("handoff_id", name=op.f("uq_complaints_handoff_id")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_complaints_list_id_at", "complaints", ["list_id", "at"])
    op.create_index("ix_complaints_bulletin_id", "complaints", ["bulletin_id"])
    op.create_index("ix_complaints_person_id", "complaints", ["person_id"])
    op.create_table(
        "holds",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("list_id", sa.Integer(), nullable=False),
        sa.Column("bulletin_id", sa.Integer(), nullable=False),
        sa.Column("complaints", sa.Integer(), nullable=False),
        sa.Column("mails", sa.Integer(), nullable=False),
        sa.Column("since", _MOMENT, nullable=False),
        sa.Column("lifted_at", _MOMENT, nullable=True),
        sa.Column("lifted_by", sa.String(length=200), nullable=True),
        sa.ForeignKeyConstraint(["list_id"], ["lists.id"], name=op.f("fk_holds_list_id_lists")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_holds")),
        sqlite_autoincrement=True,
    )
    op.create_index("uq_holds_in_force", "holds", ["list_id"], unique=True, **_only_where("lifted_at IS NULL"))
    op.add_column("dispatches", sa.Column("resumed_at", _MOMENT, nullable=True))
