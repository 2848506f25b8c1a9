"""To join and to leave by mail alone, with the real roles: listener, spool, worker, mail server."""

from __future__ import annotations

import email
import email.policy
import json
import smtplib
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path

import pytest

from answering import outlook
from running import Run, get
from servers import free_port, wait_for

DOMAIN = "lists.example.fi"


class Post:
    """A mailbox of somebody's: writes through the listener, reads in the catcher."""

    def __init__(self, run: Run, port: int) -> None:
        self.run, self._port = run, port

    def writes(self, to: str, raw: bytes) -> None:
        with smtplib.LMTP("127.0.0.1", self._port, timeout=10) as client:
            assert client.sendmail("matti@example.fi", [to], raw) == {}

    def gets(self, number: int) -> EmailMessage:
        """The newest letter, once so many have come."""
        wait_for(lambda: len(self.run.messages()) >= number, seconds=20)
        newest = self.run.messages()[0]["id"]
        raw = get(f"{self.run.viewer}/messages/{newest}/raw")[1]
        letter = email.message_from_bytes(raw, policy=email.policy.default)
        assert isinstance(letter, EmailMessage)
        return letter

    def stands(self) -> str | None:
        told = self.run.command("people", "show", "matti@example.fi", "--json")
        return json.loads(told.stdout)["subscriptions"][0]["state"] if told.returncode == 0 else None


@pytest.fixture
def post(tmp_path: Path) -> Iterator[Post]:
    port = free_port()
    run = Run(
        tmp_path, MAILINGLIST_INBOUND_BIND=f"127.0.0.1:{port}", MAILINGLIST_BOUNCE_DOMAIN=DOMAIN,
        MAILINGLIST_MAIL_FROM=f"Tector tiedottaa <tiedote@{DOMAIN}>",
    )  # fmt: skip
    try:
        run.start()
        assert f"Incoming mail: 127.0.0.1:{port} (LMTP and SMTP)\n" in run.printed
        yield Post(run, port)
        run.stop()
    finally:
        run.end()


@pytest.mark.long
def test_the_whole_join_and_leave_by_mail(post: Post):
    asks = b"From: Matti <matti@example.fi>\r\nSubject: hei\r\nMessage-ID: <ask@example.fi>\r\n\r\nHaluan listalle.\r\n"
    post.writes(f"tector-tiedottaa-join@{DOMAIN}", asks)
    letter = post.gets(1)
    assert (letter["Auto-Submitted"], letter["In-Reply-To"]) == ("auto-replied", "<ask@example.fi>")
    assert post.stands() == "pending"
    post.writes(letter["Reply-To"], b"Auto-Submitted: auto-replied\r\n" + outlook(letter, "Kyllä, liityn"))
    post.writes(letter["Reply-To"], outlook(letter, "Kyllä, liityn"))
    welcome = post.gets(2)
    assert post.stands() == "active"
    proof = post.run.command("ledger", "proof", "matti@example.fi", "--json").stdout
    assert '"source": "answer"' in proof
    assert "X-Mailer: Microsoft Outlook 16.0" in proof
    address, _, subject = welcome["List-Unsubscribe"].rpartition("<mailto:")[2].rstrip(">").partition("?subject=")
    post.writes(address, f"From: matti@example.fi\r\nTo: {address}\r\nSubject: {subject}\r\n\r\n".encode())
    wait_for(lambda: post.stands() == "left", seconds=20)
    with pytest.raises(smtplib.SMTPRecipientsRefused):
        post.writes(f"c-{'a' * 42}@{DOMAIN}", asks)
    assert len(post.run.messages()) == 2
