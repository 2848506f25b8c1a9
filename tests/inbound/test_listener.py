"""The listener on a socket: who is ours, what is kept before it is answered, and what clients may cost."""

from __future__ import annotations

import hashlib
import smtplib
import socket
import threading
import time
from collections.abc import Iterator

import pytest
from flask import Flask
from sqlalchemy import select
from sqlalchemy.exc import OperationalError

import conftest
from listening import Listening, listening
from mailinglist import db
from mailinglist.consent import lists
from mailinglist.inbound import bounds, spool
from mailinglist.inbound.server import Limits
from mailinglist.inbound.tables import Spooled
from mailinglist.tokens import Purpose, Tokens
from servers import wait_for

DOMAIN = "lists.example.fi"
OWNER = f"tector-tiedottaa-owner@{DOMAIN}"
MAIL = b"From: matti@example.fi\r\nSubject: Hei\r\n\r\nMoi.\r\n"


@pytest.fixture
def extra_settings() -> dict[str, str]:
    return {"bounce_domain": DOMAIN, "inbound_bind": "127.0.0.1:0"}


@pytest.fixture
def here(app: Flask) -> Iterator[Listening]:
    with listening(app, limits=Limits(connections=5, command=1.0, content=1.5, conversation=60, leaving=1.0)) as found:
        yield found


def kept() -> list[Spooled]:
    with db.reading() as session:
        rows = list(session.scalars(select(Spooled).order_by(Spooled.id)))
        session.expunge_all()
    return rows


def bounce_address(number: int = 7) -> str:
    named = Tokens([conftest.SECRETS["secret_keys"]]).issue_for_mail(Purpose.RETURN_PATH, number.to_bytes(6, "big"))
    return f"b-{named}@{DOMAIN}"


def test_what_is_ours_is_kept_once_and_the_rest_refused(here: Listening, bells: list[frozenset[str]]) -> None:
    with here.lmtp() as client:
        assert client.esmtp_features["size"] == str(bounds.LARGEST)
        client.mail("")
        answers = [client.rcpt(address) for address in (
            OWNER, OWNER.upper(), bounce_address().upper(), bounce_address()[:-20] + f"@{DOMAIN}", "postmaster",
            f"nobody-owner@{DOMAIN}", f"tiedote@{DOMAIN}", "tector-tiedottaa-owner@example.com",
        )]  # fmt: skip
        assert [code for code, _ in answers] == [250, 250, 250, 550, 250, 550, 550, 550]
        assert answers[-1][1].startswith(b"5.1.1 ")
        client.rset()
    line = here.line()
    for _ in range(2):
        said = line.mails("matti@example.fi", [OWNER, bounce_address(), OWNER.upper(), OWNER], MAIL)
        assert said == ["250 2.0.0 Kept"] * 4
    line.close()
    rows = kept()
    assert [(row.recipient, row.sender, row.via, row.size, row.state) for row in rows] == [
        (address, "matti@example.fi", "lmtp", len(MAIL), "waiting") for address in sorted(
            (OWNER, bounce_address()), key=lambda address: spool.digest(address, MAIL)
        )
    ]  # fmt: skip
    assert rows[0].digest == hashlib.sha256(rows[0].recipient.lower().encode() + b"\n" + MAIL).digest()
    assert frozenset({db.INBOUND}) in bells


def test_many_clients_share_few_commits(here: Listening, monkeypatch: pytest.MonkeyPatch) -> None:
    batches: list[int] = []
    original = spool.keep_many

    def slowly(session: object, mails: list[spool.Arrived]) -> None:
        batches.append(len(mails))
        time.sleep(0.02)  # as a disk does
        original(session, mails)  # type: ignore[arg-type]

    monkeypatch.setattr(spool, "keep_many", slowly)

    def send(number: int) -> None:
        with here.lmtp() as client:
            for each in range(10):
                client.sendmail("a@b.fi", [OWNER], MAIL + f"{number}-{each}\r\n".encode())

    threads = [threading.Thread(target=send, args=(number,)) for number in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(kept()) == sum(batches) == 50
    assert len(batches) < 40


def test_nothing_is_promised_while_the_database_is_away(here: Listening, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise OperationalError("", {}, Exception("gone"))

    with here.lmtp() as client:
        with monkeypatch.context() as patch:
            patch.setattr(spool, "keep_many", broken)
            with pytest.raises(smtplib.SMTPDataError) as told:
                client.sendmail("a@b.fi", [OWNER], MAIL)
            assert (told.value.smtp_code, kept()) == (451, [])
            here.listener._looked_at = float("-inf")
            patch.setattr(lists, "every", broken)
            client.mail("a@b.fi")
            assert client.rcpt(OWNER)[0] == 451
            client.rset()
        client.sendmail("a@b.fi", [OWNER], MAIL)
    assert len(kept()) == 1


def test_an_address_or_mail_of_strange_octets_is_kept_as_it_is(here: Listening) -> None:
    raw = b"Subject: \xff\0\r\n\r\n" + bytes(code for code in range(256) if code not in (10, 13)) + b"\r\n"
    line = here.line()
    line.says(b"LHLO x\r\n")
    assert line.says("MAIL FROM:<ä\ufffd@ö.fi> SMTPUTF8\r\n".encode()).startswith("250")
    line.says(f"RCPT TO:<{OWNER}>\r\n".encode())
    line.says(b"DATA\r\n")
    assert line.says(raw + b".\r\n").startswith("250")
    line.close()
    with db.reading() as session:
        assert (kept()[0].sender, spool.content(session, kept()[0].id)) == ("ä\ufffd@ö.fi", raw)


def test_slow_and_many_clients_are_sent_away(here: Listening) -> None:
    silent, dripping = here.line(), here.line()
    dripping.says(f"LHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<{OWNER}>\r\nDATA\r\n".encode())
    for _ in range(3):
        dripping.answer()
    more = [here.line() for _ in range(3)]
    one_too_many = here.line()
    assert one_too_many.greeting.startswith("421 4.3.2")
    began = time.monotonic()
    told: list[str] = []
    waiting = threading.Thread(target=lambda: told.append(dripping.answer()))
    waiting.start()
    while not told:
        try:
            dripping.socket.sendall(b"x")
        except OSError:
            break
        waiting.join(0.2)
        assert time.monotonic() - began < 5
    waiting.join(5)
    assert told[0].startswith("421 4.4.2")
    assert silent.answer().startswith("421 4.4.2")
    assert silent.answer() == ""
    for line in (*more, silent, dripping, one_too_many):
        line.close()
    wait_for(lambda: not here.listener._clients)
    assert here.listener.held == 0


def test_memory_is_shared(app: Flask) -> None:
    with listening(app, limits=Limits(octets=200_000, leaving=1.0)) as here:
        lines = [here.line() for _ in range(3)]
        for line in lines:
            line.says(f"LHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<{OWNER}>\r\nDATA\r\n".encode())
            for _ in range(3):
                line.answer()
            line.socket.sendall(b"x" * 90 * 1000 + b"\r\n")
        wait_for(lambda: here.listener.held > 180_000)
        lines[2].socket.sendall(b"x" * 90_000)
        said = [line.says(b"\r\n.\r\n")[:9] for line in lines]
        assert said == ["250 2.0.0", "250 2.0.0", "452 4.3.1"]
        for line in lines:
            line.close()


def test_who_goes_away_in_the_middle_leaves_nothing(here: Listening) -> None:
    for cut in (b"LHLO x\r\n", f"LHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<{OWNER}>\r\nDATA\r\nSubject: x\r\n".encode()):
        line = here.line()
        line.says(cut)
        line.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # a reset, not an end
        line.close()
    wait_for(lambda: not here.listener._clients)
    assert (kept(), here.listener.held) == ([], 0)
