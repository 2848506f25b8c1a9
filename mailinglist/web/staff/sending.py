"""One bulletin's desk: where it stands and what comes next; and the form that sends it, now or at a time.

Nothing is sent by one wrong press: the form asks for the number of recipients, for both factors of late, and it holds
only for the approval that it showed.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any
from urllib.parse import quote

from flask import Response, request
from sqlalchemy.orm import Session

from ... import db, preflight
from ...bulletins import approvals, blocks, drafts
from ...bulletins.tables import Approval, Bulletin
from ...consent import lists
from ...consent.tables import MailingList
from ...delivery import audience_query, dispatch
from ...errors import BadInput, NotAllowed
from ...staff import accounts, audit
from ...staff.levels import Right
from ...stationery.sentences import SaidBadInput
from ...stationery.sentences import noted as _
from .. import figures, pages
from ..guards import Guard, Route
from . import (
    approving,
    frame,
    local_time,
    outbox,
    preflight_pages,
    watching,
    words_of_bulletins,
    writing,
)

_DRIFT = 0.01
"""By how much the number of recipients may have moved since the form was opened, as people join and leave."""
_DRIFT_AT_LEAST = 5


def look(number: int) -> Response:
    """GET: where the bulletin stands, and what is next."""
    now = db.utcnow()
    with frame.looking() as session:
        bulletin, row = outbox.find(session, number)
        status = dispatch.status(session, number)
        given = status.state not in ("draft", "approved")
        approval = approving.standing(session, bulletin, row, now=now)
        rule = words_of_bulletins.rule_of(bulletin.audience)
        reach = None if given else audience_query.estimate(session, row.id, rule)
        matter = None
        if not given and frame.may("write"):
            matter = preflight.gather(session, bulletin, settings=pages.settings())
        obstacles = [] if given else obstacles_of(session, bulletin, row)
        tested = _last_test(session, bulletin)
        watched = watching.watched(session, bulletin, status, now=now) if given else None
        versions = _versions(bulletin)
    found = preflight_pages.examined(matter) if matter else []
    # Who approved has looked at the warnings that there were then.
    known = preflight_pages.acknowledged(approval.approval)
    found = [each for each in found if each.level is preflight.Level.ERROR or each.key not in known]
    # The check's own page counts in the same way.
    errors, warnings = (
        preflight_pages.lines(bulletin, (each for each in found if (each.level is preflight.Level.ERROR) is bad))
        for bad in (True, False)
    )
    state = "asked" if status.state == "draft" and bulletin.asked_at else status.state
    return frame.page(
        "sending/look", here="bulletins", bulletin=bulletin, subject=writing.title_of(bulletin), state=state,
        badge=words_of_bulletins.state(state), given=given, approval=approval, reach=reach, obstacles=obstacles,
        tested=tested, watched=watched, versions=versions, zone=outbox.zone_of(row).key,
        beside=writing.beside(bulletin), many=figures.many,
        rule=words_of_bulletins.rule(rule), number=figures.number, wrong=errors, looked_at=len(warnings),
        write_to=_mailto(approval, bulletin),
        steps=_steps(status.state, obstacles, tested), crumbs=writing.crumbs(bulletin),
    )  # fmt: skip


def form(number: int) -> Response:
    """GET: the form that sends it."""
    return _form(number, {"when": "now", "day": "", "time": "", "which": "", "recipients": ""})


def send(number: int) -> Response:
    """POST: give it to be sent."""
    values = {
        name: request.form.get(name, "").strip()[:100]
        for name in ("when", "day", "time", "which", "recipients", "approval", "shown")
    }
    now = db.utcnow()
    errors: dict[str, str] = {}
    at: datetime | None = None
    twice: local_time.Twice | None = None
    with frame.looking() as session:
        bulletin, row = outbox.find(session, number)
        _assert_ready(session, number)
        reach = audience_query.count(session, row.id, words_of_bulletins.rule_of(bulletin.audience)).audience
    if values["when"] == "later":
        try:
            at = local_time.read(values["day"], values["time"], values["which"], outbox.zone_of(row), now=now)
        except local_time.Twice as error:
            twice = error
            errors["which-first"] = pages.say("The clocks are put back on that day: this time comes twice. Say which.")
        except SaidBadInput as error:
            errors["time"] = pages.reason(error)
    elif values["when"] != "now":
        errors["when-now"] = pages.say("Say when it shall go.")
    if not _is_meant(values, reach):
        errors["recipients"] = pages.say("Type the number of recipients as it stands above.")
    if errors:
        return _form(number, values, errors, twice=twice)
    with db.transaction() as session:
        _assert_ready(session, number)
        given = dispatch.send(
            session, number, sender=pages.settings().mail_from, by=frame.actor().who, at=at,
            publishers=[each.id for each in accounts.publishers(session, now=now)], now=now,
        )  # fmt: skip
        approval = approvals.approval_of(session, number)
        if approval is None or str(approval.id) != values["approval"]:
            # Under the lock that `send` took: what was approved when the form was opened is not what would go.
            raise NotAllowed(_("This bulletin was changed or approved anew while you looked at it. Look at it again."))
        writing.note(
            session, "bulletin_sent", number, now=now, at=given.due_at.isoformat(timespec="seconds"), recipients=reach
        )
    said = (
        pages.say("Scheduled for %(time)s.", time=figures.moment_in_full(at, outbox.zone_of(row)))
        if at
        else None  # The page itself says so, and stops saying it once it has begun.
    )
    return frame.go_to("sending.look", said, number=number)


# ── what the page tells ───────────────────────────────────────────────────────────────────────────────────────────────


def obstacles_of(session: Session, bulletin: Bulletin, row: MailingList) -> list[str]:
    """What keeps the bulletin from being mailed at all, in words."""
    found: list[str] = []
    if not lists.settings_of(row).postal_address:
        found.append(pages.say("The list has no postal address. Every bulletin names one: see the list's settings."))
    if bulletin.form != "blocks":
        try:
            drafts.editions(session, bulletin)
        except BadInput as error:
            found.append(pages.reason(error))
        return found
    proofs = drafts.proofs(session, row, blocks.read(bulletin.source))
    if not proofs:
        found.append(pages.say("It has no text in any language yet."))
    for language, proof in proofs.items():
        name = words_of_bulletins.language(language)
        found += [f"{name}: {pages.say(each.sentence.words, **each.sentence.values)}" for each in proof.problems]
    return list(dict.fromkeys(found))


def _mailto(approval: approving.Standing, bulletin: Bulletin) -> str:
    """A mail to who wrote the bulletin, with its name as the subject (RFC 6068); empty: nobody to write to."""
    if approval.writer is None:
        return ""
    _name, address = approval.writer
    return f"mailto:{quote(address, safe='@')}?subject={quote(writing.title_of(bulletin), safe='')}"


def _versions(bulletin: Bulletin) -> list[tuple[str, str]]:
    """Its language versions: name and subject. None for a bulletin that has but one text."""
    if bulletin.form != "blocks":
        return []
    versions = blocks.read(bulletin.source).versions
    return [(words_of_bulletins.language(each), writing.title(version.subject)) for each, version in versions.items()]


def _last_test(session: Session, bulletin: Bulletin) -> dict[str, Any] | None:
    found = audit.search(session, act="test_mailed", about=f"bulletin {bulletin.id}", limit=1)
    if not found:
        return None
    stale = bulletin.changed_at is not None and found[0].at < bulletin.changed_at
    return {"at": found[0].at, "who": found[0].who, "stale": stale}


def _steps(state: str, obstacles: list[str], tested: dict[str, Any] | None) -> list[tuple[str, str, bool]]:
    """The way to the reader: (label, how it stands: `done` or `open`, whether it is next)."""
    given = state not in ("draft", "approved")
    done = [
        (pages.say("Written"), given or not obstacles),
        (pages.say("Tested"), given or bool(tested and not tested["stale"])),
        (pages.say("Approved"), given or state == "approved"),
        (pages.say("Sent"), state == "sent"),
    ]
    # A test is advice: what is approved already goes on to be sent.
    ahead = done[2:] if done[2][1] else done
    following = next((label for label, is_done in ahead if not is_done), "")
    return [(label, "done" if is_done else "open", label == following) for label, is_done in done]


# ── the form ──────────────────────────────────────────────────────────────────────────────────────────────────────


def _form(
    number: int,
    values: dict[str, str],
    errors: dict[str, str] | None = None,
    *,
    twice: local_time.Twice | None = None,
) -> Response:
    with frame.looking() as session:
        bulletin, row = outbox.find(session, number)
        approval = _assert_ready(session, number)
        reach = audience_query.count(session, row.id, words_of_bulletins.rule_of(bulletin.audience))
    zone = outbox.zone_of(row)
    now = db.utcnow()
    return frame.page(
        "sending/send", 422 if errors else 200, here="bulletins", errors=errors or {}, values=values,
        bulletin=bulletin, subject=writing.title_of(bulletin), approval=approval, reach=reach, number=figures.number,
        versions=_versions(bulletin), rule=words_of_bulletins.rule(words_of_bulletins.rule_of(bulletin.audience)),
        zone=zone.key, zone_place=outbox.zone_place(zone), clock=figures.clock_face(now, zone),
        today=now.astimezone(zone).date().isoformat(),
        twice=[
            (which, figures.moment_in_full(at, zone), None)
            for which, at in (("first", twice.first), ("second", twice.second))
        ] if twice else [],
        crumbs=outbox.crumbs(bulletin),
    )  # fmt: skip


def _assert_ready(session: Session, number: int) -> Approval:
    """The approval in force. Raises NotAllowed: there is none, or it was given to be sent already."""
    if dispatch.state_of(session, number) is not None:
        raise NotAllowed(_("This bulletin has been given to be sent already."))
    approval = approvals.approval_of(session, number)
    if approval is None or approvals.issue_of(session, number) is None:
        raise NotAllowed(_("This bulletin is not approved."))
    return approval


def _is_meant(values: dict[str, str], reach: int) -> bool:
    """Whether the number that was typed is that of the recipients: as it is now, or as the form showed it a moment
    ago, if it has hardly moved since."""
    typed, shown = figures.read(values["recipients"]), figures.read(values["shown"])
    if typed is None or not reach:
        return False
    return typed == reach or (typed == shown and abs(reach - typed) <= max(_DRIFT_AT_LEAST, _DRIFT * typed))


_STAFF, _SEND = Guard.STAFF, Right.SEND
ROUTES = (
    Route("GET", "/staff/bulletins/<int:number>", look, _STAFF, right=Right.SEE),
    Route("GET", "/staff/bulletins/<int:number>/send", form, _STAFF, right=_SEND, fresh=True),
    Route("POST", "/staff/bulletins/<int:number>/send", send, _STAFF, right=_SEND, fresh=True),
)
