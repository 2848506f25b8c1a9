"""an audience in parts, and indexes that cost a bulletin less

Revision ID: 0002
Revises: 0001

Tables and indexes are only added, or an index is dropped: no table is rebuilt, so that no trigger is lost.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_PARTIAL = (
    ("ix_handoffs_rare", ("kind", "about", "state"), "state IN ('deferred', 'rejected', 'excluded', 'uncertain')"),
    ("ix_handoffs_accepted", ("kind", "about", "settled_at"), "state = 'accepted'"),
    ("ix_handoffs_letters", ("person_id",), "kind <> 'bulletin'"),
)
# A bulletin changes each of its rows once or twice: waiting until a fifth of a table with a long past is dead, as is
# the default, lets the dead heads of the partial indexes grow, which every claim reads.
_VACUUM = "autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 20000"


def upgrade() -> None:
    op.create_table(
        "audience_parts",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("bulletin_id", sa.Integer(), nullable=False),
        sa.Column("list_id", sa.Integer(), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("persons", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(
            ["bulletin_id"], ["dispatches.bulletin_id"], name=op.f("fk_audience_parts_bulletin_id_dispatches")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audience_parts")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_audience_parts_bulletin_id_id", "audience_parts", ["bulletin_id", "id"], unique=False)
    op.add_column("dispatches", sa.Column("rows", sa.Integer(), nullable=True))
    op.drop_index("ix_handoffs_person_id", table_name="handoffs")
    for name, columns, where in _PARTIAL:
        op.create_index(
            name,
            "handoffs",
            list(columns),
            unique=False,
            postgresql_where=sa.text(where),
            sqlite_where=sa.text(where),
        )
    if op.get_bind().dialect.name == "postgresql":
        op.execute(f"ALTER TABLE handoffs SET ({_VACUUM})")
