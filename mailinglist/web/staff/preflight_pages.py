"""The check before approval: what is wrong with a bulletin, each with what to do and a link to where.

The page itself shows what can be told at once; links and domains are asked while one looks (htmx), or by a link where
there are no scripts. Errors keep a bulletin from being approved; each warning is acknowledged by who approves.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from flask import Response, current_app, request, url_for

from ... import db, preflight
from ...bulletins import blocks
from ...bulletins.tables import Approval, Bulletin
from ...consent.tables import MailingList
from ...preflight import Finding, Level, Where
from ...staff.levels import Right
from .. import pages
from ..guards import Guard, Route
from . import approving, draft_form, frame, words_of_bulletins, writing


def look(number: int) -> Response:
    """GET: what is wrong; with `now`, links and domains included."""
    bulletin, shown = _looked(number, online="now" in request.args)
    return frame.page(
        "bulletins/preflight", here=writing.section(bulletin), bulletin=bulletin, subject=writing.title_of(bulletin),
        pages=writing.beside(bulletin), crumbs=writing.crumbs(bulletin), complete="now" in request.args, **shown,
    )  # fmt: skip


def found(number: int) -> Response:
    """GET, by the script: the same as a part of the page, after links and domains were asked."""
    bulletin, shown = _looked(number, online=True)
    return frame.part("bulletins/preflight_found", bulletin=bulletin, complete=True, **shown)


def examined(matter: preflight.Matter, *, online: bool = False) -> list[Finding]:
    """What the check finds; where links and domains are not asked, that this is so is no finding."""
    every = preflight.examine(matter, settings=pages.settings(), online=online)
    return [each for each in every if online or each.name != "links_unchecked"]


def acknowledged(approval: Approval | None) -> frozenset[str]:
    """The keys of the warnings that whoever gave the approval in force has looked at."""
    return frozenset(json.loads(approval.acknowledged)) if approval else frozenset()


def _looked(number: int, *, online: bool) -> tuple[Bulletin, dict[str, Any]]:
    settings = pages.settings()
    with frame.looking() as session:
        bulletin = writing.find(session, number)
        matter = preflight.gather(session, bulletin, settings=settings)
        standing = approving.standing(
            session, bulletin, session.get_one(MailingList, bulletin.list_id), now=db.utcnow()
        )  # fmt: skip
    kept = examined(matter, online=online)
    approves = frame.may("send") and not bulletin.template and bulletin.given_at is None and not standing.approval
    barred = standing.second and standing.own
    return bulletin, {
        "errors_found": lines(bulletin, (each for each in kept if each.level is Level.ERROR)),
        "warnings": lines(bulletin, (each for each in kept if each.level is Level.WARNING)),
        "known": acknowledged(standing.approval),
        "approval": standing.approval,
        "approve_url": url_for("approving.approve", number=number) if approves and not barred else None,
        "others": standing.others if approves and barred else None,
        "imprint": standing.shown,
    }


@dataclass(frozen=True, slots=True)
class Place:
    """One place where it is so."""

    language: str
    """Of the version, by its name; empty: of no single one."""
    label: str
    """What stands there, or what kind of place it is."""
    address: str | None
    """Where it is mended; None: on no page that whoever looks may open."""
    quoted: bool = False
    """The label is what stands there: it is shown, even where it is the only place."""


@dataclass
class Line:
    """All findings that say the same, wherever it is so: one sentence, and one box to acknowledge them."""

    words: str
    mend: str
    keys: list[str] = field(default_factory=list)
    """By which they are acknowledged, together."""
    places: list[Place] = field(default_factory=list)

    @property
    def languages(self) -> dict[str, list[Place]]:
        """The places by language, in their order."""
        found: dict[str, list[Place]] = {}
        for place in self.places:
            found.setdefault(place.language, []).append(place)
        return found

    @property
    def once(self) -> bool:
        """Whether it is so in one place of each language, of which there is no more to say."""
        return all(len(places) == 1 and not places[0].quoted for places in self.languages.values())


def lines(bulletin: Bulletin, found: Iterable[Finding]) -> list[Line]:
    """What was found, each sentence once: what every page shows, and counts."""
    told: dict[tuple[str, str], Line] = {}
    for each in found:
        words, mend = (pages.say(said.words, **said.values) for said in (each.words, each.mend))
        line = told.setdefault((words, mend), Line(words, mend))
        line.keys.append(each.key)
        language = words_of_bulletins.language(each.language) if each.language else ""
        label = _label(bulletin, each)
        # Two images in one version: the second one says so.
        times = sum(place.language == language and place.label.startswith(label) for place in line.places)
        numbered = f"{label} ({times + 1})" if times and not each.detail else label
        line.places.append(Place(language, numbered, _where(bulletin, each), bool(each.detail)))
    return [*told.values()]


def _label(bulletin: Bulletin, finding: Finding) -> str:
    """What stands there; where the sentence says that already, what it stands in."""
    if finding.detail:
        return finding.detail
    if finding.where is Where.SUBJECT:
        return pages.say("Subject")
    if finding.place and finding.language and bulletin.form == "blocks":
        version = blocks.read(bulletin.source).versions.get(finding.language)
        block = dict(version.flat()).get(finding.place) if version else None
        if block is not None:
            return words_of_bulletins.kind(str(blocks.plain_block(block)["type"]))
    return pages.say("The whole version")


def _where(bulletin: Bulletin, finding: Finding) -> str | None:
    """Where it is mended; None: on no page that whoever looks may open."""
    match finding.where:
        case Where.AUDIENCE:
            return url_for("audience_pages.look", number=bulletin.id)
        case Where.SUBJECT | Where.BLOCK | Where.VERSION if bulletin.form == "blocks":
            anchor = "subject" if finding.where is Where.SUBJECT else None
            if finding.place and finding.language in blocks.read(bulletin.source).versions:
                anchor = draft_form.anchor(finding.place)
            return url_for("editor.look", number=bulletin.id, language=finding.language, _anchor=anchor)
        case Where.SENDER if frame.may("settings") and "list_settings.index" in current_app.view_functions:
            return url_for("list_settings.index")
        case _:
            return None


ROUTES = (
    Route("GET", "/staff/bulletins/<int:number>/preflight", look, Guard.STAFF, right=Right.WRITE),
    Route("GET", "/staff/bulletins/<int:number>/preflight/found", found, Guard.STAFF, right=Right.WRITE),
)
