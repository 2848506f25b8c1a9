"""Drafts, their revisions, approvals and frozen issues: the only writer of all four.

Approval freezes what recipients will see, and who they are, under a digest: what is sent is what was
approved. Any change afterwards makes the approval void; once a bulletin has been given to be sent, nothing of it
changes any more.

Who saves names the revision that they began from. If somebody else saved meanwhile, nothing is written over: `Conflict`
says who it was. What was saved is kept as revisions, one for an author in ten minutes, and one for each approval.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session, defer

from ..consent import lists
from ..consent.keys import keys_of
from ..consent.tables import MailingList
from ..errors import BadInput, Fault, NotAllowed, Unknown
from ..stationery.sentences import Sentence
from ..stationery.sentences import noted as _
from . import audience as audiences
from . import blocks, comparison, images
from .audience import EVERYBODY
from .blocks import Draft, Version
from .comparison import Change, State, compare
from .compose import Composed, Look, Proof, compose, compose_version, try_version
from .tables import Approval, Bulletin, Issue, Revision

__all__ = [
    "EVERYBODY", "Author", "Conflict", "Form", "State", "add", "approval_of", "approvals", "approve", "as_template",
    "ask_approval", "assert_second", "begin", "changed_since", "compare", "composed", "duplicate", "editions", "find",
    "from_template", "give_out", "has_hand", "issue_editions", "issue_of", "look_of", "page", "pick", "proofs",
    "remove", "restore", "revision", "revisions", "save", "sender_of", "state_of", "templates", "waiting",
    "withdraw_approval",
]  # fmt: skip

Form = Literal["markdown", "html", "blocks"]

KEPT_EVERY = timedelta(minutes=10)
"""At most one revision of an author in this time; what they save within it is written over."""


@dataclass(frozen=True, slots=True)
class Author:
    """Who does something: a member of staff, or (without an account) a command."""

    account_id: int | None
    who: str


class Conflict(NotAllowed):
    """Somebody else saved meanwhile. Nothing was written; `revision` is what there is now."""

    def __init__(self, who: str, at: datetime, revision: int, account_id: int | None) -> None:
        self.who, self.at, self.revision, self.account_id = who, at, revision, account_id
        self.sentence = Sentence(
            _("%(who)s has changed this bulletin meanwhile. Nothing of yours was saved over it."), {"who": who}
        )
        super().__init__(str(self.sentence))


# ── how a list's mails look ───────────────────────────────────────────────────────────────────────────────────────────


def look_of(row: MailingList, *, language: str | None = None) -> Look:
    """How a list's mails look; `language` None: the list's own."""
    settings = lists.settings_of(row)
    spoken = language or settings.language
    name = lists.name_in(row, spoken)
    return Look(
        name=name,
        colour=settings.colour,
        logo_url=settings.logo or None,
        postal_address=settings.postal_address or settings.controller or name,
        sender_name=settings.controller or name,
        language=spoken,
    )


def sender_of(row: MailingList, default: str) -> str:
    """From of a list's mails: its own sender, else the installation's."""
    return lists.settings_of(row).sender or default


# ── beginning ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def add(
    session: Session, row: MailingList, *, subject: str, source: str, form: Literal["markdown", "html"], now: datetime
) -> Bulletin:
    """A new draft in Markdown or HTML. It is composed once now, so that what can't be mailed is refused at once.

    Raises BadInput.
    """
    _assert_named(row)
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
    for number, author in enumerate(authors, start=1):
        session.add(
            Revision(
                bulletin_id=bulletin.id, number=number, subject=state.subject, form=state.form, source=state.source,
                audience=state.audience, at=now, account_id=author.account_id, who=author.who,
            )
        )  # fmt: skip
    _keep(session, bulletin, by=by, now=now)
    return bulletin


def _hands(session: Session, origin: Bulletin, *, but: Author) -> list[Author]:
    """Who else has a hand in what is copied: a copy must be no way around the second person."""
    wanted = select(Revision.account_id, Revision.who).where(
        Revision.bulletin_id == origin.id, Revision.account_id.is_not(None)
    )
    found = {row.account_id: row.who for row in session.execute(wanted.order_by(Revision.number))}
    if origin.changed_by is not None:  # one from before revisions were kept has none
        found.setdefault(origin.changed_by, origin.created_by)
    return [
        Author(account_id, who)
        for account_id, who in found.items()
        if account_id != but.account_id and has_hand(session, origin, account_id)
    ]


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


def state_of(bulletin: Bulletin) -> State:
    """The bulletin as it stands."""
    return State(bulletin.form, bulletin.subject, bulletin.source, bulletin.audience)


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
    _lock_open(session, bulletin)
    before = state_of(bulletin)
    after = _state_after(before, source, subject, audience)
    if after == before:
        return bulletin.revision
    if base != bulletin.revision:
        latest = _latest(session, bulletin.id)
        who = latest.who if latest else bulletin.created_by
        raise Conflict(who, bulletin.changed_at or bulletin.created_at, bulletin.revision, bulletin.changed_by)
    if _latest(session, bulletin.id) is None:
        first = Author(bulletin.changed_by, bulletin.created_by)
        _keep(session, bulletin, by=first, now=bulletin.changed_at or bulletin.created_at)
    _void(session, bulletin, now=now)
    bulletin.subject, bulletin.source, bulletin.audience = after.subject, after.source, after.audience
    bulletin.revision += 1
    bulletin.changed_at, bulletin.changed_by = now, by.account_id
    _keep(session, bulletin, by=by, now=now, apart=apart)
    return bulletin.revision


def restore(session: Session, bulletin: Bulletin, number: int, *, base: int, by: Author, now: datetime) -> int:
    """Make the bulletin what it was at an earlier revision; as `save`. Raises Unknown, too."""
    old = revision(session, bulletin.id, number)
    subject = None if bulletin.form == "blocks" else old.subject
    return save(
        session, bulletin, base=base, source=old.source, subject=subject, audience=old.audience, by=by, now=now,
        apart=True,
    )  # fmt: skip


def remove(session: Session, bulletin: Bulletin, *, now: datetime) -> None:
    """Put a draft or a template away. Raises NotAllowed when it was given to be sent."""
    _lock_open(session, bulletin)
    _void(session, bulletin, now=now)
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


# ── revisions ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def revisions(session: Session, bulletin_id: int, *, limit: int = 100) -> list[Revision]:
    """What was kept, newest first; without the sources."""
    wanted = select(Revision).where(Revision.bulletin_id == bulletin_id).order_by(Revision.number.desc())
    return list(session.scalars(wanted.limit(limit).options(defer(Revision.source))))


def revision(session: Session, bulletin_id: int, number: int) -> Revision:
    """One that was kept. Raises Unknown."""
    found = session.scalar(
        select(Revision).where(Revision.bulletin_id == bulletin_id, Revision.number == number)
    )  # fmt: skip
    if found is None:
        raise Unknown(_("This version of the bulletin is not kept."))
    return found


def state_at(kept: Revision) -> State:
    """The bulletin as it was then."""
    return State(kept.form, kept.subject, kept.source, kept.audience)


def _latest(session: Session, bulletin_id: int) -> Revision | None:
    return session.scalar(
        select(Revision).where(Revision.bulletin_id == bulletin_id).order_by(Revision.number.desc()).limit(1)
    )


def _keep(session: Session, bulletin: Bulletin, *, by: Author, now: datetime, apart: bool = False) -> None:
    """Keep the bulletin as it stands: in place of what the author kept in these ten minutes, unless that was
    approved or this is to be kept `apart`."""
    began = datetime.fromtimestamp(
        now.timestamp() // KEPT_EVERY.total_seconds() * KEPT_EVERY.total_seconds(), now.tzinfo
    )
    pinned = select(Approval.revision).where(Approval.bulletin_id == bulletin.id)
    kept = None if apart else session.scalar(
        select(Revision)
        .where(
            Revision.bulletin_id == bulletin.id, Revision.account_id.is_not_distinct_from(by.account_id),
            Revision.who == by.who[:200], Revision.at >= began, Revision.number.not_in(pinned),
        )
        .order_by(Revision.number.desc())
        .limit(1)
    )  # fmt: skip
    if kept is None:
        kept = Revision(bulletin_id=bulletin.id, account_id=by.account_id, who=by.who[:200], form=bulletin.form)
        session.add(kept)
    kept.number, kept.at = bulletin.revision, now
    kept.subject, kept.source, kept.audience = bulletin.subject, bulletin.source, bulletin.audience
    session.flush()


# ── as it would be mailed ─────────────────────────────────────────────────────────────────────────────────────────────


def composed(session: Session, bulletin: Bulletin) -> Composed:
    """The draft as it would be mailed now, in its first language. Raises BadInput."""
    return next(iter(editions(session, bulletin).values()))


def editions(session: Session, bulletin: Bulletin) -> dict[str, Composed]:
    """The draft as it would be mailed now, by language. Raises BadInput for what can't be mailed."""
    row = session.get_one(MailingList, bulletin.list_id)
    if bulletin.form != "blocks":
        form: Literal["markdown", "html"] = "html" if bulletin.form == "html" else "markdown"
        look = look_of(row)
        return {look.language: compose(subject=bulletin.subject, source=bulletin.source, form=form, look=look)}
    draft = blocks.read(bulletin.source)
    pictures = images.pictures(session, draft.images())
    return {
        language: compose_version(version, look=look_of(row, language=language), images=pictures)
        for language, version in draft.versions.items()
    }


def proofs(session: Session, row: MailingList, draft: Draft) -> dict[str, Proof]:
    """A draft as it would arrive, by language, each with what keeps it from being mailed: for previews."""
    pictures = images.pictures(session, draft.images())
    return {
        language: try_version(version, look=look_of(row, language=language), images=pictures)
        for language, version in draft.versions.items()
    }


def pick(available: Collection[str], *, own: str | None, of_list: str) -> str:
    """The language in which somebody gets a bulletin: their own, else the list's, else the first there is."""
    return next((language for language in (own, of_list) if language in available), None) or next(iter(available))


# ── approval ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def ask_approval(session: Session, bulletin: Bulletin, *, by: Author, now: datetime) -> None:
    """Say that the bulletin is ready to be approved. Raises BadInput for what can't be mailed, NotAllowed."""
    _lock_open(session, bulletin)
    _assert_no_template(bulletin)
    _assert_named(session.get_one(MailingList, bulletin.list_id))
    if session.get(Issue, bulletin.id) is not None:
        raise NotAllowed(_("This bulletin is approved already."))
    editions(session, bulletin)
    bulletin.asked_at, bulletin.asked_by = now, by.account_id
    session.flush()


def approve(
    session: Session,
    bulletin: Bulletin,
    *,
    sender: str,
    by: Author | str,
    acknowledged: Sequence[str] = (),
    second_person: bool = False,
    now: datetime,
) -> Issue:
    """Freeze the bulletin: its content in all languages, its audience, its sender.

    `acknowledged`: the names of the warnings that were accepted. `second_person`: whether there are two who may
    approve; where the list wants it, who has a hand in the bulletin can't be the one who approves it, and neither can a
    command, since it is nobody by name. Raises NotAllowed, BadInput.
    """
    author = Author(None, by) if isinstance(by, str) else by
    _lock_open(session, bulletin)
    _assert_no_template(bulletin)
    row = session.get_one(MailingList, bulletin.list_id)
    _assert_named(row)
    if session.get(Issue, bulletin.id) is not None:
        raise NotAllowed(_("This bulletin is approved already."))
    assert_second(session, bulletin, author.account_id, second_person=second_person)
    whole = editions(session, bulletin)
    language, first = next(iter(whole.items()))
    others = {each: _plain(made) for each, made in whole.items() if each != language}
    issue = Issue(
        bulletin_id=bulletin.id, sender=sender, subject=first.subject, html=first.html, text=first.text,
        language=language if bulletin.form == "blocks" else None,
        versions=_canonical(others) if others else None,
        audience=bulletin.audience, digest=b"", approved_at=now, approved_by=author.who,
    )  # fmt: skip
    issue.digest = _digest(session, bulletin.list_id, issue)
    session.add(issue)
    latest = _latest(session, bulletin.id)
    if latest is None or latest.number != bulletin.revision:
        _keep(session, bulletin, by=Author(bulletin.changed_by, bulletin.created_by), now=bulletin.created_at)
    session.add(
        Approval(
            bulletin_id=bulletin.id, revision=bulletin.revision, digest=issue.digest, account_id=author.account_id,
            who=author.who[:200], at=now, acknowledged=json.dumps(sorted(set(acknowledged)), ensure_ascii=False),
        )
    )  # fmt: skip
    bulletin.asked_at = bulletin.asked_by = None
    session.flush()
    return issue


def wants_second(row: MailingList, *, second_person: bool) -> bool:
    """Whether the list wants a bulletin approved by somebody else; `second_person`: there are two who may."""
    match lists.settings_of(row).approval:
        case "on":
            return True
        case "off":
            return False
        case _:
            return second_person


def has_hand(session: Session, bulletin: Bulletin, account_id: int | None) -> bool:
    """Whether an account wrote in what would be approved: in any revision since somebody else approved one.

    None, a command, is nobody by name: it may be anybody's hand.
    """
    if account_id is None:
        return True
    # An approval that was taken back, with nothing changed since, says that this very revision was not good enough.
    since = session.scalar(
        select(func.max(Approval.revision)).where(
            Approval.bulletin_id == bulletin.id, Approval.account_id != account_id,
            Approval.void_at.is_(None) | (Approval.revision < bulletin.revision),
        )
    ) or 0  # fmt: skip
    if bulletin.changed_by == account_id and bulletin.revision > since:
        return True
    wrote = select(Revision.id).where(
        Revision.bulletin_id == bulletin.id, Revision.account_id == account_id, Revision.number > since
    )
    return session.scalar(wrote.limit(1)) is not None


def assert_second(session: Session, bulletin: Bulletin, account_id: int | None, *, second_person: bool) -> None:
    """Raise NotAllowed if the list wants another person's approval than this account's."""
    row = session.get_one(MailingList, bulletin.list_id)
    if wants_second(row, second_person=second_person) and has_hand(session, bulletin, account_id):
        raise NotAllowed(_("This list wants another person's approval: who wrote in a bulletin can't approve it."))


def withdraw_approval(session: Session, bulletin: Bulletin, *, now: datetime) -> None:
    """Take the approval back. Raises NotAllowed when there is none, or the bulletin was given to be sent."""
    _lock_open(session, bulletin)
    if session.get(Issue, bulletin.id) is None:
        raise NotAllowed(_("This bulletin is not approved."))
    _void(session, bulletin, now=now)


def approval_of(session: Session, bulletin_id: int) -> Approval | None:
    """The approval in force."""
    return session.scalar(
        select(Approval)
        .where(Approval.bulletin_id == bulletin_id, Approval.void_at.is_(None))
        .order_by(Approval.id.desc())
        .limit(1)
    )


def approvals(session: Session, bulletin_id: int) -> list[Approval]:
    """All approvals there were, newest first: also the void ones."""
    return list(
        session.scalars(select(Approval).where(Approval.bulletin_id == bulletin_id).order_by(Approval.id.desc()))
    )


def changed_since(session: Session, approval: Approval) -> list[Change]:
    """What changed since somebody approved. Raises Unknown when what was approved is not kept."""
    bulletin = find(session, approval.bulletin_id)
    approved = revision(session, bulletin.id, approval.revision)
    return comparison.compare(state_at(approved), state_of(bulletin))


def give_out(session: Session, bulletin_id: int, *, now: datetime) -> Issue:
    """The bulletin is given to be sent: from here on nothing of it changes. Raises NotAllowed, Fault, Unknown."""
    bulletin = find(session, bulletin_id)
    _lock_open(session, bulletin)
    _assert_no_template(bulletin)
    issue = issue_of(session, bulletin_id)
    if issue is None:
        raise NotAllowed(_("This bulletin is not approved."))
    bulletin.given_at = now
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


def issue_editions(issue: Issue, row: MailingList) -> dict[str, Composed]:
    """An issue by language, its first one first. `row`: its list."""
    first = issue.language or lists.settings_of(row).language
    others: Mapping[str, Mapping[str, str]] = json.loads(issue.versions) if issue.versions else {}
    return {
        first: Composed(subject=issue.subject, html=issue.html, text=issue.text),
        **{language: Composed(**made) for language, made in others.items()},
    }


def _void(session: Session, bulletin: Bulletin, *, now: datetime) -> None:
    """What was approved is no more; that it was, is kept."""
    issue = session.get(Issue, bulletin.id)
    if issue is None:
        return
    session.delete(issue)
    session.execute(
        update(Approval).where(Approval.bulletin_id == bulletin.id, Approval.void_at.is_(None)).values(void_at=now)
    )
    session.flush()


def _lock_open(session: Session, bulletin: Bulletin) -> None:
    """Lock a bulletin that may change still. Raises NotAllowed."""
    session.refresh(bulletin, with_for_update=True)
    if bulletin.removed_at is not None:
        raise NotAllowed(_("This bulletin was removed."))
    if bulletin.given_at is not None:
        raise NotAllowed(_("This bulletin has been given to be sent: it can't be changed any more. Duplicate it."))


def _assert_no_template(bulletin: Bulletin) -> None:
    if bulletin.template:
        raise NotAllowed(_("This is a template: it is never sent. Begin a bulletin from it."))


def _assert_named(row: MailingList) -> None:
    """Marketing says who sends it, and where they are found (917/2014 §203)."""
    if not lists.settings_of(row).postal_address:
        raise BadInput(
            f"Every bulletin names its sender's postal address: mailinglist lists set {row.slug} postal_address …"
        )


def _digest(session: Session, list_id: int, issue: Issue) -> bytes:
    frozen = [list_id, issue.sender, issue.subject, issue.html, issue.text, issue.audience]
    if issue.language is not None or issue.versions is not None:  # else it may be from before there were languages
        frozen += [issue.language, issue.versions]
    return keys_of(session).seal(json.dumps(frozen, ensure_ascii=False).encode())


def _plain(made: Composed) -> dict[str, str]:
    return {"subject": made.subject, "html": made.html, "text": made.text}


def _canonical(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
