"""One registry of what is held: every table, every folder, and what each says is true."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select

from coming_back import mailed
from conftest import NOW
from mailinglist import db, periods, schema
from mailinglist.consent import address, bans, notes, register
from mailinglist.consent.states import ALL_CHANNELS
from mailinglist.delivery import bounces, complaints, handoffs
from mailinglist.delivery.verdicts import Verdict
from mailinglist.inbound import spool
from mailinglist.inbound.tables import OWNER, Spooled
from mailinglist.privacy import access, disclosures, notice, registry, rights, tasks
from mailinglist.privacy.registry import DELETED, HOLDINGS, WHY, About
from mailinglist.settings import Settings
from mailinglist.staff import audit
from mailinglist.staff.audit import Actor
from making import ORIGIN, ask, person, the_list

ROOT = Path(__file__).resolve().parents[2]
BY = Actor(None, "Maija Mainio", "192.0.2.44")


def test_every_table_stands_in_it_and_nothing_else() -> None:
    assert {each.name for each in HOLDINGS if not each.folder} == set(schema.metadata.tables)
    assert len(registry.BY_NAME) == len(HOLDINGS)
    assert set(WHY) == set(registry.Why)


def test_each_line_says_all_there_is_to_say() -> None:
    for each in HOLDINGS:
        assert each.what, each.name
        assert each.kept_for(periods.DEFAULTS), each.name
        assert bool(each.exported) != bool(each.withheld), f"{each.name}: in the document, or why not"
        assert bool(each.notice) == (each.about is About.SUBSCRIBERS), each.name
        assert each.notice in ("", *notice.HELD), each.name
        assert each.erased == DELETED or each.erased.startswith(("kept", "a file")), each.name
        assert ("{days}" in each.period) == (each.rule is not None), each.name
        assert each.rule is None or each.rule in periods.PERIODS, each.name


def test_a_column_that_names_a_person_is_in_no_table_about_nobody() -> None:
    """A table that points to persons, or holds an address, says something about somebody."""
    telling = re.compile(r"person|mailbox|address|client|recipient")
    for table in schema.metadata.tables.values():
        if any(telling.search(column.name) for column in table.columns):
            assert registry.BY_NAME[table.name].about is not About.NOBODY, table.name


def folders_in_code() -> set[str]:
    """Whatever the program's code puts into the data directory, by its first step from there."""
    found: set[str] = set()
    for path in (*(ROOT / "mailinglist").rglob("*.py"), *(ROOT / "worker").rglob("*.py")):
        found |= set(re.findall(r'data_dir\)?(?:\.joinpath\(| / )"([\w.]+)"', path.read_text(encoding="utf-8")))
    return found


def test_every_place_in_the_data_directory_stands_in_it() -> None:
    places = folders_in_code()
    assert {"keys", "log", "catcher", "broker"} <= places, "this test finds them"
    known = {each.name.rstrip("/") for each in HOLDINGS if each.folder} | set(registry.FILES)
    assert places <= known


def test_what_a_start_leaves_in_the_data_directory_stands_in_it(settings: Settings, app: Flask) -> None:
    settings.model_copy(update={"ban_key": None, "secret_keys": ()}).with_keys()
    with db.transaction() as session:
        person(session, "matti@example.fi", now=NOW)
        rights.erase(session, address.parse("matti@example.fi"), NOW)
    for path in Path(settings.data_dir).iterdir():
        name = f"{path.name}/" if path.is_dir() else path.name
        assert name in registry.BY_NAME or name in registry.FILES, name


def test_the_manual_says_the_same() -> None:
    told = (ROOT / "docs" / "privacy.md").read_text(encoding="utf-8")
    lines = {
        f"| {each.what} | `{each.name}` | {each.kept_for(periods.DEFAULTS)} | {each.erased} |"
        for each in HOLDINGS
        if each.about is not About.NOBODY
    }
    assert lines == {line for line in told.splitlines() if re.match(r"\| .* \| `[a-z_]+/?` \| ", line)}
    for name, period in periods.PERIODS.items():
        assert f"| `{name}` | {period.days} | {period.least} | " in told, name


def full_life() -> int:
    """Somebody about whom every table that can holds something. Their number."""
    with db.transaction() as session:
        made = person(session, "Matti@example.fi", now=NOW)
        ask(session, "Matti@example.fi", now=NOW + timedelta(hours=1))
        bans.add(session, made.digest, ALL_CHANNELS[1:3], source="phone", now=NOW)
        notes.add(session, made.id, "note", "rang", on=NOW, who="Maija Mainio", now=NOW)
        handoffs.enqueue(session, kind="bulletin", about=1, list_id=the_list(session).id, person_id=made.id, now=NOW)
        disclosures.note(
            session, [made.id], recipient="Tax office", basis="Act 1558/1995, section 19", fields=["address", "mails"],
            reference="T/17", by=BY, now=NOW,
        )  # fmt: skip
        tasks.open(session, "other", person_id=made.id, words="What about me?", due_at=NOW, now=NOW)
        audit.note(session, "person_seen", by=BY, about=f"person {made.id}", now=NOW)
        failed, unwanted = mailed(session, 7, [made.id], now=NOW), mailed(session, 8, [made.id], now=NOW)
        bounces.note(session, failed[0], Verdict.MAILBOX, words="mailbox full", now=NOW)
        complaints.note(session, unwanted[0], "example.net", evidence={}, now=NOW)
        written = b"From: Matti@example.fi\r\nSubject: Hei\r\n\r\nMiten voin liittya?\r\n"
        spool.keep(session, recipient="x-owner@x.fi", sender="Matti@example.fi", via="pipe", raw=written, now=NOW)
        row = session.scalars(select(Spooled)).one()
        spool.done(row, state=OWNER, kind="other", outcome="owner", person_id=made.id, now=NOW)
        return made.id


def document(number: int) -> dict[str, Any]:
    with db.reading() as session:
        held = register.find(session, address.parse("matti@example.fi"))
        assert held is not None
        assert held.id == number
        return access.document(session, held, now=NOW)


def test_the_document_holds_what_the_registry_says(app: Flask) -> None:
    found = document(full_life())
    for each in HOLDINGS:
        value: Any = found
        for key in filter(None, each.exported.split(".")):
            value = value[key]
        assert value, f"{each.name} in {each.exported}"
    assert found["rights_office"]["disclosures"][0]["recipient"] == "Tax office"
    assert found["came_back"]["failed"][0]["words"] == "mailbox full"
    assert found["mails_to_us"][0]["words"].strip() == "Miten voin liittya?"
    assert found["looks_by_staff"] == [{"at": NOW.isoformat(), "act": "person_seen"}]
    assert "192.0.2.7" in str(found["register"]["history"]), "the client's address that we hold"
    text = access.written(found)
    for hidden in ("Maija", BY.client, "salt", "digest", "account_id", '"hash"', '"chain"'):
        assert hidden not in text.replace("keyed digest", "").replace("digests", ""), hidden
    assert {"what", "why", "kept"} == set(found["held"][0])
    assert ORIGIN["client"] in text


def test_an_erasure_does_what_the_registry_says(app: Flask) -> None:
    number = full_life()
    with db.transaction() as session:
        rights.erase(session, address.parse("matti@example.fi"), NOW)
    with db.reading() as session:
        for table in schema.metadata.sorted_tables:
            key = table.columns.get("person_id") if table.name != "persons" else table.columns["id"]
            if key is None:
                continue
            left = len(session.execute(table.select().where(key == number)).all())
            assert bool(left) == (registry.BY_NAME[table.name].erased != DELETED), table.name


@pytest.mark.parametrize("wrong", ["nonsense=3", "audit=30", "evidence=100", "answers", "answers=x", "audit=99999999"])
def test_a_wrong_period_stops_the_start_by_name(wrong: str) -> None:
    from mailinglist.errors import SettingsError

    with pytest.raises(SettingsError, match=r"^MAILINGLIST_KEEP: "):
        Settings.of(keep=wrong)


def test_periods_are_settings() -> None:
    settings = Settings.of(keep="answers=30, audit=1000")
    assert settings.keep_days == {**periods.DEFAULTS, "answers": 30, "audit": 1000}
    assert Settings.load(settings.environment()) == settings
