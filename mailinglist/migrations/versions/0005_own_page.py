"""the person's own page

Revision ID: 0005
Revises: 0004

On SQLite `requests` and `handoffs` get their wider checks in the schema's own text, as in 0003: neither is rebuilt.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_KINDS = {
    "requests": ("kind IN ('join', 'leave', 'exit'", "'key'"),
    "handoffs": ("kind IN ('bulletin', 'confirm', 'already', 'leave', 'welcome'", "'key'"),
}


def upgrade() -> None:
    op.add_column("persons", sa.Column("restricted_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("requests", sa.Column("digest", sa.LargeBinary(), nullable=True))
    op.create_index(
        "ix_requests_digest",
        "requests",
        ["digest"],
        unique=False,
        postgresql_where=sa.text("digest IS NOT NULL"),
        sqlite_where=sa.text("digest IS NOT NULL"),
    )
    op.create_table(
        "tasks",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("person_id", sa.Integer(), nullable=True),
        sa.Column("words", sa.Text(), nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("done_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("done_by", sa.String(length=200), nullable=True),
        sa.Column("done_words", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tasks")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_tasks_person_id"), "tasks", ["person_id"], unique=False)
    op.create_index(
        "ix_tasks_waiting",
        "tasks",
        ["due_at", "id"],
        unique=False,
        postgresql_where=sa.text("done_at IS NULL"),
        sqlite_where=sa.text("done_at IS NULL"),
    )
    for table, (before, added) in _KINDS.items():
        if op.get_bind().dialect.name == "sqlite":
            _widen_on_sqlite(table, before, f"{before}, {added}")
        else:
            op.drop_constraint(op.f(f"ck_{table}_kind"), table, type_="check")
            op.create_check_constraint(op.f(f"ck_{table}_kind"), table, f"{before}, {added})")


def _widen_on_sqlite(table: str, before: str, after: str) -> None:
    connection = op.get_bind()
    version = connection.exec_driver_sql("PRAGMA schema_version").scalar_one()
    connection.exec_driver_sql("PRAGMA writable_schema = ON")
    widened = connection.exec_driver_sql(
        "UPDATE sqlite_master SET sql = replace(sql, ?, ?) WHERE type = 'table' AND name = ? AND instr(sql, ?) > 0",
        (f"{before})", f"{after})", table, f"{before})"),
    ).rowcount
    connection.exec_driver_sql(f"PRAGMA schema_version = {version + 1}")
    connection.exec_driver_sql("PRAGMA writable_schema = OFF")
    if widened != 1:
        raise RuntimeError(f"the table {table} is not as earlier revisions made it")
