"""What became of a bulletin, for good: the account, and why not everybody has it. No personal data."""

from __future__ import annotations

from flask import Response, url_for

from ... import db
from ...bulletins import approvals
from ...delivery import dispatch, outcomes, returned
from ...delivery.outcomes import Answer
from ...errors import NotAllowed
from ...staff import audit
from ...staff.levels import Right
from ...stationery.sentences import noted as _
from .. import figures
from ..guards import Guard, Route
from ..pages import say
from . import frame, outbox, words_of_bulletins, writing


def look(number: int) -> Response:
    """GET: the report."""
    now = db.utcnow()
    with frame.looking() as session:
        bulletin, row = outbox.find(session, number)
        status = dispatch.status(session, number)
        if status.state in ("draft", "approved"):
            raise NotAllowed(_("This bulletin has not been given to be sent yet."))
        approval = approvals.approval_of(session, number)
        sent = audit.search(session, act="bulletin_sent", about=f"bulletin {number}", limit=1)
        rejected, deferred = (
            outcomes.answers(session, number, key, total=getattr(status, key)) for key in ("rejected", "deferred")
        )
        excluded = _excluded(outcomes.excluded(session, number), status.excluded)
        gone = status.first_at or status.due_at or now
        back = returned.of_bulletin(session, number)
        left = outcomes.left_by_link(session, number, row.id, since=gone) if status.audience else 0
    counts = [
        (key, outbox.count_words(key), figures.number(getattr(status, key)),
         figures.share(getattr(status, key), status.audience))
        for key in ("accepted", "deferred", "rejected", "excluded", "uncertain", "pending")
    ]  # fmt: skip
    return frame.page(
        "sending/report", here="bulletins", bulletin=bulletin, subject=writing.title_of(bulletin), status=status,
        badge=words_of_bulletins.state(status.state, held=status.held),
        audience=figures.number(status.audience), counts=counts,
        rejected=_shown(rejected), deferred=_shown(deferred), number=figures.number,
        excluded=[(outbox.reason_words(reason), figures.number(many)) for reason, many in excluded],
        back=back, slug=row.slug,
        left=figures.number(left), left_share=figures.share(left, status.accepted), approval=approval,
        sent_by=sent[0].who if sent else "", zone=outbox.zone_of(row).key,
        rule=words_of_bulletins.rule(words_of_bulletins.rule_of(bulletin.audience)),
        lasted=figures.lasting((status.last_at - status.first_at).total_seconds())
        if status.first_at and status.last_at else "",
        listed={key: url_for("recipients.look", number=number, state=key) for key in outcomes.LISTED}
        if frame.may("recipients") else {},
        crumbs=outbox.crumbs(bulletin),
    )  # fmt: skip


def _shown(answers: list[Answer]) -> list[Answer]:
    """Servers may write somebody's name into an answer: who may not see recipients reads the code, in our words."""
    if frame.may("recipients"):
        return answers
    by_code: dict[tuple[int | None, bool], int] = {}
    for each in answers:
        key = (each.code, each.rare)
        by_code[key] = by_code.get(key, 0) + each.number
    return [Answer(code, number, _meaning(code), rare) for (code, rare), number in by_code.items()]


def _meaning(code: int | None) -> str | None:
    if code is None:
        return None
    return say("The server refused it") if code >= 500 else say("The server asked to try again later")


def _excluded(found: list[tuple[str | None, int]], total: int) -> list[tuple[str | None, int]]:
    """All who were left out, by reason. Of a cancelled bulletin, some may have no row of their own yet."""
    missing = total - sum(many for _reason, many in found)
    if missing <= 0:
        return found
    whole = dict(found)
    whole["cancelled"] = whole.get("cancelled", 0) + missing
    return sorted(whole.items(), key=lambda each: -each[1])


ROUTES = (Route("GET", "/staff/bulletins/<int:number>/report", look, Guard.STAFF, right=Right.SEE),)
