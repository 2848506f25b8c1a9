"""What keeps the audit append-only, on both databases; `consent.triggers` says whether it stands.

Refused: UPDATE, REPLACE and TRUNCATE, and a DELETE of what is younger than a year. Retention is longer than that: the
year is what even somebody with the program's own access to the database can't take away.
"""

from __future__ import annotations

TRIGGERS: dict[str, dict[str, str]] = {
    "sqlite": {
        "audit_no_update": (
            "CREATE TRIGGER audit_no_update BEFORE UPDATE ON audit "
            "BEGIN SELECT RAISE(ABORT, 'audit is append-only'); END"
        ),
        "audit_no_early_delete": (
            "CREATE TRIGGER audit_no_early_delete BEFORE DELETE ON audit "
            "WHEN OLD.at IS NULL OR OLD.at > strftime('%Y-%m-%d %H:%M:%f', 'now', '-1 year') "
            "BEGIN SELECT RAISE(ABORT, 'audit is kept for a year at least'); END"
        ),
        "audit_no_replace": (
            "CREATE TRIGGER audit_no_replace BEFORE INSERT ON audit "
            "WHEN EXISTS (SELECT 1 FROM audit WHERE id = NEW.id) "
            "BEGIN SELECT RAISE(ABORT, 'audit is append-only'); END"
        ),
    },
    "postgresql": {
        "refuse_early": (
            "CREATE FUNCTION refuse_early() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN IF OLD.at > now() - interval '1 year' THEN "
            "RAISE EXCEPTION '% is kept for a year at least', TG_TABLE_NAME; END IF; RETURN OLD; END $$"
        ),
        "audit_no_update": (
            "CREATE TRIGGER audit_no_update BEFORE UPDATE ON audit FOR EACH ROW EXECUTE FUNCTION refuse_change()"
        ),
        "audit_no_early_delete": (
            "CREATE TRIGGER audit_no_early_delete BEFORE DELETE ON audit FOR EACH ROW EXECUTE FUNCTION refuse_early()"
        ),
        "audit_no_truncate": (
            "CREATE TRIGGER audit_no_truncate BEFORE TRUNCATE ON audit "
            "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        ),
    },
}
"""By dialect: name → statement, as migration 0003 makes them. `refuse_change` is the register's."""
