"""The database: base class, types, transactions, and ringing the bell after a commit.

Verbs take a session and never commit; entrances (a request, a task, a command) open one `transaction()` or `reading()`.
What a verb makes due it announces with `ring(session, BELL)`: after the commit, and only then, the ringer that `app.py`
installed is called. The database is the truth; the broker only rings the bell.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from flask import Flask, current_app
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    ColumnElement,
    CursorResult,
    DateTime,
    Engine,
    Integer,
    LargeBinary,
    MetaData,
    Result,
    Text,
    any_,
    bindparam,
    cast,
    event,
    func,
    literal,
    select,
)
from sqlalchemy.dialects import postgresql as postgresql_dialect
from sqlalchemy.dialects import sqlite as sqlite_dialect
from sqlalchemy.engine import Connection, Dialect
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import DeclarativeBase, InstrumentedAttribute, Session
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator

from .settings import Settings

REQUESTS = "requests"
LETTERS = "letters"
BULLETINS = "bulletins"
IMPORTS = "imports"
INBOUND = "inbound"
LARGEST_NUMBER = 2**31 - 1
"""The largest number that a row has, of most tables."""
BUSY_SECONDS = 30
"""How long a writer waits for SQLite's one write lock."""
BEAT_SECONDS = 2.0
"""How often a worker says that it is alive."""
BELLS = (REQUESTS, LETTERS, BULLETINS, IMPORTS, INBOUND)

Ringer = Callable[[frozenset[str]], None]
LastAct = Callable[[Session], None]
"""What is done at the very end of a transaction, when everything is flushed: the journal's lines go to the disk."""

NO_OBJECTS: Mapping[str, Any] = {"synchronize_session": False}
"""For an UPDATE or DELETE of rows of which the session holds no objects that are looked at afterwards: else SQLAlchemy
looks through what it holds, and where it can't tell by itself which rows were meant, asks the database first."""

_RINGING = "mailinglist_bells"
_EXTENSION = "mailinglist_session"


class Base(DeclarativeBase):
    """Base of every table. Constraints have predictable names, so that a migration can find them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(column_0_label)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


db = SQLAlchemy(metadata=Base.metadata)


class UtcDateTime(TypeDecorator[datetime]):
    """A moment in UTC, to the microsecond. Naive values are refused going in; aware values come out."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a moment needs its offset")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Digest(TypeDecorator[bytes]):
    """A digest: raw bytes, compared as such."""

    impl = LargeBinary
    cache_ok = True


class _Numbers(TypeDecorator[Sequence[int]]):
    """Many numbers as one parameter, in words: an array's for PostgreSQL (psycopg makes one element by element in
    Python), JSON for SQLite."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Sequence[int] | None, dialect: Dialect) -> str:
        numbers = ",".join(map(str, value or ()))
        return f"{{{numbers}}}" if dialect.name == "postgresql" else f"[{numbers}]"


class among(FunctionElement[bool]):  # noqa: N801 - used like a function
    """SQL: `column`, which an index serves, is one of `numbers`: one parameter, however many there are, and one cached
    plan. PostgreSQL looks each up by its key, whatever its statistics say."""

    inherit_cache = True
    type = Boolean()
    _is_implicitly_boolean = True  # else SQLite gets `… IN (…) = 1`, which no index serves

    def __init__(self, column: ColumnElement[int] | InstrumentedAttribute[int], numbers: Iterable[int]) -> None:
        super().__init__(column, bindparam(None, list(numbers), type_=_Numbers()))


class among_many(among):  # noqa: N801 - used like a function
    """The same, for a large part of a table: PostgreSQL plans with how many there are."""

    inherit_cache = True


def among_digests(
    session: Session, column: InstrumentedAttribute[bytes], digests: Collection[bytes]
) -> ColumnElement[bool]:
    """SQL: the column holds one of these. One parameter for PostgreSQL: five thousand cost psycopg and the server's
    parser more than the look-up does."""
    if session.get_bind().dialect.name == "sqlite":
        return column.in_(list(digests))
    array = ",".join(f'"\\\\x{digest.hex()}"' for digest in digests)
    # A subquery is read once; else the text may be read again for each row of the table.
    told = select(cast(literal(f"{{{array}}}", Text), ARRAY(LargeBinary))).scalar_subquery()
    return column == any_(cast(told, ARRAY(LargeBinary)))


@compiles(among, "postgresql")
def _among_postgresql(element: among, compiler: SQLCompiler, **options: Any) -> str:
    # A subquery: it is read once, and the planner does not know how many it holds. Where it knows, it reads all of a
    # table that has just been filled, and has no statistics yet, and reads the text again for each row of it (20,000
    # persons: 600 ms for a group of 500, instead of 1).
    column, numbers = element.clauses
    array = f"(SELECT CAST({compiler.process(numbers, **options)} AS bigint[]))"
    return f"{compiler.process(column, **options)} = ANY (CAST({array} AS bigint[]))"


@compiles(among_many, "postgresql")
def _among_many_postgresql(element: among_many, compiler: SQLCompiler, **options: Any) -> str:
    column, numbers = element.clauses
    return f"{compiler.process(column, **options)} = ANY (CAST({compiler.process(numbers, **options)} AS bigint[]))"


@compiles(among, "sqlite")
def _among_sqlite(element: among, compiler: SQLCompiler, **options: Any) -> str:
    column, numbers = element.clauses
    values = compiler.process(numbers, **options)
    return f"{compiler.process(column, **options)} IN (SELECT value FROM json_each({values}))"  # noqa: S608 - our own column


BigId = BigInteger().with_variant(Integer, "sqlite")
"""Key of tables that grow with every mail. SQLite's row ids are 64 bits wide anyway, but only as INTEGER."""


def utcnow() -> datetime:
    """This moment, in UTC."""
    return datetime.now(UTC)


def clock(session: Session) -> datetime:
    """The time on which all processes agree: that of PostgreSQL, or of this machine."""
    if session.get_bind().dialect.name == "postgresql":
        found: datetime = session.scalars(select(func.clock_timestamp())).one()
        return found.astimezone(UTC)
    return utcnow()


def dead_after(session: Session) -> timedelta:
    """For how long who beats every BEAT_SECONDS has to be silent to count as dead. On SQLite a beat waits for whoever
    holds the one write lock."""
    waits = BUSY_SECONDS if session.get_bind().dialect.name == "sqlite" else 0.0
    return timedelta(seconds=waits + 5 * BEAT_SECONDS)


def init_app(app: Flask, settings: Settings) -> None:
    """Bind the database of `settings` to `app`. Does not connect."""
    url = settings.sqlalchemy_url
    app.config["SQLALCHEMY_DATABASE_URI"] = url
    if url.startswith("sqlite"):
        options: dict[str, Any] = {"connect_args": {"timeout": BUSY_SECONDS}}
    else:
        # Recycled connections are checked before use: a restarted server costs one reconnect, not a failed page.
        options = {"pool_pre_ping": True, "pool_size": 10, "max_overflow": 30, "connect_args": {"connect_timeout": 5}}
    # An error's words reach the log: without what was to be written, which may be somebody's mail.
    app.config["SQLALCHEMY_ENGINE_OPTIONS"] = options | {"hide_parameters": True}
    db.init_app(app)
    app.extensions[_EXTENSION] = {"ringer": None, "last_act": None, "info": {}}
    with app.app_context():
        prepare(db.engine)


def install(app: Flask, *, ringer: Ringer | None = None, last_act: LastAct | None = None, **info: Any) -> None:
    """Give `app`'s sessions what verbs need (`session.info`), what is done just before each commit, and the ringer that
    is called after it."""
    state = app.extensions[_EXTENSION]
    if ringer is not None:
        state["ringer"] = ringer
    if last_act is not None:
        state["last_act"] = last_act
    state["info"].update(info)


def session_info(app: Flask) -> dict[str, Any]:
    """What `app`'s sessions carry, for a session of somebody's own making."""
    return dict(app.extensions[_EXTENSION]["info"])


def prepare(engine: Engine) -> None:
    """Listeners that make SQLite behave: WAL, foreign keys, explicit BEGIN, deleted bytes overwritten. No-op
    elsewhere."""
    if engine.dialect.name != "sqlite":
        return

    @event.listens_for(engine, "connect")
    def on_connect(connection: sqlite3.Connection, _record: Any) -> None:
        connection.isolation_level = None  # SQLAlchemy's events say BEGIN; the driver's guesses would commit DDL
        for pragma in (
            "journal_mode=WAL",
            "synchronous=FULL",  # an opt-out that was answered must survive a power cut
            "foreign_keys=ON",
            f"busy_timeout={BUSY_SECONDS * 1000}",
            "secure_delete=ON",
            "recursive_triggers=ON",  # else INSERT OR REPLACE slips past the ledger's DELETE trigger
            "cache_size=-8000",
        ):
            connection.execute(f"PRAGMA {pragma}").close()

    @event.listens_for(engine, "begin")
    def on_begin(connection: Connection) -> None:
        # A transaction that will write takes the lock at once: upgrading later can fail with "database is locked".
        writes = connection.get_execution_options().get("writes", True)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


@contextmanager
def transaction() -> Iterator[Session]:
    """One unit of work: commits at the end, rolls back on any error, then rings the bells that verbs asked for."""
    state = current_app.extensions[_EXTENSION]
    session = Session(db.engine, expire_on_commit=False, info=dict(state["info"]))
    try:
        with session.begin():
            yield session
            session.flush()
            if state["last_act"] is not None:
                state["last_act"](session)
    finally:
        session.close()
    bells: frozenset[str] = frozenset(session.info.get(_RINGING, ()))
    if bells and state["ringer"] is not None:
        state["ringer"](bells)


@contextmanager
def reading() -> Iterator[Session]:
    """A consistent look that never writes: on SQLite it takes no write lock, and it is always rolled back."""
    info = current_app.extensions[_EXTENSION]["info"]
    with Session(db.engine, expire_on_commit=False, info=dict(info)) as session:
        options: dict[str, Any] = {"writes": False}
        if db.engine.dialect.name == "postgresql":
            options["isolation_level"] = "REPEATABLE READ"  # one snapshot for all that is looked at
        session.connection(execution_options=options)
        yield session
        session.rollback()


def insert_new(session: Session, table: type[Base]) -> sqlite_dialect.Insert | postgresql_dialect.Insert:
    """An INSERT for `table` that can say `on_conflict_do_nothing`, in the session's dialect."""
    make = sqlite_dialect.insert if session.get_bind().dialect.name == "sqlite" else postgresql_dialect.insert
    return make(table)


def changed(result: Result[Any]) -> int:
    """How many rows an UPDATE, DELETE or INSERT … SELECT changed."""
    assert isinstance(result, CursorResult)
    return result.rowcount


def ring(session: Session, bell: str) -> None:
    """Ask that `bell` is rung once this session's transaction is committed."""
    session.info.setdefault(_RINGING, set()).add(bell)
