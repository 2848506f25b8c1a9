"""Drafts and frozen issues: the only writer of both.

Approval freezes what recipients will see, and who they are, under a digest: what is sent is what was
approved.
"""

from __future__ import annotations

import hmac
import json
from datetime import datetime
from typing import Literal

from sqlalchemy.orm import Session

from ..consent import lists
from ..consent.keys import keys_of
from ..consent.tables import MailingList
from ..errors import BadInput, Fault, NotAllowed, Unknown
from .compose import Composed, Look, compose
from .tables import Bulletin, Issue

Form = Literal["markdown", "html"]

EVERYBODY = "{}"
"""The audience rule "all who are active on the list", as canonical JSON."""


def look_of(row: MailingList, *, language: str | None = None) -> Look:
    """How a list's mails look; `language` None: the list's own."""
    settings = lists.settings_of(row)
    return Look(
        name=row.name,
        colour=settings.colour,
        logo_url=settings.logo or None,
        postal_address=settings.postal_address or settings.controller or row.name,
        sender_name=settings.controller or row.name,
        language=language or settings.language,
    )


def sender_of(row: MailingList, default: str) -> str:
    """From of a list's mails: its own sender, else the installation's."""
    return lists.settings_of(row).sender or default


def add(session: Session, row: MailingList, *, subject: str, source: str, form: Form, now: datetime) -> Bulletin:
    """A new draft. It is composed once now, so that what can't be mailed is refused at once. Raises BadInput."""
    _assert_named(row)
    compose(subject=subject, source=source, form=form, look=look_of(row))
    bulletin = Bulletin(list_id=row.id, subject=subject.strip(), form=form, source=source, created_at=now)
    session.add(bulletin)
    session.flush()
    return bulletin


def find(session: Session, bulletin_id: int) -> Bulletin:
    """The bulletin with this id. Raises Unknown."""
    found = session.get(Bulletin, bulletin_id)
    if found is None:
        raise Unknown(f"There is no bulletin {bulletin_id}.")
    return found


def composed(session: Session, bulletin: Bulletin) -> Composed:
    """The draft as it would be mailed now."""
    row = session.get_one(MailingList, bulletin.list_id)
    look = look_of(row)
    return compose(subject=bulletin.subject, source=bulletin.source, form=_form(bulletin), look=look)


def approve(session: Session, bulletin: Bulletin, *, sender: str, by: str, now: datetime) -> Issue:
    """Freeze the bulletin. Raises NotAllowed when it is frozen already."""
    session.refresh(bulletin, with_for_update=True)
    _assert_named(session.get_one(MailingList, bulletin.list_id))
    if session.get(Issue, bulletin.id) is not None:
        raise NotAllowed("This bulletin is approved already.")
    made = composed(session, bulletin)
    issue = Issue(
        bulletin_id=bulletin.id, sender=sender, subject=made.subject, html=made.html, text=made.text,
        audience=EVERYBODY, digest=b"", approved_at=now, approved_by=by,
    )  # fmt: skip
    issue.digest = _digest(session, bulletin.list_id, issue)
    session.add(issue)
    session.flush()
    return issue


def issue_of(session: Session, bulletin_id: int) -> Issue | None:
    """The frozen issue of a bulletin, if it is approved. Raises Fault when it isn't what was approved."""
    issue = session.get(Issue, bulletin_id)
    if issue is None:
        return None
    bulletin = session.get_one(Bulletin, bulletin_id)
    if not hmac.compare_digest(issue.digest, _digest(session, bulletin.list_id, issue)):
        raise Fault(f"Bulletin {bulletin_id} is not what was approved: it was altered in the database. It is not sent.")
    return issue


def _assert_named(row: MailingList) -> None:
    """Marketing says who sends it, and where they are found (917/2014 §203)."""
    if not lists.settings_of(row).postal_address:
        raise BadInput(
            f"Every bulletin names its sender's postal address: mailinglist lists set {row.slug} postal_address …"
        )


def _digest(session: Session, list_id: int, issue: Issue) -> bytes:
    frozen = [list_id, issue.sender, issue.subject, issue.html, issue.text, issue.audience]
    return keys_of(session).seal(json.dumps(frozen, ensure_ascii=False).encode())


def _form(bulletin: Bulletin) -> Form:
    return "html" if bulletin.form == "html" else "markdown"
