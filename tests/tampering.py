"""What somebody with the database's password could do behind the program's back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import text
from sqlalchemy.orm import Session

from mailinglist.consent.triggers import TRIGGERS


@contextmanager
def without_triggers(session: Session) -> Iterator[None]:
    """The triggers are dropped, and made again afterwards; foreign keys are not looked at."""
    dialect = session.get_bind().dialect.name
    if dialect == "sqlite":
        session.execute(text("PRAGMA defer_foreign_keys = ON"))
        for name in TRIGGERS[dialect]:
            session.execute(text(f"DROP TRIGGER {name}"))
    else:
        session.execute(text("SET session_replication_role = replica"))
    yield
    if dialect == "sqlite":
        for statement in TRIGGERS[dialect].values():
            session.execute(text(statement))
    else:
        session.execute(text("SET session_replication_role = DEFAULT"))


def behind_the_back(session: Session, *statements: str) -> None:
    """Statements that the triggers would have refused."""
    with without_triggers(session):
        for statement in statements:
            session.execute(text(statement))
