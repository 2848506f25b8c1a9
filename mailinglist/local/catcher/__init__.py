"""The mail catcher: a mail server that delivers nothing, and a page that shows what it was given.

`mailinglist catcher` (or `mailinglist run`, while no MAILINGLIST_SMTP_URL is set) listens for mail at the first address
of MAILINGLIST_CATCHER_BIND and shows it at the second.

    serve.py     both servers in one process, until a signal
    smtp.py      takes mail: SIZE, 8BITMIME, SMTPUTF8, PIPELINING (aiosmtpd)
    store.py     keeps the newest in a small SQLite file: `catcher/mails.db` in the data directory
    message.py   pure: what a raw message says: headers, text, HTML; any bytes will do
    viewer.py    the page, and the JSON for programs
    showing.py   what pages have in common: the list, and one mail
    writing.py   the forms: answering a mail, writing one, returning one as undeliverable
    outgoing.py  pure: what is written there as raw mails
    handing.py   hands them to the listener for incoming mail, and says what it answered
    templates/, static/   what the page is made of; beside the code, since they belong to no mailing list

Promises: whatever bytes come, they are kept as they came and shown as well as can be. Mails outlive a restart. Nothing
is loaded from outside: a mail's HTML is shown in a sandbox that may load images from MAILINGLIST_BASE_URL alone, and
only where that is this machine. What is written goes to MAILINGLIST_INBOUND_BIND and nowhere else, so nobody can send
mail through here.

Refuses: requests under a host name that is not this machine's (DNS rebinding), and deletions and mails that another
site's page asks for. Nothing can be written where that listener is on another machine, or mail goes to a mail server.

Known limits: no TLS, no AUTH; attachments are named, not shown, and none can be sent. It holds personal data like any
mailbox: it is for trying things out, on loopback; `DELETE /messages` empties it.
"""

from __future__ import annotations

from ...settings import Settings


def run(settings: Settings) -> None:
    """Catch mail until SIGTERM or SIGINT. Raises Fault when an address can't be opened."""
    # Here, and not above: the supervisor imports this room's neighbours only, and starts without Flask and aiosmtpd.
    from .serve import serve

    serve(settings)
