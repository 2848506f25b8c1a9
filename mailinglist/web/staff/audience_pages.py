"""For whom a bulletin is: filters that narrow the list down, with the number of persons as it is now."""

from __future__ import annotations

from typing import Any

from flask import Response, request, url_for
from sqlalchemy.orm import Session

from ... import db
from ...bulletins import audience, drafts
from ...bulletins.audience import Rule
from ...bulletins.tables import Bulletin
from ...delivery import audience_query, catalogue
from ...errors import BadInput
from ...i18n import LANGUAGES
from ...staff.levels import Right
from .. import figures, pages, registry_words
from ..guards import Guard, Route
from . import asked, frame, words_of_bulletins, writing

_EARLIER = 200


def look(number: int) -> Response:
    """GET: the filters, as they are kept."""
    with frame.looking() as session:
        bulletin = writing.find(session, number)
        rule = words_of_bulletins.rule_of(bulletin.audience)
        return _page(session, bulletin, _values(rule))


def change(number: int) -> Response:
    """POST: keep the filters."""
    now = db.utcnow()
    base = request.form.get("base", "")
    try:
        rule = _rule(request.form)
        with db.transaction() as session:
            bulletin = writing.find(session, number)
            before = bulletin.revision
            revision = drafts.save(
                session, bulletin, base=asked.whole(base) or 0,
                audience=audience.write(rule), by=writing.author(), now=now,
            )  # fmt: skip
            if revision != before:
                writing.note(session, "bulletin_audience", number, now=now, rule=audience.write(rule))
    except BadInput as error:
        with frame.looking() as session:
            bulletin = writing.find(session, number)
            return _page(session, bulletin, _typed(request.form), errors={"": pages.reason(error)})
    return frame.go_to("audience_pages.look", pages.say("Saved."), number=number)


def count(number: int) -> Response:
    """GET, by the script: how many the filters in the form reach now."""
    with db.reading() as session:
        bulletin = writing.find(session, number)
        return frame.part(
            "bulletins/audience_count",
            number=figures.number,
            many=figures.many,
            **_counted(session, bulletin, request.args),
        )


def _counted(session: Session, bulletin: Bulletin, said: Any) -> dict[str, Any]:
    try:
        rule = _rule(said)
    except BadInput as error:
        return {"count": None, "why": pages.reason(error), "rule": []}
    return {
        "count": audience_query.estimate(session, bulletin.list_id, rule), "why": "",
        "rule": words_of_bulletins.rule(rule),
    }  # fmt: skip


def _rule(said: Any) -> Rule:
    """The rule that a form says. Raises BadInput."""

    def number(name: str) -> Any:
        text = said.get(name, "").strip()
        found = asked.whole(text)
        return text if found is None else found

    return audience.rule({
        "languages": said.getlist("languages"), "bases": said.getlist("bases"),
        "joined_after": said.get("joined_after", "").strip(), "joined_before": said.get("joined_before", "").strip(),
        "source": said.get("source", ""), "sent": number("sent"), "not_sent": number("not_sent"),
    })  # fmt: skip


def _values(rule: Rule) -> dict[str, Any]:
    return {
        "languages": rule.languages, "bases": rule.bases, "source": rule.source or "",
        "joined_after": rule.joined_after.isoformat() if rule.joined_after else "",
        "joined_before": rule.joined_before.isoformat() if rule.joined_before else "",
        "sent": str(rule.sent or ""), "not_sent": str(rule.not_sent or ""),
    }  # fmt: skip


def _typed(said: Any) -> dict[str, Any]:
    single = ("joined_after", "joined_before", "source", "sent", "not_sent")
    return {name: said.getlist(name) for name in ("languages", "bases")} | {
        name: said.get(name, "")[:200] for name in single
    }


def _page(
    session: Session, bulletin: Bulletin, values: dict[str, Any], *, errors: dict[str, str] | None = None
) -> Response:
    earlier = [
        (str(line.id), f"{line.id}: {writing.title(line.subject)}")
        for line in catalogue.page(session, bulletin.list_id, limit=_EARLIER)
        if line.state in ("sending", "paused", "sent", "cancelled") and line.id != bulletin.id
    ]
    found = audience_query.sources(session, bulletin.list_id)
    # What was chosen stays to be seen, also where it is so rare that nothing else tells of it.
    chosen = [values["source"]] if values["source"] and values["source"] not in found else []
    sources = [(each, registry_words.source(each)) for each in (*found, *chosen)]
    rule = None if errors else words_of_bulletins.rule_of(bulletin.audience)
    counted = (
        {"count": audience_query.estimate(session, bulletin.list_id, rule), "why": "",
         "rule": words_of_bulletins.rule(rule)}
        if rule is not None else {"count": None, "why": (errors or {}).get("", ""), "rule": []}
    )  # fmt: skip
    any_of_them = ("", pages.say("Any"))
    return frame.page(
        "bulletins/audience", 422 if errors else 200, here=writing.section(bulletin), errors=errors or {},
        bulletin=bulletin, subject=writing.title_of(bulletin), values=values, open=bulletin.given_at is None,
        languages_of=[(each, words_of_bulletins.language(each), None) for each in LANGUAGES],
        bases=[(each, words_of_bulletins.basis(each), None) for each in audience.BASES],
        sources=[any_of_them, *sources], earlier=[any_of_them, *earlier], pages=writing.beside(bulletin),
        crumbs=writing.crumbs(bulletin), number=figures.number, many=figures.many,
        count_url=url_for("audience_pages.count", number=bulletin.id), **counted,
    )  # fmt: skip


_WRITE = Right.WRITE
ROUTES = (
    Route("GET", "/staff/bulletins/<int:number>/audience", look, Guard.STAFF, right=_WRITE),
    Route("POST", "/staff/bulletins/<int:number>/audience", change, Guard.STAFF, right=_WRITE),
    Route("GET", "/staff/bulletins/<int:number>/audience/count", count, Guard.STAFF, right=_WRITE),
)
