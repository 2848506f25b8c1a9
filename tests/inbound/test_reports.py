"""Reports about a delivery in the forms that servers write."""

from __future__ import annotations

import pytest

from mailinglist.delivery.verdicts import Verdict
from mailinglist.inbound.reading import read
from mailinglist.inbound.reports import Report, report

RETURNED = (
    "Message-ID: <1@lists.example>\nTo: <matti@example.fi>\nSubject: Mailbox full of spam, user unknown 550 5.1.1\n"
)


def dsn(*groups: str, notice: str = "Your mail could not be delivered.") -> bytes:
    fields = "\n\n".join(groups)
    return f"""Return-Path: <>
From: MAILER-DAEMON@mx.example (Mail Delivery System)
Subject: Undelivered Mail Returned to Sender
Content-Type: multipart/report; report-type=delivery-status; boundary="a"

--a
Content-Type: text/plain

{notice}

--a
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.example

{fields}

--a
Content-Type: message/rfc822

{RETURNED}
Hei
--a--
""".encode()


def told(raw: bytes) -> Report:
    found = report(read(raw))
    assert found is not None
    return found


FAILED = """Final-Recipient: rfc822; matti@example.fi
Action: {action}
Status: {status}
Diagnostic-Code: smtp; {words}"""


def group(words: str, status: str = "5.0.0", action: str = "failed") -> str:
    return FAILED.format(words=words, status=status, action=action)


def test_the_fields() -> None:
    found = told(dsn(group("550 5.1.1 <matti@example.fi>: Recipient\n unknown", "5.1.1")))
    words = "550 5.1.1 <matti@example.fi>: Recipient unknown"
    assert found == Report(Verdict.DEAD, "matti@example.fi", "5.1.1", words)


@pytest.mark.parametrize(
    ("words", "status", "verdict", "code"),
    [
        ("550 5.7.1 <matti@example.fi>: no such user here", "5.0.0", Verdict.DEAD, "5.7.1"),
        ("552 the mailbox is over quota", "5.1.1", Verdict.MAILBOX, "5.1.1"),
        ("550 User unknown", "5.2.0", Verdict.MAILBOX, "5.2.0"),
        ("554 5.7.1 blocked using zen.spamhaus.org", "5.0.0", Verdict.SENDER, "5.7.1"),
        ("", "5.1.1", Verdict.DEAD, "5.1.1"),
        ("", "5.2.2", Verdict.MAILBOX, "5.2.2"),
        ("", "5.7.1", Verdict.SENDER, "5.7.1"),
        ("", "5.0.0", Verdict.MAILBOX, "5.0.0"),
    ],
)
def test_words_and_status(words: str, status: str, verdict: Verdict, code: str) -> None:
    found = told(dsn(group(words, status)))
    assert (found.verdict, found.status) == (verdict, code)


def test_fields_that_say_nothing_leave_it_to_the_notice() -> None:
    notice = "matti@example.fi\n    host mx.example.fi said: 550 No such user"
    fields = "Final-Recipient: rfc822;matti@example.fi\nAction: failed\nStatus: 5.0.0"
    assert told(dsn(fields, notice=notice)).verdict is Verdict.DEAD


def test_a_delay_is_told_apart() -> None:
    found = told(dsn(group("450 4.7.1 try again later", "4.7.1", action="delayed")))
    assert found.delayed
    dead = told(dsn(group("450 4.1.1 User unknown", "4.1.1", action="Delayed")))
    assert (dead.verdict, dead.delayed) == (Verdict.MAILBOX, True)


@pytest.mark.parametrize("action", ["delivered", "relayed", "expanded"])
def test_a_success_is_no_failure(action: str) -> None:
    found = told(dsn(group("250 2.0.0 ok", "2.0.0", action=action)))
    assert (found.verdict, found.delayed) == (Verdict.NO_FAILURE, False)


@pytest.mark.parametrize("between", ["\n\n", "\n"])
def test_of_several_recipients_the_gravest(between: str) -> None:
    both = group("552 5.2.2 Mailbox full", "5.2.2") + between + group("550 5.1.1 No such user", "5.1.1")
    assert told(dsn(both)).verdict is Verdict.DEAD


def text(subject: str, body: str, sender: str = "MAILER-DAEMON@mx.example", path: str = "<>") -> bytes:
    return f"Return-Path: {path}\nFrom: {sender}\nSubject: {subject}\n\n{body}".encode()


QMAIL = (
    """Hi. This is the qmail-send program at mx.example.
I'm afraid I wasn't able to deliver your message to the following addresses.
This is a permanent error; I've given up. Sorry it didn't work out.

<matti@example.fi>:
{}

--- Below this line is a copy of the message.

"""
    + RETURNED
)
EXIM = (
    """This message was created automatically by mail delivery software.

A message that you sent could not be delivered to one or more of its
recipients. This is a permanent error. The following address(es) failed:

  matti@example.fi
    {}

------ This is a copy of the message, including all the headers. ------

"""
    + RETURNED
)


EXIM_SAID = """host mx.example.fi [192.0.2.1]
    SMTP error from remote mail server after RCPT TO:<matti@example.fi>:
    550 <matti@example.fi>:
    User unknown"""


@pytest.mark.parametrize(
    ("form", "subject", "words", "verdict"),
    [
        (QMAIL, "failure notice", "Sorry, no mailbox here by that name. (#5.1.1)", Verdict.DEAD),
        (QMAIL, "failure notice", "1.2.3.4 does not like recipient.\nRemote host said: 552 Mailbox full",
         Verdict.MAILBOX),
        (QMAIL, "failure notice", "Connected to 1.2.3.4 but sender was rejected.\nRemote host said: 550 no",
         Verdict.SENDER),
        (QMAIL, "failure notice", "something that nobody has said before", Verdict.MAILBOX),
        (EXIM, "Mail delivery failed: returning message to sender", "Unrouteable address", Verdict.DEAD),
        (EXIM, "Mail delivery failed: returning message to sender", EXIM_SAID, Verdict.DEAD),
        (EXIM, "Mail delivery failed: returning message to sender", "retry timeout exceeded", Verdict.MAILBOX),
    ],
)  # fmt: skip
def test_notices_without_fields(form: str, subject: str, words: str, verdict: Verdict) -> None:
    found = told(text(subject, form.format(words)))
    assert (found.verdict, found.address, found.delayed) == (verdict, "matti@example.fi", False)


def test_a_notice_about_two() -> None:
    body = QMAIL.format("Remote host said: 552 5.2.2 Mailbox full\n\n<liisa@example.fi>:\nNo such user. (#5.1.1)")
    found = told(text("failure notice", body))
    assert (found.verdict, found.address, found.status) == (Verdict.DEAD, "liisa@example.fi", "5.1.1")


def test_whom_exim_and_google_name_in_the_header() -> None:
    raw = text("Mail delivery failed", "We could not deliver it. Ask help@mx.example")
    assert told(b"X-Failed-Recipients: matti@example.fi\n" + raw).address == "matti@example.fi"


def test_a_warning() -> None:
    body = "THIS IS A WARNING MESSAGE ONLY.\nDelivery to matti@example.fi has been delayed: connection timed out"
    found = told(text("Delivery Status Notification (Delay)", body))
    assert (found.verdict, found.delayed) == (Verdict.MAILBOX, True)


READ = b"""Subject: Read
Content-Type: multipart/report; report-type=disposition-notification; boundary="a"

--a

It was displayed.
--a
Content-Type: message/disposition-notification

Disposition: manual-action/MDN-sent-manually; displayed
--a--
"""


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        text("Re: Tiedote", "Kyll\u00e4, liityn!", sender="Matti <matti@example.fi>", path="<matti@example.fi>"),
        text("Re: Vahvista", "Kiitos!\n\n> 550 5.1.1 user unknown", sender="matti@example.fi", path="<m@example.fi>"),
        text("Poissa / Out of office", "Olen lomalla 1.8. asti.", sender="matti@example.fi"),
        text("Hei", "Kyll\u00e4", sender="postmaster@example.fi", path="<postmaster@example.fi>"),
        text("Undelivered", "Kyll\u00e4", sender="matti@example.fi", path="<matti@example.fi>"),
        READ,
    ],
)  # fmt: skip
def test_what_is_no_report(raw: bytes) -> None:
    assert report(read(raw)) is None


def test_the_returned_mail_is_not_what_the_server_said() -> None:
    found = told(text("Mail delivery failed", "Could not be delivered to\nmatti@example.fi\n\n" + RETURNED))
    assert found.verdict is Verdict.MAILBOX


POSTFIX = """I'm sorry to have to inform you that your message could not be delivered. You can
delete your own text from the attached returned message.

<matti@example.fi>: host mx.example.fi[192.0.2.7] said: {answer} (in reply to
    {command} command)"""


@pytest.mark.parametrize(
    ("answer", "status", "command", "verdict"),
    [
        ("550 Unknown user matti@example.fi", "5.0.0", "RCPT TO", Verdict.DEAD),
        ("550 Unknown user matti@example.fi", "5.0.0", "end of DATA", Verdict.MAILBOX),
        ("550 5.1.1 Unknown user", "5.1.1", "end of DATA", Verdict.DEAD),
        ("550 Rejected", "5.0.0", "MAIL FROM", Verdict.SENDER),
    ],
)
def test_when_the_server_refused_is_told_by_the_notice(
    answer: str, status: str, command: str, verdict: Verdict
) -> None:
    found = told(dsn(group(answer, status), notice=POSTFIX.format(answer=answer, command=command)))
    assert found.verdict is verdict


def test_of_several_each_has_its_own_words_in_the_notice() -> None:
    groups = [
        f"Final-Recipient: rfc822; {name}@example.fi\nAction: failed\nStatus: 5.0.0" for name in ("liisa", "matti")
    ]
    notice = "Failed:\n\nliisa@example.fi: 552 5.2.2 Mailbox full\nmatti@example.fi: 550 5.1.1 User unknown"
    found = told(dsn(*groups, notice=notice))
    assert (found.verdict, found.address) == (Verdict.DEAD, "matti@example.fi")
    assert found.words == "matti@example.fi: 550 5.1.1 User unknown"


@pytest.mark.parametrize(
    "notice",
    [
        "  liisa@example.fi\n    mx: 552 5.2.2 Mailbox full\n  matti@example.fi\n    mx: 550 5.1.1 User unknown\n",
        '"liisa@example.fi":\nmx: 552 5.2.2 Mailbox full\n"matti@example.fi":\nmx: 550 5.1.1 User unknown\n',
    ],
    ids=["Exim", "GMX"],
)
def test_several_in_a_notice_alone(notice: str) -> None:
    head = "Return-Path: <>\nFrom: Mailer Daemon <d@mx.example>\nSubject: Mail failed, returning to sender\n\n"
    assert told(f"{head}Failed:\n\n{notice}".encode()).verdict is Verdict.DEAD


def test_a_failure_from_nobody_is_a_report_whatever_it_says() -> None:
    mail = "Return-Path: <>\nFrom: <>\nSubject: failure notice\n\n{}\n\n550 matti@example.fi... No such user\n"
    assert told(mail.format("Ei mennyt perille.").encode()).verdict is Verdict.DEAD
    assert report(read(mail.format("Ei mennyt perille.").replace("failure notice", "Terve").encode())) is None
