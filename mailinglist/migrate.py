"""Creates and migrates the database, and tells whether it is at the newest revision."""

from __future__ import annotations

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from flask import Flask
from sqlalchemy import Connection
from sqlalchemy.orm import Session

from . import db
from .consent import keys, lists
from .errors import BadInput, Fault
from .places import PACKAGE
from .privacy import notice
from .settings import SETTINGS


def config() -> Config:
    """Alembic's configuration; the migrations lie in the package."""
    made = Config()
    made.set_main_option("script_location", str(PACKAGE / "migrations"))
    return made


def upgrade(app: Flask) -> None:
    """Bring the database to the newest revision; on the first time also make the default list, and note the ban key.

    The lists' privacy notices become new versions where this version of the program words them otherwise.

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
            notice.refresh_all(session, app.config[SETTINGS], now=db.utcnow())


def make_tables(connection: Connection, revision: str) -> None:
    """The tables of a revision, in an empty database or schema. Commits. Raises BadInput (there is no such revision:
    it is of a later version)."""
    made = config()
    made.attributes["connection"] = connection
    try:
        command.upgrade(made, revision)
    except CommandError as error:
        raise BadInput(f"The backup is of revision {revision}, which this version does not know.") from error


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
