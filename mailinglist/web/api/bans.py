"""Other systems ask who has forbidden marketing, and hand on what they were told (T5.1, T5.4).

A ban or a leave only ever takes away; nothing here lifts one (REQUIREMENTS 2.1). What can't be entered is refused with
503, so that whoever handed it over knows that it is not in.
"""

from __future__ import annotations

from sqlalchemy.orm import Session

from ... import db
from ...consent import ban_lists, readdressed, register
from ...consent import bans as register_of_bans
from ...consent.address import parse
from ...consent.ban_lists import Found
from ...consent.keys import assert_sound, keys_of
from ...consent.states import ALL_CHANNELS, Channel, Event
from ...consent.transfer import BY_PROGRAM, source_of
from ...staff import audit
from ...staff.programs import Scope
from . import door
from .call import Call
from .shapes import (
    BanGiven,
    BanInForce,
    BansAsked,
    BansTold,
    BanTaken,
    Done,
    LeaveGiven,
    Malformed,
    Standing,
)


def check(asked: BansAsked) -> BansTold:
    """POST: whether what the items name is banned, in their order."""
    rows = [
        ban_lists.row(place, email=item.email, sha256=item.sha256, name=item.name)
        for place, item in enumerate(asked.items)
    ]
    if any(row.name for row in rows):
        door.spend_on_names()
    channels = ALL_CHANNELS if asked.channel is None else (asked.channel,)
    with db.reading() as session:
        only = door.only(session, asked.list)
        found = {each.row.line: each for each in ban_lists.look_up(session, rows, only, channels)}
        scope = audit.of_list(only)
    with db.transaction() as session:
        banned = sum(bool(each.forbidden) for each in found.values())
        door.note(session, "bans_looked_up", asked=len(found), banned=banned, **scope)
    return BansTold(
        answers=[_standing(found[row.line]) if row.line in found else Malformed(error=row.reason) for row in rows]
    )


def _standing(found: Found) -> Standing:
    in_force = [BanInForce(channel=each.channel, list=each.list) for each in found.forbidden]
    channels = [Channel(each) for each in found.channels]
    return Standing(banned=bool(found.forbidden), channels=channels, in_force=in_force, by=found.by)


def give(asked: BanGiven) -> BanTaken:
    """POST: enter a ban. Saying it twice is one ban."""
    now = db.utcnow()
    wanted = ALL_CHANNELS if asked.channels == "all" else tuple(Channel(each) for each in asked.channels)
    with db.transaction() as session:
        only = door.only(session, asked.list)
        given = register_of_bans.forbid(
            session, _named(session, asked), wanted, only=only, source=source_of(asked.source, BY_PROGRAM),
            origin=door.origin(asked.source), now=now,
        )  # fmt: skip
        if given.added:
            about = f"person {given.person_id}" if given.person_id else ""
            channels = [each.value for each in given.added]
            door.note(session, "api_ban_given", about=about, channels=channels, **audit.of_list(only))
        slug = only.slug if only else None
    counts = [each for each in given.in_force if each.list in (None, slug)]
    in_force = [Channel(each) for each in register_of_bans.channels_of(counts)]
    return BanTaken(added=list(given.added), channels=in_force)


def _named(session: Session, asked: BanGiven) -> tuple[bytes, ...]:
    """The keyed digests of the address, the one that a ban is entered by first."""
    if asked.email is not None:
        return register_of_bans.digests(session, parse(asked.email))
    return (keys_of(session).digest_of_sha256(bytes.fromhex(asked.sha256 or "")),)


def leave(asked: LeaveGiven, slug: str) -> Done:
    """POST: take somebody off the list. Whether they were on it is not told."""
    now, address = db.utcnow(), parse(asked.email)
    with db.transaction() as session:
        row = door.the_list(session, slug)
        assert_sound(session)  # with a wrong key nobody would be found, and nobody taken off
        person = readdressed.owner(session, keys_of(session).digest(address.folded))
        if person is not None:
            register.end(
                session, person, row, Event.LEAVE, source=BY_PROGRAM, origin=door.origin(asked.source), by_link=False,
                now=now,
            )  # fmt: skip
        about = f"person {person.id}" if person else ""
        door.note(session, "api_leave_given", about=about, list=row.id)
    return Done()


CALLS = (
    Call(
        "POST", "/bans/check", check, Scope.BANS_READ,
        "Ask who is banned. Up to 1,000 addresses, their SHA-256, or names, so that another system can clean its own "
        "list before it writes to anybody. By a name it is somebody of this name, and may be another person. The "
        "answers come in the order of the items; one that can't be read gets an error in its place.",
        BansTold, BansAsked,
    ),
    Call(
        "POST", "/bans", give, Scope.BANS_WRITE,
        "Enter a ban. Somebody forbids marketing, also by an address that is in no register; no reason is needed (GDPR "
        "21(2)). Repeated, it changes nothing. No call lifts a ban.",
        BanTaken, BanGiven,
    ),
    Call(
        "POST", "/lists/<slug:slug>/leaves", leave, Scope.BANS_WRITE,
        "Take somebody off a list. They asked the other system for it. The answer is the same whether or not "
        "they were on it. Repeated, it changes nothing.",
        Done, LeaveGiven,
    ),
)  # fmt: skip
