"""versions of the notice

Revision ID: 0009
Revises: 0008
"""

import json

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

# What the notice of the default list said in its own words before; from now on it is a setting.
_FACTS = {"business_id": "0700464-5", "phone": "09-3508 170"}


def upgrade() -> None:
    op.create_table(
        "notices",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("list_id", sa.Integer(), nullable=False),
        sa.Column("language", sa.String(length=2), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["list_id"], ["lists.id"], name=op.f("fk_notices_list_id_lists")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notices")),
        sa.UniqueConstraint("list_id", "language", "version", name=op.f("uq_notices_list_id_language_version")),
    )
    op.create_index(op.f("ix_notices_digest"), "notices", ["digest"], unique=False)
    lists = sa.table("lists", sa.column("id", sa.Integer()), sa.column("settings", sa.JSON()))
    connection = op.get_bind()
    for number, settings in connection.execute(sa.select(lists.c.id, lists.c.settings)).all():
        held = json.loads(settings) if isinstance(settings, str) else settings
        if held.get("controller") == "Tekninen Toimisto Tektor Oy":
            connection.execute(sa.update(lists).where(lists.c.id == number).values(settings={**_FACTS, **held}))
