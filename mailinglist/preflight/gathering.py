"""Takes down from the database what the preflight looks at. It reads only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from sqlalchemy import select
from sqlalchemy.orm import Session

from ..bulletins import approvals, audience, blocks, drafts, images
from ..bulletins.audience import Rule
from ..bulletins.compose import Composed
from ..bulletins.tables import Bulletin, Issue
from ..consent import lists
from ..consent.tables import MailingList
from ..delivery import audience_query
from ..delivery.audience_query import Count
from ..delivery.tables import Dispatch
from ..errors import BadInput
from ..i18n import LANGUAGES
from ..settings import Settings
from ..stationery.sentences import SaidBadInput, Sentence
from . import pieces
from .matter import Matter, Written

_EARLIER = 5
"""How many bulletins say what is usual."""


def gather(session: Session, bulletin: Bulletin, *, settings: Settings) -> Matter:
    """Everything that `examine` wants to know of `bulletin` now. Raises RegisterUnsound when bans can't be read."""
    row = session.get_one(MailingList, bulletin.list_id)
    own = lists.settings_of(row)
    last = _last(session, row.id, bulletin.id)
    written = _written(session, row, bulletin, approvals.issue_editions(last, row) if last else {})
    rule = _rule(bulletin.audience)
    count = None if rule is None else _reach(session, row.id, rule)
    others = {} if rule is None else _others(session, row.id, rule, written)
    return Matter(
        written=written,
        sender=drafts.sender_of(row, settings.mail_from),
        named=bool(own.postal_address),
        logo=own.logo,
        audience=count.audience if count else None,
        banned=count.banned if count else 0,
        others={language: found.audience for language, found in others.items()},
        about=count is not None and count.about,
        others_about=frozenset(language for language, found in others.items() if found.about),
        usual=_usual(session, row.id, bulletin.id),
        stock_subjects=_stock_subjects(session, row.id, bulletin.id),
    )


def _reach(session: Session, list_id: int, rule: Rule) -> audience_query.Count:
    """An estimate, where it says how many; whether it is nobody must be known."""
    found = audience_query.estimate(session, list_id, rule)
    return audience_query.count(session, list_id, rule) if found.below else found


def _written(
    session: Session, row: MailingList, bulletin: Bulletin, last: Mapping[str, Composed]
) -> dict[str, Written]:
    own = lists.settings_of(row).language
    if bulletin.form != "blocks":
        return {own: _whole(session, bulletin, last.get(own) or next(iter(last.values()), None))}
    draft = blocks.read(bulletin.source)
    pictures = images.pictures(session, draft.images())
    return {
        language: Written(
            proof.mail.subject,
            draft.versions[language].preview,
            pieces.of_version(draft.versions[language], pictures),
            proof.mail,
            tuple((problem.place, problem.sentence) for problem in proof.problems),
            last[drafts.pick(last, own=language, of_list=own)] if last else None,
        )
        for language, proof in drafts.proofs(session, row, draft).items()
    }


def _whole(session: Session, bulletin: Bulletin, last: Composed | None) -> Written:
    """A bulletin that is no blocks."""
    found = pieces.of_source(bulletin.source, bulletin.form)
    try:
        mail = drafts.composed(session, bulletin)
    except BadInput as error:
        said = error.sentence if isinstance(error, SaidBadInput) else Sentence(str(error))
        return Written(bulletin.subject, "", found, None, (((), said),), last)
    return Written(mail.subject, "", found, mail, (), last)


def _rule(source: str) -> Rule | None:
    try:
        return audience.read(source)
    except BadInput:
        return None


def _others(session: Session, list_id: int, rule: Rule, written: Mapping[str, Written]) -> dict[str, Count]:
    missing = [each for each in LANGUAGES if each not in written and each in (rule.languages or LANGUAGES)]
    counts = {each: _reach(session, list_id, replace(rule, languages=(each,))) for each in missing}
    return {language: found for language, found in counts.items() if found.audience}


def _usual(session: Session, list_id: int, but: int) -> tuple[int, ...]:
    wanted = (
        select(Dispatch.audience)
        .where(
            Dispatch.list_id == list_id, Dispatch.audience.is_not(None), Dispatch.state != "cancelled",
            Dispatch.bulletin_id != but,
        )
        .order_by(Dispatch.began_at.desc(), Dispatch.bulletin_id.desc())
        .limit(_EARLIER)
    )  # fmt: skip
    return tuple(number for number in session.scalars(wanted) if number is not None)


def _last(session: Session, list_id: int, but: int) -> Issue | None:
    """The bulletin that was given to be sent last."""
    return session.scalar(
        select(Issue)
        .join(Dispatch, Dispatch.bulletin_id == Issue.bulletin_id)
        .where(Dispatch.list_id == list_id, Dispatch.state != "cancelled", Dispatch.bulletin_id != but)
        .order_by(Dispatch.due_at.desc(), Dispatch.bulletin_id.desc())
        .limit(1)
    )


def _stock_subjects(session: Session, list_id: int, but: int) -> frozenset[str]:
    found = (each.subject for each in drafts.templates(session, list_id) if each.id != but)
    return frozenset(" ".join(subject.lower().split()) for subject in found if subject)
