"""What is wrong with a bulletin: each check alone, and what passes them all."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import dns.resolver
import pytest
from flask import Flask
from sqlalchemy import delete, update
from sqlalchemy.orm import Session

from conftest import NOW
from mailinglist import db, preflight
from mailinglist.bulletins import approvals, blocks, drafts, templates
from mailinglist.bulletins.blocks import Block, Draft, Version
from mailinglist.bulletins.drafts import Author
from mailinglist.bulletins.tables import Bulletin
from mailinglist.bulletins.tables import Image as ImageRow
from mailinglist.consent import lists
from mailinglist.consent.tables import Person
from mailinglist.delivery import dispatch
from mailinglist.delivery.tables import Dispatch
from mailinglist.errors import RegisterUnsound
from mailinglist.preflight import Finding, Level, Where
from mailinglist.preflight.links import Answer, Outcome
from mailinglist.settings import Settings
from making import person, the_list
from zones import zone

# What is tested here does not come to the database, or would be the same on another.
on_sqlite = pytest.mark.parametrize("databases", ["sqlite"], indirect=True)

MAIJA = Author(1, "Maija")
TEXT = (
    "Hei {name|hyvä lukija}! Avaamme uuden toimiston Rälssintiellä ensi kuussa. Tervetuloa tutustumaan tiloihin, "
    "tapaamaan väkeämme ja juomaan kuppi kahvia. Ovet ovat auki arkisin kahdeksasta neljään."
)
ANSWERS: dict[str, Answer] = {}


@pytest.fixture
def session(app: Flask) -> Iterator[Session]:
    with db.transaction() as session:
        yield session


@pytest.fixture(autouse=True)
def answers(monkeypatch: pytest.MonkeyPatch) -> dict[str, Answer]:
    """What addresses answer; those that aren't in it are fine. Nothing of this file leaves the machine."""
    said: dict[str, Answer] = {}

    def check(addresses: list[str], **_: object) -> dict[str, Answer]:
        return {each: said.get(each, Answer(Outcome.FINE, 200)) for each in addresses}

    monkeypatch.setattr(preflight.links, "check", check)
    return said


@pytest.fixture
def reader(session: Session) -> Person:
    """Somebody who would get it."""
    return person(session, "matti@example.fi", now=NOW)


def draft(session: Session, *column: Block, subject: str = "Uusi toimisto avataan", **others: Version) -> Bulletin:
    whole = Draft({"fi": Version(subject, "", column or (blocks.Text(TEXT),)), **others})
    return drafts.begin(session, the_list(session), whole, by=MAIJA, now=NOW)


def examine(session: Session, bulletin: Bulletin, settings: Settings, **more: Any) -> list[Finding]:
    session.flush()
    matter = preflight.gather(session, bulletin, settings=settings)
    return preflight.examine(matter, settings=settings, **more)


def names(found: list[Finding]) -> set[str]:
    return {each.name for each in found}


def picture(session: Session, digest: str = "a" * 64) -> str:
    session.add(
        ImageRow(
            digest=digest, list_id=the_list(session).id, media_type="image/png", width=600, height=300,
            file_name="kuva.png", alt="", content=b"x", created_at=NOW, created_by="Maija",
        )
    )  # fmt: skip
    session.flush()
    return digest


def sent(session: Session, bulletin: Bulletin, *, audience: int, days: int) -> Dispatch:
    """As if it had been sent some days ago."""
    approvals.approve(session, bulletin, sender="a@example.fi", by="test", now=NOW)
    at = NOW - timedelta(days=days)
    made = dispatch.send(session, bulletin.id, sender="a@example.fi", by="test", at=None, publishers=(), now=at)
    made.audience, made.state, made.began_at = audience, "sent", at
    session.flush()
    return made


# ── nothing wrong ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_good_bulletin_has_nothing_wrong(session: Session, settings: Settings, reader: Person):
    good = draft(
        session,
        blocks.Heading(2, "Uusi toimisto"),
        blocks.Text(TEXT + " Lue lisää [sivuiltamme](https://www.example.fi/uutiset)."),
        blocks.Image(picture(session), "Uusi toimistotalo kadulta nähtynä", "https://www.example.fi/talo"),
        blocks.Columns((blocks.Text("Vasen"),), (blocks.Button("Tutustu", "https://www.example.fi/tutustu"),)),
    )
    assert examine(session, good, settings) == []


@on_sqlite
def test_a_bulletin_in_markdown_is_looked_at_too(session: Session, settings: Settings, reader: Person):
    row = the_list(session)
    good = drafts.add(session, row, subject="Uusi toimisto", source=TEXT, form="markdown", now=NOW)
    assert examine(session, good, settings) == []
    bad = drafts.add(
        session, row, subject="Toimisto",
        source=f"{TEXT} {{name}} [tästä](/sivut) [kirje](kirje.pdf) ![](https://www.example.fi/a.png) [Nimi]",
        form="markdown", now=NOW,
    )  # fmt: skip
    found = examine(session, bad, settings)
    assert names(found) == {"link_relative", "name_without_fallback", "image_alt", "template_text"}
    assert [each.words.values["address"] for each in found if each.name == "link_relative"] == ["/sivut", "kirje.pdf"]
    assert len({each.key for each in found}) == len(found)


@on_sqlite
def test_a_bulletin_in_html_is_looked_at_too(session: Session, settings: Settings, reader: Person):
    source = f'<p>{TEXT} <a href="sivu.html">x</a><a href="#top">y</a><a href="https://www.example.fi/">z</a></p>'
    made = drafts.add(session, the_list(session), subject="Toimisto", source=source, form="html", now=NOW)
    found = examine(session, made, settings)
    assert {each.words.values.get("address") for each in found} == {"sivu.html", "#top"}


# ── content ───────────────────────────────────────────────────────────────────────────────────────────────────────────

IMAGE = "a" * 64
Case = tuple[tuple[Block, ...], str, Level, tuple[int, ...] | None]
BROKEN: list[Case] = [
    ((blocks.Text(TEXT), blocks.Button("Osta", "/kauppa")), "link_relative", Level.ERROR, (1,)),
    ((blocks.Text(f"{TEXT} [x](kauppa.html)"),), "link_relative", Level.ERROR, (0,)),
    ((blocks.Text(TEXT), blocks.Button("Osta", "")), "cannot_be_mailed", Level.ERROR, (1,)),
    ((blocks.Text(TEXT), blocks.Image("")), "cannot_be_mailed", Level.ERROR, (1,)),
    ((blocks.Text("Hei {nmae}! " + TEXT),), "cannot_be_mailed", Level.ERROR, (0,)),
    ((blocks.Text(TEXT), blocks.Text("Terveisin\n[Nimi]")), "template_text", Level.ERROR, (1,)),
    ((blocks.Text(TEXT), blocks.List(("x", "[Päivämäärä: tapahtuma]"))), "template_text", Level.ERROR, (1,)),
    ((blocks.Text(TEXT + " [lisää tähän]"),), "brackets", Level.WARNING, (0,)),
    ((blocks.Text(TEXT + " {{ etunimi }}"),), "placeholder_left", Level.WARNING, (0,)),
    ((blocks.Text(TEXT + " *|FNAME|*"),), "placeholder_left", Level.WARNING, (0,)),
    ((blocks.Text(TEXT + " %%nimi%%"),), "placeholder_left", Level.WARNING, (0,)),
    ((blocks.Text(TEXT + " {etu nimi}"),), "placeholder_left", Level.WARNING, (0,)),
    ((blocks.Text(TEXT + " <<Nimi>>"),), "placeholder_left", Level.WARNING, (0,)),
    ((blocks.Heading(2, "Lorem ipsum"), blocks.Text(TEXT)), "placeholder_left", Level.WARNING, (0,)),
    ((blocks.Text(TEXT), blocks.Text("Hei {name}!")), "name_without_fallback", Level.WARNING, (1,)),
    ((blocks.Text(TEXT), blocks.Image(IMAGE)), "image_alt", Level.WARNING, (1,)),
    (
        (blocks.Columns((blocks.Text(TEXT),), (blocks.Image(IMAGE, "", "https://www.example.fi"),)),),
        "image_alt_link", Level.ERROR, (0, 1, 0),
    ),
    ((blocks.Image(IMAGE, "Kuva talosta"),), "image_only", Level.ERROR, None),
    ((blocks.Image(IMAGE, "x"), blocks.Button("Osta", "https://www.example.fi")), "image_only", Level.ERROR, None),
    ((blocks.Image(IMAGE, "Kuva talosta"), blocks.Text("Tervetuloa!")), "little_text", Level.WARNING, None),
]  # fmt: skip


@on_sqlite
def test_what_is_wrong_with_a_block_is_said_at_its_place(session: Session, settings: Settings, reader: Person):
    picture(session)
    for column, name, level, place in BROKEN:
        found = examine(session, draft(session, *column), settings)
        assert [(each.name, each.level, each.place) for each in found] == [(name, level, place or ())], column
        assert (found[0].where, found[0].language) == (Where.BLOCK if place else Where.VERSION, "fi")
        assert str(found[0].words)
        assert str(found[0].mend)


@on_sqlite
def test_a_link_written_as_text_is_no_bracket(session: Session, settings: Settings, reader: Person):
    made = draft(session, blocks.Text(f"{TEXT} [Nimi](https://www.example.fi/nimi) ja [a](mailto:a@example.fi)"))
    assert examine(session, made, settings) == []


@on_sqlite
def test_an_image_without_any_words_leaves_no_text(session: Session, settings: Settings, reader: Person):
    found = examine(session, draft(session, blocks.Image(picture(session))), settings)
    assert names(found) == {"no_text", "image_only", "image_alt"}


@on_sqlite
def test_an_empty_bulletin_says_so_once(session: Session, settings: Settings, reader: Person):
    made = drafts.begin(session, the_list(session), by=MAIJA, now=NOW)
    found = examine(session, made, settings)
    assert [(each.name, each.where) for each in found] == [
        ("subject_empty", Where.SUBJECT),
        ("cannot_be_mailed", Where.VERSION),
    ]


@on_sqlite
def test_a_subject_that_says_nothing(session: Session, settings: Settings, reader: Person):
    drafts.as_template(session, draft(session, subject="Kevätkirje"), by=MAIJA, now=NOW)
    for subject in ("Uutiskirje", "  UUTISIA ", "Newsletter", "test", "Kevätkirje"):
        (finding,) = examine(session, draft(session, subject=subject), settings)
        assert (finding.name, finding.level, finding.where) == ("subject_default", Level.WARNING, Where.SUBJECT), (
            subject
        )


@on_sqlite
def test_the_subject_is_looked_through_like_the_text(session: Session, settings: Settings, reader: Person):
    for subject, name in (
        ("Uutisia [kuukausi]", "brackets"), ("Hei {{ nimi }}", "placeholder_left"),
        ("Hei {name}", "name_without_fallback"),
    ):  # fmt: skip
        (finding,) = examine(session, draft(session, subject=subject), settings)
        assert (finding.name, finding.where, finding.place) == (name, Where.SUBJECT, ())
    (finding,) = examine(session, draft(session, subject="Hei {nimi}"), settings)
    assert (finding.name, finding.level) == ("cannot_be_mailed", Level.ERROR)


@on_sqlite
def test_a_template_that_nobody_wrote_in_is_full_of_errors(session: Session, settings: Settings, reader: Person):
    for name in templates.BUILT_IN:
        for language in ("fi", "sv", "en"):
            whole = templates.built_in(name).of([language])
            found = examine(session, drafts.begin(session, the_list(session), whole, by=MAIJA, now=NOW), settings)
            assert len([each for each in found if each.name == "template_text"]) >= 3
            assert not any(each.name == "brackets" for each in found)
            assert {"subject_empty", "cannot_be_mailed"} <= names(found)


@on_sqlite
def test_weight(session: Session, settings: Settings, reader: Person):
    for size, expected in ((60_000, set()), (90_000, {"heavy"}), (100_000, {"too_heavy"})):
        paragraphs = [blocks.Text("sana " * 2000)] * (size // 10_000) + [blocks.Text("y" * (size % 10_000))]
        assert names(examine(session, draft(session, *paragraphs), settings)) == expected


# ── links ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


@on_sqlite
def test_a_dead_link_is_found_in_its_block(
    session: Session, settings: Settings, reader: Person, answers: dict[str, Answer]
):
    gone, shut, silent = (f"https://www.example.fi/{each}" for each in ("gone", "shut", "silent"))
    answers |= {
        gone: Answer(Outcome.GONE, 404), shut: Answer(Outcome.CLOSED, 403), silent: Answer(Outcome.SILENT),
    }  # fmt: skip
    made = draft(
        session, blocks.Text(f"{TEXT} [a]({gone}) [b](https://www.example.fi/fine)"),
        blocks.Columns((blocks.Button("Osta", shut),), (blocks.Image(picture(session), "Kuva", silent),)),
    )  # fmt: skip
    found = examine(session, made, settings)
    assert [(each.name, each.level, each.place) for each in found] == [
        ("link_gone", Level.ERROR, (0,)),
        ("link_closed", Level.WARNING, (1, 0, 0)),
        ("link_unreachable", Level.WARNING, (1, 1, 0)),
    ]
    assert [each.words.values["address"] for each in found] == [gone, shut, silent]


@on_sqlite
def test_a_link_to_this_machine_is_told_at_once_and_once(
    session: Session, settings: Settings, reader: Person, answers: dict[str, Answer]
):
    near = "http://127.0.0.1:8000/"
    made = draft(session, blocks.Text(f"{TEXT} [a]({near})"))
    for outcome in (Outcome.FINE, Outcome.PRIVATE):
        answers[near] = Answer(outcome)
        for online in (True, False):
            [found] = examine(session, made, settings, online=online)
            assert (found.name, found.level, found.place) == ("link_private", Level.WARNING, (0,))
    answers[near] = Answer(Outcome.GONE, 404)
    assert names(examine(session, made, settings)) == {"link_private", "link_gone"}


@on_sqlite
def test_where_no_names_are_looked_up_the_sentence_is_one_and_the_links_are_its_places(
    session: Session, settings: Settings, reader: Person, answers: dict[str, Answer]
):
    first, second = "https://www.example.fi/a", "https://muu.example.fi/b"
    answers |= {first: Answer(Outcome.UNKNOWN), second: Answer(Outcome.UNKNOWN)}
    found = examine(session, draft(session, blocks.Text(f"{TEXT} [a]({first}) [b]({second})")), settings)
    assert [each.detail for each in found] == [first, second]
    assert len({each.words.words for each in found}) == 1
    assert len({each.key for each in found}) == 2


@on_sqlite
def test_thirty_links_are_tried_and_the_rest_is_said(
    session: Session, settings: Settings, reader: Person, monkeypatch: pytest.MonkeyPatch
):
    asked: list[str] = []

    def check(addresses: list[str], **_: object) -> dict[str, Answer]:
        asked.extend(addresses)
        return {each: Answer(Outcome.FINE, 200) for each in addresses}

    monkeypatch.setattr(preflight.links, "check", check)
    links = " ".join(f"[{number}](https://www.example.fi/{number})" for number in range(33))
    (finding,) = examine(
        session, draft(session, blocks.Text(f"{TEXT} {links} [0](https://www.example.fi/0)")), settings
    )
    assert len(asked) == 30
    assert (finding.name, finding.level) == ("links_unchecked", Level.WARNING)
    assert finding.words.values == {"number": 3, "address": "https://www.example.fi/30"}


@on_sqlite
def test_without_the_web_nobody_is_asked(
    session: Session, settings: Settings, reader: Person, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delattr(preflight.links, "check")
    monkeypatch.delattr(preflight.senders, "check")
    made = draft(session, blocks.Text(f"{TEXT} [a](https://www.example.fi/) [Nimi]"))
    assert names(examine(session, made, settings, online=False)) == {"template_text"}


# ── recipients ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_nobody_would_get_it(session: Session, settings: Settings, reader: Person):
    made = draft(session)
    drafts.save(session, made, base=1, audience='{"languages":["sv"]}', by=MAIJA, now=NOW)
    found = examine(session, made, settings)
    assert [(each.name, each.level, each.where) for each in found] == [("audience_empty", Level.ERROR, Where.AUDIENCE)]


def test_an_audience_that_cant_be_read(session: Session, settings: Settings, reader: Person):
    made = draft(session)
    session.execute(update(Bulletin).where(Bulletin.id == made.id).values(audience='{"everyone": true}'))
    session.refresh(made)
    assert names(examine(session, made, settings)) == {"audience_unreadable"}


def test_an_audience_smaller_than_usual(session: Session, settings: Settings, reader: Person):
    for earlier, expected in (
        ([], set()), ([1, 2, 1], set()), ([12, 9, 11], {"audience_smaller"}), ([5, 6, 7], set()),
        ([900, 12, 11, 14, 13, 12, 1, 1, 1], {"audience_smaller"}), ([1, 2, 1, 100, 200], set()),
    ):  # fmt: skip
        session.execute(delete(Dispatch))
        for days, number in enumerate(earlier, start=1):
            text = blocks.Text(f"Numero {days} aivan muuta")
            sent(session, draft(session, text, subject=f"S{days}"), audience=number, days=days)
        assert names(examine(session, draft(session), settings)) == expected, earlier


def test_an_audience_larger_than_usual(session: Session, settings: Settings):
    for number in range(14):
        person(session, f"p{number}@example.fi", now=NOW)
    sent(session, draft(session, blocks.Text("Aivan muuta"), subject="Muuta"), audience=4, days=3)
    (finding,) = examine(session, draft(session), settings)
    assert (finding.name, finding.words.values) == ("audience_larger", {"number": 14, "usual": 4})


def test_recipients_whose_language_is_missing(session: Session, settings: Settings, reader: Person):
    for number in range(2):
        person(session, f"p{number}@example.se", now=NOW).language = "sv"
    made = draft(session)
    (finding,) = examine(session, made, settings)
    assert (finding.name, finding.level, finding.language) == ("language_missing", Level.WARNING, "sv")
    assert finding.words.values == {"number": 2}
    drafts.save(session, made, base=1, audience='{"languages":["fi","en"]}', by=MAIJA, now=NOW)
    assert examine(session, made, settings) == []
    both = draft(session, sv=Version("Nytt kontor öppnas", "", (blocks.Text(TEXT),)))
    assert examine(session, both, settings) == []


def test_a_bulletin_much_like_the_last_one(session: Session, settings: Settings, reader: Person):
    before = draft(session)
    sent(session, before, audience=1, days=2)
    sent(session, draft(session, blocks.Text("Aivan muuta"), subject="Vanhempi"), audience=1, days=9)
    again = drafts.duplicate(session, before, by=MAIJA, now=NOW)
    found = examine(session, again, settings)
    assert [(each.name, each.level) for each in found] == [
        ("subject_as_last", Level.WARNING),
        ("like_last", Level.WARNING),
    ]
    assert found[1].words.values == {"subject": before.subject}
    nearly = draft(session, blocks.Text(TEXT.replace("kahvia", "teetä")), subject="Toinen aihe")
    assert names(examine(session, nearly, settings)) == {"like_last"}
    other = draft(session, blocks.Text(TEXT[:60] + " Nyt kerromme jostakin aivan muusta, nimittäin syksyn messuista."))
    assert names(examine(session, other, settings)) == {"subject_as_last"}
    session.execute(delete(Dispatch).where(Dispatch.bulletin_id == before.id))
    assert examine(session, again, settings) == []


def test_bans_that_cant_be_read_end_it(
    session: Session, settings: Settings, reader: Person, monkeypatch: pytest.MonkeyPatch
):
    def unsound(*_: object) -> None:
        raise RegisterUnsound("no")

    monkeypatch.setattr("mailinglist.consent.keys.assert_sound", unsound)
    with pytest.raises(RegisterUnsound):
        preflight.gather(session, draft(session), settings=settings)


# ── the sender ────────────────────────────────────────────────────────────────────────────────────────────────────────

GOOD = {"tector.fi": ["v=spf1 mx -all"], "_dmarc.tector.fi": ["v=DMARC1; p=quarantine"]}


def real(settings: Settings, **more: str) -> Settings:
    values = {"mail_from": "Tector <tiedote@tector.fi>", "smtp_url": "smtp://mail.tector.fi", **more}
    return Settings.of(**{"base_url": settings.base_url, **values})


@on_sqlite
def test_a_domain_of_which_nothing_is_published_is_an_error_for_many(
    session: Session, settings: Settings, reader: Person
):
    matter = preflight.gather(session, draft(session), settings=real(settings))
    for audience, level in ((4999, Level.WARNING), (5000, Level.ERROR)):
        many = replace(matter, audience=audience)
        with zone({}) as resolver:
            found = preflight.examine(many, settings=real(settings), resolver=lambda known=resolver: known)
        levels = {each.name: each.level for each in found}
        assert levels == {"sender_spf": level, "sender_dmarc": level, "sender_dkim": Level.WARNING}
        assert "v=spf1" in str(next(each for each in found if each.name == "sender_spf").mend)


@on_sqlite
def test_only_the_senders_own_domain_is_asked(session: Session, settings: Settings, reader: Person):
    other = lists.add(session, "toinen", "Toinen", now=NOW)
    lists.set_value(session, other, "sender", "News <news@other.fi>", now=NOW)
    matter = preflight.gather(session, draft(session), settings=real(settings))
    with zone(GOOD) as resolver:
        found = preflight.examine(matter, settings=real(settings), resolver=lambda: resolver)
    assert [(each.name, each.level) for each in found] == [("sender_dkim", Level.WARNING)]  # not signed here


@on_sqlite
def test_a_private_domain_counts_once_mail_leaves(session: Session, settings: Settings, reader: Person):
    outside = real(settings, mail_from="a@localhost.localdomain")
    matter = preflight.gather(session, draft(session), settings=outside)
    assert names(preflight.examine(matter, settings=outside)) == {"sender_private"}


@on_sqlite
def test_a_resolver_that_does_not_answer_costs_a_warning_and_no_more_time(
    session: Session, settings: Settings, reader: Person, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(preflight, "SECONDS", 0.3)
    matter = preflight.gather(session, draft(session), settings=real(settings))

    over = threading.Event()

    def slow() -> dns.resolver.Resolver:
        over.wait(10)
        raise dns.resolver.NoResolverConfiguration

    def none() -> dns.resolver.Resolver:
        raise dns.resolver.NoResolverConfiguration

    for resolver in (slow, none):
        started = time.monotonic()
        assert names(preflight.examine(matter, settings=real(settings), resolver=resolver)) == {"sender_dns"}
        assert time.monotonic() - started < 0.9
    over.set()


def test_a_list_that_does_not_say_who_sends(session: Session, settings: Settings, reader: Person):
    made = draft(session)
    lists.set_value(session, the_list(session), "postal_address", "", now=NOW)
    (finding,) = examine(session, made, settings)
    assert (finding.name, finding.level) == ("sender_unnamed", Level.ERROR)


# ── what hinders ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_errors_hinder_and_warnings_until_they_are_acknowledged(session: Session, settings: Settings, reader: Person):
    made = draft(
        session, blocks.Text(TEXT + " [x]"), blocks.Text("Toinen [y] {{ z }}"), blocks.Button("Osta", "/kauppa"),
        subject="Testi",
    )  # fmt: skip
    found = examine(session, made, settings)
    assert [each.level for each in found] == [Level.ERROR] + [Level.WARNING] * 4
    keys = [each.key for each in found]
    assert keys == [
        "link_relative:fi:2",
        "subject_default:fi",
        "brackets:fi:0",
        "brackets:fi:1",
        "placeholder_left:fi:1",
    ]
    assert preflight.hinders(found, []) == found
    assert preflight.hinders(found, ["brackets:fi:0", "link_relative:fi:2", "brackets"]) == [
        found[0],
        found[1],
        *found[3:],
    ]
    assert preflight.hinders(found, keys) == [found[0]]


@on_sqlite
def test_the_same_thing_twice_in_one_place_has_two_keys(session: Session, settings: Settings, reader: Person):
    made = draft(session, blocks.Text(f"{TEXT} [a](eka.html) [b](toka.html)"))
    assert [each.key for each in examine(session, made, settings)] == ["link_relative:fi:0", "link_relative:fi:0:1"]
