"""The link by which somebody sets up their account, or sets up a part of it anew: password, second factor, codes.

Each step looks at the link again. It is used up by the last one, so that who is interrupted can open it once more; and
the second factor is only ever set by who has shown the password too.
"""

from __future__ import annotations

from email.utils import parseaddr
from json import dumps, loads
from urllib.parse import urlsplit

import segno
from flask import Response, request, url_for
from markupsafe import Markup
from sqlalchemy.orm import Session

from ... import db
from ...errors import BadInput, NotAllowed, TokenForged
from ...pace import SIGN_IN
from ...staff import accounts, factors, sign_ins
from ...staff.audit import actor
from ...staff.tables import Account, Enrolment
from ...stationery.sentences import noted as _
from .. import pages, visitor
from ..guards import Guard, Route
from . import door, frame

_LONGEST = 8 * 1024


def look(secret: str) -> Response:
    """GET: the first step; changes nothing."""
    return _password(secret)


def password(secret: str) -> Response:
    """POST: a password is chosen, or, where only the factor is lost, shown."""
    chosen = request.form.get("password", "")[:_LONGEST]
    now = db.utcnow()
    with frame.looking() as session:
        link = accounts.open_link(session, secret, now=now)
        account = accounts.find(session, link.account_id)
    sign_ins.slow(visitor.pace(), account.address)
    if link.purpose != "factor" and chosen != request.form.get("repeated", ""):
        return _password(secret, {"repeated": pages.say("The two passwords are not the same.")})
    try:
        with db.transaction() as session:
            link = accounts.open_link(session, secret, now=now)
            account = accounts.find(session, link.account_id)
            by = actor(account, visitor.client())
            if link.purpose == "factor":
                cookie = sign_ins.try_password(
                    session, account.address, chosen, client=visitor.client(), agent=visitor.agent(),
                    now=now,
                )  # fmt: skip
            else:
                accounts.set_password(session, account, chosen, by=by, now=now)
                if link.purpose == "password":
                    accounts.spend_link(session, link, now=now)
                else:
                    # The language of the first visit is theirs, until they choose another.
                    accounts.set_language(session, account, pages.language())
                cookie = sign_ins.begin(session, account, client=visitor.client(), agent=visitor.agent(), now=now)
            if cookie is not None:
                door.leave_before(session)
    except BadInput as error:
        return _password(secret, {"password": pages.reason(error)})
    if cookie is None:
        return _password(secret, {"password": pages.say("That is not your password.")})
    if link.purpose == "password":
        return frame.keep(frame.go_to(frame.FACTOR), cookie)
    return frame.keep(frame.go_to("enrolment.factor", secret=secret), cookie)


def factor(secret: str) -> Response:
    """GET: the second step."""
    with frame.looking() as session:
        link = _link_of_theirs(session, secret)
    return factor_page(url_for("enrolment.set_factor", secret=secret), purpose=link.purpose)


def set_factor(secret: str) -> Response:
    """POST: the second factor is shown for the first time; then the codes, once."""
    here, now = frame.standing(), db.utcnow()
    with frame.looking() as session:
        purpose = _link_of_theirs(session, secret).purpose
    try:
        with db.transaction() as session:
            link = _link_of_theirs(session, secret)
            account = accounts.find(session, link.account_id)
            by = frame.actor()
            if link.purpose == "factor":
                factors.drop(session, account, by=by, now=now)
                sign_ins.end_all(session, account, by=by, now=now, keep=here.sign_in)
            take_factor(session, account)
            codes = factors.recovery_codes(session, account, now, by=by)
            accounts.spend_link(session, link, now=now)
            cookie = sign_ins.pass_factor(session, here.sign_in, now=now)
    except BadInput as error:
        field = "name" if request.form.get("passkey") else "code"
        return factor_page(
            url_for("enrolment.set_factor", secret=secret), {field: pages.reason(error)}, purpose=purpose
        )
    return frame.keep(codes_page(codes, purpose=purpose), cookie)


# ── also for who sets up another factor later ─────────────────────────────────────────────────────────────────────


def factor_page(action: str, errors: dict[str, str] | None = None, *, purpose: str = "") -> Response:
    """The page that offers an app, and a passkey where browsers have any for this site."""
    account, where = frame.standing().account, door.site()
    name = parseaddr(pages.settings().mail_from)[0] or urlsplit(pages.settings().base_url).hostname or ""
    with frame.looking() as session:
        kept = request.form.get("sealed", "")
        offer = factors.proposed_again(session, account, kept, site=name) if kept else None
        offer = offer or factors.propose_totp(session, account, site=name)
    picture = segno.make(offer.uri, error="m", micro=False).svg_inline(border=2, omitsize=True)
    return frame.page(
        "enrol_factor", 422 if errors else 200, here="account", errors=errors or {}, purpose=purpose, step=2,
        action=action, key=" ".join(offer.secret[at : at + 4] for at in range(0, len(offer.secret), 4)),
        sealed=offer.sealed, picture=Markup(picture), passkeys_work=where is not None,  # noqa: S704 - paths alone
    )  # fmt: skip


def take_factor(session: Session, account: Account) -> None:
    """Set the factor that the form shows. Raises BadInput, NotAllowed."""
    form, now, where, by = request.form, db.utcnow(), door.site(), frame.actor()
    if (made := form.get("passkey", "")) and where is not None:
        factors.add_passkey(
            session, account, answer=made, sealed=form.get("sealed", ""), site=where, name=form.get("name", ""), by=by,
            now=now,
        )  # fmt: skip
    else:
        factors.set_totp(session, account, form.get("sealed", ""), form.get("code", ""), by=by, now=now)


def codes_page(codes: list[str], *, purpose: str = "") -> Response:
    """The recovery codes: the one time that they are shown."""
    onward = url_for("account.look") if purpose == "" else url_for(frame.HOME)
    return frame.page("codes", here="account", codes=codes, purpose=purpose, step=3, onward=onward)


def passkey_offer() -> Response:
    """POST: what the browser is asked for, to make a passkey, and what comes back with its answer (JSON)."""
    where, account = door.site(), frame.standing().account
    if where is None:
        raise NotAllowed(_("Browsers have no passkeys for this address."))
    with frame.looking() as session:
        options, sealed = factors.propose_passkey(session, account, site=where, now=db.utcnow())
    return frame.json(dumps({"options": loads(options), "sealed": sealed}))


def _link_of_theirs(session: Session, secret: str) -> Enrolment:
    link = accounts.open_link(session, secret, now=db.utcnow())
    if link.account_id != frame.standing().account.id or link.purpose == "password":
        raise TokenForged("This link is not yours.")
    return link


def _password(secret: str, errors: dict[str, str] | None = None) -> Response:
    with frame.looking() as session:
        link = accounts.open_link(session, secret, now=db.utcnow())
        account = accounts.find(session, link.account_id)
    titles = {
        "enrol": pages.say("Choose a password"),
        "password": pages.say("Choose a new password"),
        "factor": pages.say("Set up a new second factor"),
    }
    return frame.page(
        "enrol", 422 if errors else 200, here="door", errors=errors or {}, title=titles[link.purpose], secret=secret,
        purpose=link.purpose, step=1, name=account.name, address=account.address,
    )  # fmt: skip


ROUTES = (
    Route("GET", "/staff/enrol/<secret>", look, Guard.DOOR),
    Route("POST", "/staff/enrol/<secret>", password, Guard.DOOR, SIGN_IN),
    Route("GET", "/staff/enrol/<secret>/factor", factor, Guard.HALF),
    Route("POST", "/staff/enrol/<secret>/factor", set_factor, Guard.HALF),
    Route("POST", "/staff/passkey-offer", passkey_offer, Guard.HALF),
)
