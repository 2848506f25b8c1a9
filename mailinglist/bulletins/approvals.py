"""Approvals and frozen issues: the only writer of both.

Approval freezes what recipients will see, and who they are, under a digest: what is sent is what was approved. With the
content goes its imprint, what of the list's settings shows. Any change afterwards makes the approval void; once a
bulletin has been given to be sent, nothing of it changes any more.

The rule of the second person, where the list wants one: nobody approves a change that only they have seen. Who
changed a bulletin can approve it once another who may approve has changed it after them: that one had all of it before
them, and what that one changed is looked at by who approves. So of two who both wrote, the one who did not change it
last approves; as long as there are two, one of them always can. Who makes a copy has changed it last. What somebody
approved before says nothing: an approval that was taken back or made void counts for nobody.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from ..consent import lists
from ..consent.keys import keys_of
from ..consent.tables import MailingList
from ..errors import Fault, NotAllowed
from ..stationery.sentences import noted as _
from . import audience, blocks, comparison, editions, imprint, revisions
from .comparison import Change
from .compose import Composed
from .revisions import Author
from .tables import Approval, Bulletin, Issue, Revision

# ── the rule of the second person ─────────────────────────────────────────────────────────────────────────────────────


def wants_second(row: MailingList, publishers: Collection[int]) -> bool:
    """Whether the list wants a bulletin approved by somebody else. `publishers`: the accounts that may approve."""
    match lists.settings_of(row).approval:
        case "on":
            return True
        case "off":
            return False
        case _:
            return len(publishers) > 1


def only_seen_by(session: Session, bulletin: Bulletin, account_id: int | None, publishers: Collection[int]) -> bool:
    """Whether an account made a change that no other of `publishers` has changed the bulletin after.

    None, a command, is nobody by name: it may be anybody's change.
    """
    if account_id is None:
        return True
    numbers = select(func.max(Revision.number)).where(Revision.bulletin_id == bulletin.id, Revision.number > 0)

    def latest(accounts: Collection[int]) -> int:
        kept = session.scalar(numbers.where(Revision.account_id.in_(accounts))) or 0
        # One from before revisions were kept has none.
        return max(kept, bulletin.revision if bulletin.changed_by in accounts else 0)

    own = latest([account_id])
    return own > 0 and latest([each for each in publishers if each != account_id]) < own


def assert_second(session: Session, bulletin: Bulletin, account_id: int | None, *, publishers: Collection[int]) -> None:
    """Raise NotAllowed if the list wants another person's approval than this account's."""
    row = session.get_one(MailingList, bulletin.list_id)
    if not wants_second(row, publishers) or not only_seen_by(session, bulletin, account_id, publishers):
        return
    if account_id is None:
        raise NotAllowed(
            _("This list wants another person's approval: have it approved in the staff console, and then send it.")
        )
    raise NotAllowed(_("You changed this bulletin, so somebody else has to approve it."))


# ── approving ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def ask_approval(session: Session, bulletin: Bulletin, *, by: Author, now: datetime) -> None:
    """Say that the bulletin is ready to be approved. Raises BadInput for what can't be mailed, NotAllowed."""
    lock_open(session, bulletin)
    _assert_no_template(bulletin)
    editions.assert_named(session.get_one(MailingList, bulletin.list_id))
    if session.get(Issue, bulletin.id) is not None:
        raise NotAllowed(_("This bulletin is approved already."))
    editions.editions(session, bulletin)
    bulletin.asked_at, bulletin.asked_by = now, by.account_id
    session.flush()


def approve(
    session: Session,
    bulletin: Bulletin,
    *,
    sender: str,
    by: Author | str,
    acknowledged: Sequence[str] = (),
    publishers: Collection[int] = (),
    now: datetime,
) -> Issue:
    """Freeze the bulletin: its content in all languages, its audience, its sender, and what else of the list shows.

    `acknowledged`: the names of the warnings that were accepted. `publishers`: the accounts that may approve, for the
    rule of the second person; a command is nobody by name. Raises NotAllowed, BadInput.
    """
    author = Author(None, by) if isinstance(by, str) else by
    lock_open(session, bulletin)
    _assert_no_template(bulletin)
    row = session.get_one(MailingList, bulletin.list_id)
    editions.assert_named(row)
    if session.get(Issue, bulletin.id) is not None:
        raise NotAllowed(_("This bulletin is approved already."))
    assert_second(session, bulletin, author.account_id, publishers=publishers)
    whole = editions.editions(session, bulletin)
    language, first = next(iter(whole.items()))
    others = {each: _plain(made) for each, made in whole.items() if each != language}
    shown = imprint.written(imprint_now(session, bulletin))
    issue = Issue(
        bulletin_id=bulletin.id, sender=sender, subject=first.subject, html=first.html, text=first.text,
        language=language if bulletin.form == "blocks" else None,
        versions=_canonical(others) if others else None,
        audience=bulletin.audience, imprint=shown, digest=b"", approved_at=now, approved_by=author.who,
    )  # fmt: skip
    issue.digest = _digest(session, bulletin.list_id, issue)
    session.add(issue)
    latest = revisions.latest(session, bulletin.id)
    if latest is None or latest.number != bulletin.revision:
        by_whom = Author(bulletin.changed_by, bulletin.created_by)
        revisions.keep(session, bulletin, by=by_whom, now=bulletin.created_at)
    session.add(
        Approval(
            bulletin_id=bulletin.id, revision=bulletin.revision, digest=issue.digest, imprint=shown,
            account_id=author.account_id, who=author.who[:200], at=now,
            acknowledged=json.dumps(sorted(set(acknowledged)), ensure_ascii=False),
        )
    )  # fmt: skip
    bulletin.asked_at = bulletin.asked_by = None
    session.flush()
    return issue


def imprint_now(session: Session, bulletin: Bulletin) -> imprint.Imprint:
    """What of its list's settings an approval would freeze now."""
    row = session.get_one(MailingList, bulletin.list_id)
    languages: Collection[str] = [lists.settings_of(row).language]
    if bulletin.form == "blocks":
        languages = blocks.read(bulletin.source).versions
    return imprint.taken(row, languages=languages, rule=audience.read(bulletin.audience))


def withdraw_approval(session: Session, bulletin: Bulletin, *, now: datetime) -> None:
    """Take the approval back. Raises NotAllowed when there is none, or the bulletin was given to be sent."""
    lock_open(session, bulletin)
    if session.get(Issue, bulletin.id) is None:
        raise NotAllowed(_("This bulletin is not approved."))
    void(session, bulletin, now=now)


# ── what makes an approval void ───────────────────────────────────────────────────────────────────────────────────────


def void(session: Session, bulletin: Bulletin, *, now: datetime) -> None:
    """What was approved is no more, if there was anything; that it was, is kept. The bulletin has to be locked."""
    issue = session.get(Issue, bulletin.id)
    if issue is None:
        return
    session.delete(issue)
    session.execute(
        update(Approval).where(Approval.bulletin_id == bulletin.id, Approval.void_at.is_(None)).values(void_at=now)
    )
    session.flush()


def void_outdated(session: Session, row: MailingList, *, now: datetime) -> list[int]:
    """Make void each approval of the list `row` whose imprint its settings have left. Returns the bulletins' ids.

    Whoever changes a list's settings calls it, in the same transaction; `give_out` looks once more.
    """
    open_ones = (
        select(Bulletin)
        .join(Issue, Issue.bulletin_id == Bulletin.id)
        .where(Bulletin.list_id == row.id, Bulletin.given_at.is_(None))
        .order_by(Bulletin.id)
        .with_for_update(of=Bulletin)
    )
    gone = []
    for bulletin in session.scalars(open_ones).all():
        issue = session.get_one(Issue, bulletin.id)
        if issue.imprint is not None and imprint.changes(imprint.read(issue.imprint), row):
            void(session, bulletin, now=now)
            gone.append(bulletin.id)
    return gone


def changed_since(session: Session, approval: Approval) -> list[Change]:
    """What changed since somebody approved: of the bulletin, and of its list's settings. Raises Unknown when what was
    approved is not kept."""
    bulletin = session.get_one(Bulletin, approval.bulletin_id)
    approved = revisions.revision(session, bulletin.id, approval.revision)
    found = comparison.compare(revisions.state_at(approved), revisions.state_of(bulletin))
    if approval.imprint is not None:
        row = session.get_one(MailingList, bulletin.list_id)
        found += imprint.changes(imprint.read(approval.imprint), row)
    return found


# ── finding ───────────────────────────────────────────────────────────────────────────────────────────────────────────


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
    first = issue.language or issue_imprint(issue, row)["language"]
    others: Mapping[str, Mapping[str, str]] = json.loads(issue.versions) if issue.versions else {}
    return {
        first: Composed(subject=issue.subject, html=issue.html, text=issue.text),
        **{language: Composed(**made) for language, made in others.items()},
    }


def issue_imprint(issue: Issue, row: MailingList) -> imprint.Imprint:
    """What of its list's settings goes out with an issue: as approved, or as they are now where it was approved before
    they were frozen."""
    if issue.imprint is not None:
        return imprint.read(issue.imprint)
    return imprint.taken(row, languages=(), rule=audience.read(issue.audience))


# ── giving out ────────────────────────────────────────────────────────────────────────────────────────────────────────


def give_out(session: Session, bulletin_id: int, *, now: datetime) -> Issue:
    """The bulletin is given to be sent: from here on nothing of it changes. Raises NotAllowed, Fault."""
    bulletin = session.get_one(Bulletin, bulletin_id)
    lock_open(session, bulletin)
    _assert_no_template(bulletin)
    issue = issue_of(session, bulletin_id)
    if issue is None:
        raise NotAllowed(_("This bulletin is not approved."))
    row = session.get_one(MailingList, bulletin.list_id)
    if issue.imprint is not None and imprint.changes(imprint.read(issue.imprint), row):
        raise NotAllowed(
            _("The list's settings have changed since the approval. Take it back, and have the bulletin approved anew.")
        )
    bulletin.given_at = now
    session.flush()
    return issue


def lock_open(session: Session, bulletin: Bulletin) -> None:
    """Lock a bulletin that may change still. Raises NotAllowed."""
    session.refresh(bulletin, with_for_update=True)
    if bulletin.removed_at is not None:
        raise NotAllowed(_("This bulletin was removed."))
    if bulletin.given_at is not None:
        raise NotAllowed(_("This bulletin has been given to be sent: it can't be changed any more. Duplicate it."))


def _assert_no_template(bulletin: Bulletin) -> None:
    if bulletin.template:
        raise NotAllowed(_("This is a template: it is never sent. Begin a bulletin from it."))


def _digest(session: Session, list_id: int, issue: Issue) -> bytes:
    frozen = [list_id, issue.sender, issue.subject, issue.html, issue.text, issue.audience]
    # What an issue has not is from before there was such a thing: then its digest does not know of it either.
    if issue.language is not None or issue.versions is not None or issue.imprint is not None:
        frozen += [issue.language, issue.versions]
    if issue.imprint is not None:
        frozen += [issue.imprint, issue.bulletin_id]
    return keys_of(session).seal(json.dumps(frozen, ensure_ascii=False).encode())


def _plain(made: Composed) -> dict[str, str]:
    return {"subject": made.subject, "html": made.html, "text": made.text}


def _canonical(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
