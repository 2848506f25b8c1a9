"""Saving, conflicts, revisions, approval, and what makes it void."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from conftest import NOW
from mailinglist import db
from mailinglist.bulletins import approvals, audience, blocks, drafts, templates
from mailinglist.bulletins.comparison import Part, words
from mailinglist.bulletins.drafts import Author, Conflict
from mailinglist.bulletins.tables import Approval, Bulletin, Issue, Revision
from mailinglist.consent import lists
from mailinglist.consent.keys import keys_of
from mailinglist.errors import BadInput, Fault, NotAllowed, Unknown
from making import the_list, written

MAIJA, PEKKA, KAISA = Author(1, "Maija"), Author(2, "Pekka"), Author(3, "Kaisa")
SENDER = "Tector <tiedote@example.fi>"


@pytest.fixture
def session(app: Flask) -> Iterator[Session]:
    with db.transaction() as session:
        yield session


def source(*texts: str, subject: str = "Uutisia", **more: str) -> str:
    column = tuple(blocks.Text(text) for text in texts)
    others = {language: blocks.Version(title, "", column) for language, title in more.items()}
    return blocks.write(blocks.Draft({"fi": blocks.Version(subject, "", column), **others}))


def save(
    session: Session, bulletin: Bulletin, text: str, *, by: Author = MAIJA, base: int = 0, at: datetime = NOW
) -> int:
    return drafts.save(session, bulletin, base=base or bulletin.revision, source=source(text), by=by, now=at)


def approve(session: Session, bulletin: Bulletin, by: Author = PEKKA) -> Issue:
    return approvals.approve(session, bulletin, sender=SENDER, by=by, now=NOW)


def numbers(session: Session, bulletin: Bulletin) -> list[int]:
    return [each.number for each in drafts.revisions(session, bulletin.id)]


# ── saving ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_new_bulletin_is_empty_in_the_lists_language(session: Session):
    bulletin = drafts.begin(session, the_list(session), by=MAIJA, now=NOW)
    assert blocks.read(bulletin.source).versions == {"fi": blocks.Version()}
    assert (bulletin.subject, bulletin.revision, bulletin.audience) == ("", 1, audience.EVERYBODY)


def test_saving_keeps_what_is_half_written_and_takes_the_subject_from_it(session: Session):
    bulletin = written(session, now=NOW)
    half = json.dumps({"versions": {"sv": {"subject": "", "blocks": [{"type": "button", "text": "Osta", "url": ""}]},
                                    "en": {"subject": "News"}}})  # fmt: skip
    assert drafts.save(session, bulletin, base=1, source=half, by=MAIJA, now=NOW) == 2
    assert bulletin.subject == "News"
    assert list(blocks.read(bulletin.source).versions) == ["sv", "en"]
    assert drafts.save(session, bulletin, base=2, audience='{"languages":["sv"]}', by=MAIJA, now=NOW) == 3
    assert bulletin.subject == "News"
    wrong: list[dict[str, Any]] = [{"source": "{}"}, {"audience": '{"emails": ["a@b.fi"]}'}]
    for bad in wrong:
        with pytest.raises(BadInput):
            drafts.save(session, bulletin, base=3, by=MAIJA, now=NOW, **bad)
    assert bulletin.revision == 3


def test_the_second_of_two_editors_is_told_and_nothing_is_written_over(session: Session):
    bulletin = written(session, now=NOW)
    save(session, bulletin, "Maijan", base=1)
    with pytest.raises(Conflict) as caught:
        save(session, bulletin, "Pekan", by=PEKKA, base=1, at=NOW + timedelta(seconds=5))
    assert (caught.value.who, caught.value.at, caught.value.revision, caught.value.account_id) == ("Maija", NOW, 2, 1)
    assert "Maijan" in bulletin.source
    assert save(session, bulletin, "Pekan", by=PEKKA, base=2) == 3


def test_who_did_not_hear_the_answer_may_say_it_again(session: Session):
    bulletin = written(session, now=NOW)
    assert save(session, bulletin, "a", base=1) == 2
    assert save(session, bulletin, "a", base=1) == 2
    with pytest.raises(Conflict):
        save(session, bulletin, "b", base=1)


def test_one_revision_of_an_author_in_ten_minutes(session: Session):
    bulletin = written(session, now=NOW)
    for minute in range(25):
        save(session, bulletin, f"text {minute}", at=NOW + timedelta(minutes=minute))
    assert bulletin.revision == 26
    assert numbers(session, bulletin) == [26, 21, 11]
    save(session, bulletin, "Pekan", by=PEKKA, at=NOW + timedelta(minutes=25))
    save(session, bulletin, "taas Maijan", at=NOW + timedelta(minutes=26))
    assert numbers(session, bulletin) == [28, 27, 21, 11], "Pekka's stays, Maija's of these ten minutes is written over"
    assert "text 19" in drafts.revision(session, bulletin.id, 21).source


def test_an_earlier_revision_comes_back_as_a_new_one(session: Session):
    bulletin = written(session, now=NOW)
    first = bulletin.source
    save(session, bulletin, "uusi", at=NOW + timedelta(minutes=10))
    assert drafts.restore(session, bulletin, 1, base=2, by=PEKKA, now=NOW + timedelta(minutes=11)) == 3
    assert bulletin.source == first
    with pytest.raises(Unknown):
        drafts.restore(session, bulletin, 99, base=3, by=PEKKA, now=NOW)


def test_what_a_command_wrote_can_be_saved_and_its_first_text_is_kept(session: Session):
    bulletin = drafts.add(session, the_list(session), subject="Hei", source="a", form="markdown", now=NOW)
    drafts.save(session, bulletin, base=1, source="b", subject="Moi", by=MAIJA, now=NOW + timedelta(hours=1))
    assert (bulletin.subject, bulletin.source) == ("Moi", "b")
    assert [(each.number, each.subject) for each in drafts.revisions(session, bulletin.id)] == [(2, "Moi"), (1, "Hei")]


# ── approval ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_approval_freezes_every_version_the_audience_and_the_sender(session: Session):
    bulletin = written(session, now=NOW, fi="Uutisia", sv="Nyheter", en="News")
    drafts.save(session, bulletin, base=1, audience='{"bases":["consent"]}', by=MAIJA, now=NOW)
    approvals.ask_approval(session, bulletin, by=MAIJA, now=NOW)
    assert drafts.waiting(session) == [bulletin]
    issue = approve(session, bulletin)
    assert drafts.waiting(session) == []
    assert (issue.language, issue.subject, issue.audience) == ("fi", "Uutisia", '{"bases":["consent"]}')
    found = approvals.issue_editions(issue, the_list(session))
    assert {language: made.subject for language, made in found.items()} == {
        "fi": "Uutisia",
        "sv": "Nyheter",
        "en": "News",
    }
    assert next(iter(found)) == "fi"
    assert "Lämna listan" in found["sv"].text
    assert approvals.issue_of(session, bulletin.id) is issue
    approval = approvals.approval_of(session, bulletin.id)
    assert approval is not None
    assert (approval.revision, approval.digest, approval.who) == (2, issue.digest, "Pekka")


@pytest.mark.parametrize("column", ["sender", "subject", "html", "text", "language", "versions", "audience"])
def test_an_issue_altered_in_the_database_is_not_sent(session: Session, column: str):
    bulletin = written(session, now=NOW, fi="Uutisia", sv="Nyheter")
    approve(session, bulletin)
    value = {"language": "en", "versions": None}.get(column, "{}x")
    session.execute(update(Issue).values({column: value}))
    session.expire_all()
    with pytest.raises(Fault, match="altered"):
        approvals.issue_of(session, bulletin.id)


def test_an_issue_from_before_there_were_languages_is_still_good(session: Session):
    bulletin = drafts.add(session, the_list(session), subject="Hei", source="a", form="markdown", now=NOW)
    frozen = [bulletin.list_id, SENDER, "Hei", "<p>", "a", "{}"]
    session.add(Issue(
        bulletin_id=bulletin.id, sender=SENDER, subject="Hei", html="<p>", text="a", audience="{}",
        digest=keys_of(session).seal(json.dumps(frozen, ensure_ascii=False).encode()), approved_at=NOW, approved_by="x",
    ))  # fmt: skip
    session.flush()
    issue = approvals.issue_of(session, bulletin.id)
    assert issue is not None
    assert list(approvals.issue_editions(issue, the_list(session))) == ["fi"]


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"source": source("Uutisia: {name|X}")}, Part.BLOCK),
        ({"source": source("Uutisia: {name|x}", subject="Uutisia!")}, Part.SUBJECT),
        ({"source": source("Uutisia: {name|x}", sv="Nyheter")}, Part.VERSION),
        ({"audience": '{"joined_after":"2026-01-01"}'}, Part.AUDIENCE),
    ],
)
def test_one_letter_or_one_rule_makes_an_approval_void_and_is_named(
    session: Session, change: dict[str, Any], part: Part
):
    bulletin = written(session, now=NOW)
    approve(session, bulletin)
    before = approvals.approval_of(session, bulletin.id)
    assert before is not None
    assert approvals.changed_since(session, before) == []
    drafts.save(session, bulletin, base=1, by=MAIJA, now=NOW + timedelta(minutes=1), **change)
    assert approvals.issue_of(session, bulletin.id) is None
    assert approvals.approval_of(session, bulletin.id) is None
    [approval] = approvals.approvals(session, bulletin.id)
    assert approval.void_at == NOW + timedelta(minutes=1)
    assert [each.part for each in approvals.changed_since(session, approval)] == [part]
    approve(session, bulletin)


def test_saying_what_stands_leaves_the_approval(session: Session):
    bulletin = written(session, now=NOW)
    approve(session, bulletin)
    drafts.save(session, bulletin, base=1, source=bulletin.source, audience=" {} ", by=MAIJA, now=NOW)
    assert approvals.approval_of(session, bulletin.id)


def test_an_approved_revision_is_never_written_over(session: Session):
    bulletin = written(session, now=NOW)
    approve(session, bulletin, by=PEKKA)
    save(session, bulletin, "heti perään", at=NOW + timedelta(seconds=1))
    assert numbers(session, bulletin) == [2, 1]


def test_what_can_not_be_mailed_is_not_approved(session: Session):
    bulletin = written(session, now=NOW)
    save(session, bulletin, "{nmae}")
    for verb in (
        lambda: approve(session, bulletin),
        lambda: approvals.ask_approval(session, bulletin, by=MAIJA, now=NOW),
    ):
        with pytest.raises(BadInput, match="nmae"):
            verb()
    assert approvals.issue_of(session, bulletin.id) is None


def test_it_is_approved_once_and_may_be_withdrawn(session: Session):
    bulletin = written(session, now=NOW)
    with pytest.raises(NotAllowed):
        approvals.withdraw_approval(session, bulletin, now=NOW)
    approve(session, bulletin)
    for verb in (
        lambda: approve(session, bulletin),
        lambda: approvals.ask_approval(session, bulletin, by=MAIJA, now=NOW),
    ):
        with pytest.raises(NotAllowed, match="already"):
            verb()
    approvals.withdraw_approval(session, bulletin, now=NOW)
    assert approvals.issue_of(session, bulletin.id) is None
    assert session.scalar(select(func.count()).select_from(Approval)) == 1


def test_once_given_to_be_sent_nothing_changes(session: Session):
    bulletin = written(session, now=NOW)
    with pytest.raises(NotAllowed, match="not approved"):
        approvals.give_out(session, bulletin.id, now=NOW)
    approve(session, bulletin)
    approvals.give_out(session, bulletin.id, now=NOW)
    for verb in (
        lambda: save(session, bulletin, "x"),
        lambda: drafts.remove(session, bulletin, now=NOW),
        lambda: approvals.withdraw_approval(session, bulletin, now=NOW),
        lambda: approvals.give_out(session, bulletin.id, now=NOW),
    ):
        with pytest.raises(NotAllowed, match="given to be sent"):
            verb()
    assert approvals.issue_of(session, bulletin.id)
    copy = drafts.duplicate(session, bulletin, by=PEKKA, now=NOW)
    assert (copy.source, copy.given_at) == (bulletin.source, None)
    assert approvals.issue_of(session, copy.id) is None


# ── templates, removing, pages ────────────────────────────────────────────────────────────────────────────────────────


def test_a_template_is_begun_from_and_never_sent(session: Session):
    bulletin = written(session, now=NOW)
    drafts.save(session, bulletin, base=1, audience='{"languages":["fi"]}', by=MAIJA, now=NOW)
    template = drafts.as_template(session, bulletin, by=MAIJA, now=NOW)
    assert template.audience == audience.EVERYBODY
    assert drafts.templates(session, template.list_id) == [template]
    with pytest.raises(NotAllowed, match="template"):
        approve(session, template)
    made = drafts.from_template(session, template, by=PEKKA, now=NOW)
    assert (made.template, made.source) == (False, bulletin.source)
    with pytest.raises(NotAllowed):
        drafts.from_template(session, made, by=PEKKA, now=NOW)
    built_in = templates.built_in("offer").of(["sv"])
    assert list(blocks.read(drafts.begin(session, the_list(session), built_in, by=MAIJA, now=NOW).source).versions) == [
        "sv"
    ]


def test_what_is_removed_is_gone_from_pages_and_can_not_be_changed(session: Session):
    first, second, third = (written(session, now=NOW) for _ in range(3))
    approve(session, second)
    drafts.remove(session, second, now=NOW)
    assert drafts.page(session, first.list_id) == [third, first]
    assert drafts.page(session, first.list_id, before_id=third.id, limit=1) == [first]
    assert approvals.issue_of(session, second.id) is None
    with pytest.raises(NotAllowed, match="removed"):
        save(session, second, "x")


def test_a_lists_name_in_another_language(session: Session):
    row = the_list(session)
    lists.set_value(session, row, "name-sv", "Tector informerar", now=NOW)
    assert drafts.look_of(row, language="sv").name == "Tector informerar"
    assert drafts.look_of(row).name == "Tector tiedottaa"
    assert "Tector informerar" in lists.current_text(session, row, "sv").body


def test_the_revisions_list_does_not_load_sources(session: Session):
    bulletin = written(session, now=NOW)
    session.expire_all()
    [kept] = drafts.revisions(session, bulletin.id)
    assert isinstance(kept, Revision)
    assert "source" not in kept.__dict__


@pytest.mark.parametrize(
    ("available", "own", "picked"),
    [(["fi", "sv"], "sv", "sv"), (["fi", "sv"], "en", "fi"), (["sv", "en"], None, "sv"), (["en"], "sv", "en")],
)
def test_the_language_somebody_gets(available: list[str], own: str | None, picked: str):
    assert drafts.pick(available, own=own, of_list="fi") == picked


# ── comparing ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_changes_are_told_by_language_and_block():
    before = drafts.State("blocks", "a", source("yksi", "kaksi", "kolme", subject="a", sv="b"))
    after = replace(
        before, source=source("yksi", "kolme!", "neljä", "viisi", subject="c", en="d"), audience='{"sent":1}'
    )
    told = [(each.part, each.language, each.place) for each in drafts.compare(before, after)]
    assert told == [
        (Part.SUBJECT, "fi", None), (Part.BLOCK, "fi", 1), (Part.BLOCK, "fi", 2), (Part.BLOCK, "fi", 3),
        (Part.VERSION, "sv", None), (Part.VERSION, "en", None), (Part.AUDIENCE, None, None),
    ]  # fmt: skip
    last = drafts.compare(before, after)[3]
    assert last.before is None
    assert json.loads(last.after or "") == {"type": "text", "text": "viisi"}
    assert drafts.compare(before, before) == []


def test_words_laid_beside_each_other():
    assert words("Tule pian, Anna!", "Tule heti, Anna!") == [
        ("same", "Tule "), ("gone", "pian"), ("new", "heti"), ("same", ", Anna!"),
    ]  # fmt: skip
