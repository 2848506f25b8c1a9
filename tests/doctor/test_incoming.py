"""Whether mail to our addresses reaches us, as the doctor sees it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from flask import Flask

import servers
from conftest import SECRETS
from imap_server import imap_server
from listening import listening
from mailinglist import db
from mailinglist.consent import lists
from mailinglist.doctor import incoming
from mailinglist.doctor.findings import Finding, Level
from mailinglist.inbound import spool
from mailinglist.settings import Settings
from making import the_list
from zones import zone

pytestmark = pytest.mark.parametrize("databases", ["sqlite"], indirect=True)


def found(**values: object) -> list[Finding]:
    with zone({"tector.fi": ["v=spf1 mx -all"]}) as resolver:
        return list(incoming.check(Settings.of(**(SECRETS | values)), resolver))


def test_no_way_in_is_a_warning(app: Flask) -> None:
    first, last = found()
    assert (first.level, last.level) == (Level.WARNING, Level.OK)
    assert "INBOUND_BIND" in first.mend


def test_a_listener_that_answers_and_one_that_does_not(app: Flask) -> None:
    with listening(app) as here:
        assert found(inbound_bind=f"127.0.0.1:{here.port}")[0].level is Level.OK
    gone, *_ = found(inbound_bind=f"127.0.0.1:{servers.free_port()}")
    assert (gone.level, gone.mend) == (Level.FAILURE, "start `mailinglist inbound`")


def test_a_mailbox_that_opens_and_one_that_does_not(app: Flask) -> None:
    with imap_server(None, password="secret") as server:
        for password, level in (("secret", Level.OK), ("wrong-password", Level.FAILURE)):
            url = f"imap://lists:{password}@127.0.0.1:{server.port}?starttls=never"
            finding = found(inbound_imap=url)[0]
            assert finding.level is level
            assert password not in finding.words


def test_a_domain_without_an_exchanger_is_a_warning(app: Flask) -> None:
    exchanger = found(inbound_pipe=True, mail_from="Tector <tiedote@tector.fi>")[0]
    assert exchanger.level is Level.WARNING
    assert "MX" in exchanger.words


def test_mails_that_nobody_handles_are_a_failure(app: Flask) -> None:
    with db.transaction() as session:
        now = db.utcnow() - timedelta(minutes=6)
        spool.keep(session, recipient="a@b.fi", sender="", via="pipe", raw=b"x", now=now)
    waiting = found(inbound_pipe=True)[-1]
    assert waiting.level is Level.FAILURE
    assert waiting.words == "mails to be handled: 1; the oldest waits for 6 minutes"


def test_where_mail_to_the_sender_goes_is_said(app: Flask) -> None:
    def said(**values: object) -> list[tuple[Level, str]]:
        return [
            (each.level, each.words) for each in found(**values) if "which" in each.words and "sender" in each.words
        ]

    ours = "mail to tiedote@tector.fi, which people see as the sender, is taken for the list tector-tiedottaa"
    assert said(inbound_pipe=True, mail_from="Tector <Tiedote@tector.fi>") == [
        (Level.OK, f"{ours}, if the relay hands it in")
    ]
    nowhere = "people write to tiedote@tector.fi, which they see as the sender, and tector.fi has no MX record"
    for values in ({}, {"inbound_pipe": True, "bounce_domain": "lists.tector.fi"}):
        assert said(mail_from="Tector <tiedote@tector.fi>", **values) == [(Level.WARNING, nowhere)]
    assert said() == [], "as delivered: no public domain"


def test_an_owner_whose_mail_comes_to_the_program_is_a_warning(app: Flask) -> None:
    with db.transaction() as session:
        lists.set_value(session, the_list(session), "owner", "tiedote@tector.fi", now=db.utcnow())
    words = "the owner of tector-tiedottaa is tiedote@tector.fi, whose mail comes to the program itself"
    warned = [each for each in found(inbound_pipe=True, mail_from="tiedote@tector.fi") if each.words.startswith(words)]
    assert [each.level for each in warned] == [Level.WARNING]
    assert not any(each.words.startswith(words) for each in found(inbound_pipe=True))
