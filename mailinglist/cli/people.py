"""`mailinglist people …`: import, add, show, export, erase."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from datetime import datetime
from typing import BinaryIO

import click
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from .. import db
from ..consent import lists, register, registrar, transfer
from ..consent.address import Address, parse
from ..consent.people import look_up
from ..consent.register_many import Admission
from ..consent.registrar import Told
from ..consent.states import Basis
from ..consent.tables import MailingList
from ..consent.transfer import Consignment, Report
from ..errors import BadInput, Fault, MailinglistError, Unknown
from ..i18n import LANGUAGES
from ..privacy import access, rights
from . import output
from .opening import opened, record, who

on_list = click.option("--list", "slug", required=True, metavar="SLUG", help="The list's short name.")


@click.group()
def people() -> None:
    """The persons on the lists."""


@people.command("import")
@click.argument("file", type=click.File("rb"))
@on_list
@click.option(
    "--basis",
    type=click.Choice([basis.value for basis in Basis]),
    required=True,
    help="On what legal basis they are mailed.",
)
@click.option("--source", required=True, metavar="TEXT", help="Where they come from; kept as evidence.")
@click.option("--dry-run", is_flag=True, help="Check and report, and write nothing.")
@output.as_json
def import_(file: BinaryIO, slug: str, basis: str, source: str, dry_run: bool, as_json: bool) -> int:
    """Take in people who are on a list elsewhere: active at once, without a letter.

    FILE is CSV in UTF-8 whose first line names the columns: email, name, language, sale_reference; only the first is
    needed. Every line is checked before anything is written. Then a thousand people go into a transaction, so that
    sign-ups go on meanwhile. If it is cut off, give the same command again: who is in stays as they are. Who is banned
    or has left is refused, as is each line with a fault; the rest is taken in. A language may be a code, a word (suomi,
    svenska, English) or a locale; who is new and has none that is known gets the list's. The answer is no (1) when not
    one line was taken in.
    """
    name = "standard input" if file.name in ("-", "<stdin>") else os.path.basename(file.name)
    consignment = transfer.read(file.read(), basis=Basis(basis), source=source, file=name)
    with opened(), output.progress("Taking in", len(consignment)) as done:
        report = _rehearsed(slug, consignment, done) if dry_run else _taken_in(slug, consignment, done)
    if as_json:
        output.document({"dry_run": dry_run, **asdict(report)})
    else:
        for refusal in report.refused:
            output.line(f"line {refusal.line}: {refusal.reason}")
        for remark in report.remarks:
            output.line(f"line {remark.line}: taken: {', '.join(remark.words)}")
        counts = f"{report.added:,} added, {report.updated:,} updated, {report.unchanged:,} unchanged"
        output.line(f"{counts}, {len(report.refused):,} refused.{' Nothing was written.' if dry_run else ''}")
    taken = report.added + report.updated + report.unchanged
    return 0 if taken else 1


def _rehearsed(slug: str, consignment: Consignment, done: Callable[[int], None]) -> Report:
    """What would become of each line. Nothing is written."""
    with db.reading() as session:
        row = lists.find(session, slug)
        warrant = transfer.warrant_of(consignment.basis, consignment.source, b"")
        parts = [
            transfer.take_in_part(session, row, part, warrant, now=db.utcnow(), progress=done, rehearsal=True)
            for part in transfer.parts(consignment)
        ]
    return transfer.report(consignment, parts)


def _taken_in(slug: str, consignment: Consignment, done: Callable[[int], None]) -> Report:
    """Each part in a transaction of its own. Raises Fault, which says how many are in, when it is cut off."""
    parts: list[Admission] = []
    with db.transaction() as session:
        row = lists.find(session, slug)
        warrant = transfer.begin(session, row, consignment, who=who(), now=db.utcnow())
        record(session, "import_begun", about=f"list {row.id}", lines=len(consignment), basis=consignment.basis.value)
    try:
        for part in transfer.parts(consignment):
            began = time.monotonic()
            with db.transaction() as session:
                taken = transfer.take_in_part(session, row, part, warrant, now=db.utcnow())
            parts.append(taken)
            done(len(part))
            time.sleep(_breath(time.monotonic() - began))
    except KeyboardInterrupt:
        click.echo(f"mailinglist: {_cut_off(row, consignment, parts)}", err=True)
        raise
    except (MailinglistError, DBAPIError) as error:
        if not parts:
            raise
        why = str(error) if isinstance(error, MailinglistError) else "the database did not do it"
        raise Fault(f"{_cut_off(row, consignment, parts)} The reason: {why}") from error
    found = transfer.report(consignment, parts)
    _record_import(row, found)
    return found


def _breath(seconds: float) -> float:
    """Seconds for others after a transaction that took so long. Who waits for SQLite's lock looks again every tenth of
    a second at most: without a pause they might find it taken each time."""
    return min(0.11, seconds / 2) if db.db.engine.dialect.name == "sqlite" else 0.0


def _cut_off(row: MailingList, consignment: Consignment, parts: list[Admission]) -> str:
    """How far it came, in words; in the audit, too, if that can be written still."""
    found = transfer.report(consignment, parts)
    with suppress(DBAPIError):
        _record_import(row, found)
    taken = found.added + found.updated + found.unchanged
    return f"Cut off: {taken:,} of {len(consignment):,} people are in. Give the same command again for the others."


def _record_import(row: MailingList, found: Report) -> None:
    with db.transaction() as session:
        counts = {"added": found.added, "updated": found.updated, "refused": len(found.refused)}
        record(session, "people_imported", about=f"list {row.id}", **counts)


@people.command()
@click.argument("address")
@on_list
@click.option("--channel", type=click.Choice(["phone", "paper"]), required=True, help="How the person asked.")
@click.option("--evidence", required=True, metavar="TEXT", help="What was said or signed, and where that is found.")
@click.option("--language", type=click.Choice(LANGUAGES), help="Of the letter; else the person's own, else Finnish.")
@click.option("--name", metavar="TEXT")
@click.option("--date", "on", type=click.DateTime(["%Y-%m-%d"]), help="The day when they asked; today if not given.")
def add(
    address: str, slug: str, channel: str, evidence: str, language: str | None, name: str | None, on: datetime | None
) -> None:
    """Enter somebody who asked on the phone or on paper. A confirmation letter goes out, and nobody is on
    the list before they have answered it."""
    found, now = parse(address), db.utcnow()
    told = Told(channel, evidence, on.date() if on else now.astimezone().date(), who())
    with opened(), db.transaction() as session:
        row = lists.find(session, slug)
        registrar.enter(session, row, found, told, language=language, name=name, now=now)
        record(session, "join_entered", about=_person(session, found), how=channel, list=row.id)
    output.line("Written down. The confirmation letter goes out; the person is on the list once they have answered it.")


@people.command()
@click.argument("address")
@output.as_json
def show(address: str, as_json: bool) -> None:
    """Where a person stands, by their address."""
    with opened(), db.transaction() as session:
        found = look_up(session, parse(address))
        record(session, "person_seen", about=_person(session, parse(address)))
    if as_json:
        output.document(asdict(found))
        return
    output.line(found.address)
    output.line(f"  language  {found.language}")
    for standing in found.subscriptions:
        version = f", consent text version {standing.text_version}" if standing.text_version else ""
        since = output.when(standing.since)
        ground = f"asked for {standing.basis}" if standing.state == "pending" else f"on the basis of {standing.basis}"
        output.line(f"  {standing.list}  {standing.state} since {since}, {ground}{version}")
    output.line(f"  bans      {', '.join(map(str, found.in_force)) or 'none'}")


@people.command()
@click.argument("address")
def export(address: str) -> None:
    """Print everything that is held about a person, as one JSON document for them (GDPR 15, 20)."""
    found = parse(address)
    with opened():
        with db.reading() as session:
            person = register.find(session, found)
            if person is None:
                raise Unknown("Nobody with this address is in the register.")
            about, document = f"person {person.id}", access.document(session, person, now=db.utcnow())
        with db.transaction() as session:
            record(session, "person_exported", about=about)
    output.document(document)


@people.command()
@click.argument("address")
@click.option("--yes", is_flag=True, help="Do not ask.")
@output.as_json
def erase(address: str, yes: bool, as_json: bool) -> None:
    """Erase a person, and say what was deleted, what is kept, and why (GDPR 17)."""
    found = parse(address)
    if not yes:
        if not sys.stdin.isatty():
            raise BadInput("Erasing can't be undone: say --yes where nobody can be asked.")
        click.confirm(f"Erase {found.mailbox}? This can't be undone.", abort=True, err=True)
    with opened(), db.transaction() as session:
        about = _person(session, found)
        erasure = rights.erase(session, found, db.utcnow())
        record(session, "person_erased", about=about)
    if as_json:
        output.document(asdict(erasure))
        return
    output.line("Deleted: " + ", ".join(f"{name} {rows}" for name, rows in erasure.deleted.items() if rows))
    for item in erasure.kept:
        output.line(f"Kept: {item.what}, {item.count}: {item.why}.")
    for recipient in erasure.recipients:
        output.line(f"To be told: {recipient}, who was given data about the person (GDPR 19). There is a task for it.")
    if erasure.backups_until:
        output.line(f"Scheduled backups made before now hold the person until {output.when(erasure.backups_until)}.")
    else:
        output.line("Backups made before now hold the person until your own rotation deletes them.")


def _person(session: Session, address: Address) -> str:
    """What the audit calls the person with this address."""
    found = register.find(session, address)
    return f"person {found.id}" if found else ""
