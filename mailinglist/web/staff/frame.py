"""The console's frame: who may come in, how a page of it is made, and the questions that its views ask.

Each request is looked at in the same order (`guarded`): where the form came from, who is signed in, how far they have
come, the form's token, their right, and whether their sign-in is recent enough. A view runs only after all of that, so
none has to look again; what it may show by level, it asks `may`.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import wraps
from typing import Any
from urllib.parse import quote, urlsplit
from zoneinfo import ZoneInfo

from flask import Response, abort, current_app, make_response, redirect, render_template, request, url_for
from itsdangerous import BadData, URLSafeTimedSerializer
from markupsafe import Markup
from sqlalchemy.orm import Session

from ... import db
from ...consent import lists
from ...consent.tables import MailingList
from ...observe import count, logger
from ...settings import Settings
from ...staff import sign_ins
from ...staff.audit import Actor
from ...staff.levels import Right
from ...staff.sign_ins import Standing
from .. import figures, pages, visitor
from ..exchange import be_patient, exchange
from ..guards import Guard, Route
from . import asked

log = logger(__name__)

HOME = "home.look"
LOGIN, FACTOR, SECRECY, AGAIN = "door.login", "door.factor", "door.look_secrecy", "door.again"

_TOKEN_FIELD, _TOKEN_HEADER = "csrf", "X-CSRF-Token"
_SAFE = ("GET", "HEAD", "OPTIONS")
_SEEN_EVERY = timedelta(minutes=1)
_SAID_FOR = 120  # seconds
_MOST_FIELDS = 1000
# Where one may be sent on to: a page of the console, written plainly. Whatever else stands there is not followed.
_OWN_PATH = re.compile(r"/staff(?:/[A-Za-z0-9._~!$&'()*+,;=:@%-]+)*/?(?:\?[A-Za-z0-9._~!$&'()*+,;=:@%/?-]*)?", re.ASCII)
_BULLETIN = re.compile(r"/staff/bulletins/([0-9]{1,9})/")
_ZONE = "Europe/Helsinki"


@dataclass(frozen=True, slots=True)
class Section:
    """One entry of the navigation."""

    here: str
    """What pages of it call themselves (`page(…, here=)`)."""
    label: str
    endpoint: str
    right: Right | None
    group: str = ""
    """What it stands under, in the language of the page; those of a group follow each other."""


def sections() -> tuple[Section, ...]:
    """The navigation, in order. An entry whose page does not exist is not shown."""
    sending, register, office = pages.say("Sending"), pages.say("Register"), pages.say("Administration")
    every = (
        Section("home", pages.say("First page"), HOME, None),
        Section("bulletins", pages.say("Bulletins"), "bulletins.index", Right.SEE, sending),
        Section("templates", pages.say("Templates"), "templates.index", Right.WRITE, sending),
        Section("returned", pages.say("Returned mail"), "returned_pages.bounces", Right.RECIPIENTS, sending),
        Section("persons", pages.say("Persons"), "persons.index", Right.PERSONS, register),
        Section("bans", pages.say("Bans"), "bans_pages.look", Right.PERSONS, register),
        Section("incoming", pages.say("Mail to the lists"), "incoming_pages.index", Right.PERSONS, register),
        Section("tasks", pages.say("Requests"), "task_pages.index", Right.PERSONS, register),
        Section("disclosures", pages.say("Disclosures"), "disclosure_pages.index", Right.PERSONS, register),
        Section("transfer", pages.say("Import and export"), "transfer.index", Right.TRANSFER, register),
        Section("settings", pages.say("List settings"), "list_settings.index", Right.SETTINGS, office),
        Section("staff", pages.say("Staff"), "colleagues.index", Right.ACCOUNTS, office),
        Section("programs", pages.say("Other systems"), "program_pages.index", Right.ACCOUNTS, office),
        Section("retention", pages.say("Storage periods"), "retention_page.look", Right.RETENTION, office),
        Section("audit", pages.say("Audit"), "audit_page.look", Right.AUDIT, office),
    )
    return tuple(
        each
        for each in every
        if each.endpoint in current_app.view_functions and (each.right is None or may(each.right))
    )


def is_of_the_console(path: str) -> bool:
    """Whether an address is below /staff, whatever answers there."""
    return path == "/staff" or path.startswith("/staff/")


# ── who may come in ───────────────────────────────────────────────────────────────────────────────────────────────


def guarded(route: Route) -> Callable[..., Response]:
    """The view of `route`, behind its guard. Public routes are left as they are."""
    if not route.of_the_console:
        return route.view

    @wraps(route.view)
    def admitted(**values: Any) -> Response:
        exchange().console = True
        request.max_form_parts = _MOST_FIELDS
        exchange().megabytes = route.megabytes
        if route.body is not None:
            request.max_content_length = request.max_form_memory_size = route.body
        _look_who_it_is(there=not route.polled)
        changes = request.method not in _SAFE
        if changes and not visitor.asked_from(request, pages.settings().base_url):
            return _refused("foreign_form")
        away = _turned_away(route, changes=changes)
        if away is not None:
            return away
        _assert_storable(values, cleans=route.cleans)
        return route.view(**values)

    return admitted


def _assert_storable(values: dict[str, Any], *, cleans: bool) -> None:
    """Answer 404 to a number that no row can have, and 400 to a NUL, which no database takes.

    `cleans`: the view takes such characters out of its form itself.
    """
    if any(value > asked.ROW if isinstance(value, int) else "\0" in str(value) for value in values.values()):
        abort(404)
    told: list[tuple[str, str]] = list(request.args.items(multi=True))
    if request.method not in _SAFE and not cleans:
        told += request.form.items(multi=True)
        told += [(name, each.filename or "") for name, each in request.files.items(multi=True)]
    if any("\0" in name or "\0" in text for name, text in told):
        abort(400)


def _look_who_it_is(*, there: bool = True) -> None:
    """`there`: the request shows that somebody sits at the browser, so that the idle time begins anew."""
    secret = request.cookies.get(cookie_name(), "")
    if not secret:
        return
    now = db.utcnow()
    with looking() as session:
        found = sign_ins.of(session, secret, now=now)
    if found is None:
        return
    # Not at each request: that would be a write for every page.
    if there and now - found.sign_in.seen_at >= _SEEN_EVERY:
        with db.transaction() as session:
            sign_ins.seen(session, found.sign_in.id, now=now)
    exchange().standing = found
    pages.prefer(found.account.language)


def _turned_away(route: Route, *, changes: bool) -> Response | None:
    """Where to instead, or None: the view may run."""
    if route.guard is Guard.DOOR:
        return None
    found = exchange().standing
    if found is None:
        return send_to(LOGIN)
    if route.guard is not Guard.HALF and not found.complete:
        return send_to(FACTOR)
    if route.guard is Guard.STAFF and found.complete:
        be_patient()  # before the body is read
    if changes and not _token_is_right():
        return _refused("wrong_form_token")
    if route.guard is Guard.STAFF:
        if not sign_ins.accepted_secrecy(found.account):
            return send_to(SECRECY)
        if route.right is not None and not may(route.right):
            log.info("staff_without_right", account=found.account.id, right=route.right.value)
            return problem(
                pages.say("This is not for your level"),
                pages.say("Your level does not have the right to this page. An administrator can change that."),
                403,
            )
    if route.fresh and not sign_ins.fresh(found.sign_in, db.utcnow()):
        return send_to(AGAIN)
    return None


def _refused(why: str) -> Response:
    count(f"staff_{why}")
    return problem(
        pages.say("That form was not accepted"),
        pages.say("It did not come from a page that you have open now. Open the page again, and try once more."),
        403,
    )


def send_to(endpoint: str) -> Response:
    """To a page of the door, and from there back to what was asked for."""
    back = own_path(_asked_for())
    wanted: dict[str, str] = {"next": back} if back and back != "/staff/" else {}
    if endpoint == AGAIN and request.method not in _SAFE:
        wanted["pressed"] = "1"
    if asked := request.args.get("lang"):
        wanted["lang"] = asked
    address = url_for(endpoint, **wanted)  # type: ignore[arg-type]
    if _moves():
        # A script that follows a redirect would put the sign-in page where a part of another page belongs.
        response = make_response("", 401)
        response.headers["HX-Redirect"] = address
        return response
    return make_response(redirect(address, 303))


def _moves() -> bool:
    """Whether a script asks, for a part of a page."""
    return "HX-Request" in request.headers or request.headers.get("Sec-Fetch-Mode") in ("cors", "same-origin")


def _asked_for() -> str:
    """The page that was asked for; for a form, the page that it stood on."""
    if request.method in _SAFE and not _moves():
        query = request.query_string.decode("ascii", "ignore")
        return quote(request.path, safe="/!$&'()*+,;=:@") + (f"?{query}" if query else "")
    parts = urlsplit(request.headers.get("HX-Current-URL") or request.referrer or "")
    return parts.path.removeprefix(request.script_root) + (f"?{parts.query}" if parts.query else "")


def own_path(text: str) -> str | None:
    """`text`, if it is the path of a page of the console (without the path that the program is mounted at)."""
    if not _OWN_PATH.fullmatch(text) or ".." in text:
        return None
    return text


def next_or_home(said: str | None = None) -> Response:
    """On to what was asked for before the door (`next`, in the form or the address), else to the first page. `said` is
    shown once there."""
    wanted = own_path(request.form.get("next") or request.args.get("next") or "")
    if not wanted:
        return go_to(HOME, said)
    return _saying(make_response(redirect(request.script_root + wanted, 303)), said)


# ── the cookie and the form's token ───────────────────────────────────────────────────────────────────────────────


def cookie_name() -> str:
    """The prefix makes browsers refuse the cookie from a subdomain or over plain http (RFC 6265bis §4.1.3.2)."""
    return "__Host-staff" if pages.settings().https else "staff"


def keep(response: Response, secret: str) -> Response:
    """`response`, which gives the browser the secret of its sign-in; gone when the browser is closed."""
    response.set_cookie(
        cookie_name(), secret, path="/", secure=pages.settings().https, httponly=True, samesite="Lax"
    )  # Lax: a link in a mail to a bulletin should find one signed in
    return response


def forget(response: Response) -> Response:
    """`response`, which takes the cookie away."""
    response.delete_cookie(cookie_name(), path="/", secure=pages.settings().https, httponly=True, samesite="Lax")
    return response


def token_of(standing: Standing, settings: Settings) -> str:
    """The token of this sign-in's forms. It outlives a rotation of the cookie: forms that are open stay good."""
    return _token(standing, settings.signing_keys[0])


def _token(standing: Standing, key: str) -> str:
    about = f"{standing.sign_in.id}/{standing.sign_in.began_at.isoformat()}"
    return hmac.new(key.encode(), b"mailinglist.csrf." + about.encode(), hashlib.sha256).hexdigest()


def _token_is_right() -> bool:
    found = exchange().standing
    sent = request.headers.get(_TOKEN_HEADER) or request.form.get(_TOKEN_FIELD, "")
    return found is not None and any(
        hmac.compare_digest(_token(found, key).encode(), sent.encode()) for key in pages.settings().signing_keys
    )


# ── what views ask ────────────────────────────────────────────────────────────────────────────────────────────────


def standing() -> Standing:
    """Who is signed in. Only for views behind HALF, WITHIN or STAFF."""
    found = exchange().standing
    assert found is not None, "this route's guard lets in who is not signed in"
    return found


def standing_or_none() -> Standing | None:
    """Who is signed in, if anybody; for pages of the door."""
    return exchange().standing


def may(right: Right | str) -> bool:
    """Whether who is signed in has the right."""
    found = exchange().standing
    return found is not None and Right(right) in found.rights


def actor() -> Actor:
    """Who does it, for the audit."""
    here = standing()
    return Actor(here.account.id, here.account.name, visitor.client())


@contextmanager
def looking() -> Iterator[Session]:
    """A consistent look that never writes (`db.reading`); its rows can be shown after it, as they were."""
    with db.reading() as session:
        yield session
        session.expunge_all()


def current_list(session: Session) -> MailingList:
    """The list that is worked on: that of `?list=`, else the one chosen last, else the default one. Raises Unknown."""
    wanted = request.args.get("list")
    if wanted:
        return lists.find(session, wanted)
    if last := request.cookies.get(list_cookie()):
        for row in lists.every(session):
            if row.slug == last:
                return row
    return lists.default(session)


def list_cookie() -> str:
    """The cookie that remembers the list; no secret."""
    return "__Host-staff_list" if pages.settings().https else "staff_list"


# ── how a page is made ────────────────────────────────────────────────────────────────────────────────────────────


class Errors(dict[str, str]):
    """What is wrong with a form, by its fields; for every other field, none."""

    def __missing__(self, field: str) -> None:
        return None


def page(template: str, status: int = 200, /, *, here: str, **values: Any) -> Response:
    """The answer made of `templates/staff/TEMPLATE.html`. `here` names the section that the page belongs to;
    `crumbs`, pairs of label and address, leads to it; `errors`, by the names of fields, tells what is wrong in a form.
    """
    found = exchange().standing
    exchange().console = True
    inside = found is not None and found.complete and sign_ins.accepted_secrecy(found.account)
    choices: list[tuple[str, str]] = []
    chosen = ""
    if inside:
        with db.reading() as session:
            choices = [(row.slug, row.name) for row in lists.every(session)]
            chosen = current_list(session).slug if choices and not request.args.get("list") else ""
        chosen = chosen or request.args.get("list", "")
    said = _said()
    values["errors"] = Errors(values.get("errors") or {})
    html = render_template(
        f"staff/{template}.html", here=here, me=found.account if found else None, inside=inside,
        sections=sections() if inside else (), choices=choices, chosen=chosen, said=said,
        form_token=token_of(found, pages.settings()) if found else "", language=pages.language(),
        languages=pages.languages(), **({"crumbs": ()} | values),
    )  # fmt: skip
    response = make_response(html, status)
    response.content_language = [pages.language()]
    if said:
        response.delete_cookie(_said_cookie(), path="/", secure=pages.settings().https, httponly=True)
    return response


def part(template: str, status: int = 200, /, **values: Any) -> Response:
    """A part of a page, for htmx: `templates/staff/TEMPLATE.html`, which extends nothing."""
    exchange().console = True
    return make_response(render_template(f"staff/{template}.html", language=pages.language(), **values), status)


def json(text: str) -> Response:
    """An answer for a script of ours."""
    return Response(text, content_type="application/json")


def problem(title: str, words: str, status: int, *, wait: int | None = None) -> Response:
    """A page that says what went wrong."""
    count(f"pages_{status}")
    if exchange().standing is None and status < 500:  # no route, and so no guard, may have looked
        _look_who_it_is()
    if _moves():
        return make_response(f"{title}. {words}\n", status, {"Content-Type": "text/plain; charset=utf-8"})
    bulletin = _BULLETIN.match(request.path) if status == 409 else None
    back = url_for("sending.look", number=int(bulletin[1])) if bulletin else None
    return page("problem", status, here="", problem_title=title, problem_words=words, wait=wait, back=back)


def go_to(endpoint: str, said: str | None = None, /, **values: Any) -> Response:
    """Send the browser on (303); `said`, already in the page's language, is shown once where it arrives."""
    if asked := request.args.get("lang"):
        values.setdefault("lang", asked)
    address = url_for(endpoint, **values)
    if "HX-Request" in request.headers:
        response = make_response("", 204)
        response.headers["HX-Redirect"] = address
    else:
        response = make_response(redirect(address, 303))
    return _saying(response, said)


def _saying(response: Response, said: str | None) -> Response:
    if said:
        response.set_cookie(
            _said_cookie(), _sayings().dumps(said), max_age=_SAID_FOR, path="/", secure=pages.settings().https,
            httponly=True, samesite="Lax",
        )  # fmt: skip
    return response


def csrf() -> Markup:
    """The hidden field of every form that changes something."""
    found = exchange().standing
    token = token_of(found, pages.settings()) if found else ""
    return Markup('<input type="hidden" name="{}" value="{}">').format(_TOKEN_FIELD, token) if token else Markup("")


def moment(at: datetime | None, zone: str = _ZONE, *, cell: bool = False) -> Markup:
    """A time in words, in the zone of the lists, marked up for programs. `cell`: as in a table."""
    if at is None:
        return Markup("–")
    words = (figures.moment_in_a_cell if cell else figures.moment)(at, ZoneInfo(zone))
    return Markup('<time datetime="{}">{}</time>').format(at.isoformat(timespec="seconds"), words)


def moment_cell(at: datetime | None, zone: str = _ZONE) -> Markup:
    """`moment`, in a table."""
    return moment(at, zone, cell=True)


def names() -> dict[str, Callable[..., Any]]:
    """What the console's templates may call."""
    return {"csrf": csrf, "may": may, "moment": moment, "moment_cell": moment_cell}


def _said_cookie() -> str:
    return "__Host-staff_said" if pages.settings().https else "staff_said"


def _sayings() -> URLSafeTimedSerializer:
    found = exchange().standing
    keys = list(reversed(pages.settings().signing_keys))  # itsdangerous signs with the last
    return URLSafeTimedSerializer(keys, salt=f"mailinglist.said.{found.sign_in.id if found else 0}")


def _said() -> str:
    try:
        found = _sayings().loads(request.cookies.get(_said_cookie(), ""), max_age=_SAID_FOR)
    except BadData:
        return ""
    return found if isinstance(found, str) else ""
