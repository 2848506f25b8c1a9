"""A person's page: everything that is held about them, with the consent history as a timeline. And notes about them.

Each look is in the audit, before the page is shown.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, datetime, time
from typing import Any

from flask import Response, request, url_for

from ... import db
from ...consent import lists, notes, people
from ...consent.people import Whole
from ...consent.states import Channel, State
from ...delivery import received, returned
from ...errors import BadInput
from ...privacy import disclosures, tasks
from ...staff import audit
from ...staff.levels import Right
from .. import figures, pages, words_of_acts
from .. import registry_words as words
from ..guards import Guard, Route
from . import asked, days, frame, outbox, persons, returned_pages, told, writing

_MAILS = 20
_LIFTED = re.compile(r"([a-z]+), (\d{4}-\d{2}-\d{2}): (.*)", re.DOTALL)
# What evidence holds for programs, or what the timeline says anyway.
_TOLD_HEADERS = ("from:", "date:", "subject:", "message-id:")
"""Of the mail that somebody wrote, what its reader sees; the proof holds the whole header."""
_UNSAID = frozenset({"at", "salt", "file_sha256", "file_digest", "list"})


def look(number: int) -> Response:
    """GET: everything about one person."""
    return _look(number, {"kind": "note", "on": told.today().isoformat(), "words": ""})


def add_note(number: int) -> Response:
    """POST: a note, a contact or a meeting is written down."""
    values = {name: request.form.get(name, "").strip() for name in ("kind", "on", "words")}
    errors: dict[str, str] = {}
    on = told.day(values["on"], "on", errors)
    if not values["words"]:
        errors["words"] = pages.say("Write something.")
    if errors:
        return _look(number, values, errors)
    now = db.utcnow()
    # A day has no hour: noon of it, or this moment where that is yet to come.
    at = min(now, datetime.combine(on, time(12), days.ZONE))
    try:
        with db.transaction() as session:
            persons.known_person(session, number)
            by = frame.actor()
            noted = notes.add(session, number, values["kind"], values["words"], on=at, who=by.who, now=now)
            audit.note(session, "note_added", by=by, about=f"person {number}", now=now, note=noted.id)
    except BadInput as error:
        return _look(number, values, {"words": words.reason(error)})
    return frame.go_to("person.look", pages.say("Written down."), number=number, _anchor="notes")


def remove_note(number: int, note: int) -> Response:
    """POST: a note is taken away."""
    with db.transaction() as session:
        persons.known_person(session, number)
        notes.remove(session, number, min(note, db.LARGEST_NUMBER))
        audit.note(session, "note_removed", by=frame.actor(), about=f"person {number}", now=db.utcnow(), note=note)
    return frame.go_to("person.look", pages.say("The note is removed."), number=number, _anchor="notes")


def crumbs(number: int, address: str) -> list[tuple[str, str]]:
    """The way to what is done about a person."""
    return [
        (pages.say("Persons"), url_for("persons.index")),
        (address, url_for("person.look", number=number)),
    ]


def _look(number: int, note: dict[str, str], errors: dict[str, str] | None = None) -> Response:
    before_id = asked.row("mails", largest=asked.LONG_ROW)
    with frame.looking() as session:
        restricted_at = persons.known_person(session, number).restricted_at
        whole = people.whole(session, number)
        mails = received.by_person(session, number, before_id=before_id, limit=_MAILS + 1)
        failed, complained = returned.failed(session, number, limit=_MAILS), returned.complained(session, number)
        names = lists.names(session, pages.language())
        asked_for = tasks.of(session, number)
        given = disclosures.recipients_of(session, number)
    with db.transaction() as session:
        audit.note(session, "person_seen", by=frame.actor(), about=f"person {number}", now=db.utcnow())
    more = len(mails) > _MAILS
    return frame.page(
        "registry/person", 422 if errors else 200, here="persons", errors=errors or {}, person=whole, names=names,
        language_of=words.language,
        memberships=[_membership(each, names, whole, banned=_banned(whole, each.list)) for each in whole.memberships],
        elsewhere=len(whole.memberships) < len(names) or any(_may_join(each.state) for each in whole.memberships),
        bans=[_ban(each, names) for each in whole.bans],
        history=[event_of(each, names) for each in reversed(whole.history)],
        forbidden=any(each.lifted_at is None for each in whole.bans), asked=_asked(whole, names),
        links=[(names.get(each.list, each.list), each) for each in whole.links],
        notes=[(words.note_kind(each.kind), figures.day(each.on.astimezone(days.ZONE)), each) for each in whole.notes],
        note=note,
        restricted_at=restricted_at, given=[(each, words.given(each.fields)) for each in given],
        tasks=[(words.task_kind(each.kind), each) for each in reversed(asked_for)],
        kinds=words.note_kinds(), reason_words=outbox.reason_words,
        mails=[(_mail(each), words.handoff(each.state), each) for each in mails[:_MAILS]],
        failed=[(_subject(each.subject), words.verdicts()[each.verdict], each) for each in failed],
        complained=[(_subject(each.subject), each) for each in complained],
        mails_next=url_for("person.look", number=number, mails=mails[_MAILS - 1].id, _anchor="mails") if more else None,
        mails_first=url_for("person.look", number=number, _anchor="mails") if before_id is not None else None,
        crumbs=[(pages.say("Persons"), url_for("persons.index"))],
    )  # fmt: skip


def _subject(subject: str | None) -> str:
    """Which mail failed: a bulletin, or a letter."""
    return (writing.title(subject) if subject else "") or pages.say("A letter")


def _may_join(state: str) -> bool:
    return state != State.ACTIVE.value


def _banned(whole: Whole, slug: str) -> bool:
    """Whether a ban in force keeps every bulletin of this list from them."""
    return any(
        each.channel == Channel.EMAIL.value and each.lifted_at is None and each.list in (None, slug)
        for each in whole.bans
    )


def _mail(each: received.Received) -> str:
    return words.mail(each.kind, writing.title(each.subject) if each.subject else None)


def _why_unreached(whole: Whole, slug: str) -> str:
    """Why they can't be reached on a list, as the ledger says it."""
    sources = [entry.get("source") for entry in whole.history if entry["event"] == "given_up" and entry["list"] == slug]
    reasons = returned_pages.reasons()
    return reasons.get(str(sources[-1]).removeprefix("bounces: "), reasons[None]) if sources else reasons[None]


def _membership(each: people.Membership, names: Mapping[str, str], whole: Whole, *, banned: bool) -> dict[str, Any]:
    unreached = each.state == State.UNDELIVERABLE.value
    return {
        "unreached": _why_unreached(whole, each.list) if unreached else "",
        "slug": each.list, "list": names.get(each.list, each.list), "state": words.state(each.state, banned=banned),
        "basis": words.basis(each.basis), "held": each, "restorable": unreached,
        "source": words.source(each.source), "leavable": each.state != State.LEFT.value,
        "text_language": words.language(each.text_language or ""),
    }  # fmt: skip


def _lifted(text: str) -> str:
    """On what a ban was lifted: what `registrar.lift` writes begins with how and when the person said so."""
    found = _LIFTED.fullmatch(text)
    if found is None:
        return text
    how, day, said = found.groups()
    return f"{words.way(how)}, {_shown('asked_on', day)}: {said}"


def _ban(each: people.BanHeld, names: Mapping[str, str]) -> dict[str, Any]:
    return {
        "channel": words.ban(each.channel, names.get(each.list, each.list) if each.list else None),
        "source": words.source(each.source), "held": each,
        "lifted": _lifted(each.lifted_by or ""),
    }  # fmt: skip


def _asked(whole: Whole, names: Mapping[str, str]) -> list[dict[str, Any]]:
    return [
        {
            "kind": words.request_kind(each.kind), "list": names.get(each.list, each.list), "held": each,
            "entrance": words.way(each.entrance),
            "outcome": words.request_outcome(each.outcome if each.taken_at else None),
        }
        for each in whole.requests
    ]  # fmt: skip


def event_of(entry: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """One entry of the ledger in words, as `proof.prove` tells it; `names` are those of the lists."""
    title, kind = words.event(entry["event"])
    slug = entry.get("list")
    evidence: Mapping[str, Any] | None = entry.get("evidence_content")
    return {
        "title": title, "kind": kind, "at": datetime.fromisoformat(entry["at"]),
        "list": names.get(slug, slug) if slug else "",
        "state": words.state(entry["state"])[0] if entry.get("state") else "",
        "before": words.state(entry["before"])[0] if entry.get("before") else "",
        "channels": [words.channel(each) for each in entry.get("channels", ())],
        "basis": words.basis(entry["basis"]) if entry.get("basis") else "",
        "source": words.source(entry["source"]) if entry.get("source") else "",
        "text": entry.get("text_shown"), "version": entry.get("text_version"), "language": entry.get("language"),
        "language_name": words.language(entry.get("language") or ""),
        "evidence": _evidence(evidence) if evidence else [],
        "evidence_gone": "evidence" in entry and evidence is None, "hash": entry["hash"],
    }  # fmt: skip


def _evidence(content: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [
        (words.evidence(key), _shown(key, value))
        for key, value in content.items()
        if key not in _UNSAID and value not in (None, "")
    ]


def _shown(key: str, value: Any) -> str:
    if key == "how":
        return words.way(str(value))
    if key == "recorded_by":
        return words_of_acts.who(str(value))
    if key == "evidence":
        return _lifted(str(value))
    if key == "basis":
        return words.basis(str(value))
    if key == "language":
        return words.language(str(value))
    if key == "asked_on":
        return figures.day(date.fromisoformat(value))
    if key == "asked_at":
        return _moment(datetime.fromisoformat(value))
    if key == "headers":
        return "; ".join(line for line in value if line.lower().startswith(_TOLD_HEADERS))
    if key == "corrected":
        fields = {"address": pages.say("Address"), "name": pages.say("Name"), "language": pages.say("Language")}
        return ", ".join(fields.get(each, each) for each in value)
    return str(value)


def _moment(at: datetime) -> str:
    return frame.moment(at).striptags()


ROUTES = (
    Route("GET", "/staff/persons/<int:number>", look, Guard.STAFF, right=Right.PERSONS),
    Route("POST", "/staff/persons/<int:number>/notes", add_note, Guard.STAFF, right=Right.PERSONS),
    Route("POST", "/staff/persons/<int:number>/notes/<int:note>/remove", remove_note, Guard.STAFF, right=Right.PERSONS),
)
