"""One's own page, opened by a mailed key: what we hold, leaving, forbidding, correcting, restricting, erasing (GDPR 12
to 21).

The form for a key answers everybody alike after the same work: it writes a request down, and the worker looks who it is
(`requests`). The page itself needs no cookie and no script; the key in its address is the only thing that opens it.
GET changes nothing; each act is a POST, and pressed twice it is done once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from flask import Response, request, url_for
from sqlalchemy.orm import Session

from .. import db, pace
from ..consent import intake, lists, own_page, people, proof, register, requests, restriction
from ..consent.address import Address, parse
from ..consent.bans import Forbidden
from ..consent.own_page import Key, KeyExpired
from ..consent.states import ALL_CHANNELS, Channel, State, channels
from ..consent.tables import MailingList, Person
from ..errors import BadAddress, BadInput, MailinglistError, NotAllowed, RegisterUnsound, Unknown
from ..privacy import access, disclosures, rights, tasks
from ..staff import audit
from ..stationery.sentences import noted as _
from . import figures, own_page_words, pages, person_words, visitor
from .exchange import exchange
from .guards import Guard, Route
from .looks import Brand, brand_of

_THE_PERSON = audit.Actor(None, own_page.SOURCE, "")
"""Who acts, in the audit: without the client's address, which would outlive the erasure."""

SENTENCES = (
    _("You have forbidden marketing by e-mail. Lift the ban first."),
    _("You have restricted the use of your data. End the restriction first."),
    _("You are on this list already."),
    _("A name has at most 200 characters, and no control characters."),
    _("Write in a few words what it is about."),
    _("That is too long: at most 4,000 characters."),
    _("The text holds control characters."),
    _("Some of what you asked for still waits for an answer. Please wait for it first."),
    _("This is the address that we have already."),
    _("The address has to be confirmed first."),
)
"""What the verbs behind this page refuse, besides what the console says too."""


# ── the form for a key ────────────────────────────────────────────────────────────────────────────────────────────────


def form() -> Response:
    """GET: the form."""
    return _form()


def ask() -> Response:
    """POST: write the request down. 303 for every well-formed address, 422 with the form for any other."""
    fields = request.form
    pages.speak(fields.get("lang"))
    if not fields.get("website"):
        try:
            address = parse(fields.get("email", ""))
        except BadAddress as error:
            return _form(error=str(error), value=pages.shown_again(fields.get("email", "")), status=422)
        with db.transaction() as session:
            intake.write_down(
                session, lists.default(session), address, kind=requests.KEY, entrance="web", language=pages.language(),
                origin=_origin("form"), now=db.utcnow(),
            )  # fmt: skip
    return pages.go_to("preferences.check_mail")


def check_mail() -> Response:
    """GET: what happens next; the same for everybody."""
    return pages.page("preferences_check_mail", brand=_brand())


# ── the page ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def look(token: str) -> Response:
    """GET: the page; changes nothing. 410 with a button for a fresh key once its hour is over."""
    return _page(token, done=request.args.get("done", ""))


def data(token: str) -> Response:
    """GET: everything that is held, to read (GDPR 15)."""
    found = _document(token)
    if isinstance(found, Response):
        return found
    with db.reading() as session:
        zone = _zone(session)
        names = lists.names(session, pages.language())
    return pages.page("preferences_data", brand=_brand(), token=token, parts=person_words.parts(found, zone, names))


def data_file(token: str) -> Response:
    """GET: the same, to take along (GDPR 20)."""
    found = _document(token)
    if isinstance(found, Response):
        return found
    response = Response(access.written(found), content_type="application/json; charset=utf-8")
    response.headers["Content-Disposition"] = 'attachment; filename="my-data.json"'
    return response


def _document(token: str) -> dict[str, Any] | Response:
    try:
        with db.reading() as session:
            now = db.utcnow()
            key = own_page.read(session, token, now=now)
            _speak(session, key)
            person = own_page.holder(session, key)
            if person is None or not proof.confirmed(session, person):
                return pages.go_to("preferences.look", token=token)
            return access.document(session, person, now=now)
    except KeyExpired:
        return _expired()


def act(token: str) -> Response:
    """POST: one act of the holder of the key, named by `act`."""
    wanted = request.form.get("act", "")
    if request.form.get("fresh"):
        return _fresh(token)
    try:
        with db.reading() as session:
            key = own_page.read(session, token, now=db.utcnow())
            _speak(session, key)
    except KeyExpired:
        return _expired()
    if wanted not in _NEVER_LIMITED:
        visitor.pace().spend(pace.OWN_PAGE, key.digest.hex())
    if wanted == "erase":
        return _erase(token)
    do = _ACTS.get(wanted)
    if do is None:
        raise BadInput("There is no such act.")
    try:
        with db.transaction() as session:
            now = db.utcnow()
            key = own_page.read(session, token, now=now)
            own_page.used(session, key)
            done = do(session, key, now)
    except RegisterUnsound:
        if wanted not in _NEVER_LIMITED:
            raise
        return _kept_for_later(key, wanted)
    except Unknown:
        return pages.go_to("preferences.look", token=token)  # erased meanwhile: the page says so
    except (BadInput, NotAllowed) as error:
        return _page(token, wrong=(wanted, error), status=error.http_status)
    return pages.go_to("preferences.look", token=token, done=done)


def _kept_for_later(key: Key, wanted: str) -> Response:
    """A leave or a ban that can't be entered now, while nothing is mailed either: kept, and entered by the worker once
    the register is sound again. Who forbids mail leaves the list by which they know us, too."""
    ban = _channels() if wanted == "ban" else ()
    with db.transaction() as session:
        person = own_page.holder(session, key)
        number = requests.own_list(session, person.id) if person and wanted == "ban" else None
        known = session.get(MailingList, number) if number is not None else None
        row = _list(session) if wanted == "leave" else known or lists.default(session)
        exit_token = register.unsubscribe_token(register.tokens_of(session), row.id, key.digest)
        intake.write_down_exit(session, exit_token, origin=_origin("own page"), ban=ban, now=db.utcnow())
        brand = brand_of(row, pages.settings())
    forbid = url_for("leaving.leave", token=exit_token)
    return pages.page("left", brand=brand, ban=request.form.get("channel") if ban else None, action=forbid)


# ── acts: each returns the name of what is then said ──────────────────────────────────────────────────────────────────


def _leave(session: Session, key: Key, now: datetime) -> str:
    own_page.leave(session, key, _list(session), origin=_origin("own page"), now=now)
    return "left"


def _join(session: Session, key: Key, now: datetime) -> str:
    origin = _origin("own page")
    own_page.ask_to_join(session, key, _list(session), language=pages.language(), origin=origin, now=now)
    return "asked"


def _ban(session: Session, key: Key, now: datetime) -> str:
    own_page.forbid(session, key, _channels(), origin=_origin("own page"), now=now)
    return "forbidden"


def _lift(session: Session, key: Key, now: datetime) -> str:
    if request.form.get("channel") == "all":
        which = tuple(own_page.bans_in_force(session, key))
    else:
        slug = request.form.get("list") or None  # without one: the ban of all lists
        which = tuple(Forbidden(channel, slug) for channel in _channels())
    own_page.lift(session, key, which, origin=_origin("own page"), now=now)
    return "lifted"


def _correct(session: Session, key: Key, now: datetime) -> str:
    language = request.form.get("language", "")
    name = request.form.get("name", "")
    changed = own_page.correct(session, key, name=name, language=language, origin=_origin("own page"), now=now)
    if changed:
        disclosures.tell(session, own_page.held(session, key).id, disclosures.CORRECTED, now=now)
    here = exchange()
    here.language, here.chosen = language, True
    return "saved"


def _address(session: Session, key: Key, now: datetime) -> str:
    """A new address is entered by a member of staff: its mailbox has to answer for itself, and it may be somebody's."""
    wanted = parse(request.form.get("email", ""))
    person = own_page.held(session, key)
    if wanted.mailbox == person.mailbox:
        raise BadInput("This is the address that we have already.")
    tasks.open(session, tasks.ADDRESS, person_id=person.id, words=wanted.mailbox, due_at=tasks.in_a_month(now), now=now)
    return "noted"


def _other(session: Session, key: Key, now: datetime) -> str:
    words = tasks.tidied(request.form.get("words", ""))
    person = own_page.held(session, key)
    tasks.open(session, tasks.OTHER, person_id=person.id, words=words, due_at=tasks.in_a_month(now), now=now)
    return "noted"


def _restrict(session: Session, key: Key, now: datetime) -> str:
    person = own_page.held(session, key)
    if restriction.restrict(session, person, source=own_page.SOURCE, origin=_origin("own page"), now=now):
        disclosures.tell(session, person.id, disclosures.RESTRICTED, now=now)
    return "restricted"


def _unrestrict(session: Session, key: Key, now: datetime) -> str:
    person = own_page.held(session, key)
    restriction.unrestrict(session, person, source=own_page.SOURCE, origin=_origin("own page"), now=now)
    return "unrestricted"


_NEVER_LIMITED = ("leave", "ban")
_ACTS: Mapping[str, Callable[[Session, Key, datetime], str]] = {
    "leave": _leave, "join": _join, "ban": _ban, "lift": _lift, "correct": _correct, "address": _address,
    "other": _other, "restrict": _restrict, "unrestrict": _unrestrict,
}  # fmt: skip


def _erase(token: str) -> Response:
    """Asked once more; then done at once, and the page says what is kept and why (GDPR 17)."""
    with db.reading() as session:
        now = db.utcnow()
        key = own_page.read(session, token, now=now)
        person = own_page.holder(session, key)
        banned = bool(own_page.bans_in_force(session, key))
        brand = _brand_for(session, person.id if person else None)
        address = person.mailbox if person else ""
        confirmed = person is not None and proof.confirmed(session, person)
    if person is None:
        return pages.go_to("preferences.look", token=token)
    if not confirmed:
        return _ask_to_erase(token)
    if not request.form.get("sure"):
        return pages.page("preferences_erase", brand=brand, token=token, address=address, banned=banned, until=None)
    with db.transaction() as session:
        key = own_page.read(session, token, now=now)
        held = own_page.held_to_erase(session, key)
        number, mailed_at = held.id, key.issued_at.isoformat()
        erasure = rights.erase_held(session, held, now, source=own_page.SOURCE)
        audit.note(
            session, "erased_on_own_page", by=_THE_PERSON, about=f"person {number}", now=now, key_mailed_at=mailed_at
        )
        zone = _zone(session)
    until = figures.long_day(erasure.backups_until, zone) if erasure.backups_until else None
    return pages.page(
        "preferences_erased", brand=brand, token=token, banned=banned, until=until, recipients=erasure.recipients
    )


def _ask_to_erase(token: str) -> Response:
    """From an address that is not confirmed: somebody of ours first makes sure whose data they are. Asked once."""
    with db.transaction() as session:
        now = db.utcnow()
        key = own_page.read(session, token, now=now)
        own_page.used(session, key)
        person = own_page.held(session, key, confirmed=False)
        if not any(each.kind == tasks.ERASE and each.done_at is None for each in tasks.of(session, person.id)):
            words = pages.say("Please erase what you hold about me.")
            due_at = tasks.in_a_month(now)
            tasks.open(session, tasks.ERASE, person_id=person.id, words=words, due_at=due_at, now=now)
    return pages.go_to("preferences.look", token=token, done="noted")


def _fresh(token: str) -> Response:
    """A fresh key in place of one that has expired; the answer is that of the form."""
    visitor.spend(pace.KEYS)
    with db.transaction() as session:
        key = own_page.named(session, token)
        own_page.ask_for_fresh(
            session, key, lists.default(session), language=pages.language(), origin=_origin("fresh"), now=db.utcnow()
        )
    return pages.go_to("preferences.check_mail")


# ── rendering ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def _page(
    token: str, *, done: str = "", wrong: tuple[str, MailinglistError] | None = None, status: int = 200
) -> Response:
    try:
        with db.reading() as session:
            now = db.utcnow()
            key = own_page.read(session, token, now=now)
            _speak(session, key)
            person = own_page.holder(session, key)
            zone = _zone(session)
            brand = _brand_for(session, person.id if person else None)
            names = lists.names(session, pages.language())
            forbidden = {ban: figures.long_day(at, zone) for ban, at in own_page.bans_in_force(session, key).items()}
            choices = [own_page_words.choice(each, forbidden, names) for each in ALL_CHANNELS]
            until = figures.clock_face(key.until, zone)
            alike: dict[str, Any] = {
                "brand": brand, "token": token, "choices": choices, "in_force": len(forbidden), "until": until,
                "done": own_page_words.done(done),
            }  # fmt: skip
            if person is None:
                return pages.page("preferences_nobody", status, **alike)
            if not proof.confirmed(session, person):
                return _unconfirmed(session, person, names, forbidden, wrong[1] if wrong else None, status, alike)
            whole = people.whole(session, person.id)
            waiting = [
                own_page_words.waiting(each, zone)
                for each in tasks.of(session, person.id)
                if each.done_at is None and each.kind in tasks.ASKED
            ]
            restricted = figures.moment(person.restricted_at, zone) if person.restricted_at else None
    except KeyExpired:
        return _expired()
    which, error = wrong if wrong else ("", None)
    return pages.page(
        "preferences", status, **alike, address=whole.address, name=whole.name or "", own_language=whole.language,
        since=figures.long_day(whole.created_at, zone), spoken=tuple(pages.NAMES.items()), waiting=waiting,
        restricted=restricted, notes=len(whole.notes),
        places=[own_page_words.place(each, whole, names, forbidden, zone) for each in whole.memberships],
        wrong=which, error=pages.reason(error) if error else None,
        typed={name: pages.shown_again(request.form.get(name, "")) for name in ("email", "name")},
        typed_words="".join(c for c in request.form.get("words", "") if c.isprintable() or c == "\n"),
    )  # fmt: skip


def _unconfirmed(
    session: Session, person: Person, names: Mapping[str, str], forbidden: Mapping[Forbidden, str],
    error: MailinglistError | None, status: int, alike: Mapping[str, Any],
) -> Response:  # fmt: skip
    """The page of an address that staff gave to the person, and that was not confirmed since: nothing but what is held
    under it, since it may be a slip, and somebody else's."""
    found = people.look_up(session, Address(person.mailbox, person.folded))
    places = [
        (each.list, names.get(each.list, each.list), state, own_page_words.stands(state, forbidden, each.list))
        for each in found.subscriptions
        for state in (State(each.state),)
    ]
    return pages.page(
        "preferences_unconfirmed", status, **alike, address=person.mailbox, places=places,
        spoken=pages.NAMES.get(person.language, person.language), spoken_code=person.language,
        error=pages.reason(error) if error else None,
    )  # fmt: skip


def _expired() -> Response:
    return pages.page("preferences_expired", KeyExpired.http_status, brand=_brand())


def _form(*, error: str | None = None, value: str = "", status: int = 200) -> Response:
    shown = pages.say(error) if error else None
    response = pages.page("preferences_form", status, brand=_brand(), error=shown, value=value)
    if error:
        response.headers["Cache-Control"] = "no-store"
    return response


# ── small parts ───────────────────────────────────────────────────────────────────────────────────────────────────────


def _speak(session: Session, key: Key) -> None:
    person = own_page.holder(session, key)
    pages.speak(person.language if person else None)


def _list(session: Session) -> MailingList:
    return lists.find(session, request.form.get("list", ""))


def _channels() -> tuple[Channel, ...]:
    try:
        return channels(request.form.get("channel", ""))
    except ValueError:
        raise BadInput("There is no such channel.") from None


def _origin(how: str) -> dict[str, object]:
    return visitor.origin(request, how, language=pages.language())


def _zone(session: Session) -> ZoneInfo:
    return ZoneInfo(lists.settings_of(lists.default(session)).time_zone)


def _brand() -> Brand:
    with db.reading() as session:
        return brand_of(lists.default(session), pages.settings())


def _brand_for(session: Session, person_id: int | None) -> Brand:
    """The look of the list by which the person knows us."""
    number = requests.own_list(session, person_id) if person_id is not None else None
    row = session.get(MailingList, number) if number is not None else None
    return brand_of(row or lists.default(session), pages.settings())


_ANY, _LINK = Guard.ANYONE, Guard.LINK
ROUTES = (
    Route("GET", "/preferences", form, _ANY),
    Route("POST", "/preferences", ask, _ANY, pace.KEYS),
    Route("GET", "/preferences/check-mail", check_mail, _ANY),
    Route("GET", "/preferences/<token>", look, _LINK),
    Route("POST", "/preferences/<token>", act, _LINK),
    Route("GET", "/preferences/<token>/data", data, _LINK),
    Route("GET", "/preferences/<token>/data.json", data_file, _LINK),
)
