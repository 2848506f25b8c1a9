"""`mailinglist bans …`: add, check, import, lift."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict
from typing import BinaryIO

import click
from sqlalchemy.orm import Session

from .. import db
from ..consent import ban_lists, ledger, register
from ..consent import bans as register_of_bans
from ..consent.address import parse
from ..consent.ban_lists import Found, Row
from ..consent.keys import keys_of
from ..consent.sheet import Refusal
from ..consent.states import Channel, channels
from . import output
from .opening import opened, record, who

_NOT_KNOWN = 3
_CHANNELS = click.Choice([*(channel.value for channel in Channel), "all"])


@click.group()
def bans() -> None:
    """Who has forbidden marketing."""


@bans.command()
@click.argument("address")
@click.option("--channel", type=_CHANNELS, required=True, help="What is forbidden.")
@click.option("--source", required=True, metavar="TEXT", help="Who forbade it, and how; kept as evidence.")
def add(address: str, channel: str, source: str) -> None:
    """Forbid marketing to an address. It need not be in the register; no form and no reason are needed."""
    found, now = parse(address), db.utcnow()
    with opened(), db.transaction() as session:
        standing = register_of_bans.check(session, found)
        fresh = tuple(name for name in channels(channel) if name not in standing.channels)
        if fresh:
            person = register.find(session, found)
            content = {"how": "staff", "source": source, "recorded_by": who()}
            evidence = ledger.file_evidence(session, content, person_id=person.id if person else None, now=now)
            digest = keys_of(session).digest(found.folded)
            register_of_bans.add(session, digest, fresh, source=source, now=now, evidence=evidence)
            record(session, "ban_added", about=f"person {person.id}" if person else "", channels=list(fresh))
    output.line(f"Forbidden: {', '.join(fresh)}." if fresh else "That was forbidden already.")


@bans.command()
@click.argument("address", required=False)
@click.option("--file", type=click.File("rb"), help="Ask about every line of a file instead; - is standard input.")
@click.option("--channel", type=_CHANNELS, default="all", help="Ask about one channel; any of them if not given.")
@click.option("--banned-only", is_flag=True, help="With --file: leave out the lines that are free.")
@output.as_json
def check(address: str | None, file: BinaryIO | None, channel: str, banned_only: bool, as_json: bool) -> int:
    """Ask whether marketing to an address is forbidden: exit 0 free, 1 banned, 3 not known.

    With --file, about many, so that another system can clean its list: addresses or their SHA-256 in hex, one a line or
    in a column named email, address or sha256. Prints CSV (line, given, banned, channels), with --json one object a
    line, and on stderr how many. Exits 1 if any is banned.
    """
    if (address is None) == (file is None):
        raise click.UsageError("Give an address, or --file.")
    wanted = channels(channel)
    if file is not None:
        return _check_file(file.read(), wanted, banned_only=banned_only, as_json=as_json)
    found = parse(address or "")
    with opened(), db.transaction() as session:
        standing = register_of_bans.check(session, found)
        person = register.find(session, found)
        record(session, "ban_checked", about=f"person {person.id}" if person else "")
    banned = any(name in standing.channels for name in wanted)
    if as_json:
        output.document({"banned": banned, "channels": standing.channels})
    elif not standing.known:
        output.line("not known")
    else:
        output.line(f"banned: {', '.join(standing.channels)}" if banned else "free")
    return 1 if banned else 0 if standing.known else _NOT_KNOWN


def _check_file(data: bytes, wanted: tuple[Channel, ...], *, banned_only: bool, as_json: bool) -> int:
    asked = banned = 0
    refused: list[Refusal] = []

    def read() -> Iterator[Row]:
        for row in ban_lists.rows(data):
            if not row.sha256:
                refused.append(Refusal(row.line, row.reason))
            yield row

    def answered(session: Session) -> Iterator[Found]:
        nonlocal asked, banned
        for each in ban_lists.look_up(session, read()):
            forbidden = any(channel in each.channels for channel in wanted)
            asked, banned = asked + 1, banned + forbidden
            if forbidden or not banned_only:
                yield each

    with opened():
        with db.reading() as session:
            for piece in _objects(answered(session)) if as_json else ban_lists.table(answered(session)):
                click.echo(piece, nl=False)
        with db.transaction() as session:
            record(session, "bans_looked_up", asked=asked, banned=banned)
    for refusal in refused:
        click.echo(f"line {refusal.line}: {refusal.reason}", err=True)
    click.echo(f"{asked:,} asked about, {banned:,} banned, {len(refused):,} refused.", err=True)
    return 1 if banned else 0


def _objects(found: Iterator[Found]) -> Iterator[str]:
    for each in found:
        told = {"line": each.row.line, "given": each.row.text, "banned": bool(each.channels), "channels": each.channels}
        yield json.dumps(told, ensure_ascii=False) + "\n"


@bans.command("import")
@click.argument("file", type=click.File("rb"))
@click.option("--channel", type=_CHANNELS, default=Channel.EMAIL.value, show_default=True, help="What is forbidden.")
@click.option("--source", metavar="TEXT", help="Where the list comes from; the file's name if not given.")
@output.as_json
def import_(file: BinaryIO, channel: str, source: str | None, as_json: bool) -> int:
    """Take in a list of bans: addresses, or the SHA-256 of addresses in hex, one a line or in a column of a CSV file.

    The column is named email, address or sha256; other columns are not read. The whole file is read before the first
    ban is written. Then they are, in pieces; what is forbidden already is left alone, so that an import that was broken
    off is simply given again.
    """
    name = "standard input" if file.name in ("-", "<stdin>") else os.path.basename(file.name)
    found = ban_lists.read(file.read())
    added = 0
    with opened(), output.progress("Taking in", len(found.sha256)) as done:
        for group in found.groups():
            with db.transaction() as session:
                fresh = ban_lists.take_in(
                    session, group, channels(channel), source=source or f"list {name}", now=db.utcnow()
                )
                record(session, "bans_imported", added=fresh, unchanged=len(group) - fresh)
            added += fresh
            done(len(group))
    if as_json:
        refused = [asdict(refusal) for refusal in found.refused]
        output.document({"added": added, "unchanged": len(found.sha256) - added, "refused": refused})
    else:
        for refusal in found.refused:
            output.line(f"line {refusal.line}: {refusal.reason}")
        output.line(f"{added:,} added, {len(found.sha256) - added:,} unchanged, {len(found.refused):,} refused.")
    return 1 if found.refused and not found.sha256 else 0


@bans.command()
@click.argument("address")
@click.option("--channel", type=_CHANNELS, required=True, help="What is allowed again.")
@click.option("--evidence", required=True, metavar="TEXT", help="What the person said, when, and to whom.")
def lift(address: str, channel: str, evidence: str) -> None:
    """Lift a ban, on evidence that the person wants it."""
    with opened(), db.transaction() as session:
        lifted = register_of_bans.lift(
            session, parse(address), channels(channel), evidence=evidence, who=who(), now=db.utcnow()
        )
        person = register.find(session, parse(address))
        record(session, "ban_lifted", about=f"person {person.id}" if person else "", channels=list(lifted))
    output.line(f"Allowed again: {', '.join(lifted)}.")
