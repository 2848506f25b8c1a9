"""Each way in which a ban can be given, and each route by which marketing could go out all the same: nothing goes.

One house in which somebody used each way, and in which each route is tried on all of them: real pages, real commands, a
real mail server. The routes were begun before the bans came wherever they can be, since that is the harder half. Beside
them stands somebody whom nobody forbade anything, whom every route reaches: so no cell is empty because nothing ran.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select, update

import arriving
import calling
import staffing
from catching import Caught
from commanding import Commands
from mailinglist import db, migrate
from mailinglist.bulletins import drafts
from mailinglist.bulletins.audience import Rule
from mailinglist.consent import (
    address,
    confirming,
    export,
    gate,
    intake,
    keys,
    lists,
    own_page,
    register,
    registrar,
    requests,
    transfer,
    verification,
)
from mailinglist.consent.keys import Keys
from mailinglist.consent.register import Origin
from mailinglist.consent.states import Basis, State
from mailinglist.consent.tables import MailingList, Person, Request, Subscription
from mailinglist.delivery import audience_query, dispatch, letter_desk, post, proofs
from mailinglist.delivery.addressing import Addressing
from mailinglist.delivery.tables import Dispatch, Handoff
from mailinglist.errors import Banned, NotAllowed, TokenSpent, Unknown
from mailinglist.privacy import backup, disclosures, restore, rights
from mailinglist.settings import SETTINGS, Settings
from mailinglist.staff.audit import Actor
from mailinglist.staff.levels import Level

FREE = "free@example.fi"
SLUGS = (lists.DEFAULT_SLUG, "toinen", "kolmas")
"""On the first everybody is active; on the second they have asked; on the third they have just confirmed."""
ORIGIN: Origin = {"how": "button", "client": "192.0.2.7"}
BY = Actor(None, "root", "")


@pytest.fixture
def extra_settings(caught: Caught) -> dict[str, str]:
    return {"smtp_url": caught.url}


@dataclass
class House:
    """What the ways and routes work with."""

    app: Flask
    desk: staffing.Signed
    cli: Commands
    folder: Path
    program: calling.Program
    now: datetime = field(default_factory=db.utcnow)
    began: list[int] = field(default_factory=list)
    links: dict[str, str] = field(default_factory=dict)
    """Confirmation links that are out, by address."""

    def file(self, name: str, line: str) -> Path:
        path = self.folder / name
        path.write_text(f"{line}\n")
        return path

    def person(self, session, mailbox: str) -> Person | None:
        return register.find(session, address.parse(mailbox))

    def leave_link(self, mailbox: str) -> str:
        with db.reading() as session:
            found = self.person(session, mailbox)
            assert found is not None
            row = lists.find(session, SLUGS[0])
            return f"/unsubscribe/{register.unsubscribe_token(register.tokens_of(session), row.id, found.digest)}"

    def press(self, path: str, **fields: str) -> None:
        assert self.app.test_client().post(path, data=fields).status_code in (200, 303)


# ── ways: each forbids all marketing to the address, unless its name says what ────────────────────────────────────────


def _page(house: House, mailbox: str) -> None:
    house.press(house.leave_link(mailbox), ban="all")


def _page_email(house: House, mailbox: str) -> None:
    house.press(house.leave_link(mailbox), ban="email")


def _own_page(house: House, mailbox: str) -> None:
    with db.reading() as session:
        digest = keys.keys_of(session).digest(mailbox)
        key = own_page.Key(digest, digest, db.utcnow()).token(register.tokens_of(session))
    house.press(f"/preferences/{key}", act="ban", channel="all")


def _mail(house: House, mailbox: str) -> None:
    """A mail to the list's leave address, with the token of a bulletin, by whatever address."""
    to = f"{SLUGS[0]}-leave@{house.app.config[SETTINGS].return_domain}"
    token = house.leave_link(mailbox).rpartition("/")[2]
    raw = arriving.request(to, token, body="I object to all marketing.")
    assert arriving.comes(house.app, raw, to).outcome == "banned"


def _answer(house: House, mailbox: str) -> None:
    """An answer to a confirmation letter that waits."""
    with db.reading() as session:
        addressing = Addressing(house.app.config[SETTINGS], register.tokens_of(session))
    to = addressing.reply_address(house.links[mailbox])
    raw = arriving.request(to, "Re: Confirm", body="I object to all marketing.")
    assert arriving.comes(house.app, raw, to).outcome == "banned"


def _staff(house: House, mailbox: str, scope: str = "") -> None:
    channels = ["email", "post", "phone", "disclosure"]
    on = db.utcnow().astimezone().date().isoformat()
    form = {"address": mailbox, "channels": channels, "list": scope, "how": "phone", "on": on, "words": "Call 17"}
    assert house.desk.post("/staff/bans/add", form).status_code == 303


def _staff_by_list(house: House, mailbox: str) -> None:
    for slug in SLUGS:
        _staff(house, mailbox, slug)


def _command(house: House, mailbox: str) -> None:
    assert house.cli("bans", "add", mailbox, "--channel", "all", "--source", "letter").code == 0


def _file(house: House, mailbox: str) -> None:
    assert house.cli("bans", "import", house.file("bans.txt", mailbox.upper()), "--channel", "all").code == 0


def _file_by_list(house: House, mailbox: str) -> None:
    for slug in SLUGS:
        path = house.file(f"{slug}.txt", mailbox)
        assert house.cli("bans", "import", path, "--channel", "all", "--list", slug).code == 0


def _file_of_hashes(house: House, mailbox: str) -> None:
    digest = hashlib.sha256(mailbox.encode()).hexdigest()
    assert house.cli("bans", "import", house.file("hashes.txt", digest), "--channel", "all").code == 0


def _api(house: House, mailbox: str) -> None:
    """Another system hands it on, with a token."""
    body = {"email": mailbox.title(), "channels": "all", "source": "Web shop"}
    assert house.program.post("/bans", body).status_code == 200


def _kept_exit(house: House, mailbox: str) -> None:
    """While the ban key is wrong the answer is the same, and the worker enters it once the key is right."""
    link, right = house.leave_link(mailbox), house.app.extensions["mailinglist_session"]["info"]["keys"]
    db.install(house.app, keys=Keys(b"another key, another key, another"))
    try:
        house.press(link, ban="all")
    finally:
        db.install(house.app, keys=right)


def _corrected(house: House, mailbox: str) -> None:
    """Forbidden under an earlier address: the ban goes along to the one that staff correct it to."""
    earlier = f"earlier.{mailbox}"
    _command(house, earlier)
    with db.transaction() as session:
        found = house.person(session, earlier)
        assert found is not None
        told = registrar.Told("phone", "Call 18", db.utcnow().astimezone().date(), "Maija")
        registrar.correct_address(session, found.id, address.parse(mailbox), told, now=db.utcnow())


def _erased(house: House, mailbox: str) -> None:
    _command(house, mailbox)
    with db.transaction() as session:
        rights.erase(session, address.parse(mailbox), db.utcnow())


def _restored(house: House, mailbox: str) -> None:
    """Forbidden after the backup was made that is restored then."""
    path = house.folder / "before.tar.gz"
    backup.make(house.app.config[SETTINGS], path)
    _page(house, mailbox)
    tables: dict[str, Any] = {"make_tables": migrate.make_tables, "upgrade": migrate.upgrade}
    assert restore.restore(house.app, path, identity=None, replace=True, journals=(), by=BY, **tables).released


FIRST: dict[str, Callable[[House, str], None]] = {"restored": _restored}
"""A restore ends what is on its way: so this one comes before the routes begin."""
WAYS: dict[str, Callable[[House, str], None]] = {
    "page": _page, "page-email": _page_email, "own-page": _own_page, "mail": _mail, "answer": _answer,
    "staff": _staff, "staff-by-list": _staff_by_list, "command": _command, "file": _file, "file-by-list": _file_by_list,
    "hashes": _file_of_hashes, "Hashes.As.Written": _file_of_hashes, "api": _api, "kept-exit": _kept_exit,
    "corrected": _corrected, "erased": _erased,
}  # fmt: skip
EVERYBODY = {name: f"{name}@example.fi" for name in (*FIRST, *WAYS)}


def begins_as(name: str) -> str:
    """The address under which somebody is on the lists at first."""
    return f"earlier.{EVERYBODY[name]}" if name == "corrected" else EVERYBODY[name]


# ── what is on its way before the bans come ───────────────────────────────────────────────────────────────────────────


def _admit(slug: str, *mailboxes: str) -> transfer.Report:
    consignment = transfer.read("\n".join(["email", *mailboxes]).encode(), basis=Basis.CONSENT, source="old", file="f")
    with db.transaction() as session:
        row = lists.find(session, slug)
        return transfer.take_in(session, row, consignment, who="root", now=db.utcnow())


def _ask(session, slug: str, mailbox: str, now: datetime) -> Request:
    row = lists.find(session, slug)
    text = lists.current_text(session, row, "fi")
    intake.write_down(
        session, row, address.parse(mailbox), entrance="web", language="fi", text=text, origin=ORIGIN, now=now
    )
    requests.take(session, now=now)
    return session.scalars(select(Request).order_by(Request.id.desc()).limit(1)).one()


def _confirm_link(session, request: Request, now: datetime) -> str:
    assert request.person_id
    assert request.text_id
    assert request.epoch is not None
    issued = confirming.issue(
        session, request_id=request.id, person_id=request.person_id, list_id=request.list_id, text_id=request.text_id,
        epoch=request.epoch, days=7, now=now,
    )  # fmt: skip
    assert issued
    return issued[0]


def _bulletin(session, subject: str, *, at: datetime | None = None) -> int:
    made = drafts.add(
        session, lists.find(session, SLUGS[0]), subject=subject, source="Moi", form="markdown", now=db.utcnow()
    )
    dispatch.send(session, made.id, sender="T <t@example.fi>", by="x", at=at, publishers=(), now=db.utcnow())
    return made.id


def _begin(house: House, mailboxes: list[str]) -> None:
    """Letters of each kind in the queue, a confirmation link that is out, one bulletin begun and one scheduled."""
    for mailbox in mailboxes:
        with db.transaction() as session:  # the limits of letters: one in ten minutes
            confirmed = _ask(session, SLUGS[2], mailbox, house.now - timedelta(hours=3))
            confirming.confirm(session, _confirm_link(session, confirmed, house.now), origin=ORIGIN, now=house.now)
            confirmed.letter_due = False  # that letter went out
            asked = _ask(session, SLUGS[1], mailbox, house.now - timedelta(hours=2))
            house.links[mailbox] = _confirm_link(session, asked, house.now)
            _ask(session, SLUGS[0], mailbox, house.now - timedelta(hours=1))
    with db.transaction() as session:
        while letter_desk.enqueue_due(session, now=db.utcnow()):
            session.flush()
        house.began = [
            _bulletin(session, "Running"),
            _bulletin(session, "Scheduled", at=db.utcnow() + timedelta(hours=1)),
        ]
        assert dispatch.begin_due(session, now=db.utcnow()) == house.began[:1]


# ── routes: each tries all of them, and says whom it reached ──────────────────────────────────────────────────────────

Reached = set[str]
"""Addresses."""


def _mailed(caught: Caught, subject: str) -> Reached:
    return {to for _, to, message in caught.mails if subject in str(message["Subject"])}


def _bulletins(house: House, caught: Caught) -> dict[str, Reached]:
    with db.transaction() as session:
        session.execute(update(Dispatch).where(Dispatch.bulletin_id == house.began[1]).values(due_at=db.utcnow()))
        _bulletin(session, "Later")
    post.bulletins(stop=lambda: False)
    with db.reading() as session:
        assert {dispatch.status(session, number).state for number in (*house.began, house.began[1] + 1)} == {"sent"}
    return {f"bulletin {name}": _mailed(caught, name) for name in ("Running", "Scheduled", "Later")}


def _letters(house: House, caught: Caught) -> dict[str, Reached]:
    """What waited, and what each asks for now."""
    before = len(caught.mails)
    everybody = (*EVERYBODY.values(), FREE)
    with db.reading() as session:
        last = session.scalars(select(Request.id).order_by(Request.id.desc()).limit(1)).one()
    for mailbox in everybody:
        with db.transaction() as session:
            for kind, slug in ((requests.JOIN, SLUGS[1]), (requests.KEY, SLUGS[0])):
                row = lists.find(session, slug)
                intake.write_down(
                    session, row, address.parse(mailbox), kind=kind, entrance="web", language="fi",
                    text=lists.current_text(session, row, "fi") if kind == requests.JOIN else None, origin=ORIGIN,
                    now=db.utcnow(),
                )  # fmt: skip
        assert house.program.post(f"/lists/{SLUGS[1]}/requests", {"email": mailbox}).status_code == 202
    while post.letters(stop=lambda: False).outcomes:
        pass
    with db.reading() as session:
        sent = select(Handoff.kind, Handoff.person_id, Handoff.about).where(Handoff.state == "accepted")
        rows = session.execute(sent).all()
        names = dict(session.execute(select(Person.id, Person.mailbox)).all())
        forms = select(Request.outcome).where(Request.id > last, Request.kind == requests.JOIN).order_by(Request.id)
        outcomes = {way: session.scalars(forms.where(Request.entrance == way)).all() for way in ("web", "api")}
    found: dict[str, Reached] = {f"letter {kind}": set() for kind in ("confirm", "welcome", "already")}
    for way, route in (("web", "form"), ("api", "api request")):
        found[route] = {mailbox for mailbox, said in zip(everybody, outcomes[way], strict=True) if said != "banned"}
    service: Reached = set()
    for kind, number, _about in rows:
        if f"letter {kind}" in found:
            found[f"letter {kind}"].add(names.get(number, f"nobody {number}"))
        elif kind != "bulletin":
            service.add(names.get(number, ""))
    assert len(caught.mails) - before >= len(service) > len(WAYS) // 2, "what they ask about themselves does go"
    return found


def _tries(house: House, do: Callable[[Any, str], object]) -> Reached:
    """Who got through: `do` is refused where it must be."""
    reached = set()
    for mailbox in (*EVERYBODY.values(), FREE):
        try:
            with db.transaction() as session:
                do(session, mailbox)
            reached.add(mailbox)
        except (Banned, NotAllowed, TokenSpent, Unknown):
            continue
    return reached


def _others(house: House) -> dict[str, Reached]:
    settings: Settings = house.app.config[SETTINGS]
    with db.reading() as session:
        row = lists.find(session, SLUGS[0])
        exported = "".join(export.lines(session, row, names=True)).splitlines()[1:]
        counted = audience_query.count(session, row.id, Rule()).audience
        seen = gate.read(
            session, gate.Mail.BULLETIN, list_id=row.id, persons=list(session.scalars(select(Person.id))), now=house.now
        )
    told = registrar.Told("phone", "Call 19", house.now.astimezone().date(), "Maija")
    started = {mailbox.removeprefix("earlier."): link for mailbox, link in house.links.items()}

    def test_mail(session, mailbox: str) -> None:
        proofs.proof(session, house.began[0], address.parse(mailbox), settings, now=db.utcnow())

    def by_staff(session, mailbox: str) -> None:
        registrar.enter(session, lists.find(session, SLUGS[1]), address.parse(mailbox), told, now=db.utcnow())

    def by_link(session, mailbox: str) -> None:
        if mailbox not in started:
            raise Unknown("No letter went to them.")
        confirming.confirm(session, started[mailbox], origin=ORIGIN, now=db.utcnow())

    def disclosed(session, mailbox: str) -> None:
        found = house.person(session, mailbox)
        if found is None:
            raise Unknown("Erased.")
        disclosures.note(
            session, [found.id], recipient="Police", basis="Act 872/2011", fields=["address"], by=BY, now=db.utcnow()
        )

    def joins_again(session, mailbox: str) -> None:
        made = keys.keys_of(session)
        key = own_page.Key(made.digest(address.parse(mailbox).folded), made.digest(mailbox), db.utcnow())
        row = lists.find(session, SLUGS[1])
        own_page.ask_to_join(session, key, row, language="fi", origin=ORIGIN, now=db.utcnow())

    found = {
        "own page": _tries(house, joins_again),
        "join by staff": _tries(house, by_staff),
        "test mail": _tries(house, test_mail),
        "confirmation link": _tries(house, by_link),
        "disclosure": _tries(house, disclosed) - {EVERYBODY["page-email"]},  # forbade e-mail alone
        "export": {line.partition(",")[0] for line in exported},
        "audience": {FREE} if counted == 1 else {FREE, f"{counted - 1} more"},
        "gate": {each.mailbox for each in seen.values() if each.why is None},
        **_by_program(house),
    }
    for slug in SLUGS:
        report = _admit(slug, *EVERYBODY.values(), FREE)
        refused = {entry.line - 2 for entry in report.refused}
        everybody = (*EVERYBODY.values(), FREE)
        found[f"import to {slug}"] = {mailbox for at, mailbox in enumerate(everybody) if at not in refused}
    return found


def _by_program(house: House) -> dict[str, Reached]:
    """What another system is told, and whom it hands over."""
    everybody = (*EVERYBODY.values(), FREE)
    items = [{"email": mailbox} for mailbox in everybody]
    asked = house.program.post("/bans/check", {"items": items, "list": SLUGS[0], "channel": "email"}).get_json()
    body = {"basis": "consent", "source": "Web shop", "people": items}
    refused = house.program.post(f"/lists/{SLUGS[0]}/people", body).get_json()["refused"]
    not_in = {each["index"] for each in refused}
    answers = zip(everybody, asked["answers"], strict=True)
    return {
        "api check": {mailbox for mailbox, told in answers if not told["banned"]},
        "api people": {mailbox for place, mailbox in enumerate(everybody) if place not in not_in},
    }


# ── the table ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_no_way_leaves_a_route_open(
    app: Flask, settings: Settings, caught: Caught, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str], tmp_path: Path,
) -> None:  # fmt: skip
    desk = staffing.signed_in(app, Level.REGISTRAR)
    house = House(app, desk, Commands(settings, monkeypatch, capsys), tmp_path, calling.program(app))
    with db.transaction() as session:
        for slug in SLUGS[1:]:
            lists.add(session, slug, slug.title(), now=house.now)
    assert _admit(SLUGS[0], *map(begins_as, EVERYBODY), FREE).added == len(EVERYBODY) + 1
    for name, way in FIRST.items():
        way(house, EVERYBODY[name])
    house.desk = staffing.signed_in(app, Level.REGISTRAR)  # a restore ends every sign-in, and every token
    house.program = calling.program(app)
    _begin(house, [*map(begins_as, WAYS), FREE])
    for name, way in WAYS.items():
        way(house, EVERYBODY[name])
    with db.transaction() as session:
        requests.take(session, now=db.utcnow())  # the exit that was kept
    routes = {**_bulletins(house, caught), **_letters(house, caught), **_others(house)}
    routes["any mail that is not about oneself"] = {
        to for _, to, message in caught.mails if message["List-Unsubscribe"] is not None
    }
    names = {mailbox: name for name, mailbox in EVERYBODY.items()} | {begins_as(n): n for n in EVERYBODY}
    leaks = sorted(
        f"{names.get(mailbox, mailbox)} × {route}"
        for route, reached in routes.items()
        for mailbox in reached
        if mailbox != FREE
    )
    assert leaks == []
    assert [route for route, reached in routes.items() if FREE not in reached] == [], "a route that reaches nobody"
    with db.reading() as session:
        assert list(verification.verify(session)) == []
        active = select(Person.mailbox).join(Subscription).join(MailingList).where(MailingList.slug == SLUGS[1])
        assert session.scalars(active.where(Subscription.state == State.ACTIVE.value)).all() == [FREE]
