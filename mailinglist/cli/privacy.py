"""`mailinglist privacy …`: retention, disclosures, the record of processing, and what a breach would be about."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime

import click
from flask import current_app

from .. import db
from ..consent import register
from ..consent.address import parse
from ..errors import BadInput, Unknown
from ..privacy import access, disclosures, retention
from ..privacy import breach as helper
from ..privacy import record as register_of_processing
from ..settings import SETTINGS, Settings
from . import output
from .opening import actor, opened
from .opening import record as note

_MOMENTS = "RFC 3339, with its offset"


@click.group()
def privacy() -> None:
    """What is held, why, and for how long; who outside got what."""


@privacy.command("retention")
@click.option("--dry-run", is_flag=True, help="Say what would go now, and let nothing go.")
@output.as_json
def retention_(dry_run: bool, as_json: bool) -> None:
    """Let go what has had its time, as the scheduler does daily, and say how much that was."""
    with opened():
        with db.reading() as session:
            found = retention.due(session, now=db.utcnow())
        went = dict.fromkeys(retention.NAMES, 0) if dry_run else retention.run(stop=lambda: False)
        if not dry_run:
            with db.transaction() as session:
                note(session, "retention_run", number=sum(went.values()))
    if as_json:
        rules = [
            {
                "rule": each.rule.name, "what": each.rule.what, "days": each.days, "why": each.rule.basis,
                "before": each.before, **({"due": each.number} if dry_run else {"gone": went[each.rule.name]}),
            }
            for each in found
        ]  # fmt: skip
        output.document({"dry_run": dry_run, "rules": rules})
        return
    for each in found:
        number = each.number if dry_run else went[each.rule.name]
        output.line(f"{number:>9,}  {each.rule.what}: {each.days} days, since {each.rule.basis}")
    output.line("Nothing was let go." if dry_run else f"{sum(went.values()):,} let go.")


@privacy.command()
@click.argument("addresses", nargs=-1, required=True, metavar="ADDRESS…")
@click.option("--to", "recipient", required=True, metavar="NAME", help="Who gets the data.")
@click.option("--basis", required=True, metavar="TEXT", help="The law, article or decision that allows it.")
@click.option(
    "--fields", required=True, metavar="NAME,…", help=f"What is given, of: {', '.join(disclosures.FIELDS)}."
)  # fmt: skip
@click.option("--reference", default="", metavar="TEXT", help="The recipient's own case number.")
@click.option(
    "--restricted-on", "ground", type=click.Choice(list(disclosures.GROUNDS)), default=None,
    help="On what data of somebody who has restricted their use may be given (GDPR 18(2)): their consent, legal "
    "claims, the rights of others, or important public interest.",
)  # fmt: skip
def disclose(
    addresses: tuple[str, ...], recipient: str, basis: str, fields: str, reference: str, ground: str | None
) -> None:
    """Write down a disclosure, and print what may be given, as JSON. Without a legal basis it is refused."""
    now = db.utcnow()
    chosen = [field.strip() for field in fields.split(",") if field.strip()]
    with opened(), db.transaction() as session:
        persons = []
        for address in dict.fromkeys(addresses):
            person = register.find(session, parse(address))
            if person is None:
                raise Unknown("Nobody with this address is in the register.")
            persons.append(person)
        noted = disclosures.note(
            session, [person.id for person in persons], recipient=recipient, basis=basis, fields=chosen,
            reference=reference, ground=ground or "", by=actor(), now=now,
        )  # fmt: skip
        documents = [access.document(session, person, now=now) for person in persons]
        note(session, "data_disclosed", about=f"disclosure {noted.id}", number=noted.number, fields=list(noted.fields))
        for person in persons:
            note(session, "data_disclosed", about=f"person {person.id}", disclosure=noted.id)
    given = [disclosures.part(document, noted.fields) for document in documents]
    output.document({"disclosure": noted.id, "at": noted.at, "to": noted.recipient, "persons": given})


@privacy.command("disclosures")
@output.as_json
def disclosures_(as_json: bool) -> None:
    """The disclosures, newest first: who got what, on what ground."""
    with opened(), db.reading() as session:
        found = disclosures.newest(session, limit=1000)
    if as_json:
        output.document([asdict(each) for each in found])
        return
    for each in found:
        persons = output.count(each.number, "person")
        output.line(f"{each.id}  {output.when(each.at)}  {each.recipient}  {persons}: {', '.join(each.fields)}")
        output.line(f"    {each.basis}; written down by {each.who}")


@privacy.command()
@output.as_json
def record(as_json: bool) -> None:
    """The record of processing activities (GDPR 30), from what the program does and how it is set."""
    with opened(), db.reading() as session:
        made = register_of_processing.make(session, _settings(), now=db.utcnow())
    if as_json:
        output.document(asdict(made))
        return
    for line in register_of_processing.lines(made):
        output.line(line)


@privacy.command()
@click.option("--from", "since", required=True, metavar="TIME", help=f"Beginning of the period; {_MOMENTS}.")
@click.option("--to", "until", required=True, metavar="TIME", help=f"Its end; {_MOMENTS}.")
@output.as_json
def breach(since: str, until: str, as_json: bool) -> None:
    """What is held about how many persons, where, and who looked at it in a period (GDPR 33, 34)."""
    begin, end = _moment(since), _moment(until)
    if begin >= end:
        raise BadInput("The period ends before it begins.")
    with opened(), db.transaction() as session:
        found = helper.look(session, _settings(), since=begin, until=end)
        note(session, "breach_looked_into", since=begin.isoformat(), until=end.isoformat())
    if as_json:
        output.document(asdict(found))
        return
    for line in helper.lines(found):
        output.line(line)


def _settings() -> Settings:
    settings: Settings = current_app.config[SETTINGS]
    return settings


def _moment(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise BadInput(f"{text} is no time: write it like 2026-11-22T10:00:00+02:00.") from None
    if found.tzinfo is None:
        raise BadInput("A time needs its offset, as in 2026-11-22T10:00:00+02:00.")
    return found
