"""`mailinglist staff …`: add, list, levels, link, disable, enable."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta

import click
from flask import current_app
from sqlalchemy.orm import Session

from .. import db
from ..consent.address import parse
from ..errors import Unknown
from ..i18n import DEFAULT_LANGUAGE, LANGUAGES
from ..settings import SETTINGS, Settings
from ..staff import accounts
from ..staff.levels import Level
from ..staff.tables import Account
from . import output
from .opening import actor, opened

_levels = click.option(
    "--level",
    "levels",
    type=click.Choice([level.value for level in Level]),
    multiple=True,
    required=True,
    help="What they may do; may be given several times.",
)


@click.group()
def staff() -> None:
    """Who works in the staff console."""


@staff.command()
@click.argument("address")
@_levels
@click.option("--name", default="", metavar="TEXT", help="What they are called; the address if not given.")
@click.option(
    "--until", type=click.DateTime(["%Y-%m-%d"]), help="The last day of an outsider's account; none if not given."
)
@click.option("--language", type=click.Choice(LANGUAGES), default=DEFAULT_LANGUAGE, show_default=True)
@output.as_json
def add(address: str, levels: tuple[str, ...], name: str, until: datetime | None, language: str, as_json: bool) -> None:
    """Make an account, and print the link by which its owner sets it up: good for a day, and for once."""
    with opened(), db.transaction() as session:
        _account, secret = accounts.enrol(
            session, address, name=name, levels=levels, by=actor(), until=_end_of(until), language=language,
            now=db.utcnow(),
        )  # fmt: skip
        link = _link(secret)
    _print_link(link, as_json)


@staff.command("list")
@output.as_json
def list_(as_json: bool) -> None:
    """Who works here, with their levels; disabled accounts too."""
    now = db.utcnow()
    with opened(), db.reading() as session:
        facts = [_facts(row, now) for row in accounts.every(session)]
    if as_json:
        output.document([asdict(each) for each in facts])
        return
    for each in facts:
        end = f", until {output.when(each.until)}" if each.until else ""
        output.line(f"{each.address}  {each.name}  {', '.join(each.levels)}  {each.state}{end}")


@staff.command()
@click.argument("address")
@_levels
def levels(address: str, levels: tuple[str, ...]) -> None:
    """Change somebody's levels to those given; it holds from their next request on."""
    with opened(), db.transaction() as session:
        account = _find(session, address)
        accounts.set_levels(session, account, levels, by=actor(), now=db.utcnow())
    output.line(f"Levels: {', '.join(sorted(levels))}.")


@staff.command()
@click.argument("address")
@click.option("--password", "purpose", flag_value="password", help="For a forgotten password.")
@click.option("--factor", "purpose", flag_value="factor", help="For a lost second factor.")
@output.as_json
def link(address: str, purpose: accounts.Purpose | None, as_json: bool) -> None:
    """Print a link for a forgotten password or a lost second factor; without either, a fresh one to set up.

    Earlier links of the account are void.
    """
    with opened(), db.transaction() as session:
        account = _find(session, address)
        secret = accounts.issue_link(session, account, purpose or "enrol", by=actor(), now=db.utcnow())
        made = _link(secret)
    _print_link(made, as_json)


@staff.command()
@click.argument("address")
def disable(address: str) -> None:
    """Shut somebody out, at once."""
    with opened(), db.transaction() as session:
        accounts.disable(session, _find(session, address), by=actor(), now=db.utcnow())
    output.line("Disabled.")


@staff.command()
@click.argument("address")
def enable(address: str) -> None:
    """Let somebody in again, with the password and second factor that they had."""
    with opened(), db.transaction() as session:
        accounts.enable(session, _find(session, address), by=actor(), now=db.utcnow())
    output.line("Enabled.")


def _find(session: Session, address: str) -> Account:
    found = accounts.by_address(session, parse(address).folded)
    if found is None:
        raise Unknown("There is no account for this address.")
    return found


@dataclass(frozen=True, slots=True)
class _Facts:
    address: str
    name: str
    levels: list[str]
    state: str
    until: datetime | None
    language: str


def _facts(row: Account, now: datetime) -> _Facts:
    return _Facts(row.address, row.name, row.levels, _state(row, now), row.until, row.language)


def _state(account: Account, now: datetime) -> str:
    if account.disabled_at is not None:
        return "disabled"
    if not account.usable(now):
        return "ended"
    return "set up" if account.enrolled else "not set up"


def _end_of(day: datetime | None) -> datetime | None:
    """The moment at which a day is over, on this machine's clock."""
    return (day + timedelta(days=1)).astimezone().astimezone(UTC) if day else None


def _link(secret: str) -> str:
    settings: Settings = current_app.config[SETTINGS]
    return f"{settings.base_url}/staff/enrol/{secret}"


def _print_link(link: str, as_json: bool) -> None:
    if as_json:
        output.document({"link": link})
    else:
        output.line(link)
        click.echo(
            "It is good for a day, and for once. Whoever has it can set the account up: hand it over safely.", err=True
        )
