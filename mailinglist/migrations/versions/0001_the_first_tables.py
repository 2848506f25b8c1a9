"""the first tables

Revision ID: 0001
Revises:
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# Frozen: what keeps the ledger append-only, as it was at this revision. A later change is a migration of its own.
TRIGGERS = {
    "sqlite": (
        (
            "CREATE TRIGGER ledger_no_update BEFORE UPDATE ON ledger BEGIN SELECT RAISE(ABORT, 'ledger "
            "is append-only'); END"
        ),
        (
            "CREATE TRIGGER ledger_no_delete BEFORE DELETE ON ledger BEGIN SELECT RAISE(ABORT, 'ledger "
            "is append-only'); END"
        ),
        (
            "CREATE TRIGGER texts_no_update BEFORE UPDATE ON texts BEGIN SELECT RAISE(ABORT, 'texts is "
            "append-only'); END"
        ),
        (
            "CREATE TRIGGER texts_no_delete BEFORE DELETE ON texts BEGIN SELECT RAISE(ABORT, 'texts is "
            "append-only'); END"
        ),
        (
            "CREATE TRIGGER chain_heads_no_delete BEFORE DELETE ON chain_heads BEGIN SELECT "
            "RAISE(ABORT, 'chain_heads is append-only'); END"
        ),
        (
            "CREATE TRIGGER ledger_no_replace BEFORE INSERT ON ledger WHEN EXISTS (SELECT 1 FROM ledger"
            " WHERE id = NEW.id OR (chain = NEW.chain AND seq = NEW.seq)) BEGIN SELECT RAISE(ABORT, "
            "'ledger is append-only'); END"
        ),
        (
            "CREATE TRIGGER texts_no_replace BEFORE INSERT ON texts WHEN EXISTS (SELECT 1 FROM texts "
            "WHERE id = NEW.id OR (list_id = NEW.list_id AND ((language = NEW.language AND version = "
            "NEW.version) OR digest = NEW.digest))) BEGIN SELECT RAISE(ABORT, 'texts is append-only'); "
            "END"
        ),
        (
            "CREATE TRIGGER chain_heads_no_replace BEFORE INSERT ON chain_heads WHEN EXISTS (SELECT 1 "
            "FROM chain_heads WHERE chain = NEW.chain) BEGIN SELECT RAISE(ABORT, 'chain_heads is "
            "append-only'); END"
        ),
        (
            "CREATE TRIGGER chain_heads_forward BEFORE UPDATE ON chain_heads WHEN NEW.chain <> "
            "OLD.chain OR NEW.count <> OLD.count + 1 BEGIN SELECT RAISE(ABORT, 'a chain only grows, by "
            "one'); END"
        ),
    ),
    "postgresql": (
        (
            "CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE "
            "EXCEPTION '% is append-only', TG_TABLE_NAME; END $$"
        ),
        (
            "CREATE FUNCTION refuse_backward() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF "
            "NEW.chain <> OLD.chain OR NEW.count <> OLD.count + 1 THEN RAISE EXCEPTION 'a chain only "
            "grows, by one'; END IF; RETURN NEW; END $$"
        ),
        ("CREATE TRIGGER ledger_no_update BEFORE UPDATE ON ledger FOR EACH ROW EXECUTE FUNCTION refuse_change()"),
        ("CREATE TRIGGER ledger_no_delete BEFORE DELETE ON ledger FOR EACH ROW EXECUTE FUNCTION refuse_change()"),
        (
            "CREATE TRIGGER ledger_no_truncate BEFORE TRUNCATE ON ledger FOR EACH STATEMENT EXECUTE "
            "FUNCTION refuse_change()"
        ),
        ("CREATE TRIGGER texts_no_update BEFORE UPDATE ON texts FOR EACH ROW EXECUTE FUNCTION refuse_change()"),
        ("CREATE TRIGGER texts_no_delete BEFORE DELETE ON texts FOR EACH ROW EXECUTE FUNCTION refuse_change()"),
        (
            "CREATE TRIGGER texts_no_truncate BEFORE TRUNCATE ON texts FOR EACH STATEMENT EXECUTE "
            "FUNCTION refuse_change()"
        ),
        (
            "CREATE TRIGGER chain_heads_no_delete BEFORE DELETE ON chain_heads FOR EACH ROW EXECUTE "
            "FUNCTION refuse_change()"
        ),
        (
            "CREATE TRIGGER chain_heads_no_truncate BEFORE TRUNCATE ON chain_heads FOR EACH STATEMENT "
            "EXECUTE FUNCTION refuse_change()"
        ),
        (
            "CREATE TRIGGER chain_heads_forward BEFORE UPDATE ON chain_heads FOR EACH ROW EXECUTE "
            "FUNCTION refuse_backward()"
        ),
    ),
}


def upgrade() -> None:
    op.create_table(
        "bans",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("channel", sa.String(length=16), nullable=False),
        sa.Column("source", sa.String(length=200), nullable=False),
        sa.Column("given_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("lifted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("lifted_by", sa.String(length=500), nullable=True),
        sa.CheckConstraint("channel IN ('email', 'post', 'phone', 'disclosure')", name=op.f("ck_bans_channel")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_bans")),
    )
    op.create_index(
        "uq_bans_in_force",
        "bans",
        ["digest", "channel"],
        unique=True,
        postgresql_where=sa.text("lifted_at IS NULL"),
        sqlite_where=sa.text("lifted_at IS NULL"),
    )

    op.create_table(
        "chain_heads",
        sa.Column("chain", sa.LargeBinary(), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("last_hash", sa.LargeBinary(), nullable=False),
        sa.Column("mac", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("chain", name=op.f("pk_chain_heads")),
    )
    op.create_table(
        "evidence",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("person_id", sa.Integer(), nullable=True),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_evidence")),
        sa.UniqueConstraint("digest", name=op.f("uq_evidence_digest")),
    )
    op.create_index(op.f("ix_evidence_person_id"), "evidence", ["person_id"], unique=False)

    op.create_table(
        "handoffs",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("about", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("list_id", sa.Integer(), nullable=False),
        sa.Column("person_id", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=9), nullable=False),
        sa.Column("not_before", sa.DateTime(timezone=True), nullable=False),
        sa.Column("shift_id", sa.Integer(), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("first_tried_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("settled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("code", sa.Integer(), nullable=True),
        sa.Column("reply", sa.String(length=500), nullable=True),
        sa.CheckConstraint(
            "kind IN ('bulletin', 'confirm', 'already', 'leave', 'welcome')", name=op.f("ck_handoffs_kind")
        ),
        sa.CheckConstraint(
            "state IN ('pending', 'handing', 'accepted', 'deferred', 'rejected', 'excluded', 'uncertain')",
            name=op.f("ck_handoffs_state"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_handoffs")),
        sa.UniqueConstraint("kind", "about", "person_id", name=op.f("uq_handoffs_kind_about_person_id")),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "ix_handoffs_held",
        "handoffs",
        ["shift_id"],
        unique=False,
        postgresql_where=sa.text("shift_id IS NOT NULL"),
        sqlite_where=sa.text("shift_id IS NOT NULL"),
    )
    op.create_index(
        "ix_handoffs_open",
        "handoffs",
        ["kind", "about", "not_before", "id"],
        unique=False,
        postgresql_where=sa.text("state IN ('pending', 'deferred')"),
        sqlite_where=sa.text("state IN ('pending', 'deferred')"),
    )
    op.create_index("ix_handoffs_person_id", "handoffs", ["person_id"], unique=False)

    op.create_table(
        "key_checks",
        sa.Column("name", sa.String(length=32), nullable=False),
        sa.Column("value", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_key_checks")),
    )
    op.create_table(
        "ledger",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("chain", sa.LargeBinary(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("subject", sa.LargeBinary(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ledger")),
        sa.UniqueConstraint("chain", "seq", name=op.f("uq_ledger_chain_seq")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_ledger_subject"), "ledger", ["subject"], unique=False)

    op.create_table(
        "lists",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("slug", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("settings", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_lists")),
        sa.UniqueConstraint("slug", name=op.f("uq_lists_slug")),
    )
    op.create_table(
        "paces",
        sa.Column("name", sa.String(length=80), nullable=False),
        sa.Column("free_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_paces")),
    )
    op.create_table(
        "persons",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("mailbox", sa.String(length=320), nullable=False),
        sa.Column("folded", sa.String(length=320), nullable=False),
        sa.Column("exact_digest", sa.LargeBinary(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("chain", sa.LargeBinary(), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=True),
        sa.Column("language", sa.String(length=2), nullable=False),
        sa.Column("muted_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_persons")),
        sa.UniqueConstraint("chain", name=op.f("uq_persons_chain")),
        sa.UniqueConstraint("digest", name=op.f("uq_persons_digest")),
        sa.UniqueConstraint("folded", name=op.f("uq_persons_folded")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "shifts",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("began_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("beat_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_shifts")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "bulletins",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("list_id", sa.Integer(), nullable=False),
        sa.Column("subject", sa.String(length=500), nullable=False),
        sa.Column("form", sa.String(length=8), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("form IN ('markdown', 'html')", name=op.f("ck_bulletins_form")),
        sa.ForeignKeyConstraint(["list_id"], ["lists.id"], name=op.f("fk_bulletins_list_id_lists")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_bulletins")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_bulletins_list_id"), "bulletins", ["list_id"], unique=False)

    op.create_table(
        "texts",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("list_id", sa.Integer(), nullable=False),
        sa.Column("language", sa.String(length=2), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["list_id"], ["lists.id"], name=op.f("fk_texts_list_id_lists")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_texts")),
        sa.UniqueConstraint("list_id", "digest", name=op.f("uq_texts_list_id_digest")),
        sa.UniqueConstraint("list_id", "language", "version", name=op.f("uq_texts_list_id_language_version")),
    )
    op.create_table(
        "dispatches",
        sa.Column("bulletin_id", sa.Integer(), nullable=False),
        sa.Column("list_id", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("began_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("audience", sa.Integer(), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("trouble", sa.String(length=500), nullable=True),
        sa.CheckConstraint(
            "state IN ('scheduled', 'sending', 'paused', 'sent', 'cancelled')", name=op.f("ck_dispatches_state")
        ),
        sa.ForeignKeyConstraint(["bulletin_id"], ["bulletins.id"], name=op.f("fk_dispatches_bulletin_id_bulletins")),
        sa.ForeignKeyConstraint(["list_id"], ["lists.id"], name=op.f("fk_dispatches_list_id_lists")),
        sa.PrimaryKeyConstraint("bulletin_id", name=op.f("pk_dispatches")),
    )
    op.create_index("ix_dispatches_state", "dispatches", ["state"], unique=False)

    op.create_table(
        "issues",
        sa.Column("bulletin_id", sa.Integer(), nullable=False),
        sa.Column("sender", sa.String(length=320), nullable=False),
        sa.Column("subject", sa.String(length=1000), nullable=False),
        sa.Column("html", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("audience", sa.String(length=200), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("approved_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("approved_by", sa.String(length=200), nullable=False),
        sa.ForeignKeyConstraint(["bulletin_id"], ["bulletins.id"], name=op.f("fk_issues_bulletin_id_bulletins")),
        sa.PrimaryKeyConstraint("bulletin_id", name=op.f("pk_issues")),
    )
    op.create_table(
        "requests",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("list_id", sa.Integer(), nullable=False),
        sa.Column("entrance", sa.String(length=16), nullable=False),
        sa.Column("mailbox", sa.String(length=320), nullable=True),
        sa.Column("domain", sa.String(length=255), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=True),
        sa.Column("language", sa.String(length=2), nullable=False),
        sa.Column("text_id", sa.Integer(), nullable=True),
        sa.Column("origin", sa.JSON(), nullable=True),
        sa.Column("browser", sa.LargeBinary(), nullable=True),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("not_before", sa.DateTime(timezone=True), nullable=False),
        sa.Column("taken_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("outcome", sa.String(length=16), nullable=True),
        sa.Column("person_id", sa.Integer(), nullable=True),
        sa.Column("epoch", sa.Integer(), nullable=True),
        sa.Column("letter", sa.String(length=16), nullable=True),
        sa.Column("letter_due", sa.Boolean(), nullable=False),
        sa.Column("letter_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("kind IN ('join', 'leave', 'exit')", name=op.f("ck_requests_kind")),
        sa.ForeignKeyConstraint(["list_id"], ["lists.id"], name=op.f("fk_requests_list_id_lists")),
        sa.ForeignKeyConstraint(["text_id"], ["texts.id"], name=op.f("fk_requests_text_id_texts")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_requests")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_requests_domain_letter_at", "requests", ["domain", "letter_at"], unique=False)
    op.create_index(
        "ix_requests_letter",
        "requests",
        ["id"],
        unique=False,
        postgresql_where=sa.text("letter_due"),
        sqlite_where=sa.text("letter_due = 1"),
    )
    op.create_index("ix_requests_letter_at", "requests", ["letter_at"], unique=False)
    op.create_index("ix_requests_person_id_received_at", "requests", ["person_id", "received_at"], unique=False)
    op.create_index("ix_requests_received_at", "requests", ["received_at"], unique=False)
    op.create_index(
        "ix_requests_waiting",
        "requests",
        ["not_before", "id"],
        unique=False,
        postgresql_where=sa.text("taken_at IS NULL"),
        sqlite_where=sa.text("taken_at IS NULL"),
    )

    op.create_table(
        "subscriptions",
        sa.Column("person_id", sa.Integer(), nullable=False),
        sa.Column("list_id", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("basis", sa.String(length=16), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("acted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("text_id", sa.Integer(), nullable=True),
        sa.Column("source", sa.String(length=200), nullable=False),
        sa.Column("sale_reference", sa.String(length=200), nullable=True),
        sa.CheckConstraint("basis <> 'customer' OR sale_reference IS NOT NULL", name=op.f("ck_subscriptions_sale")),
        sa.CheckConstraint("basis IN ('consent', 'customer', 'organisation')", name=op.f("ck_subscriptions_basis")),
        sa.CheckConstraint(
            "state IN ('pending', 'active', 'left', 'undeliverable')", name=op.f("ck_subscriptions_state")
        ),
        sa.ForeignKeyConstraint(["list_id"], ["lists.id"], name=op.f("fk_subscriptions_list_id_lists")),
        sa.ForeignKeyConstraint(["person_id"], ["persons.id"], name=op.f("fk_subscriptions_person_id_persons")),
        sa.ForeignKeyConstraint(["text_id"], ["texts.id"], name=op.f("fk_subscriptions_text_id_texts")),
        sa.PrimaryKeyConstraint("person_id", "list_id", name=op.f("pk_subscriptions")),
    )
    op.create_index("ix_subscriptions_list_id_state", "subscriptions", ["list_id", "state"], unique=False)

    op.create_table(
        "confirmations",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("request_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("person_id", sa.Integer(), nullable=False),
        sa.Column("list_id", sa.Integer(), nullable=False),
        sa.Column("text_id", sa.Integer(), nullable=False),
        sa.Column("address", sa.LargeBinary(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("issued_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("welcome_due", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["list_id"], ["lists.id"], name=op.f("fk_confirmations_list_id_lists")),
        sa.ForeignKeyConstraint(["person_id"], ["persons.id"], name=op.f("fk_confirmations_person_id_persons")),
        sa.ForeignKeyConstraint(["request_id"], ["requests.id"], name=op.f("fk_confirmations_request_id_requests")),
        sa.ForeignKeyConstraint(["text_id"], ["texts.id"], name=op.f("fk_confirmations_text_id_texts")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_confirmations")),
        sa.UniqueConstraint("digest", name=op.f("uq_confirmations_digest")),
    )
    op.create_index("ix_confirmations_person_id", "confirmations", ["person_id"], unique=False)
    op.create_index(
        "ix_confirmations_welcome",
        "confirmations",
        ["id"],
        unique=False,
        postgresql_where=sa.text("welcome_due"),
        sqlite_where=sa.text("welcome_due = 1"),
    )
    connection = op.get_bind()
    for statement in TRIGGERS[connection.dialect.name]:
        # A percent sign is a parameter's to the driver of PostgreSQL.
        connection.exec_driver_sql(
            statement.replace("%", "%%") if connection.dialect.name == "postgresql" else statement
        )
