"""Sends what is for a person on to the list's owner, so that nobody's plain words are lost: a letter from us, with what
can be read of the mail, and the mail itself in it.

It goes to staff, so it passes no gate and is no row of `handoffs`: the mail's own row says how far it is, and is
committed before the mail is read and the letter handed over. A crash, or an answer that never came, leaves it
uncertain, and it is not sent again: it stands in the console all the same. The return path is null, and a letter never
goes to an address of ours, so that nothing comes back and goes round.
An owner gets at most MOST_A_DAY, and of one writer and one domain so few that nobody takes up the day of all others;
the console has them all.
"""

from __future__ import annotations

import re
import time
from base64 import encodebytes
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import parseaddr

from flask import current_app
from sqlalchemy.orm import Session

from .. import db, moments, observe
from ..bulletins.editions import sender_of
from ..consent import lists
from ..consent.address import parse
from ..consent.tables import MailingList
from ..delivery import alone, headers, mail_headers
from ..delivery.dkim import Signer, sealed
from ..delivery.parcels import Content, Outcome, Parcel
from ..delivery.post import own_name
from ..delivery.smtp import Courier
from ..delivery.template import Template
from ..errors import BadInput, MailinglistError
from ..i18n import gettext
from ..settings import SETTINGS, Settings
from ..stationery.sentences import noted as _
from . import onward, spool
from .addresses import Addresses
from .reading import Mail, read
from .senders import addresses_of
from .tables import FAILED, Spooled

_log = observe.logger(__name__)

MOST_A_DAY = 50
"""Letters to the owner of a list."""
OF_ONE_A_DAY, OF_A_DOMAIN_A_DAY = 5, 20
"""Of them, about mails of one writer, and of writers at one domain."""
_DAY = timedelta(days=1)
_MOST_WORDS = 4000
"""Characters of the mail's text that are shown above it."""
_MOST_SUBJECT = 150
_LONGEST_LINE = 998
_ASCII_LINES = re.compile(rb"[\t\r\n -~]*")
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")

_SUBJECT = _("For you to read: %(subject)s")
_NO_SUBJECT = _("a mail without a subject")
_CAME = _("This mail came to %(address)s, and the program leaves it to a person.")
_ANSWERS = _(
    "It answers a confirmation letter, but is neither a clear yes nor a clear no. So nothing was changed: whoever "
    "wrote it is on the list only after a clear answer, or after the button of the letter."
)
_ASKS = _("It asks to join or to leave, but the program could not tell for which address.")
_SAID_TO_BE_FORGED = _(
    "It asks to leave the list, and the mail server says that its sender's address is forged. So no letter was sent "
    "there, and nothing was changed. Mail that was forwarded can look like this, too."
)
_UNLISTED = _(
    "It asks to leave, but the address that it comes from is not on the list, so nothing was changed. Look whether it "
    "is about another address."
)
_NO_LETTER = _(
    "It asks to leave. No letter with a link was sent: one went to that address lately, or whoever has it wants none. "
    "So nothing was changed."
)
_SPENT = _("It answers a confirmation letter that is no longer good, so nothing was changed.")
_FORBIDDEN = _("It answers a confirmation letter, but marketing to that address is forbidden. So nothing was changed.")
_FAILED = _("The program could not handle it, although it tried several times. What it asks for has not been done.")
_KILLS = _(
    "The program broke off each time that it looked at this mail, so it does not look any more: nothing of it is shown "
    "here, and what it asks for has not been done. It is attached as it came. Its number is %(number)s, its digest "
    "%(digest)s; whoever looks after the program needs both."
)
_TOO_LARGE = _(
    "It is too large for the program, %(size)s MB, so only its header was fetched. The mail itself lies in the mailbox "
    "that the program looks into. What it asks for has not been done."
)
_REPORTS = _("It may be a report about a mail that could not be delivered, in words that the program does not know.")
_OPT_OUT = _(
    "If somebody wants no more mail, enter that in the console today: an opt-out counts in whatever words it is said."
)
_CONSOLE = _("It waits in the console until somebody has dealt with it: %(page)s")
_WHY = _("You get this because you are the owner of the list “%(list)s”.")
_FIELDS = (("From", _("Written by")), ("Subject", _("Subject")), ("Date", _("Written on")))
_ATTACHED, _HEADER_ATTACHED = _("The whole mail is attached."), _("The header of the mail is attached.")

_REPORT_OUTCOMES = frozenset({"unreadable-bounce", "unnamed-bounce", "unnamed-complaint"})
_BECAUSE = {
    "unclear": _ANSWERS,
    "spent": _SPENT,
    "forbidden": _FORBIDDEN,
    "no-address": _ASKS,
    "unlisted": _UNLISTED,
    "no-letter": _NO_LETTER,
    "dmarc": _SAID_TO_BE_FORGED,
    **dict.fromkeys(_REPORT_OUTCOMES, _REPORTS),
}
"""By the outcomes of `act`."""
_PAGE = "/staff/mail"


@dataclass(frozen=True, slots=True)
class _Letter:
    """A mail that is being sent on, ready to go."""

    number: int
    parcel: Parcel


def send_due(*, stop: Callable[[], bool] = lambda: False) -> int:
    """Send on what is for the lists' owners, one by one; how many were handed over."""
    settings: Settings = current_app.config[SETTINGS]
    with db.reading() as session:  # each sweep comes by: writers are not to wait for nothing
        if not onward.any_due(session, db.utcnow()):
            return 0
    with db.transaction() as session:
        if left := onward.left_behind(session, db.utcnow()):
            _log.warning("forwards_uncertain", mails=left)
    courier: Courier | None = None
    handed = 0
    try:
        while not stop():
            with db.transaction() as session:
                number = onward.begin_next(session, db.utcnow())
            if number is None:
                break
            letter = _letter(number, settings)
            if letter is None:
                observe.count("forwards_withheld")
                with db.transaction() as session:
                    onward.withhold(session, number)
                continue
            courier = courier or Courier(settings.relays, connections=1, helo=own_name(settings))
            handed += _hand_over(courier, letter)
    finally:
        if courier is not None:
            courier.close()
    return handed


def _letter(number: int, settings: Settings) -> _Letter | None:
    """The letter about a mail; None: it is not sent on."""
    now = db.utcnow()
    with db.reading() as session:
        row = spool.get(session, number)
        if row is None:
            return None
        try:
            named = session.get(MailingList, row.list_id) if row.list_id else None
            about = named or lists.find(session, lists.DEFAULT_SLUG)
            own = lists.settings_of(about)
            addresses = addresses_of(session, settings)
            raw = spool.content(session, number)
            if not own.owner or raw is None or _enough(session, row, now) or addresses.read(own.owner) is not None:
                return None
            content = _written(row, raw, about, settings, addresses, now)
        except MailinglistError as error:
            _log.error("forward_cannot_be_written", mail=number, error=type(error).__name__)
            return None
    return _Letter(number, Parcel(number, "", own.owner, Content.of(content), time.monotonic()))


def _enough(session: Session, row: Spooled, now: datetime) -> bool:
    """Whether the owner has had enough for a day; the mail itself is counted already."""
    day = (now - _DAY, moments.latest(now))
    if onward.went(session, row.list_id, *day) > MOST_A_DAY:
        return True
    if onward.went(session, row.list_id, *day, onward.of_writer(row)) > OF_ONE_A_DAY:
        return True
    domain = onward.of_domain(row)
    return domain is not None and onward.went(session, row.list_id, *day, domain) > OF_A_DOMAIN_A_DAY


def _hand_over(courier: Courier, letter: _Letter) -> int:
    states = {
        Outcome.ACCEPTED: onward.ACCEPTED, Outcome.UNCERTAIN: onward.UNCERTAIN, Outcome.REJECTED: onward.FAILED,
    }  # fmt: skip
    state = states.get(alone.hand_over(courier, letter.parcel).outcome, onward.DEFERRED)
    with db.transaction() as session:
        onward.settle(session, letter.number, state=state, now=db.utcnow())
    observe.count(f"forwards_{state}")
    return int(state == onward.ACCEPTED)


# ── what it says ──────────────────────────────────────────────────────────────────────────────────────────────────────


def _written(
    row: Spooled, raw: bytes, about: MailingList, settings: Settings, addresses: Addresses, now: datetime
) -> bytes:
    """The whole letter, signed, as it goes behind DATA."""
    own = lists.settings_of(about)
    mail = read(raw if row.outcome != spool.KILLS else b"")
    sender = sender_of(about, settings.mail_from)
    name, address = parseaddr(sender)
    subject = " ".join(_CONTROLS.sub(" ", mail.header("Subject") or "").split())[:_MOST_SUBJECT]
    subject = subject or gettext(own.language, _NO_SUBJECT)
    number = f"mail-{row.id}"  # the same, however often it is tried
    boundary = f"=_{row.digest.hex()[:32]}"  # not known before the mail is: no mail can hold it
    list_name, list_id = mail_headers.list_id(about.name, about.slug, settings.return_domain)
    fields: list[tuple[str, bytes]] = [
        ("Date", headers.date(now)),
        ("From", headers.mailbox(name or None, address, len("From: "))),
        ("To", headers.mailbox(None, own.owner, len("To: "))),
        ("Subject", headers.unstructured(gettext(own.language, _SUBJECT, subject=subject), len("Subject: "))),
        ("Message-ID", headers.message_id(f"<{number}@{settings.return_domain}>")),
        ("Auto-Submitted", b"auto-generated"),  # RFC 3834 §5: robots don't answer it
        (list_name, f"<{list_id.rpartition('<')[2]}".encode()),
    ]
    if answer_to := _answerable(mail, addresses):
        fields.append(("Reply-To", headers.mailbox(None, answer_to, len("Reply-To: "))))
    fields += [("MIME-Version", b"1.0"), ("Content-Type", f'multipart/mixed; boundary="{boundary}"'.encode())]
    words = _words(row, mail, about, settings)
    body = b"".join((
        f"--{boundary}\r\nContent-Type: text/plain; charset=utf-8\r\n".encode(),
        b"Content-Transfer-Encoding: base64\r\n\r\n",
        _base64(words.encode("utf-8", "replace")),
        f"\r\n--{boundary}\r\n".encode(),
        _attached(raw, as_it_is=row.outcome == spool.KILLS),
        f"\r\n--{boundary}--\r\n".encode(),
    ))  # fmt: skip
    seal = Signer(settings.dkim_keys).seal(Template([(name, [value]) for name, value in fields], [body], ()))
    content = b"".join(f"{name}: ".encode() + value + b"\r\n" for name, value in fields) + b"\r\n" + body
    [ready] = sealed([(seal, Content.of(content))], at=int(time.time()))
    return bytes(ready).replace(b"\r\n.", b"\r\n..")


def _answerable(mail: Mail, addresses: Addresses) -> str | None:
    """Who the owner's answer goes to: who the mail says that it is from, if that is one address and none of ours."""
    written = mail.addresses("Reply-To") or mail.addresses("From")
    if len(written) != 1 or addresses.read(written[0]) is not None or not written[0].isascii():
        return None
    try:
        return parse(written[0]).mailbox
    except BadInput:
        return None


def _words(row: Spooled, mail: Mail, about: MailingList, settings: Settings) -> str:
    language = lists.settings_of(about).language
    said = [gettext(language, _CAME, address=row.recipient)]
    if row.outcome in _BECAUSE:
        said.append(gettext(language, _BECAUSE[row.outcome]))
    elif row.outcome == spool.KILLS:
        said.append(gettext(language, _KILLS, number=row.id, digest=row.digest.hex()))
    elif row.outcome == spool.TOO_LARGE:
        said.append(gettext(language, _TOO_LARGE, size=row.size // 1_000_000))
    elif row.state == FAILED:
        said.append(gettext(language, _FAILED))
    if row.outcome not in _REPORT_OUTCOMES:
        said.append(gettext(language, _OPT_OUT))
    said.append(gettext(language, _CONSOLE, page=settings.base_url + _PAGE))
    shown = [
        f"{gettext(language, words)}: {_CONTROLS.sub(' ', mail.header(name) or '')[:300]}"
        for name, words in (_FIELDS if row.outcome != spool.KILLS else ())
    ]
    text = _CONTROLS.sub("", mail.text.replace("\r", ""))
    if len(text) > _MOST_WORDS:
        text = text[:_MOST_WORDS].rstrip() + " …"
    quoted = "\n".join(f"> {line}" for line in text.split("\n")) if text.strip() else ""
    attached = _HEADER_ATTACHED if row.outcome == spool.TOO_LARGE else _ATTACHED
    end = [gettext(language, attached), "-- ", gettext(language, _WHY, list=lists.name_in(about, language))]
    parts = ["\n\n".join(said), *(["\n".join(shown)] if shown else []), *([quoted] if quoted else []), "\n".join(end)]
    return "\n\n".join(parts).replace("\n", "\r\n") + "\r\n"


def _attached(raw: bytes, *, as_it_is: bool = False) -> bytes:
    """The mail as a part: as it is where every server can carry that (RFC 2046 §5.2.1 allows no encoding), else, or
    where nobody is to look at it (`as_it_is`), as a file."""
    if as_it_is:
        return _file(raw)
    lines = raw.split(b"\r\n")
    plain = _ASCII_LINES.fullmatch(raw) and raw.count(b"\n") == raw.count(b"\r") == len(lines) - 1
    if plain and max(map(len, lines)) <= _LONGEST_LINE:
        return b"Content-Type: message/rfc822\r\nContent-Disposition: attachment\r\n\r\n" + raw
    return _file(raw)


def _file(raw: bytes) -> bytes:
    return (
        b'Content-Type: application/octet-stream; name="mail.eml"\r\nContent-Transfer-Encoding: base64\r\n'
        b'Content-Disposition: attachment; filename="mail.eml"\r\n\r\n' + _base64(raw)
    )


def _base64(octets: bytes) -> bytes:
    return encodebytes(octets).replace(b"\n", b"\r\n")
