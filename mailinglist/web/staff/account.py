"""One's own account: name, language, password, factors, and where one is signed in."""

from __future__ import annotations

from flask import Response, request, url_for

from ... import db
from ...consent import lists
from ...errors import BadInput
from ...staff import accounts, factors, sign_ins
from .. import pages
from ..guards import Guard, Route
from . import door, enrolment, frame
from .levels import words_of


def look() -> Response:
    """GET: everything about one's account."""
    return _look()


def change() -> Response:
    """POST: the name, the language."""
    name, language = request.form.get("name", "").strip(), request.form.get("language", "")
    try:
        with db.transaction() as session:
            account = accounts.find(session, frame.standing().account.id)
            accounts.rename(session, account, name, by=frame.actor(), now=db.utcnow())
            accounts.set_language(session, account, language)
    except BadInput as error:
        return _look({"name": pages.reason(error)}, name=name)
    pages.prefer(language)
    return frame.go_to("account.look", pages.say("Saved."))


def password() -> Response:
    """GET: the form for a new password."""
    return _password()


def change_password() -> Response:
    """POST: a new password; every other sign-in of theirs ends."""
    chosen, now = request.form.get("password", ""), db.utcnow()
    if chosen != request.form.get("repeated", ""):
        return _password({"repeated": pages.say("The two passwords are not the same.")})
    here = frame.standing()
    try:
        with db.transaction() as session:
            account = accounts.find(session, here.account.id)
            accounts.set_password(session, account, chosen, by=frame.actor(), now=now, keep=here.sign_in)
            secret = sign_ins.rotate(session, here.sign_in)
    except BadInput as error:
        return _password({"password": pages.reason(error)})
    return frame.keep(frame.go_to("account.look", pages.say("Your password is changed.")), secret)


def factor() -> Response:
    """GET: another app, or one more passkey."""
    return enrolment.factor_page(url_for("account.change_factor"))


def change_factor() -> Response:
    """POST: the new factor is shown for the first time."""
    try:
        with db.transaction() as session:
            enrolment.take_factor(session, accounts.find(session, frame.standing().account.id))
    except BadInput as error:
        field = "name" if request.form.get("passkey") else "code"
        return enrolment.factor_page(url_for("account.change_factor"), {field: pages.reason(error)})
    return frame.go_to("account.look", pages.say("Your second factor is set up."))


def remove_passkey(number: int) -> Response:
    """POST: one passkey goes. The last factor stays."""
    with db.transaction() as session:
        account = accounts.find(session, frame.standing().account.id)
        factors.remove_passkey(session, account, number, by=frame.actor(), now=db.utcnow())
    return frame.go_to("account.look", pages.say("The passkey is removed."))


def fresh_codes() -> Response:
    """POST: ten fresh recovery codes, shown once; the old ones are void."""
    with db.transaction() as session:
        account = accounts.find(session, frame.standing().account.id)
        codes = factors.recovery_codes(session, account, db.utcnow(), by=frame.actor())
    return enrolment.codes_page(codes)


def end(number: int) -> Response:
    """POST: one of one's sign-ins ends."""
    here, now = frame.standing(), db.utcnow()
    with db.transaction() as session:
        for each in sign_ins.open_of(session, here.account, now=now):
            if each.id == number:
                sign_ins.end(session, each, by=frame.actor(), now=now)
    return frame.go_to("account.look", pages.say("Signed out there."))


def end_others() -> Response:
    """POST: all of one's sign-ins end but this one."""
    here = frame.standing()
    with db.transaction() as session:
        account = accounts.find(session, here.account.id)
        sign_ins.end_all(session, account, by=frame.actor(), now=db.utcnow(), keep=here.sign_in)
    return frame.go_to("account.look", pages.say("Signed out everywhere else."))


def choose_list() -> Response:
    """POST: the list that one works on, remembered by the browser."""
    with frame.looking() as session:
        row = lists.find(session, request.form.get("list", ""))
    response = frame.go_to(frame.HOME)
    response.set_cookie(
        frame.list_cookie(), row.slug, path="/", secure=pages.settings().https, httponly=True, samesite="Lax"
    )
    return response


def _look(errors: dict[str, str] | None = None, *, name: str | None = None) -> Response:
    here = frame.standing()
    with frame.looking() as session:
        keys = factors.passkeys_of(session, here.account)
        opened = sign_ins.open_of(session, here.account, now=db.utcnow())
        left = factors.codes_left(session, here.account)
    return frame.page(
        "account", 422 if errors else 200, here="account", errors=errors or {}, name=name,
        levels=words_of(here.account.levels), tongues=list(pages.NAMES.items()), authenticator=bool(here.account.totp),
        passkeys=keys, passkeys_work=door.site() is not None, codes_left=left, open=opened, here_id=here.sign_in.id,
    )  # fmt: skip


def _password(errors: dict[str, str] | None = None) -> Response:
    return frame.page(
        "account_password", 422 if errors else 200, here="account", errors=errors or {},
        crumbs=[(pages.say("Your account"), url_for("account.look"))],
    )  # fmt: skip


_WITHIN = Guard.WITHIN
ROUTES = (
    Route("GET", "/staff/account", look, _WITHIN),
    Route("POST", "/staff/account", change, _WITHIN),
    Route("GET", "/staff/account/password", password, _WITHIN, fresh=True),
    Route("POST", "/staff/account/password", change_password, _WITHIN, fresh=True),
    Route("GET", "/staff/account/factor", factor, _WITHIN, fresh=True),
    Route("POST", "/staff/account/factor", change_factor, _WITHIN, fresh=True),
    Route("POST", "/staff/account/passkeys/<int:number>/remove", remove_passkey, _WITHIN, fresh=True),
    Route("POST", "/staff/account/codes", fresh_codes, _WITHIN, fresh=True),
    Route("POST", "/staff/account/sign-ins/<int:number>/end", end, _WITHIN),
    Route("POST", "/staff/account/sign-ins/end-others", end_others, _WITHIN),
    Route("POST", "/staff/list", choose_list, _WITHIN),
)
