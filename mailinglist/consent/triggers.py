"""The triggers that keep the ledger append-only, for both databases, and the check that they stand.

Refused: UPDATE, DELETE, TRUNCATE and REPLACE on entries, texts and seals; DELETE and TRUNCATE on heads, and an UPDATE
of a head that does not move it one entry on. SQLite's REPLACE passes a DELETE trigger unless `recursive_triggers` is
on, so an INSERT over an existing row is refused by a trigger of its own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from sqlalchemy import text
from sqlalchemy.orm import Session

_KEPT = ("ledger", "texts", "seals")


def _sqlite() -> dict[str, str]:
    statements = {}
    for table in (*_KEPT, "chain_heads"):
        actions = ("DELETE",) if table == "chain_heads" else ("UPDATE", "DELETE")
        for action in actions:
            name = f"{table}_no_{action.lower()}"
            statements[name] = (
                f"CREATE TRIGGER {name} BEFORE {action} ON {table} "
                f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
            )
    same = {
        "ledger": "id = NEW.id OR (chain = NEW.chain AND seq = NEW.seq)",
        "texts": "id = NEW.id OR (list_id = NEW.list_id AND "
        "((language = NEW.language AND version = NEW.version) OR digest = NEW.digest))",
        "seals": "number = NEW.number",
        "chain_heads": "chain = NEW.chain",
    }
    for table, condition in same.items():
        name = f"{table}_no_replace"
        statements[name] = (
            f"CREATE TRIGGER {name} BEFORE INSERT ON {table} WHEN EXISTS (SELECT 1 FROM {table} WHERE {condition}) "
            f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
        )
    statements["chain_heads_forward"] = (
        "CREATE TRIGGER chain_heads_forward BEFORE UPDATE ON chain_heads "
        "WHEN NEW.chain <> OLD.chain OR NEW.count <> OLD.count + 1 "
        "BEGIN SELECT RAISE(ABORT, 'a chain only grows, by one'); END"
    )
    return statements


def _postgresql() -> dict[str, str]:
    statements = {
        "refuse_change": (
            "CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME; END $$"
        ),
        "refuse_backward": (
            "CREATE FUNCTION refuse_backward() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN IF NEW.chain <> OLD.chain OR NEW.count <> OLD.count + 1 THEN "
            "RAISE EXCEPTION 'a chain only grows, by one'; END IF; RETURN NEW; END $$"
        ),
    }
    for table in (*_KEPT, "chain_heads"):
        actions = ("DELETE",) if table == "chain_heads" else ("UPDATE", "DELETE")
        for action in actions:
            name = f"{table}_no_{action.lower()}"
            statements[name] = (
                f"CREATE TRIGGER {name} BEFORE {action} ON {table} FOR EACH ROW EXECUTE FUNCTION refuse_change()"
            )
        name = f"{table}_no_truncate"
        statements[name] = (
            f"CREATE TRIGGER {name} BEFORE TRUNCATE ON {table} FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        )
    statements["chain_heads_forward"] = (
        "CREATE TRIGGER chain_heads_forward BEFORE UPDATE ON chain_heads "
        "FOR EACH ROW EXECUTE FUNCTION refuse_backward()"
    )
    return statements


TRIGGERS: dict[str, dict[str, str]] = {"sqlite": _sqlite(), "postgresql": _postgresql()}
"""By dialect: name → statement, in the order in which they must be made. Made by migrations, which keep their own
copy."""


def missing_triggers(session: Session, made: Mapping[str, Mapping[str, str]] = TRIGGERS) -> list[str]:
    """Names of triggers (and trigger functions) that are not there, are switched off, or say something else.

    `made`: as TRIGGERS, which is what is looked for if nothing else is.
    """
    dialect = session.get_bind().dialect.name
    wanted = made[dialect]
    if dialect == "sqlite":
        found = _pairs(session, "SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")
        return [name for name, statement in wanted.items() if _squeezed(found.get(name) or "") != _squeezed(statement)]
    found = _pairs(
        session,
        "SELECT tgname, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal AND tgenabled IN ('O', 'A') "
        "UNION ALL SELECT proname, prosrc FROM pg_proc WHERE pronamespace = current_schema()::regnamespace",
    )
    return [name for name, statement in wanted.items() if not _same_postgresql(statement, found.get(name))]


def _pairs(session: Session, query: str) -> dict[str, str]:
    return dict(session.execute(text(query)).all())


def _same_postgresql(statement: str, found: str | None) -> bool:
    if found is None:
        return False
    if statement.startswith("CREATE FUNCTION"):
        return _squeezed(statement.split("$$")[1]) == _squeezed(found)
    return _squeezed(re.sub(r" ON \w+\.", " ON ", found)) == _squeezed(statement)


def _squeezed(statement: str) -> str:
    return " ".join(statement.split())
