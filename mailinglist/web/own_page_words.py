"""One's own page in words: where somebody stands on each list and why we may hold it (GDPR 13 to 15), what they have
forbidden, what they wait for, and what an act of theirs did.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from ..consent import people, transfer
from ..consent.bans import Forbidden
from ..consent.states import Channel, State
from ..privacy.tables import Task
from . import figures, registry_words
from .pages import say


@dataclass(frozen=True, slots=True)
class Place:
    """Where somebody stands on one list, in words."""

    slug: str
    name: str
    state: State
    stands: str
    since: str
    basis: str
    source: str
    sale_reference: str | None
    agreed: list[tuple[str, str, str]]
    """Consents that were given, the latest first: when, the exact text, its language."""


@dataclass(frozen=True, slots=True)
class Choice:
    """One channel of marketing."""

    channel: str
    name: str
    since: str | None
    """When it was forbidden on all lists; None: it is not."""
    narrower: list[tuple[str, str, str]]
    """Where it is forbidden on one list alone: the list's slug and name, and since when."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """Something that was asked for and is not answered yet."""

    what: str
    words: str
    asked: str
    due: str


def place(
    held: people.Membership,
    whole: people.Whole,
    names: Mapping[str, str],
    forbidden: Mapping[Forbidden, str],
    zone: ZoneInfo,
) -> Place:
    """Where the person stands on one of their lists. `names`: of the lists, by slug; `forbidden`: by them, and since
    when."""
    state = State(held.state)
    agreed = [
        (figures.moment(datetime.fromisoformat(entry["at"]), zone), entry["text_shown"], entry.get("language", ""))
        for entry in reversed(whole.history)
        if entry["event"] == "confirmed" and entry.get("list") == held.list and entry.get("text_shown")
    ]
    return Place(
        held.list, names.get(held.list, held.name), state,
        stands(state, forbidden, held.list) + _why_not(held, whole, state), figures.moment(held.since, zone),
        _basis(held.basis, state), _source(held, whole), held.sale_reference, agreed,
    )  # fmt: skip


def stands(state: State, forbidden: Mapping[Forbidden, str], slug: str) -> str:
    """Where somebody stands on a list, in a sentence."""
    mail = {Forbidden(Channel.EMAIL), Forbidden(Channel.EMAIL, slug)}
    if state is State.ACTIVE and not forbidden.keys().isdisjoint(mail):
        return say("You are on the list, but nothing is sent to you, since you have forbidden marketing.")
    return {
        State.ACTIVE: say("You are on the list."),
        State.PENDING: say("Joining was asked for, and not confirmed yet. Until then nothing is sent."),
        State.LEFT: say("You are not on the list: you have left it."),
        State.UNDELIVERABLE: say("Mail to you could not be delivered, so nothing is sent."),
    }[state]


def _why_not(held: people.Membership, whole: people.Whole, state: State) -> str:
    """What mail servers said of somebody who can't be reached, and how that ends."""
    if state is not State.UNDELIVERABLE:
        return ""
    given_up = [each for each in whole.history if each["event"] == "given_up" and each.get("list") == held.list]
    why = {
        "bounces: dead": say("Twice a mail server told us that there is no such address."),
        "bounces: mailbox": say("Five bulletins came back: your mailbox could not take them."),
    }.get(str(given_up[-1].get("source")) if given_up else "", "")
    again = say("If you join again, that ends.")
    return f" {why} {again}" if why else f" {again}"


def _basis(basis: str, state: State) -> str:
    """Why we may hold and use it, in words, with the law."""
    if state is State.PENDING:
        return say("The request to join, until it is answered or 30 days have passed.")
    if state is State.LEFT:
        return say("So that you are not mailed again, and to show that what we sent was allowed (GDPR 5(2)).")
    return {
        "consent": say("Your consent (GDPR 6(1)(a))."),
        "customer": say("You are our customer (Act 917/2014, section 200(3))."),
        "organisation": say("You act for an organisation (Act 917/2014, section 202)."),
    }[basis]


def _source(held: people.Membership, whole: people.Whole) -> str:
    """Where the data came from (GDPR 15(1)(g))."""
    came, system = _origin(held.source), _system(held, whole)
    by = say("The system that handed it on: %(name)s.", name=system)
    return f"{came.removesuffix('.')}. {by}" if system else came


def _system(held: people.Membership, whole: people.Whole) -> str:
    """The other system that handed the person on, or their request, most lately; empty: none did."""
    came = [each for each in whole.history if each.get("list") == held.list and each["event"] in ("asked", "imported")]
    return str((came[-1].get("evidence_content") or {}).get("system", "")) if came else ""


def _origin(source: str) -> str:
    way, _colon, said = source.partition(": ")
    if said and way in (transfer.BY_FILE, transfer.BY_PROGRAM):
        return say("Brought over from: %(source)s", source=said)
    return {
        "web": say("From the form on our website."),
        "mail": say("From your e-mail to us."),
        transfer.BY_PROGRAM: say("From a form on another of our sites."),
        "confirmed": say("From you: you confirmed that you want to be on the list."),
        "staff": say("From you, written down by our staff."),
    }.get(source, source)


def choice(channel: Channel, forbidden: Mapping[Forbidden, str], names: Mapping[str, str]) -> Choice:
    """A channel. `forbidden`: bans in force, and since which day."""
    narrower = [
        (ban.list, names.get(ban.list, ban.list), since)
        for ban, since in forbidden.items()
        if ban.channel is channel and ban.list is not None
    ]
    return Choice(channel.value, _channel(channel), forbidden.get(Forbidden(channel)), narrower)


def _channel(channel: Channel) -> str:
    return {
        Channel.EMAIL: say("By e-mail"),
        Channel.POST: say("By post"),
        Channel.PHONE: say("By phone"),
        Channel.DISCLOSURE: say("Disclosing your name and address to others for marketing"),
    }[channel]


def waiting(task: Task, zone: ZoneInfo) -> Waiting:
    """What was asked for and waits for one of our staff."""
    asked, due = (figures.long_day(at, zone) for at in (task.opened_at, task.due_at))
    return Waiting(registry_words.task_kind(task.kind), task.words, asked, due)


def done(what: str) -> str:
    """What an act has done; empty: nothing is said of it."""
    return {
        "saved": say("Saved."),
        "left": say("You have left the list. Nothing more is sent to you from it."),
        "asked": say(
            "A confirmation message is on its way, unless you got one a moment ago. You are on the list once you have "
            "confirmed."
        ),
        "forbidden": say("The ban is in force from this moment."),
        "lifted": say("The ban is lifted. It puts you on no list: join again if you want our bulletins."),
        "noted": say("We have your request. You get an answer within a month at the latest."),
        "restricted": say("From this moment we keep your data and do not use them for mailing."),
        "unrestricted": say("The restriction has ended."),
    }.get(what, "")
