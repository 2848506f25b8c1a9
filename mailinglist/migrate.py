"""Creates and migrates the database, and tells whether it is at the newest revision."""

from __future__ import annotations

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from flask import Flask
from sqlalchemy.orm import Session

from . import db
from .consent import keys, lists
from .errors import Fault
from .places import PACKAGE


def config() -> Config:
    """Alembic's configuration; the migrations lie in the package."""
    made = Config()
    made.set_main_option("script_location", str(PACKAGE / "migrations"))
    return made


def upgrade(app: Flask) -> None:
    """Bring the database to the newest revision; on the first time also make the default list, and note the ban key.

    Raises RegisterUnsound when the ban key is not the one that the register rests on.
    """
    with app.app_context():
        made = config()
        with db.db.engine.connect() as connection:
            made.attributes["connection"] = connection
            command.upgrade(made, "head")
        with db.transaction() as session:
            keys.remember(session)
            lists.ensure_default(session, now=db.utcnow())


def head() -> str:
    """The newest revision."""
    found = ScriptDirectory.from_config(config()).get_current_head()
    assert found is not None
    return found


def revision(session: Session) -> str | None:
    """The database's revision; None: it is empty."""
    return MigrationContext.configure(session.connection()).get_current_revision()


def assert_current(session: Session) -> None:
    """Raise Fault unless the database is at the newest revision."""
    found = revision(session)
    if found != head():
        raise Fault("The database is not at this version's revision. Run: mailinglist db upgrade")
