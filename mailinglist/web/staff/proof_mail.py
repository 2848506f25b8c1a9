"""A test mail: the bulletin as it stands, to oneself and to colleagues by name, and to nobody else: a form that mails
any address would also answer whether it is banned, or has left.

Each is counted for the account that sends it (`pace.TEST_MAIL`) and is in the audit before it leaves.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from flask import Response, request

from ... import db
from ...bulletins import approvals, blocks, drafts
from ...bulletins.tables import Bulletin
from ...consent.address import Address, parse
from ...delivery import post, proofs
from ...delivery.parcels import Parcel
from ...errors import BadInput, Banned, Fault, NotAllowed, OptOutsWait
from ...pace import TEST_MAIL
from ...staff import accounts
from ...staff.levels import Right
from ...staff.tables import Account
from .. import figures, pages, visitor
from ..guards import Guard, Route
from . import frame, outbox, words_of_bulletins, writing

_MOST = 20
"""Test mails that one press may send."""
_EVERY = "every"


@dataclass(frozen=True, slots=True)
class _Tester:
    """Somebody who gets it."""

    name: str
    """How the page calls them."""
    address: Address


def form(number: int) -> Response:
    """GET: to whom."""
    me = str(frame.standing().account.id)
    return _form(number, {"colleagues": [me], "language": _EVERY})


def send(number: int) -> Response:
    """POST: hand them over, one after the other."""
    values = {
        "colleagues": request.form.getlist("colleagues"),
        "language": request.form.get("language", _EVERY),
    }
    errors: dict[str, str] = {}
    now = db.utcnow()
    with frame.looking() as session:
        bulletin, _row = outbox.find(session, number)
        testers = _testers(_able(accounts.every(session)), values, errors)
        spoken = _versions(bulletin)
        wanted: list[str | None] = [values["language"]] if values["language"] in spoken else [*spoken] or [None]
        if not testers and not errors:
            errors["colleagues"] = pages.say("Choose somebody to send it to.")
        if len(testers) * len(wanted) > _MOST:
            errors["colleagues"] = pages.say("Choose fewer: at most %(number)s test mails at a time.", number=_MOST)
        parcels: list[tuple[_Tester, Parcel]] = []
        for tester in testers if not errors else ():
            for language in wanted:
                try:
                    made = proofs.proof(
                        session, number, tester.address, pages.settings(), language=language, name=tester.name, now=now
                    )  # fmt: skip
                except (BadInput, Banned, NotAllowed, OptOutsWait) as error:
                    errors[""] = f"{tester.name}: {_why(error)}"
                    break
                parcels.append((tester, made))
    if errors:
        return _form(number, values, errors)
    for _parcel in parcels:
        visitor.pace().spend(TEST_MAIL, str(frame.standing().account.id))
    with db.transaction() as session:  # before they go: none goes without its line
        writing.note(
            session, "test_mailed", number, now=now, colleagues=sorted(map(int, values["colleagues"])),
            versions=len(wanted),
        )  # fmt: skip
    name = post.own_name(pages.settings())
    for tester, parcel in parcels:
        try:
            proofs.hand_over(parcel, pages.settings(), name)
        except Fault as error:
            return _form(number, values, {"": f"{tester.name}: {error}"}, status=503)
    return frame.go_to(
        "sending.look", pages.say("Test mails sent: %(number)s.", number=figures.number(len(parcels))), number=number
    )


def _testers(able: list[Account], values: dict[str, Any], errors: dict[str, str]) -> list[_Tester]:
    chosen = set(values["colleagues"])
    testers = [_Tester(each.name, parse(each.address)) for each in able if str(each.id) in chosen]
    if len(testers) != len(chosen):
        errors["colleagues"] = pages.say("Somebody whom you chose can't sign in any more. Choose again.")
    return testers


def _able(every: Iterable[Account]) -> list[Account]:
    """Colleagues to whom a test may go: who can sign in."""
    now = db.utcnow()
    return [each for each in every if each.enrolled and accounts.usable(each, now)]


def _versions(bulletin: Bulletin) -> list[str]:
    return list(blocks.read(bulletin.source).versions) if bulletin.form == "blocks" else []


def _why(error: BadInput | Banned | NotAllowed | OptOutsWait) -> str:
    if isinstance(error, Banned):
        return pages.say("Marketing to this address is forbidden.")
    return pages.reason(error)


def _form(number: int, values: dict[str, Any], errors: dict[str, str] | None = None, *, status: int = 422) -> Response:
    with frame.looking() as session:
        bulletin, row = outbox.find(session, number)
        able = _able(accounts.every(session))
        spoken = _versions(bulletin)
        issue = approvals.issue_of(session, number)
        sender = issue.sender if issue else drafts.sender_of(row, pages.settings().mail_from)
    me = frame.standing().account.id
    able.sort(key=lambda each: each.id != me)
    return frame.page(
        "sending/test", status if errors else 200, here="bulletins", errors=errors or {}, values=values,
        bulletin=bulletin, subject=writing.title_of(bulletin), approved=issue is not None,
        sender=sender,
        colleagues=[
            (str(each.id), pages.say("You, %(name)s", name=each.name) if each.id == me else each.name, None)
            for each in able
        ],
        versions=[(_EVERY, pages.say("Each, in a mail of its own"))]
        + [(each, words_of_bulletins.language(each)) for each in spoken] if len(spoken) > 1 else [],
        crumbs=outbox.crumbs(bulletin),
    )  # fmt: skip


_STAFF, _WRITE = Guard.STAFF, Right.WRITE
ROUTES = (
    Route("GET", "/staff/bulletins/<int:number>/test", form, _STAFF, right=_WRITE),
    Route("POST", "/staff/bulletins/<int:number>/test", send, _STAFF, right=_WRITE),
)
