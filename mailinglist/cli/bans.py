"""`mailinglist bans …`: add, check, import, lift."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import BinaryIO

import click

from .. import db
from ..consent import ban_lists, bans_by_name, lists, register
from ..consent import bans as register_of_bans
from ..consent.address import parse
from ..consent.ban_lists import Found, Row
from ..consent.bans import Forbidden, Standing
from ..consent.sheet import Refusal
from ..consent.states import Channel, channels
from ..staff import audit
from . import output
from .opening import opened, record, who

_NOT_KNOWN = 3
_CHANNELS = click.Choice([*(channel.value for channel in Channel), "all"])
_on_one_list = click.option(
    "--list", "slug", metavar="SLUG", help="On this list alone, by its short name; on all lists if not given."
)


@click.group()
def bans() -> None:
    """Who has forbidden marketing."""


@bans.command()
@click.argument("address")
@click.option("--channel", type=_CHANNELS, required=True, help="What is forbidden.")
@_on_one_list
@click.option("--source", required=True, metavar="TEXT", help="Who forbade it, and how; kept as evidence.")
def add(address: str, channel: str, slug: str | None, source: str) -> None:
    """Forbid marketing to an address. It need not be in the register; no form and no reason are needed."""
    found, now = parse(address), db.utcnow()
    with opened(), db.transaction() as session:
        only = lists.find(session, slug) if slug else None
        given = register_of_bans.forbid(
            session, register_of_bans.digests(session, found), channels(channel), only=only, source=source,
            origin={"how": "staff", "source": source, "recorded_by": who()}, now=now,
        )  # fmt: skip
        if given.added:
            about = f"person {given.person_id}" if given.person_id else ""
            record(session, "ban_added", about=about, channels=list(given.added), **audit.of_list(only))
    named = ", ".join(str(Forbidden(name, slug)) for name in given.added)
    output.line(f"Forbidden: {named}." if given.added else "That was forbidden already.")


@bans.command()
@click.argument("address", required=False)
@click.option("--name", metavar="NAME", help="Ask about a name instead: has somebody of this name forbidden it?")
@click.option("--file", type=click.File("rb"), help="Ask about every line of a file instead; - is standard input.")
@click.option("--names", is_flag=True, help="With --file: each line is a name, if the first does not name columns.")
@click.option("--channel", type=_CHANNELS, default="all", help="Ask about one channel; any of them if not given.")
@click.option(
    "--list", "slug", metavar="SLUG", help="Ask what counts for this list; without it, a ban of any list counts."
)
@click.option("--banned-only", is_flag=True, help="With --file: leave out the lines that are free.")
@output.as_json
def check(
    address: str | None,
    name: str | None,
    file: BinaryIO | None,
    names: bool,
    channel: str,
    slug: str | None,
    banned_only: bool,
    as_json: bool,
) -> int:
    """Ask whether marketing to an address is forbidden: exit 0 free, 1 banned, 3 not known.

    A ban of one list alone is told with its list; with --list those of other lists don't count.

    With --name, for systems that hold no e-mail address: banned means that somebody of this name has forbidden it. It
    may be another person of the same name; leave them out all the same, or ask for the address. The order of the words,
    commas, capitals and small letters make no difference; accents and hyphens do. A ban that came as an address alone
    has no name, so that free is no proof. Mail of this program goes by the address, and no name stops it.

    With --file, about many, so that another system can clean its list: addresses or their SHA-256 in hex, one a line or
    in a column named email, address or sha256; names in a column named name, nimi or namn, or, with --names, one a
    line. With both columns both are asked, and one is enough. Prints CSV (line, given, banned, channels, one_list, by),
    with --json one object a line, and on stderr how many; by says whether the address or the name was found. Exits 1 if
    any is banned.
    """
    given = sum(each is not None for each in (address, name, file))
    if given != 1:
        raise click.UsageError(
            "Give only one of: an address, --name, --file." if given else "Give an address, --name, or --file."
        )
    if names and file is None:
        raise click.UsageError("--names says what is in a file: give --file, too; or one name with --name.")
    wanted = channels(channel)
    if file is not None:
        return _check_file(file.read(), wanted, slug, named=names, banned_only=banned_only, as_json=as_json)
    with opened():
        standing = _standing_of_name(name, slug) if name is not None else _standing(address or "", slug)
    banned = any(each in standing.channels for each in wanted)
    if as_json:
        told = {"banned": banned, "channels": standing.channels, "in_force": _plain(standing.forbidden)}
        output.document(told)
    elif not standing.known:
        output.line("not known")
    else:
        output.line(f"banned: {', '.join(map(str, standing.forbidden))}" if banned else "free")
    return 1 if banned else 0 if standing.known else _NOT_KNOWN


def _standing(address: str, slug: str | None) -> Standing:
    found = parse(address)
    with db.transaction() as session:
        standing = register_of_bans.check(session, found, lists.find(session, slug) if slug else None)
        person = register.find(session, found)
        record(session, "ban_checked", about=f"person {person.id}" if person else "")
    return standing


def _standing_of_name(name: str, slug: str | None) -> Standing:
    with db.reading() as session:  # it may take a second or two, in which others write
        standing = bans_by_name.check(session, name, lists.find(session, slug) if slug else None)
    with db.transaction() as session:
        record(session, "ban_checked")
    return standing


def _check_file(
    data: bytes, wanted: tuple[Channel, ...], slug: str | None, *, named: bool, banned_only: bool, as_json: bool
) -> int:
    asked = banned = unlike = 0
    refused: list[Refusal] = []

    def read() -> Iterator[Row]:
        nonlocal unlike
        for row in ban_lists.rows(data, named=named):
            if row.reason:
                refused.append(Refusal(row.line, row.reason))
                unlike += "@" not in row.text
            yield row

    def answered(found: Iterator[Found]) -> Iterator[Found]:
        nonlocal asked, banned
        for each in found:
            asked, banned = asked + 1, banned + bool(each.forbidden)
            if each.forbidden or not banned_only:
                yield each

    with opened():
        with db.reading() as session:
            only = lists.find(session, slug) if slug else None
            # Where no answer can be given, not even a heading: a table without lines says that nobody is banned.
            found = answered(ban_lists.look_up(session, read(), only, wanted))
            for piece in _objects(found) if as_json else ban_lists.table(found):
                click.echo(piece, nl=False)
        with db.transaction() as session:
            record(session, "bans_looked_up", asked=asked, banned=banned)
    for refusal in refused:
        click.echo(f"line {refusal.line}: {refusal.reason}", err=True)
    click.echo(f"{asked:,} asked about, {banned:,} banned, {len(refused):,} refused.", err=True)
    if not named and 2 * unlike > asked + len(refused):
        click.echo("Most lines are no addresses. If they are names, give --names, too.", err=True)
    return 1 if banned else 0


def _plain(forbidden: Iterable[Forbidden]) -> list[dict[str, str | None]]:
    return [{"channel": each.channel.value, "list": each.list} for each in forbidden]


def _objects(found: Iterator[Found]) -> Iterator[str]:
    for each in found:
        told = {
            "line": each.row.line, "given": each.row.text, "banned": bool(each.forbidden), "channels": each.channels,
            "in_force": _plain(each.forbidden), "by": each.by,
        }  # fmt: skip
        yield json.dumps(told, ensure_ascii=False) + "\n"


@bans.command("import")
@click.argument("file", type=click.File("rb"))
@click.option("--channel", type=_CHANNELS, default=Channel.EMAIL.value, show_default=True, help="What is forbidden.")
@_on_one_list
@click.option("--source", metavar="TEXT", help="Where the list comes from; the file's name if not given.")
@output.as_json
def import_(file: BinaryIO, channel: str, slug: str | None, source: str | None, as_json: bool) -> int:
    """Take in a list of bans: addresses, or the SHA-256 of addresses in hex, one a line or in a column of a CSV file.

    The column is named email, address or sha256; other columns are not read, and a list of names alone is refused: a
    ban by a name could not be matched to an address, and would stop no mail. The whole file is read before the first
    ban is written. Then they are, in pieces; what is forbidden already is left alone, so that an import that was broken
    off is simply given again.
    """
    name = "standard input" if file.name in ("-", "<stdin>") else os.path.basename(file.name)
    found = ban_lists.read(file.read())
    added = 0
    with opened(), output.progress("Taking in", len(found.sha256)) as done:
        for group in found.groups():
            with db.transaction() as session:
                only = lists.find(session, slug) if slug else None
                fresh = ban_lists.take_in(
                    session, group, channels(channel), only=only, source=source or f"list {name}", now=db.utcnow()
                )
                record(session, "bans_imported", added=fresh, unchanged=len(group) - fresh, **audit.of_list(only))
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
@click.option("--list", "slug", metavar="SLUG", help="Lift the ban of this list alone; that of all lists if not given.")
@click.option("--evidence", required=True, metavar="TEXT", help="What the person said, when, and to whom.")
def lift(address: str, channel: str, slug: str | None, evidence: str) -> None:
    """Lift a ban, on evidence that the person wants it. Bans of other scope stay in force."""
    with opened(), db.transaction() as session:
        only = lists.find(session, slug) if slug else None
        which = [Forbidden(name, only.slug if only else None) for name in channels(channel)]
        lifted = register_of_bans.lift(
            session, parse(address), which, evidence=evidence, who=who(), now=db.utcnow()
        )  # fmt: skip
        person = register.find(session, parse(address))
        about = f"person {person.id}" if person else ""
        record(
            session, "ban_lifted", about=about, channels=[each.channel.value for each in lifted], **audit.of_list(only)
        )
        rest = register_of_bans.in_force(session, register_of_bans.digests(session, parse(address)))
    output.line(f"Allowed again: {', '.join(map(str, lifted))}.")
    if rest:
        output.line(f"Still forbidden: {', '.join(map(str, rest))}.")
