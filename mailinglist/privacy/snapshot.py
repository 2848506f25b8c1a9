"""The database as members of a backup, and back: each kind by its own means, consistent while everything runs.

SQLite: one member, `database.sqlite`, by the online backup of its library: a read transaction, which hinders no writer.
It lies as a file for a moment, in a folder of the data directory that only this user can read, and has no name any more
while it is packed: never beside the backups, which may be on a disk or a machine that must see nothing unencrypted.

PostgreSQL: one member for each table, `tables/NAME.copy`, what `COPY … TO STDOUT` writes as text (its columns are named
in `about.json`), all in one REPEATABLE READ transaction. So it needs no program of PostgreSQL's, and a person can read
it. On the way back the migrations make the tables of that revision in a schema of their own, and `COPY … FROM STDIN`
fills them.

What comes back lies beside the database that is there (`Landing`), until one step puts it in its place: a restore that
fails on the way has changed nothing.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from psycopg import sql
from sqlalchemy import Connection, Engine, create_engine, inspect, text
from sqlalchemy.exc import DatabaseError, OperationalError

from .. import db, disk
from ..errors import BadInput, Fault, NotAllowed
from .archive import PART, Writer, clear_parts

Migrate = Callable[[Connection, str], None]
"""Makes the tables of a revision in an empty database."""

LEAP = 10_000_000
"""Numbers that no row gets after a restore: they may have been given out after the backup was made, and links, mails
and Message-IDs that hold them must not come to mean something else. More than the mails of any day; and a number of 32
bits has room for two hundred restores."""

_SQLITE = "database.sqlite"
_VERSION = "alembic_version"
_RESTORING = "mailinglist_restoring"
_BUSY = "Something is still connected to the database: stop web, workers and scheduler first."
_LOOKS, _BETWEEN = 20, 0.1  # seconds
_PATIENCE = "5s"
_CHUNK = 1 << 20


# ── out ───────────────────────────────────────────────────────────────────────────────────────────────────────────────


def pack(engine: Engine, folder: Path, about: dict[str, Any]) -> Callable[[Writer], None]:
    """What fills a backup with the database as it is when it is called. `about` is told what it needs to come back.

    `folder` takes what lies on a disk unencrypted for a moment: all of SQLite's database, or one table of PostgreSQL's.
    It must be on this machine, and nobody else's; what a crash left there is deleted.
    """

    def fill(writer: Writer) -> None:
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            folder.chmod(0o700)
        except OSError as error:
            raise Fault(f"Nothing can be written to {folder}, which a backup needs: {error.strerror}.") from error
        clear_parts(folder)
        about["database"] = engine.dialect.name
        if engine.dialect.name == "sqlite":
            _pack_sqlite(Path(str(engine.url.database)), folder, about, writer)
        else:
            _pack_postgresql(engine, folder, about, writer)

    return fill


def _pack_sqlite(source: Path, folder: Path, about: dict[str, Any], writer: Writer) -> None:
    handle, name = _begun(folder)
    try:
        with (
            closing(sqlite3.connect(f"file:{source}?mode=ro", uri=True)) as there,
            closing(sqlite3.connect(name)) as here,
        ):
            there.backup(here)
            here.execute("PRAGMA journal_mode=DELETE")
            if here.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
                raise Fault("The database is damaged: SQLite finds its pages wrong. There is no backup of it.")
            about["revision"] = _only(here, f"SELECT version_num FROM {_VERSION}")  # noqa: S608 - fixed
            named = here.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
            rows = sum(_only(here, f'SELECT count(*) FROM "{table}"') for (table,) in named)  # noqa: S608 - our own
        file = open(name, "rb")  # noqa: SIM115 - closed below, and nameless from here on
    finally:
        os.unlink(name)
        os.close(handle)
    with file:
        writer.add_json("about.json", about)
        writer.add(_SQLITE, file, rows=rows)


def _begun(folder: Path) -> tuple[int, str]:
    """An empty file that is ours: locked, so that nobody takes it for what a crash left."""
    while True:
        handle, name = tempfile.mkstemp(dir=folder, prefix=".", suffix=PART)
        fcntl.flock(handle, fcntl.LOCK_EX)
        if os.fstat(handle).st_nlink:
            return handle, name
        os.close(handle)  # somebody cleared up in the moment before it was locked


def _pack_postgresql(engine: Engine, folder: Path, about: dict[str, Any], writer: Writer) -> None:
    with engine.connect().execution_options(isolation_level="REPEATABLE READ") as connection:
        connection.exec_driver_sql("SET TRANSACTION READ ONLY")
        connection.exec_driver_sql("SET LOCAL client_encoding TO 'UTF8'")
        about["revision"] = connection.scalar(text(f"SELECT version_num FROM {_VERSION}"))  # noqa: S608 - fixed
        looked = inspect(connection)
        ordered = [name for name, _ in looked.get_sorted_table_and_fkc_names() if name and name != _VERSION]
        about["tables"] = [[name, [column["name"] for column in looked.get_columns(name)]] for name in ordered]
        about["sequences"] = dict(
            connection.execute(
                text("SELECT sequencename, last_value FROM pg_sequences WHERE schemaname = current_schema()")
            ).all()
        )
        writer.add_json("about.json", about)
        driver: Any = connection.connection.driver_connection
        for name, columns in about["tables"]:
            with tempfile.TemporaryFile(dir=folder) as file, driver.cursor() as cursor:
                rows = 0
                with cursor.copy(_copy(name, columns, "TO STDOUT")) as lines:
                    for line in lines:
                        rows += bytes(line).count(b"\n")  # one within a value is written as \n
                        file.write(line)
                writer.add(f"tables/{name}.copy", file, rows=rows)
        connection.rollback()


def _copy(table: str, columns: list[str], way: str) -> sql.Composed:
    named = sql.SQL(", ").join(map(sql.Identifier, columns))
    return sql.SQL("COPY {} ({}) " + way).format(sql.Identifier(table), named)


def _only(connection: sqlite3.Connection, query: str) -> Any:
    row = connection.execute(query).fetchone()
    if row is None:
        raise Fault("The database is empty: there is nothing to make a backup of. Run: mailinglist db upgrade")
    return row[0]


# ── back ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


def assert_quiet(engine: Engine) -> None:
    """Raise NotAllowed unless nobody else is connected to the database: web, workers and commands have to be
    stopped."""
    engine.dispose()
    if engine.dialect.name == "sqlite":
        path = Path(str(engine.url.database))
        if not path.exists():
            return
        try:
            with closing(sqlite3.connect(path, timeout=1)) as alone:
                # Only the last connection may leave the write-ahead log; it is folded in, and gone.
                alone.execute("PRAGMA journal_mode=DELETE")
        except sqlite3.OperationalError:
            raise NotAllowed(_BUSY) from None
        except sqlite3.DatabaseError:
            return  # what lies there is no database any more: nobody can be at work in it
    else:
        with engine.connect() as connection:
            _assert_alone(connection)
            connection.rollback()
        engine.dispose()


def _assert_alone(connection: Connection) -> None:
    """Raise NotAllowed when somebody else is connected to PostgreSQL's database. What we closed ourselves just before
    is gone within a moment, and waited for."""
    for _ in range(_LOOKS):
        connection.exec_driver_sql("SELECT pg_stat_clear_snapshot()")
        others = connection.scalar(
            text(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
                "AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
            )
        )
        if not others:
            return
        time.sleep(_BETWEEN)
    raise NotAllowed(_BUSY)


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Nobody else is in this database of SQLite, or gets in. Raises NotAllowed.

    Whoever opened the file in the last moment and waits can't write where nobody reads: SQLite refuses to write into a
    file that lost its name (SQLITE_READONLY_DBMOVED).
    """
    if not path.exists():
        yield
        return
    with closing(sqlite3.connect(path, timeout=1, isolation_level=None)) as held:
        try:
            held.execute("PRAGMA journal_mode=DELETE")
            held.execute("BEGIN EXCLUSIVE")
            if held.execute("PRAGMA journal_mode").fetchone() != ("delete",):
                raise NotAllowed(_BUSY)
        except sqlite3.OperationalError:
            raise NotAllowed(_BUSY) from None
        except sqlite3.DatabaseError:
            pass  # no database any more
        yield


def is_empty(engine: Engine) -> bool:
    """Whether nothing would be lost: no tables, or none of those that people fill has a row."""
    if engine.dialect.name == "sqlite" and not Path(str(engine.url.database)).exists():
        return True
    try:
        with engine.connect() as connection:
            there = set(inspect(connection).get_table_names())
            filled = there & {"persons", "ledger", "bans", "requests", "bulletins", "accounts"}
            found = any(connection.scalar(text(f"SELECT 1 FROM {name} LIMIT 1")) for name in sorted(filled))  # noqa: S608
            connection.rollback()
    except DatabaseError:
        if engine.dialect.name != "sqlite":
            raise
        found = True  # a damaged file: there may be something in it still
    engine.dispose()
    return not found


class Landing:
    """Where a backup is unpacked, beside the database: `take` its members, look at it (`connect`), then `land`."""

    def __init__(self, engine: Engine, migrate: Migrate) -> None:
        self._engine, self._migrate = engine, migrate
        self._sqlite = engine.dialect.name == "sqlite"
        self._about: dict[str, Any] = {}
        self.rows: dict[str, int] = {}

    def begin(self, about: dict[str, Any]) -> None:
        """Prepare for what `about.json` says. Raises BadInput (a backup of the other kind of database)."""
        if about.get("database") != self._engine.dialect.name:
            raise BadInput(
                f"The backup is of {about.get('database')}, and this database is {self._engine.dialect.name}: "
                "set MAILINGLIST_DATABASE_URL to one of the same kind."
            )
        self._about = about
        self.abandon()
        if not self._sqlite:
            with self._connected() as connection:
                connection.exec_driver_sql(f"CREATE SCHEMA {_RESTORING}")
                connection.commit()
                self._migrate(connection, about["revision"])

    def take(self, name: str, source: IO[bytes]) -> None:
        """Unpack one member."""
        if self._sqlite and name == _SQLITE:
            try:
                self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)  # on another machine
                with os.fdopen(os.open(self._beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
                    while data := source.read(_CHUNK):
                        file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
            except OSError as error:
                raise Fault(f"The database can't be written: {error.strerror}.") from error
        elif not self._sqlite and name.startswith("tables/"):
            table = name.removeprefix("tables/").removesuffix(".copy")
            columns = dict(self._about["tables"])[table]
            with self._connected() as connection:
                driver: Any = connection.connection.driver_connection
                with driver.cursor() as cursor, cursor.copy(_copy(table, columns, "FROM STDIN")) as lines:
                    while data := source.read(_CHUNK):
                        lines.write(data)
                driver.commit()  # SQLAlchemy does not know that something was begun

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        """A connection to what was unpacked."""
        if self._sqlite:
            engine = create_engine(f"sqlite:///{self._beside}")
            db.prepare(engine)
            try:
                with engine.connect() as connection:
                    yield connection
            finally:
                engine.dispose()
        else:
            with self._connected() as connection:
                yield connection

    def land(self) -> None:
        """Put what was unpacked in the place of the database. One step: it is done, or nothing is.

        Raises NotAllowed when somebody has connected to the database since: what they write would be lost.
        """
        with self.connect() as connection:
            self._leap(connection)
            connection.commit()
        if self._sqlite:
            with closing(sqlite3.connect(self._beside)) as alone:
                alone.execute("PRAGMA journal_mode=DELETE")
            with _alone(self._path):
                for ending in ("-wal", "-shm"):  # of what was there: folded in when nobody else was connected
                    self._path.with_name(self._path.name + ending).unlink(missing_ok=True)
                os.replace(self._beside, self._path)
            disk.sync_folder(self._path.parent)
        else:
            self._exchange()
        self._engine.dispose()

    def abandon(self) -> None:
        """Away with what was unpacked."""
        if self._sqlite:
            for ending in ("", "-wal", "-shm", "-journal"):
                self._beside.with_name(self._beside.name + ending).unlink(missing_ok=True)
        else:
            with self._engine.connect() as connection:
                connection.exec_driver_sql(f"DROP SCHEMA IF EXISTS {_RESTORING} CASCADE")
                connection.commit()

    @property
    def _path(self) -> Path:
        return Path(str(self._engine.url.database))

    @property
    def _beside(self) -> Path:
        return self._path.with_name(self._path.name + ".restoring")

    @contextmanager
    def _connected(self) -> Iterator[Connection]:
        """In the schema of what is being restored. The connection is not used for anything else afterwards."""
        with self._engine.connect() as connection:
            try:
                connection.exec_driver_sql(f"SET search_path TO {_RESTORING}")
                connection.exec_driver_sql("SET client_encoding TO 'UTF8'")
                connection.commit()
                yield connection
            finally:
                with suppress(Exception):
                    connection.rollback()
                connection.invalidate()

    def _leap(self, connection: Connection) -> None:
        if self._sqlite:
            connection.exec_driver_sql(f"UPDATE sqlite_sequence SET seq = seq + {LEAP}")  # noqa: S608 - a number
            return
        for name in inspect(connection).get_sequence_names():
            last = self._about["sequences"].get(name) or 0
            connection.execute(
                text("SELECT setval(CAST(:name AS regclass), :value)"), {"name": f'"{name}"', "value": last + LEAP}
            )

    def _exchange(self) -> None:
        """Old tables and functions go, and the restored ones come, in one transaction."""
        self._engine.dispose()
        with self._engine.connect() as connection:
            connection.exec_driver_sql(f"SET LOCAL lock_timeout TO '{_PATIENCE}'")
            quoted = connection.dialect.identifier_preparer.quote
            here = quoted(connection.scalar(text("SELECT current_schema()")) or "public")
            looked = inspect(connection)
            tables = looked.get_table_names(schema=_RESTORING)
            known = {*tables, *db.Base.metadata.tables, _VERSION}
            for name in looked.get_table_names():
                if name in known:
                    try:
                        connection.exec_driver_sql(f"DROP TABLE {here}.{quoted(name)} CASCADE")
                    except OperationalError as error:
                        raise NotAllowed(_BUSY) from error
            # Whoever connects from here on waits until the restored tables are there.
            _assert_alone(connection)
            functions = connection.scalars(
                text("SELECT proname FROM pg_proc WHERE pronamespace = CAST(:schema AS regnamespace)"),
                {"schema": _RESTORING},
            ).all()
            for name in functions:
                connection.exec_driver_sql(f"DROP FUNCTION IF EXISTS {here}.{quoted(name)}() CASCADE")
                connection.exec_driver_sql(f"ALTER FUNCTION {_RESTORING}.{quoted(name)}() SET SCHEMA {here}")
            for name in tables:
                connection.exec_driver_sql(f"ALTER TABLE {_RESTORING}.{quoted(name)} SET SCHEMA {here}")
            connection.exec_driver_sql(f"DROP SCHEMA {_RESTORING} CASCADE")
            connection.commit()
