"""`mailinglist people …`: import, add, show, erase."""

from __future__ import annotations

import os
import sys
from dataclasses import asdict
from datetime import UTC, date, datetime
from typing import BinaryIO

import click
from sqlalchemy.orm import Session

from .. import db
from ..consent import bans, lists, register, requests, sheet, transfer
from ..consent.address import Address, parse
from ..consent.people import look_up
from ..consent.states import Basis, Channel
from ..errors import BadInput, Banned
from ..i18n import DEFAULT_LANGUAGE, LANGUAGES
from ..privacy import rights
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
    needed. It is one transaction. Who is banned or has left is refused, as is each line with a fault; the rest is taken
    in. The answer is no (1) when not one line was.
    """
    name = "standard input" if file.name in ("-", "<stdin>") else os.path.basename(file.name)
    consignment = transfer.read(file.read(), basis=Basis(basis), source=source, file=name)
    with opened(), output.progress("Taking in", len(consignment)) as done, db.transaction() as session:
        row = lists.find(session, slug)
        report = transfer.take_in(session, row, consignment, who=who(), now=db.utcnow(), progress=done)
        counts_kept = {"added": report.added, "updated": report.updated, "refused": len(report.refused)}
        record(session, "people_imported", about=f"list {row.id}", **counts_kept)
        if dry_run:
            session.rollback()
    if as_json:
        output.document({"dry_run": dry_run, **asdict(report)})
    else:
        for refusal in report.refused:
            output.line(f"line {refusal.line}: {refusal.reason}")
        counts = f"{report.added:,} added, {report.updated:,} updated, {report.unchanged:,} unchanged"
        output.line(f"{counts}, {len(report.refused):,} refused.{' Nothing was written.' if dry_run else ''}")
    taken = report.added + report.updated + report.unchanged
    return 0 if taken else 1


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
    """Enter somebody who asked on the phone or on paper. A confirmation letter goes out (T6)."""
    found = parse(address)
    now = db.utcnow()
    asked_on = on.date() if on else now.astimezone().date()
    _assert_evidence(evidence, asked_on)
    with opened(), db.transaction() as session:
        if Channel.EMAIL in bans.check(session, found).channels:
            raise Banned("Marketing to this address is forbidden. The ban has to be lifted first.")
        row = lists.find(session, slug)
        known = register.find(session, found)
        language = language or (known.language if known else DEFAULT_LANGUAGE)
        text = lists.current_text(session, row, language)
        origin = {
            "how": channel, "evidence": evidence.strip(), "asked_on": asked_on.isoformat(), "recorded_by": who(),
        }  # fmt: skip
        requests.write_down(
            session, row, found, entrance="staff", language=language, text=text, origin=origin,
            name=sheet.text_of(name or "", "the name"), now=now,
        )  # fmt: skip
        record(session, "join_entered", about=f"person {known.id}" if known else "", how=channel, list=row.id)
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
        output.line(f"  {standing.list}  {standing.state} since {since}, on the basis of {standing.basis}{version}")
    output.line(f"  bans      {', '.join(found.bans) or 'none'}")


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
    output.line("Backups made before now hold the person until they age out.")


def _person(session: Session, address: Address) -> str:
    """What the audit calls the person with this address."""
    found = register.find(session, address)
    return f"person {found.id}" if found else ""


def _assert_evidence(evidence: str, asked_on: date) -> None:
    if not evidence.strip():
        raise BadInput("An entry by staff needs evidence: what was said or signed, and where that is found (T6).")
    if asked_on > datetime.now(UTC).astimezone().date():
        raise BadInput("The day when they asked lies in the future.")
