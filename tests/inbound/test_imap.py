"""Mail from a mailbox: kept before it is marked, never deleted, each once; from a server on a socket, over TLS."""

from __future__ import annotations

import imaplib
import ssl
import threading
from collections.abc import Iterator

import pytest
from flask import Flask
from sqlalchemy import select
from sqlalchemy.exc import OperationalError

from arriving import JOIN
from catching import Caught, text_of
from imap_server import ImapServer, imap_server
from mailinglist import db, observe
from mailinglist.inbound import bounds, handle, imap, spool
from mailinglist.inbound.tables import Spooled
from mailinglist.settings import Mailbox
from mailservers import Authority, authority
from making import never
from reporting import DOMAIN, report, return_path
from servers import wait_for
from spooled import owned

OWNER = f"tector-tiedottaa-owner@{DOMAIN}"
QUESTION = f"Return-Path: <liisa@example.fi>\nDelivered-To: {OWNER}\nFrom: liisa@example.fi\n\nMoi\n".encode()

pytestmark = pytest.mark.parametrize("databases", ["sqlite"], indirect=True)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def extra_settings(caught: Caught) -> dict[str, str]:
    return {"smtp_url": caught.url, "bounce_domain": DOMAIN, "inbound_imap": "imaps://lists:pass%20word@127.0.0.1"}


@pytest.fixture
def server(certificates: Authority) -> Iterator[ImapServer]:
    with imap_server(certificates.server) as made:
        yield made


def mailbox(server: ImapServer, **more: object) -> Mailbox:
    values = {"host": "127.0.0.1", "port": server.port, "tls": "implicit", "user": "lists", "password": "pass word"}
    return Mailbox(**(values | more))  # type: ignore[arg-type]


def rows() -> list[tuple[str, ...]]:
    with db.reading() as session:
        found = session.execute(select(Spooled.recipient, Spooled.sender, Spooled.via, Spooled.state))
        return sorted(tuple(row) for row in found)


def test_each_mail_is_kept_once_and_marked(app: Flask, server: ImapServer, certificates: Authority) -> None:
    there = return_path(7)
    server.put(QUESTION)
    server.put(b"Return-Path: <>\r\n" + report(there))
    server.put(b"From: somebody@example.com\nSubject: to nobody\n\nMoi\n")
    for _ in range(2):
        assert imap.fetch(app, mailbox(server), tls=certificates.trusting) is False
    assert rows() == sorted([
        (OWNER, "liisa@example.fi", "imap", "waiting"), (there, "", "imap", "waiting"),
        (f"postmaster@{DOMAIN}", "somebody@example.com", "imap", "waiting"),
    ])  # fmt: skip
    assert [mail.flags for mail in server.mails] == [{imap.KEYWORD}] * 3
    for mail in server.mails:
        mail.flags.clear()  # as after a crash between keeping and marking
    imap.fetch(app, mailbox(server), tls=certificates.trusting)
    assert len(rows()) == 3
    assert not any(
        "EXPUNGE" in command or "DELETE" in command.upper().replace("UNDELETED", "") for command in server.commands
    )


def test_what_is_not_kept_is_not_marked(
    app: Flask, server: ImapServer, certificates: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise OperationalError("", {}, Exception("gone"))

    server.put(QUESTION)
    with monkeypatch.context() as patch:
        patch.setattr(spool, "keep", broken)
        with pytest.raises(OperationalError):
            imap.fetch(app, mailbox(server), tls=certificates.trusting)
    assert [mail.flags for mail in server.mails] == [set()]
    for commands in range(7):  # the connection breaks at each place
        server.cut_after = commands
        try:
            imap.fetch(app, mailbox(server), tls=certificates.trusting)
        except (OSError, imaplib.IMAP4.error):
            continue
    server.cut_after = None
    imap.fetch(app, mailbox(server), tls=certificates.trusting)
    assert (len(rows()), [mail.flags for mail in server.mails]) == (1, [{imap.KEYWORD}])


def test_a_mail_that_the_server_can_not_give_holds_up_no_other(
    app: Flask, server: ImapServer, certificates: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        server.put(QUESTION + b"%d\n" % number)
    server.damaged.add(server.mails[0].uid)
    assert imap.fetch(app, mailbox(server), tls=certificates.trusting) is False
    assert len(rows()) == 2
    assert [mail.flags for mail in server.mails] == [set(), {imap.KEYWORD}, {imap.KEYWORD}]
    server.damaged.clear()
    imap.fetch(app, mailbox(server), tls=certificates.trusting)
    assert len(rows()) == 3
    monkeypatch.setattr(imap, "_MOST_LEFT", 1)
    for mail in server.mails:
        mail.flags.clear()
    server.damaged.update(mail.uid for mail in server.mails)
    with pytest.raises(imap.Trouble):
        imap.fetch(app, mailbox(server), tls=certificates.trusting)


def test_of_what_is_too_large_the_owner_is_told_once(
    app: Flask, server: ImapServer, certificates: Authority, caught: Caught, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounds, "LARGEST", 1000)
    server.put(QUESTION + b"x" * 3_000_000)
    server.put(b"Return-Path: <liisa@example.fi>\nTo: %s\nSubject: liity\n\n" % JOIN.encode() + b"x" * 2000)
    for _ in range(2):
        imap.fetch(app, mailbox(server), tls=certificates.trusting)
        for mail in server.mails:
            mail.flags.discard(imap.KEYWORD)  # as after a crash before it was marked
    assert len(rows()) == 2
    assert not any("BODY.PEEK[]" in command for command in server.commands)
    owned()
    handle.handle(stop=never)
    with db.reading() as session:
        found = session.execute(select(Spooled.outcome, Spooled.forwarded)).all()
    assert [tuple(row) for row in found] == [(spool.TOO_LARGE, "accepted")] * 2, "nothing is done by a header alone"
    letters = [text_of(message) for _, _, message in caught.mails]
    assert [("3 Mt" in words, "Viestin otsaketiedot ovat liitteenä." in words) for words in letters] == [
        (True, True), (False, True)
    ]  # fmt: skip


def test_a_server_without_keywords_and_a_folder_with_a_name(app: Flask, certificates: Authority) -> None:
    with imap_server(certificates.server, folder='Listat &AOQ- &- \\"x\\"', keywords=False) as server:
        server.put(QUESTION)
        for _ in range(2):
            imap.fetch(app, mailbox(server, folder='Listat ä & "x"'), tls=certificates.trusting)
        assert ([mail.flags for mail in server.mails], len(rows())) == ([{"\\Seen"}], 1)


def test_nobody_else_gets_the_password(app: Flask, certificates: Authority) -> None:
    with imap_server(certificates.stranger) as server:
        with pytest.raises(ssl.SSLCertVerificationError):
            imap.fetch(app, mailbox(server), tls=certificates.trusting)
        assert server.commands == []
    with imap_server(None) as server, pytest.raises(imaplib.IMAP4.error):
        imap.fetch(app, mailbox(server, tls="required"), tls=certificates.trusting)
    assert not any(command.startswith("LOGIN") for command in server.commands)


def test_it_looks_until_it_is_to_end(app: Flask) -> None:
    before = observe.counts().get("imap_troubles", 0)
    ending = threading.Event()
    with imap_server(None) as server:
        server.put(QUESTION)
        server.cut_after = 2
        box = mailbox(server, tls="none", every=1, password="pass word")
        thread = threading.Thread(target=imap.look, args=(app, box, ending))
        thread.start()
        try:
            wait_for(lambda: server.mails[0].flags, seconds=15)
        finally:
            ending.set()
            thread.join(10)
    assert not thread.is_alive()
    assert observe.counts()["imap_troubles"] > before
