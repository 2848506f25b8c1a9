"""Hostile mail, the whole way: by the listener into the spool, and handled. Nothing fails, nothing takes long, and
memory stays bounded."""

from __future__ import annotations

import base64
import gzip
import itertools
import random
import time
import tracemalloc

import pytest
from flask import Flask
from sqlalchemy import select

from listening import listening
from mailinglist import db
from mailinglist.consent import lists
from mailinglist.inbound import handle
from mailinglist.inbound.bounds import LARGEST
from mailinglist.inbound.tables import Spooled
from making import the_list
from reporting import DOMAIN, report, return_path

OWNER, JOIN, LEAVE = (f"tector-tiedottaa-{word}@{DOMAIN}" for word in ("owner", "join", "leave"))
HEAD = b"From: a@example.fi\r\nSubject: x\r\nMIME-Version: 1.0\r\n"


@pytest.fixture
def extra_settings() -> dict[str, str]:
    return {"bounce_domain": DOMAIN, "inbound_bind": "127.0.0.1:0", "smtp_url": "smtp://127.0.0.1:9?starttls=never"}


def nested(depth: int) -> bytes:
    parts = b"".join(
        b'Content-Type: multipart/mixed; boundary="b%d"\r\n\r\n--b%d\r\n' % (level, level) for level in range(depth)
    )
    return HEAD + parts + b"Content-Type: text/plain\r\n\r\nMoi\r\n"


def of_type(kind: str, body: bytes, encoding: str = "7bit") -> bytes:
    return HEAD + f"Content-Type: {kind}\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n".encode() + body + b"\r\n"


BOMB = base64.encodebytes(gzip.compress(b"\0" * 50_000_000)).replace(b"\n", b"\r\n")
MAILS = {
    "nested parts": nested(10_000),
    "many parts": HEAD + b'Content-Type: multipart/mixed; boundary="b"\r\n\r\n' + b"--b\r\n\r\nx\r\n" * 10_000,
    "mails in mails": HEAD + b"Content-Type: message/rfc822\r\n\r\n" * 5_000,
    "a bomb": of_type("application/gzip", BOMB, "base64"),
    "a bomb of text": of_type("text/plain; charset=utf-8", BOMB, "base64"),
    "broken base64": of_type("text/plain", b"====\r\n!!!!\r\nQUJD" * 1000, "base64"),
    "broken quoted-printable": of_type("text/plain; charset=x-nothing", b"=" * 3000 + b"=XX=0", "quoted-printable"),
    "a charset that is none": of_type("text/plain; charset=idna", b"\xff\xfe" * 5000, "8bit"),
    "encoded words": b"Subject: " + b"=?utf-8?q?" * 8_000 + b"\r\n" + HEAD + b"\r\nx\r\n",
    "comments": b"From: " + b"(" * 90_000 + b"\r\n\r\nx\r\n",
    "addresses": b"From: " + b"a@b.fi, " * 10_000 + b"\r\nTo: " + b"<" * 90_000 + b"\r\n\r\nx\r\n",
    "headers": b"X: y\r\n" * 100_000 + b"\r\nx\r\n",
    "tags": of_type("text/html", (b"<div><p" * 10_000 + b"\r\n") * 10),
    "NUL and eight bits": bytes(code for code in range(256) if code not in (10, 13)) * 200 + b"\r\n\r\n\0\xff\r\n",
    "nothing": b"",
    "a line": b"\r\n",
    "only a boundary": HEAD + b'Content-Type: multipart/report; boundary=""\r\n\r\n----\r\n',
    "a report of nothing": HEAD + b'Content-Type: multipart/report; report-type=delivery-status; boundary="b"\r\n\r\n'
    b"--b\r\nContent-Type: message/delivery-status\r\n\r\n" + b"Status: 5.1.1\r\n\r\n" * 20_000 + b"--b--\r\n",
    "a feedback loop": HEAD + b'Content-Type: multipart/report; report-type=feedback-report; boundary="b"\r\n\r\n'
    b"--b\r\nContent-Type: message/feedback-report\r\n\r\nFeedback-Type: abuse\r\n\r\n--b\r\n" * 500,
    "quotes": of_type("text/plain", b">" * 80_000 + b"\r\n" + b"> > > >\r\n" * 50_000),
    "a report with NUL": report("x@y.fi", words="550 5.1.1 \0 unknown \x00").replace(b"unknown", b"\xff\0"),
}  # fmt: skip


def test_hostile_mail_is_taken_and_handled(app: Flask) -> None:
    with db.transaction() as session:
        lists.change(session, the_list(session), {"owner": "omistaja@example.org"}, now=db.utcnow())
    began = time.monotonic()
    others = itertools.cycle((JOIN, LEAVE, return_path(1)))
    with listening(app) as here:
        line = here.line()
        for raw in MAILS.values():
            said = line.mails("a@example.fi", [OWNER, next(others)], raw)
            assert said == ["250 2.0.0 Kept"] * 2
        line.close()
    handle.handle(stop=lambda: False)
    with db.reading() as session:
        found = session.execute(select(Spooled.state, Spooled.tries, Spooled.forwarded)).all()
    assert len(found) == 2 * len(MAILS)
    assert {state for state, _, _ in found} == {"handled", "owner"}
    assert {forwarded for _, _, forwarded in found} <= {None, "pending", "withheld"}, "each could be written"
    assert time.monotonic() - began < 60


def test_what_is_refused_is_refused_in_words(app: Flask) -> None:
    tracemalloc.start()
    with listening(app) as here:
        line = here.line()
        huge = b"X-Long: " + b"y" * 1_000_000 + b"\r\n\r\nx\r\n"
        assert line.mails("a@example.fi", [OWNER], huge)[0].startswith("550 5.6.0 The mail has a line of more than")
        line.says(b"MAIL FROM:<> SIZE=52428800\r\n").startswith("552 5.3.4")
        fifty = b"0123456789abcdef" * 4096 + b"\r\n"
        said = line.mails("a@example.fi", [OWNER], fifty * 800)
        assert said[0].startswith("552 5.3.4 The mail is too large")
        assert line.mails("a@example.fi", [OWNER], b"Subject: small\r\n\r\nMoi\r\n") == ["250 2.0.0 Kept"]
        line.close()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 200_000_000 + 4 * LARGEST  # 100 MB of it are the test's own: the mail, and its copy with dots
    with db.reading() as session:
        assert session.scalars(select(Spooled.size)).all() == [len(b"Subject: small\r\n\r\nMoi\r\n")]


@pytest.mark.long
@pytest.mark.parametrize("databases", ["sqlite"], indirect=True)
def test_mail_that_was_broken_by_chance_is_handled(app: Flask) -> None:
    """A minute of mails cut, doubled and mixed."""
    chance = random.Random()
    parts = [*MAILS.values(), report(return_path(1))]
    ends = time.monotonic() + 60
    handled = 0
    while time.monotonic() < ends:
        with listening(app) as here:
            line = here.line()
            for _ in range(20):
                raw = b"".join(
                    part[(start := chance.randrange(len(part) + 1)) : start + chance.randrange(1, 5000)]
                    for part in chance.choices(parts, k=4)
                )
                raw = raw.replace(b"\r", b"").replace(b"\n", b"\r\n") + b"%d\r\n" % handled
                line.mails("a@example.fi", [chance.choice((OWNER, JOIN, LEAVE, return_path(1)))], raw)
            line.close()
        handled += handle.handle(stop=lambda: False)
    with db.reading() as session:
        assert set(session.scalars(select(Spooled.state))) <= {"handled", "owner"}
    assert handled > 100
