"""Reports of mails that failed, as servers write them."""

from __future__ import annotations

from mailinglist.tokens import Purpose, Tokens

DOMAIN = "lists.example.fi"
_REPORT = """\
From: Mail Delivery System <MAILER-DAEMON@mx.example.fi>
To: {to}
Subject: Undelivered Mail Returned to Sender
Auto-Submitted: auto-replied
Message-ID: <{serial}@mx.example.fi>
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="b"

--b
Content-Type: text/plain; charset=us-ascii

This is the mail system at host mx.example.fi.

I'm sorry to have to inform you that your message could not
be delivered to one or more recipients.

<{who}>: host mx.example.net said: {words} (in reply to RCPT TO command)

--b
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.example.fi
Arrival-Date: Mon,  2 Nov 2026 11:31:00 +0200 (EET)

Final-Recipient: rfc822; {who}
Action: {action}
Status: {status}
Diagnostic-Code: smtp; {words}

--b
Content-Type: message/rfc822

From: Tector <tiedote@lists.example.fi>
To: {who}
Subject: Uutisia
Message-ID: <x@lists.example.fi>

{body}
--b--
"""


def return_path(handoff_id: int) -> str:
    """The signed address that reports about this mail come to."""
    from conftest import SECRETS  # not above: a benchmark's relay has no use for what that imports

    tokens = Tokens([SECRETS["secret_keys"]])
    return f"b-{tokens.issue_for_mail(Purpose.RETURN_PATH, handoff_id.to_bytes(6, 'big'))}@{DOMAIN}"


def report(
    to: str,
    *,
    who: str = "matti@example.net",
    status: str = "5.1.1",
    words: str = "550 5.1.1 User unknown",
    action: str = "failed",
    serial: int = 1,
    octets: int = 0,
) -> bytes:
    """A report as Postfix writes it, with so many octets of the mail that it is about."""
    body = ("Hei! Tässä on kevään uutisia. " * 2 + "\n") * (octets // 60)
    text = _REPORT.format(to=to, who=who, status=status, words=words, action=action, serial=serial, body=body)
    return text.replace("\n", "\r\n").encode()
