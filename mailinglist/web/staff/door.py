"""The door: signing in with both factors, the secrecy statement, showing once more that it is oneself, signing out.

What fails says the same whatever was wrong, and is committed: each try is in the audit.
"""

from __future__ import annotations

from flask import Response, request
from sqlalchemy.orm import Session

from ... import db
from ...errors import NotAllowed
from ...pace import SIGN_IN
from ...staff import accounts, factors, secrecy, sign_ins
from ...staff.audit import actor
from ...staff.passkeys import Site
from ...stationery.sentences import noted as _
from .. import pages, visitor
from ..guards import Guard, Route
from . import frame

_LONGEST = 8 * 1024
"""Characters of what a form hands in for one field: more is no password and no passkey."""


def login() -> Response:
    """GET: address and password."""
    found = frame.standing_or_none()
    if found is not None and found.complete:
        return frame.next_or_home()
    return _login()


def try_password() -> Response:
    """POST: the first factor. The answer to an unknown address and to a wrong password is one, and takes as long."""
    address, password = request.form.get("address", "").strip(), request.form.get("password", "")
    missing = {}
    if not address:
        missing["address"] = pages.say("An e-mail address is needed.")
    if not password:
        missing["password"] = pages.say("A password is needed.")
    if missing:
        return _login(missing, address)
    sign_ins.slow(visitor.pace(), address)
    with db.transaction() as session:
        secret = sign_ins.try_password(
            session, address[:_LONGEST], password[:_LONGEST], client=visitor.client(), agent=visitor.agent(),
            now=db.utcnow(),
        )  # fmt: skip
        if secret is not None:
            leave_before(session)
    if secret is None:
        return _login({"password": pages.say("That address and that password don't belong together.")}, address)
    return frame.keep(_onward(frame.FACTOR), secret)


def factor() -> Response:
    """GET: the second factor."""
    if frame.standing().complete:
        return frame.next_or_home()
    return _factor()


def try_factor() -> Response:
    """POST: the second factor, of one kind or another."""
    here = frame.standing()
    if here.complete:
        return frame.next_or_home()
    sign_ins.slow_factor(visitor.pace(), here.account.id)
    kind, secret = _try_factor()
    if secret is None:
        return _factor({kind: _WRONG[kind]()})
    return frame.keep(frame.next_or_home(), secret)


def look_secrecy() -> Response:
    """GET: the statement."""
    return frame.page(
        "secrecy", here="account", statement=[pages.say(sentence) for sentence in secrecy.STATEMENT],
        next=_next(), accepted_at=frame.standing().account.secrecy_at,
    )  # fmt: skip


def accept_secrecy() -> Response:
    """POST: it is accepted, and dated."""
    with db.transaction() as session:
        account = accounts.find(session, frame.standing().account.id)
        accounts.accept_secrecy(session, account, by=frame.actor(), now=db.utcnow())
    return frame.next_or_home()


def again() -> Response:
    """GET: both factors once more, before what is grave."""
    return _again()


def try_again() -> Response:
    """POST: both factors, of who is signed in."""
    here, form = frame.standing(), request.form
    sign_ins.slow_factor(visitor.pace(), here.account.id)
    with db.transaction() as session:
        secret = sign_ins.try_again(
            session, here.sign_in, form.get("password", "")[:_LONGEST],
            code=(form.get("code") or form.get("recovery") or "")[:_LONGEST], passkey=form.get("passkey", ""),
            site=site(), client=visitor.client(), now=db.utcnow(),
        )  # fmt: skip
    if secret is None:
        return _again({"password": pages.say("The password or the second factor is not right. Try once more.")})
    # What was pressed is not kept over these questions: it may be a file, and it was refused.
    said = pages.say("Thank you. Nothing has been done yet: press the button once more.") if _pressed() else None
    return frame.keep(frame.next_or_home(said), secret)


def passkey_options() -> Response:
    """POST: what the browser is asked for, to show a passkey (JSON)."""
    where = site()
    if where is None:
        raise NotAllowed(_("Browsers have no passkeys for this address."))
    with db.transaction() as session:
        options = sign_ins.passkey_options(session, frame.standing().sign_in, site=where)
    return frame.json(options)


def logout() -> Response:
    """POST: the sign-in ends here, and on the server."""
    with db.transaction() as session:
        sign_ins.end(session, frame.standing().sign_in, by=frame.actor(), now=db.utcnow())
    return frame.forget(frame.go_to(frame.LOGIN))


def leave_before(session: Session) -> None:
    """Whoever begins a sign-in ends the one that this browser had: nothing would lead to it any more but its cookie."""
    before = frame.standing_or_none()
    if before is not None:
        by = actor(before.account, visitor.client())
        sign_ins.end(session, before.sign_in, by=by, now=db.utcnow())


def site() -> Site | None:
    """Whose passkeys are asked for; none where browsers have none, such as a bare address."""
    return Site.of(pages.settings().base_url)


def _try_factor() -> tuple[str, str | None]:
    """Which field was filled in, and the fresh secret of the cookie; None: it was wrong."""
    sign_in, form, now, where = frame.standing().sign_in, request.form, db.utcnow(), site()
    client = visitor.client()
    with db.transaction() as session:
        if (answer := form.get("passkey", "")) and where is not None:
            return "", sign_ins.try_passkey(session, sign_in, answer, site=where, client=client, now=now)
        if "recovery" in form:
            code = form["recovery"][:_LONGEST]
            return "recovery", sign_ins.try_recovery(session, sign_in, code, client=client, now=now)
        return "code", sign_ins.try_totp(session, sign_in, form.get("code", "")[:_LONGEST], client=client, now=now)


_WRONG = {
    "": lambda: pages.say("The passkey did not work. Try again, or use a code."),
    "recovery": lambda: pages.say("That is not one of your recovery codes, or it has been used."),
    "code": lambda: pages.say("That code is not right, or it has been used. Wait for the next one."),
}


def _next() -> str:
    return frame.own_path(request.form.get("next") or request.args.get("next") or "") or ""


def _pressed() -> bool:
    """Whether a button led here, and not the address of a page."""
    return bool(request.form.get("pressed") or request.args.get("pressed"))


def _onward(endpoint: str) -> Response:
    wanted = _next()
    return frame.go_to(endpoint, **({"next": wanted} if wanted else {}))


def _login(errors: dict[str, str] | None = None, value: str = "") -> Response:
    return frame.page(
        "login", 422 if errors else 200, here="door", errors=errors or {}, value=pages.shown_again(value), next=_next()
    )


def _factor(errors: dict[str, str] | None = None) -> Response:
    return _with_factors("factor", errors)


def _again(errors: dict[str, str] | None = None) -> Response:
    return _with_factors("again", errors)


def _with_factors(template: str, errors: dict[str, str] | None) -> Response:
    account = frame.standing().account
    with frame.looking() as session:
        keys = factors.passkeys_of(session, account)
    return frame.page(
        template, 422 if errors else 200, here="door", errors=errors or {}, next=_next(), pressed=_pressed(),
        authenticator=account.totp is not None, passkeys=bool(keys) and site() is not None,
    )  # fmt: skip


ROUTES = (
    Route("GET", "/staff/login", login, Guard.DOOR),
    Route("POST", "/staff/login", try_password, Guard.DOOR, SIGN_IN),
    Route("GET", "/staff/login/factor", factor, Guard.HALF),
    Route("POST", "/staff/login/factor", try_factor, Guard.HALF, SIGN_IN),
    Route("POST", "/staff/login/passkey-options", passkey_options, Guard.HALF),
    Route("POST", "/staff/logout", logout, Guard.HALF),
    Route("GET", "/staff/secrecy", look_secrecy, Guard.WITHIN),
    Route("POST", "/staff/secrecy", accept_secrecy, Guard.WITHIN),
    Route("GET", "/staff/again", again, Guard.WITHIN),
    Route("POST", "/staff/again", try_again, Guard.WITHIN, SIGN_IN),
)
