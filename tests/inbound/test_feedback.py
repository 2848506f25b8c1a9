"""Complaints in ARF (RFC 5965), redacted ones, and what looks like one."""

from __future__ import annotations

import pytest

from mailinglist.inbound.feedback import complaint
from mailinglist.inbound.reading import read
from mailinglist.inbound.reports import report


def arf(feedback: str, *, sender: str = "Feedback <fbl@provider.example>") -> bytes:
    return f"""From: {sender}
Subject: FW: Tiedote
Content-Type: multipart/report; report-type=feedback-report; boundary="a"

--a
Content-Type: text/plain

This is an abuse report.

--a
Content-Type: message/feedback-report

{feedback}

--a
Content-Type: message/rfc822

Message-ID: <1@lists.example>
To: redacted

Hei
--a--
""".encode()


@pytest.mark.parametrize("kind", ["abuse", "Abuse", "fraud", "virus", "other", "opt-out"])
def test_a_complaint(kind: str) -> None:
    mail = read(arf(f"Feedback-Type: {kind}\nUser-Agent: Loop/1.0\nVersion: 1"))
    found = complaint(mail)
    assert found is not None
    assert (found.provider, found.feedback_type) == ("provider.example", kind.lower())
    assert mail.embedded is not None
    assert mail.embedded.header("Message-ID") == "<1@lists.example>"
    assert report(mail) is None


@pytest.mark.parametrize("kind", ["not-spam", "auth-failure", "dmarc"])
def test_what_is_no_complaint(kind: str) -> None:
    mail = read(arf(f"Feedback-Type: {kind}\nUser-Agent: Loop/1.0\nVersion: 1"))
    assert complaint(mail) is None
    assert report(mail) is None


def test_the_program_where_nobody_is_named() -> None:
    found = complaint(read(arf("Feedback-Type: abuse\nUser-Agent: Loop/1.0", sender="<>")))
    assert found is not None
    assert found.provider == "Loop/1.0"


def test_a_mail_sent_back_without_a_report() -> None:
    raw = (
        b"From: staff@provider.example\nSubject: complaint about message from 192.0.2.1\n"
        b'Content-Type: multipart/mixed; boundary="a"\n\n--a\nContent-Type: message/rfc822\n\nTo: x\n\nHei\n--a--\n'
    )
    found = complaint(read(raw))
    assert found is not None
    assert found.feedback_type == "abuse"
    forwarded = raw.replace(b"complaint about message from 192.0.2.1", b"Fwd: Tiedote")
    assert complaint(read(forwarded)) is None


def test_a_person_who_complains_in_words() -> None:
    assert complaint(read(b"From: a@example.fi\nSubject: Abuse report please\n\nLopettakaa!\n")) is None
