"""A test mail: one bulletin, as it stands, to one colleague. Part of no account; a ban stops it like any marketing."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import replace
from datetime import datetime

from sqlalchemy.orm import Session

from ..bulletins import approvals, drafts
from ..consent import bans, gate
from ..consent.address import Address
from ..consent.keys import keys_of
from ..consent.register import tokens_of
from ..consent.tables import MailingList
from ..errors import BadInput, Banned, Fault, NotAllowed
from ..settings import Settings
from ..stationery.sentences import noted as _
from . import alone
from .addressing import Addressing
from .bulletin_desk import BulletinPaper
from .dkim import Signer, sealed
from .parcels import Outcome, Parcel
from .smtp import Courier

_MARKS = {"fi": "[Testi]", "sv": "[Test]", "en": "[Test]"}
"""What the subject begins with, by the language of the version."""
_LEFT = _("The owner of this address has left the list, or did not want its mails.")
_RESTRICTED = _("The owner of this address has restricted the use of their data.")


def proof(
    session: Session,
    bulletin_id: int,
    address: Address,
    settings: Settings,
    *,
    language: str | None = None,
    name: str | None = None,
    now: datetime,
) -> Parcel:
    """The bulletin as it would be mailed to this address, its subject marked: as it is approved, with the sender and
    the settings that were frozen; else as it and they are now. Raises Unknown, Banned, NotAllowed, BadInput;
    RegisterUnsound, OptOutsWait.

    `language`: which version; None: the list's, or the first. `name`: the recipient's; None: fallbacks are shown.
    Its unsubscribe link is real: it would take this very address off the list, if it were on it.
    """
    bulletin = drafts.find(session, bulletin_id)
    row = session.get_one(MailingList, bulletin.list_id)
    if bans.forbids_mail(session, bans.digests(session, address), row):
        raise Banned("Marketing to this address is forbidden.")
    if refused := gate.not_even_a_test(session, address, list_id=row.id, now=now):
        raise NotAllowed(_RESTRICTED if refused == "restricted" else _LEFT)
    issue = approvals.issue_of(session, bulletin_id)
    whole = approvals.issue_editions(issue, row) if issue else drafts.editions(session, bulletin)
    if language is not None and language not in whole:
        raise BadInput("The bulletin has no version in this language.")
    if issue:
        sender, shown = issue.sender, approvals.issue_imprint(issue, row)
    else:
        sender, shown = drafts.sender_of(row, settings.mail_from), approvals.imprint_now(session, bulletin)
    spoken = drafts.pick(whole, own=language, of_list=shown["language"])
    made = replace(whole[spoken], subject=f"{_MARKS[spoken]} {whole[spoken].subject}")
    addressing = Addressing(settings, tokens_of(session))
    paper = BulletinPaper(
        row, bulletin_id, spoken, sender, shown, made, addressing, settings, Signer(settings.dkim_keys)
    )  # fmt: skip
    digest = keys_of(session).digest(address.folded)
    written = paper.fill(0, address.mailbox, name, digest, now)
    [content] = sealed([(written.seal, written.content)], at=int(time.time()))
    return Parcel(0, written.sender, written.recipient, content, time.monotonic())


def hand_over(parcel: Parcel, settings: Settings, helo: str) -> None:
    """Give a test mail to the mail server. Raises Fault, with the server's words, when it is not taken."""
    with closing(Courier(settings.relays, connections=1, helo=helo)) as courier:
        result = alone.hand_over(courier, parcel)
    if result.outcome is not Outcome.ACCEPTED:
        raise Fault(f"The mail server did not take it ({result.outcome}): {result.text}")
