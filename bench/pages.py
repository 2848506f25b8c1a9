"""How long the console's pages take when the register is large: each asked for over HTTP, of the real web server, by
one person who is signed in and has every right.

The register is written straight into its tables (register.py), the bulletins too: the newest two have a row for each
who was active, all others the rows that are out of the ordinary, which are those that pages count.
"""

from __future__ import annotations

import http.client
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from subprocess import DEVNULL

from sqlalchemy import case, func, insert, literal, select, text
from sqlalchemy.orm import Session

import commanding
import servers
import staffing
from mailinglist import db, migrate
from mailinglist.app import create_app
from mailinglist.bulletins.tables import Bulletin, Issue
from mailinglist.consent import lists
from mailinglist.consent.tables import Ban, DailyCount, Person, Subscription
from mailinglist.db import UtcDateTime
from mailinglist.delivery.tables import Dispatch, Handoff
from mailinglist.settings import Settings
from mailinglist.web.staff import home

from . import register, stage

_WHOLE = 2
"""Bulletins with a row for everybody."""
_DRAFTS = 5
_REJECTED = 200
"""Of each other bulletin."""
_BANNED_EACH = 500
_DAYS = 3 * 365
_COUNTS = ("confirmed", "imported", "left", "undeliverable", "asked")
_GOAL = 0.2
_FRESH = 5
"""The first answers of the processes of a web server: each has to learn its templates."""


def main(*, people: int, bulletins: int, times: int, database: str) -> None:
    """Print each page's times: the slowest first answer of a process, the median, 95 of 100, and the slowest."""
    server_of = stage.postgres(needed=True) if database == "postgresql" else nullcontext()
    with stage.folder() as folder, server_of as server:
        url = server.url(server.create("pages")) if server else f"sqlite:///{folder}/pages.db"
        web = servers.free_port()
        settings = Settings.of(
            data_dir=folder / "var", database_url=url, bind=f"127.0.0.1:{web}", base_url=f"http://127.0.0.1:{web}",
            smtp_url="smtp://127.0.0.1:1?starttls=never", **stage.SECRETS,
        )  # fmt: skip
        app = create_app(settings)
        migrate.upgrade(app)
        with app.app_context():
            _fill(people, bulletins)
            _, secret = staffing.sign_in(staffing.account(*staffing.EVERY_LEVEL))
            counted = _plot_rows()
            db.db.engine.dispose()
        with _web(settings, folder):
            ask = partial(_ask, web, secret)
            servers.wait_for(lambda: servers.listens(web), seconds=30)
            print(f"{database}, {people:,} people, {bulletins} bulletins, {times} times each, {stage.machine()}")
            print(f"{'page':<62} {'first':>8} {'median':>8} {'p95':>8} {'slowest':>8}", flush=True)
            draft = bulletins  # the newest
            for name, path in _pages(draft, people):
                _print(name, [ask(path)[1] for _ in range(_FRESH + times)])
            for days, rows in counted.items():
                pieces = ask(f"/staff/?days={days}")[0].count(b"<rect")
                print(f"the plot of {days} days: {rows:,} rows of counts, {pieces} pieces of bars")


def _pages(draft: int, people: int) -> Iterator[tuple[str, str]]:
    """What each is called, and its address. `draft`: the bulletin whose audience is chosen; the last one sent is the
    newest before the drafts."""
    sent = draft - _DRAFTS
    count = f"/staff/bulletins/{draft}/audience/count"
    yield "first page", "/staff/"
    yield "first page, plot of a year", "/staff/?days=365"
    yield "bulletins", "/staff/bulletins"
    yield "bulletins, the last page", f"/staff/bulletins?before={min(50, draft)}"
    yield "bulletins that are drafts", "/staff/bulletins?state=draft"
    yield "bulletins that were cancelled: none", "/staff/bulletins?state=cancelled"
    yield "persons: everybody", "/staff/persons?q="
    yield "persons: start of the address", "/staff/persons?q=person77"
    yield "persons: the whole address", f"/staff/persons?q=person{people - 1}@example{(people - 1) % 50}.fi"
    yield "persons: domain", "/staff/persons?q=@example7.fi"
    yield "persons: start of the address, undeliverable", "/staff/persons?q=person&state=undeliverable"
    yield (
        "persons: domain, pending on the list",
        f"/staff/persons?q=@example7.fi&state=pending&list={lists.DEFAULT_SLUG}",
    )
    yield "storage periods", "/staff/retention"
    yield "audience, the whole page", f"/staff/bulletins/{draft}/audience"
    yield "audience count: everybody", count
    yield "audience count: Swedish", f"{count}?languages=sv"
    yield "audience count: joined in the last month", f"{count}?joined_after={_month_ago()}"
    yield "audience count: one source", f"{count}?source=kev%C3%A4tmessut"
    yield "audience count: was sent the last one", f"{count}?sent={sent}"
    yield "audience count: was not sent the last one", f"{count}?not_sent={sent}"
    yield "audience count: a source that nobody came from", f"{count}?source=nowhere"


def _print(name: str, seconds: Sequence[float]) -> None:
    first, rest = max(seconds[:_FRESH]), sorted(seconds[_FRESH:])
    p95 = rest[int(len(rest) * 0.95)]
    values = " ".join(f"{each * 1000:>5.0f} ms" for each in (first, rest[len(rest) // 2], p95, rest[-1]))
    print(f"{name:<62} {values}{'' if p95 < _GOAL else '   too slow'}", flush=True)


def _ask(port: int, secret: str, path: str) -> tuple[bytes, float]:
    """A page, and the seconds until all of it is there."""
    began = time.perf_counter()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("GET", path, headers={"Cookie": f"staff={secret}", "Accept-Language": "fi"})
        answer = connection.getresponse()
        body = answer.read()
    finally:
        connection.close()
    assert answer.status == 200, (path, answer.status, body[:500])
    return body, time.perf_counter() - began


@contextmanager
def _web(settings: Settings, folder: Path) -> Iterator[None]:
    process = commanding.start(
        settings, "web", cwd=folder, stdout=DEVNULL, stderr=DEVNULL, preexec_fn=servers.die_with_parent
    )
    try:
        yield
    finally:
        process.terminate()
        process.wait(30)


def _month_ago() -> str:
    return (db.utcnow() - timedelta(days=30)).date().isoformat()


# ── what stands in the tables ─────────────────────────────────────────────────────────────────────────────────────────


def _fill(people: int, bulletins: int) -> None:
    now = db.utcnow()
    register.fill(people, now=now, mixed=True)
    with db.transaction() as session:
        list_id = lists.find(session, lists.DEFAULT_SLUG).id
        banned = select(Person.digest, literal("email"), literal("bench"), literal(now, Ban.given_at.type))
        session.execute(
            insert(Ban).from_select(
                ["digest", "channel", "source", "given_at"], banned.where(Person.id % _BANNED_EACH == 0)
            )
        )
        days = [now.date() - timedelta(days=ago) for ago in range(_DAYS)]
        counts = [{"list_id": list_id, "day": day, "what": what, "number": 20} for day in days for what in _COUNTS]
        counts += [{"list_id": 0, "day": day, "what": "banned", "number": 2} for day in days]
        session.execute(insert(DailyCount), counts)
        draft = stage.written(session, 10, now=now)
        source = session.get_one(Bulletin, draft).source
    for number in range(2, bulletins + 1):
        with db.transaction() as session:
            session.add(
                Bulletin(list_id=list_id, subject=f"Uutisia {number}", form="markdown", source=source, created_at=now)
            )
    sent = range(1, bulletins - _DRAFTS + 1)
    for number in sent:
        with db.transaction() as session:
            _send(
                session,
                number,
                list_id,
                people,
                now - timedelta(days=len(sent) - number),
                whole=sent[-1] - number < _WHOLE,
            )
    with db.transaction() as session:
        session.execute(text("ANALYZE"))


def _send(session: Session, number: int, list_id: int, people: int, at: datetime, *, whole: bool) -> None:
    """As a bulletin stands that was sent: its issue, its account, its rows."""
    session.add(
        Issue(
            bulletin_id=number, sender="T <t@example.fi>", subject=f"Uutisia {number}", html="", text="",
            audience="{}", digest=bytes(32), approved_at=at, approved_by="bench",
        )
    )  # fmt: skip
    active = Subscription.list_id == list_id, Subscription.state == "active"
    session.add(
        Dispatch(
            bulletin_id=number, list_id=list_id, state="sent", due_at=at, began_at=at, audience=people * 9 // 10,
            rows=people * 9 // 10, ended_at=at,
        )
    )  # fmt: skip
    state = case((Subscription.person_id % 200 == 0, "rejected"), (Subscription.person_id % 999 == 0, "excluded"))
    rows = select(
        literal("bulletin"), literal(number), Subscription.list_id, Subscription.person_id,
        func.coalesce(state, "accepted") if whole else literal("rejected"), literal(at, UtcDateTime), literal(1),
        literal(at, UtcDateTime),
    ).where(*active)  # fmt: skip
    columns = ["kind", "about", "list_id", "person_id", "state", "not_before", "attempts", "settled_at"]
    session.execute(insert(Handoff).from_select(columns, rows if whole else rows.limit(_REJECTED)))


def _plot_rows() -> dict[int, int]:
    """How many rows of counts a plot of so many days is drawn from."""
    today = db.utcnow().date()
    with db.reading() as session:
        rows = select(func.count()).select_from(DailyCount)
        return {
            span: session.scalar(rows.where(DailyCount.day > today - timedelta(days=span), DailyCount.what != "asked"))
            or 0
            for span in home.SPANS
        }
