"""How the first member of staff gets in: while nobody has set up an account, each start of `run` gives a fresh link."""

from __future__ import annotations

from email.utils import parseaddr

from sqlalchemy.orm import Session

from .. import db
from ..app import create_app
from ..consent import lists
from ..settings import Settings
from ..staff import accounts
from ..staff.audit import Actor
from ..staff.levels import Level

_LEVELS = (Level.ADMINISTRATOR, Level.EDITOR, Level.PUBLISHER, Level.REGISTRAR)
_BY = Actor(None, "the first start", "")


def link(settings: Settings) -> str | None:
    """Where the first member of staff sets up their account. None once somebody has one, or has been given one."""
    with create_app(settings).app_context():
        try:
            with db.transaction() as session:
                secret = _secret(session, settings)
        finally:
            db.db.engine.dispose()
    return f"{settings.base_url}/staff/enrol/{secret}" if secret else None


def _secret(session: Session, settings: Settings) -> str | None:
    known, now = accounts.every(session), db.utcnow()
    if not known:
        return accounts.enrol(
            session, _address(session, settings), name="Administrator", levels=_LEVELS, by=_BY, now=now
        )[1]
    ours = [account for account in known if account.created_by == _BY.who and account.usable(now)]
    # An account that somebody made by `staff add` has a link of its own, which another one would make void.
    if len(known) > len(ours) or not accounts.nobody_enrolled(session):
        return None
    return accounts.issue_link(session, ours[0], "enrol", by=_BY, now=now)


def _address(session: Session, settings: Settings) -> str:
    """The default list's owner, else admin@ our own domain."""
    owner = lists.settings_of(lists.find(session, lists.DEFAULT_SLUG)).owner
    return parseaddr(owner)[1] or f"admin@{parseaddr(settings.mail_from)[1].rpartition('@')[2]}"
