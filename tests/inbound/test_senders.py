"""Mail to the address that people see as the sender: it is taken, and is the owner's of the right list."""

from __future__ import annotations

import re

import pytest
from flask import Flask

from arriving import DOMAIN, LEAVE, TAKES_MAIL, comes, request
from catching import Caught, text_of
from commanding import ROOT
from listening import listening
from mailinglist import db
from mailinglist.consent import lists
from mailinglist.consent.tables import MailingList
from mailinglist.inbound import forward, handle, intents, senders
from mailinglist.inbound.tables import OWNER
from mailinglist.settings import Settings
from making import person, the_list
from spooled import keep, rows

SENDER = f"tiedote@{DOMAIN}"
RETURNED = (
    f"From: Tector tiedottaa <{SENDER}>\r\nTo: {SENDER}\r\nSubject: Hei\r\nList-Id: Tector <tector-tiedottaa.{DOMAIN}>"
    "\r\nAuto-Submitted: auto-generated\r\n\r\nMoi\r\n"
).encode()

on_sqlite = pytest.mark.parametrize("databases", ["sqlite"], indirect=True)


@pytest.fixture
def extra_settings(caught: Caught) -> dict[str, str]:
    return {**TAKES_MAIL, "smtp_url": caught.url}


def another(slug: str, sender: str = "") -> None:
    with db.transaction() as session:
        lists.add(session, slug, "Toinen", now=db.utcnow(), **({"sender": sender} if sender else {}))


def slug_of(list_id: int | None) -> str | None:
    with db.reading() as session:
        row = session.get(MailingList, list_id) if list_id else None
        return row.slug if row else None


def test_the_common_sender_stands_for_a_list_that_has_none_of_its_own() -> None:
    settings = Settings.of(mail_from=f"Tector <Tiedote@{DOMAIN}>", secret_keys="k" * 32, ban_key="b" * 32)

    def known(*every: tuple[str, str]) -> dict[str, str]:
        made = [MailingList(slug=slug, name=slug, settings={"sender": own} if own else {}) for slug, own in every]
        return senders.of_lists(made, settings)

    default, own = lists.DEFAULT_SLUG, f"Oma <Oma@{DOMAIN}>"
    assert known() == {}
    assert known(("muu", ""), (default, "")) == {SENDER: default}
    assert known((default, own), ("muu", "")) == {SENDER: "muu", f"oma@{DOMAIN}": default}
    assert known(("muu", own), (default, own)) == {SENDER: default, f"oma@{DOMAIN}": "muu"}
    assert known(("muu", SENDER), (default, "")) == {SENDER: default}


@on_sqlite
def test_the_listener_takes_it_and_nothing_else_of_its_kind(app: Flask) -> None:
    another("toinen", f"Toinen <toinen@{DOMAIN}>")
    with listening(app) as here, here.lmtp() as client:
        client.mail("matti@example.fi")
        taken = (SENDER, SENDER.upper(), f"toinen@{DOMAIN}")
        assert [client.rcpt(address)[0] for address in taken] == [250, 250, 250]
        assert client.rcpt(f"kolmas@{DOMAIN}")[0] == 550
        client.rset()
        another("kolmas", f"kolmas@{DOMAIN}")
        here.listener._looked_at = float("-inf")
        client.mail("matti@example.fi")
        assert client.rcpt(f"kolmas@{DOMAIN}")[0] == 250, "a sender that was set meanwhile"
        client.rset()
        client.sendmail("matti@example.fi", [SENDER], request(SENDER, "Kysymys"))
    assert [row.recipient for row in rows()] == [SENDER]


@on_sqlite
def test_it_is_the_owners_of_its_list_and_no_command(app: Flask) -> None:
    another("toinen", f"Toinen <toinen@{DOMAIN}>")
    for to, slug in ((SENDER, lists.DEFAULT_SLUG), (f"Toinen@{DOMAIN}", "toinen")):
        came = comes(app, request(to, "poista", body="Poistakaa minut listalta."), to)
        assert (came.state, came.outcome, slug_of(came.list_id)) == (OWNER, "for-a-person", slug)


@on_sqlite
def test_whose_address_is_a_lists_sender_joins_and_leaves_by_mail_as_anybody(app: Flask) -> None:
    choir = f"kuoro@{DOMAIN}"
    another("kuoro", f"Kuoro <{choir}>")
    with db.transaction() as session:
        person(session, choir, now=db.utcnow())
    leave, join = request(LEAVE, "poista"), request(f"kuoro-join@{DOMAIN}")
    for raw, to in ((leave, LEAVE), (join, f"kuoro-join@{DOMAIN}")):
        came = comes(app, raw.replace(b"matti@example.fi", choir.encode()), to, sender=choir)
        assert (came.kind, came.outcome) == (intents.COMMAND, "letter" if to == LEAVE else "asked")
    own = comes(app, leave.replace(b"matti@example.fi", SENDER.encode()), LEAVE, sender=SENDER)
    assert own.outcome == "for-a-person", "what all mails are from is nobody's"


@on_sqlite
def test_our_own_letters_and_robots_go_round_nowhere(app: Flask) -> None:
    assert comes(app, RETURNED, SENDER, sender="").outcome == "robot"
    away = request(SENDER, "Automaattinen vastaus: poissa", "Auto-Submitted: auto-replied\r\n")
    assert comes(app, away, SENDER, sender="").outcome == "robot"


@on_sqlite
def test_an_owner_who_is_the_sender_is_sent_nothing(app: Flask, caught: Caught) -> None:
    for owner, reaches in ((SENDER, 0), ("omistaja@example.fi", 1)):
        with db.transaction() as session:
            lists.set_value(session, the_list(session), "owner", owner, now=db.utcnow())
        keep(request(SENDER, f"Kysymys {reaches}"), SENDER)
        handle.handle(stop=lambda: False)
        forward.send_due(stop=lambda: False)
        assert (len(caught.to(SENDER)), len(caught.to("omistaja@example.fi"))) == (0, reaches)
    [letter] = caught.to("omistaja@example.fi")
    assert f"Tämä viesti tuli osoitteeseen {SENDER}" in text_of(letter)


def test_the_map_for_postfix_lets_through_what_the_example_is_sent_from() -> None:
    told = (ROOT / "docs" / "operating.md").read_text(encoding="utf-8")
    ours = [re.compile(each) for each in re.findall(r"^/(\S+)/ +ok$", told, re.MULTILINE)]
    sender = re.search(r"^MAILINGLIST_MAIL_FROM=.*<(.+)>$", (ROOT / ".env.example").read_text(), re.MULTILINE)
    assert sender is not None
    for address in (sender[1], f"postmaster@{DOMAIN}", f"tector-tiedottaa-owner@{DOMAIN}"):
        assert any(each.search(address) for each in ours), address
    assert not any(each.search(f"somebody@{DOMAIN}") for each in ours)
