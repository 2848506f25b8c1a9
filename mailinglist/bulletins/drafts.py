"""Drafts: begun, saved, copied, put away. The only writer of bulletins, but for what `approvals` notes on them.

Who saves names the revision that they began from. If somebody else saved meanwhile, nothing is written over: `Conflict`
says who it was. A change makes an approval void; a bulletin that was given to be sent does not change any more.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from sqlalchemy import select
from sqlalchemy.orm import Session, defer

from ..consent import lists
from ..consent.tables import MailingList
from ..errors import BadInput, NotAllowed, Unknown
from ..stationery.sentences import Sentence
from ..stationery.sentences import noted as _
from . import approvals, blocks
from . import audience as audiences
from .audience import EVERYBODY
from .blocks import Draft, Version
from .comparison import State, compare
from .compose import compose
from .editions import assert_named, composed, editions, look_of, pick, proofs, sender_of
from .revisions import Author, hands, inherit, keep, latest, revision, revisions, set_aside, state_at, state_of
from .tables import Bulletin

__all__ = [
    "EVERYBODY", "Author", "Conflict", "Form", "State", "add", "as_template", "begin", "compare", "composed",
    "duplicate", "editions", "find", "from_template", "give_up", "look_of", "page", "pick", "proofs", "remove",
    "restore", "revision", "revisions", "save", "sender_of", "state_at", "state_of", "templates", "waiting",
]  # fmt: skip

Form = Literal["markdown", "html", "blocks"]


class Conflict(NotAllowed):
    """Somebody else saved meanwhile. Nothing was written; `revision` is what there is now."""

    def __init__(self, who: str, at: datetime, revision: int, account_id: int | None) -> None:
        self.who, self.at, self.revision, self.account_id = who, at, revision, account_id
        self.sentence = Sentence(
            _("%(who)s has changed this bulletin meanwhile. Nothing of yours was saved over it."), {"who": who}
        )
        super().__init__(str(self.sentence))


# ── beginning ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def add(
    session: Session, row: MailingList, *, subject: str, source: str, form: Literal["markdown", "html"], now: datetime
) -> Bulletin:
    """A new draft in Markdown or HTML. It is composed once now, so that what can't be mailed is refused at once.

    Raises BadInput.
    """
    assert_named(row)
    compose(subject=subject, source=source, form=form, look=look_of(row))
    bulletin = Bulletin(list_id=row.id, subject=subject.strip(), form=form, source=source, created_at=now)
    session.add(bulletin)
    session.flush()
    return bulletin


def begin(
    session: Session, row: MailingList, draft: Draft | None = None, *, by: Author, now: datetime, template: bool = False
) -> Bulletin:
    """A new bulletin of blocks, to be written in the editor: `draft`, or an empty one in the list's language."""
    whole = draft or Draft({lists.settings_of(row).language: Version()})
    state = State("blocks", _title(whole), blocks.write(whole))
    return _begin(session, row.id, state, by=by, now=now, template=template)


def duplicate(session: Session, bulletin: Bulletin, *, by: Author, now: datetime) -> Bulletin:
    """A new draft with the same content and audience. Who has a hand in the origin has one in the copy."""
    return _begin(session, bulletin.list_id, state_of(bulletin), by=by, now=now, origin=bulletin)


def as_template(session: Session, bulletin: Bulletin, *, by: Author, now: datetime) -> Bulletin:
    """A template with the bulletin's content, for everybody. It is never sent."""
    state = state_of(bulletin)
    return _begin(
        session, bulletin.list_id, State(state.form, state.subject, state.source), by=by, now=now, template=True,
        origin=bulletin,
    )  # fmt: skip


def from_template(session: Session, template: Bulletin, *, by: Author, now: datetime) -> Bulletin:
    """A new draft with a template's content. Raises NotAllowed when it is none."""
    if not template.template or template.removed_at is not None:
        raise NotAllowed(_("This is no template."))
    return _begin(session, template.list_id, state_of(template), by=by, now=now, origin=template)


def _begin(
    session: Session,
    list_id: int,
    state: State,
    *,
    by: Author,
    now: datetime,
    template: bool = False,
    origin: Bulletin | None = None,
) -> Bulletin:
    authors = _hands(session, origin, but=by) if origin is not None else []
    bulletin = Bulletin(
        list_id=list_id, subject=state.subject, form=state.form, source=state.source, audience=state.audience,
        revision=1 + len(authors), template=template, created_at=now, created_by=by.who, changed_at=now,
        changed_by=by.account_id,
    )  # fmt: skip
    session.add(bulletin)
    session.flush()
    inherit(session, bulletin, authors, now=now)
    keep(session, bulletin, by=by, now=now)
    return bulletin


def _hands(session: Session, origin: Bulletin, *, but: Author) -> list[Author]:
    """Who else has a hand in what is copied: a copy must be no way around the second person."""
    found = hands(session, origin.id)
    if origin.changed_by is not None and origin.changed_by not in {each.account_id for each in found}:
        found.append(Author(origin.changed_by, origin.created_by))  # one from before revisions were kept has none
    return [each for each in found if each.account_id != but.account_id]


# ── finding ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def find(session: Session, bulletin_id: int) -> Bulletin:
    """The bulletin with this id. Raises Unknown."""
    found = session.get(Bulletin, bulletin_id)
    if found is None:
        raise Unknown(f"There is no bulletin {bulletin_id}.")
    return found


def page(session: Session, list_id: int, *, before_id: int | None = None, limit: int = 50) -> list[Bulletin]:
    """A list's bulletins, newest first, below an id; without their sources. Templates and what was removed are not
    among them."""
    wanted = select(Bulletin).where(
        Bulletin.list_id == list_id, Bulletin.template.is_(False), Bulletin.removed_at.is_(None)
    )
    if before_id is not None:
        wanted = wanted.where(Bulletin.id < before_id)
    return list(session.scalars(wanted.order_by(Bulletin.id.desc()).limit(limit).options(defer(Bulletin.source))))


def templates(session: Session, list_id: int) -> list[Bulletin]:
    """A list's own templates, newest first, without their sources."""
    wanted = select(Bulletin).where(
        Bulletin.list_id == list_id, Bulletin.template.is_(True), Bulletin.removed_at.is_(None)
    )
    return list(session.scalars(wanted.order_by(Bulletin.id.desc()).options(defer(Bulletin.source))))


def waiting(session: Session, list_id: int | None = None) -> list[Bulletin]:
    """Bulletins for which approval is asked, the longest waiting first; of one list, or of all."""
    wanted = select(Bulletin).where(
        Bulletin.asked_at.is_not(None), Bulletin.given_at.is_(None), Bulletin.removed_at.is_(None)
    )
    if list_id is not None:
        wanted = wanted.where(Bulletin.list_id == list_id)
    return list(session.scalars(wanted.order_by(Bulletin.asked_at).options(defer(Bulletin.source))))


# ── writing ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def save(
    session: Session,
    bulletin: Bulletin,
    *,
    base: int,
    source: str | None = None,
    subject: str | None = None,
    audience: str | None = None,
    by: Author,
    now: datetime,
    apart: bool = False,
) -> int:
    """Write down what is given, and return the new revision; what is None stays. `base`: the revision begun from.

    For blocks, `source` is their JSON, and the subject comes from it. Saying what stands already changes nothing,
    whatever the base: so who did not hear the answer may say it again. A change makes an approval void.
    `apart`: what stood before stays among the revisions, also when the same author kept it just now.
    Raises Conflict, NotAllowed (it was given to be sent, or removed), BadInput (another form; unfinished is no reason).
    """
    approvals.lock_open(session, bulletin)
    before = state_of(bulletin)
    after = _state_after(before, source, subject, audience)
    if after == before:
        return bulletin.revision
    if base != bulletin.revision:
        newest = latest(session, bulletin.id)
        who = newest.who if newest else bulletin.created_by
        raise Conflict(who, bulletin.changed_at or bulletin.created_at, bulletin.revision, bulletin.changed_by)
    if latest(session, bulletin.id) is None:
        first = Author(bulletin.changed_by, bulletin.created_by)
        keep(session, bulletin, by=first, now=bulletin.changed_at or bulletin.created_at)
    approvals.void(session, bulletin, now=now)
    bulletin.subject, bulletin.source, bulletin.audience = after.subject, after.source, after.audience
    bulletin.revision += 1
    bulletin.changed_at, bulletin.changed_by = now, by.account_id
    keep(session, bulletin, by=by, now=now, apart=apart)
    return bulletin.revision


def restore(session: Session, bulletin: Bulletin, number: int, *, base: int, by: Author, now: datetime) -> int:
    """Make the bulletin what it was at an earlier revision; as `save`. Raises Unknown, too."""
    old = revision(session, bulletin.id, number)
    subject = None if bulletin.form == "blocks" else old.subject
    return save(
        session, bulletin, base=base, source=old.source, subject=subject, audience=old.audience, by=by, now=now,
        apart=True,
    )  # fmt: skip


def give_up(session: Session, bulletin: Bulletin, source: str, *, by: Author, now: datetime) -> int | None:
    """Put aside a text (the JSON of blocks) that somebody gives up for what stands, so that it can be brought back.

    Returns its number among the revisions; None where it says what stands. The bulletin stays as it is, and so does an
    approval of it; so one that was given to be sent may take it, too. Raises BadInput.
    """
    session.refresh(bulletin, with_for_update=True)
    before = state_of(bulletin)
    after = _state_after(before, source, None, None)
    return None if after == before else set_aside(session, bulletin, after, by=by, now=now)


def remove(session: Session, bulletin: Bulletin, *, now: datetime) -> None:
    """Put a draft or a template away. Raises NotAllowed when it was given to be sent."""
    approvals.lock_open(session, bulletin)
    approvals.void(session, bulletin, now=now)
    bulletin.removed_at, bulletin.asked_at, bulletin.asked_by = now, None, None
    session.flush()


def _state_after(before: State, source: str | None, subject: str | None, audience: str | None) -> State:
    rule = before.audience if audience is None else audiences.write(audiences.read(audience))
    if before.form != "blocks":
        title = before.subject if subject is None else subject.strip()
        if len(title) > blocks.MAX_LINE:
            raise BadInput(f"A subject has at most {blocks.MAX_LINE} characters.")
        return State(before.form, title, before.source if source is None else source, rule)
    if source is None:
        return State(before.form, before.subject, before.source, rule)
    draft = blocks.read(source)
    return State(before.form, _title(draft), blocks.write(draft), rule)


def _title(draft: Draft) -> str:
    """The subject by which lists of bulletins show it: the first version's that has one."""
    return next((version.subject for version in draft.versions.values() if version.subject), "")
