"""the staff console

Revision ID: 0003
Revises: 0002

On SQLite no table that has triggers, or that another one points to, is rebuilt: `bulletins` gets its wider check in the
schema's own text, as SQLite's manual describes for checks (ALTER TABLE, section 7). Only `issues` is made anew.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

# Frozen: what keeps the audit append-only, as it was at this revision. A later change is a migration of its own.
TRIGGERS = {
    "sqlite": (
        "CREATE TRIGGER audit_no_update BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'audit is append-only'); END",
        (
            "CREATE TRIGGER audit_no_early_delete BEFORE DELETE ON audit WHEN OLD.at IS NULL OR OLD.at > "
            "strftime('%Y-%m-%d %H:%M:%f', 'now', '-1 year') BEGIN SELECT RAISE(ABORT, 'audit is kept for a year at "
            "least'); END"
        ),
        (
            "CREATE TRIGGER audit_no_replace BEFORE INSERT ON audit WHEN EXISTS (SELECT 1 FROM audit WHERE id = "
            "NEW.id) BEGIN SELECT RAISE(ABORT, 'audit is append-only'); END"
        ),
    ),
    "postgresql": (
        (
            "CREATE FUNCTION refuse_early() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF OLD.at > now() - interval "
            "'1 year' THEN RAISE EXCEPTION '% is kept for a year at least', TG_TABLE_NAME; END IF; RETURN OLD; END $$"
        ),
        "CREATE TRIGGER audit_no_update BEFORE UPDATE ON audit FOR EACH ROW EXECUTE FUNCTION refuse_change()",
        "CREATE TRIGGER audit_no_early_delete BEFORE DELETE ON audit FOR EACH ROW EXECUTE FUNCTION refuse_early()",
        "CREATE TRIGGER audit_no_truncate BEFORE TRUNCATE ON audit FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()",
    ),
}


def upgrade() -> None:
    op.create_table(
        "accounts",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("address", sa.String(length=320), nullable=False),
        sa.Column("folded", sa.String(length=320), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("levels", sa.JSON(), nullable=False),
        sa.Column("language", sa.String(length=2), nullable=False),
        sa.Column("password", sa.Text(), nullable=True),
        sa.Column("totp", sa.LargeBinary(), nullable=True),
        sa.Column("totp_step", sa.BigInteger(), nullable=True),
        sa.Column("secrecy_version", sa.Integer(), nullable=True),
        sa.Column("secrecy_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("disabled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_by", sa.String(length=200), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_accounts")),
        sa.UniqueConstraint("folded", name=op.f("uq_accounts_folded")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "audit",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("account_id", sa.Integer(), nullable=True),
        sa.Column("who", sa.String(length=200), nullable=False),
        sa.Column("act", sa.String(length=64), nullable=False),
        sa.Column("about", sa.String(length=200), nullable=False),
        sa.Column("detail", sa.JSON(), nullable=False),
        sa.Column("client", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_audit_about", "audit", ["about", "id"], unique=False)
    op.create_index("ix_audit_account_id", "audit", ["account_id", "id"], unique=False)
    op.create_index("ix_audit_at", "audit", ["at", "id"], unique=False)
    op.create_table(
        "bookmarks",
        sa.Column("name", sa.String(length=32), nullable=False),
        sa.Column("position", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_bookmarks")),
    )
    op.create_table(
        "daily_counts",
        sa.Column("list_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("what", sa.String(length=16), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("list_id", "day", "what", name=op.f("pk_daily_counts")),
    )
    op.create_table(
        "enrolments",
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("account_id", sa.Integer(), nullable=False),
        sa.Column("purpose", sa.String(length=8), nullable=False),
        sa.Column("issued_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("issued_by", sa.String(length=200), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("purpose IN ('enrol', 'password', 'factor')", name=op.f("ck_enrolments_purpose")),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_enrolments_account_id_accounts")),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_enrolments")),
    )
    op.create_index(op.f("ix_enrolments_account_id"), "enrolments", ["account_id"], unique=False)
    op.create_table(
        "images",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("list_id", sa.Integer(), nullable=False),
        sa.Column("media_type", sa.String(length=32), nullable=False),
        sa.Column("width", sa.Integer(), nullable=False),
        sa.Column("height", sa.Integer(), nullable=False),
        sa.Column("file_name", sa.String(length=200), nullable=False),
        sa.Column("alt", sa.String(length=300), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_by", sa.String(length=200), nullable=False),
        sa.ForeignKeyConstraint(["list_id"], ["lists.id"], name=op.f("fk_images_list_id_lists")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_images")),
        sa.UniqueConstraint("digest", name=op.f("uq_images_digest")),
    )
    op.create_index(op.f("ix_images_list_id"), "images", ["list_id"], unique=False)
    op.create_table(
        "imports",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("list_id", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=8), nullable=False),
        sa.Column("file_name", sa.String(length=200), nullable=False),
        sa.Column("file", sa.LargeBinary(), nullable=True),
        sa.Column("columns", sa.JSON(), nullable=False),
        sa.Column("basis", sa.String(length=16), nullable=True),
        sa.Column("source", sa.String(length=200), nullable=True),
        sa.Column("lines", sa.Integer(), nullable=False),
        sa.Column("done", sa.Integer(), nullable=False),
        sa.Column("added", sa.Integer(), nullable=False),
        sa.Column("updated", sa.Integer(), nullable=False),
        sa.Column("unchanged", sa.Integer(), nullable=False),
        sa.Column("refused", sa.Integer(), nullable=False),
        sa.Column("refusals", sa.JSON(), nullable=False),
        sa.Column("trouble", sa.String(length=500), nullable=True),
        sa.Column("evidence", sa.LargeBinary(), nullable=True),
        sa.Column("beat_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("who", sa.String(length=200), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "state IN ('uploaded', 'checking', 'checked', 'waiting', 'running', 'done', 'failed')",
            name=op.f("ck_imports_state"),
        ),
        sa.ForeignKeyConstraint(["list_id"], ["lists.id"], name=op.f("fk_imports_list_id_lists")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_imports")),
    )
    op.create_index("ix_imports_list_id", "imports", ["list_id", "id"], unique=False)
    op.create_table(
        "notes",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("person_id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("on", sa.DateTime(timezone=True), nullable=False),
        sa.Column("words", sa.Text(), nullable=False),
        sa.Column("who", sa.String(length=200), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("kind IN ('note', 'meeting', 'contact')", name=op.f("ck_notes_kind")),
        sa.ForeignKeyConstraint(["person_id"], ["persons.id"], name=op.f("fk_notes_person_id_persons")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notes")),
    )
    op.create_index(op.f("ix_notes_person_id"), "notes", ["person_id"], unique=False)
    op.create_table(
        "owner_mails",
        sa.Column("list_id", sa.Integer(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("state", sa.String(length=9), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("told_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "state IN ('handing', 'accepted', 'uncertain', 'failed')", name=op.f("ck_owner_mails_state")
        ),
        sa.ForeignKeyConstraint(["list_id"], ["lists.id"], name=op.f("fk_owner_mails_list_id_lists")),
        sa.PrimaryKeyConstraint("list_id", name=op.f("pk_owner_mails")),
    )
    op.create_table(
        "passkeys",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("account_id", sa.Integer(), nullable=False),
        sa.Column("credential", sa.LargeBinary(), nullable=False),
        sa.Column("public_key", sa.LargeBinary(), nullable=False),
        sa.Column("sign_count", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_passkeys_account_id_accounts")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_passkeys")),
        sa.UniqueConstraint("credential", name=op.f("uq_passkeys_credential")),
    )
    op.create_index(op.f("ix_passkeys_account_id"), "passkeys", ["account_id"], unique=False)
    op.create_table(
        "recovery_codes",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("account_id", sa.Integer(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_recovery_codes_account_id_accounts")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_recovery_codes")),
        sa.UniqueConstraint("digest", name=op.f("uq_recovery_codes_digest")),
    )
    op.create_index(op.f("ix_recovery_codes_account_id"), "recovery_codes", ["account_id"], unique=False)
    op.create_table(
        "sign_ins",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("account_id", sa.Integer(), nullable=False),
        sa.Column("passed", sa.String(length=8), nullable=False),
        sa.Column("began_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("fresh_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("challenge", sa.LargeBinary(), nullable=True),
        sa.Column("client", sa.String(length=64), nullable=False),
        sa.Column("agent", sa.String(length=300), nullable=False),
        sa.CheckConstraint("passed IN ('password', 'both')", name=op.f("ck_sign_ins_passed")),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_sign_ins_account_id_accounts")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sign_ins")),
        sa.UniqueConstraint("digest", name=op.f("uq_sign_ins_digest")),
    )
    op.create_index(op.f("ix_sign_ins_account_id"), "sign_ins", ["account_id"], unique=False)
    op.create_table(
        "approvals",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("bulletin_id", sa.Integer(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("account_id", sa.Integer(), nullable=True),
        sa.Column("who", sa.String(length=200), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("acknowledged", sa.Text(), nullable=False),
        sa.Column("void_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["bulletin_id"], ["bulletins.id"], name=op.f("fk_approvals_bulletin_id_bulletins")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_approvals")),
    )
    op.create_index("ix_approvals_bulletin_id", "approvals", ["bulletin_id", "id"], unique=False)
    op.create_table(
        "revisions",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("bulletin_id", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("subject", sa.String(length=500), nullable=False),
        sa.Column("form", sa.String(length=8), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("audience", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("account_id", sa.Integer(), nullable=True),
        sa.Column("who", sa.String(length=200), nullable=False),
        sa.ForeignKeyConstraint(["bulletin_id"], ["bulletins.id"], name=op.f("fk_revisions_bulletin_id_bulletins")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_revisions")),
        sa.UniqueConstraint("bulletin_id", "number", name=op.f("uq_revisions_bulletin_id_number")),
    )
    op.add_column("bulletins", sa.Column("audience", sa.Text(), server_default="{}", nullable=False))
    op.add_column("bulletins", sa.Column("revision", sa.Integer(), server_default="1", nullable=False))
    op.add_column("bulletins", sa.Column("template", sa.Boolean(), server_default=sa.text("false"), nullable=False))
    op.add_column(
        "bulletins", sa.Column("created_by", sa.String(length=200), server_default=sa.text("''"), nullable=False)
    )
    op.add_column("bulletins", sa.Column("changed_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("bulletins", sa.Column("changed_by", sa.Integer(), nullable=True))
    op.add_column("bulletins", sa.Column("asked_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("bulletins", sa.Column("asked_by", sa.Integer(), nullable=True))
    op.add_column("bulletins", sa.Column("given_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("bulletins", sa.Column("removed_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("issues", sa.Column("language", sa.String(length=2), nullable=True))
    op.add_column("issues", sa.Column("versions", sa.Text(), nullable=True))
    op.add_column(
        "persons",
        sa.Column(
            "domain",
            sa.String(length=255).with_variant(sa.String(length=255, collation="C"), "postgresql"),
            server_default=sa.text("''"),
            nullable=False,
        ),
    )
    op.create_index("ix_persons_domain_folded", "persons", ["domain", "folded"], unique=False)
    op.execute(
        "UPDATE bulletins SET given_at = (SELECT due_at FROM dispatches WHERE dispatches.bulletin_id = bulletins.id)"
    )
    if op.get_bind().dialect.name == "sqlite":
        op.execute("UPDATE persons SET domain = substr(folded, instr(folded, '@') + 1)")
        _widen_on_sqlite()
    else:
        op.execute("UPDATE persons SET domain = split_part(folded, '@', 2)")
        op.execute('ALTER TABLE persons ALTER COLUMN folded TYPE varchar(320) COLLATE "C"')
        op.drop_constraint(op.f("ck_bulletins_form"), "bulletins", type_="check")
        op.create_check_constraint(op.f("ck_bulletins_form"), "bulletins", "form IN ('markdown', 'html', 'blocks')")
        op.alter_column("issues", "audience", type_=sa.Text(), existing_nullable=False)
    _make_triggers()


def _widen_on_sqlite() -> None:
    with op.batch_alter_table("issues") as batch:
        batch.alter_column("audience", type_=sa.Text(), existing_type=sa.String(length=200), existing_nullable=False)
    connection = op.get_bind()
    version = connection.exec_driver_sql("PRAGMA schema_version").scalar_one()
    connection.exec_driver_sql("PRAGMA writable_schema = ON")
    widened = connection.exec_driver_sql(
        "UPDATE sqlite_master "
        "SET sql = replace(sql, '(''markdown'', ''html'')', '(''markdown'', ''html'', ''blocks'')') "
        "WHERE type = 'table' AND name = 'bulletins' AND sql LIKE '%(''markdown'', ''html'')%'"
    ).rowcount
    connection.exec_driver_sql(f"PRAGMA schema_version = {version + 1}")
    connection.exec_driver_sql("PRAGMA writable_schema = OFF")
    if widened != 1:
        raise RuntimeError("the table bulletins is not as revision 0001 made it")


def _make_triggers() -> None:
    connection = op.get_bind()
    for statement in TRIGGERS[connection.dialect.name]:
        # A percent sign is a parameter's to the driver of PostgreSQL.
        connection.exec_driver_sql(
            statement.replace("%", "%%") if connection.dialect.name == "postgresql" else statement
        )
