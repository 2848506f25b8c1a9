"""`mailinglist programs …`: add, list, revoke."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime

import click

from .. import db
from ..consent import lists
from ..staff import programs as tokens
from ..staff.programs import DAYS, LEAST_DAYS, MOST_DAYS, Scope
from ..staff.tables import ApiToken
from . import output
from .opening import actor, opened


@click.group()
def programs() -> None:
    """Tokens of other systems: which may call the API, and for what."""


_SCOPES_HELP = """

\b
SCOPE is one of:
  bans:read        ask whether addresses or names are banned
  bans:write       hand on that somebody forbids marketing, or leaves a list
  people:write     hand over customers, under the rules of an import
  requests:write   hand on a request to join, which the person then confirms by mail
  bulletins:read   see how far a bulletin has come, in counts"""


@programs.command(epilog=_SCOPES_HELP)
@click.argument("name")
@click.option(
    "--may",
    "scopes",
    type=click.Choice([scope.value for scope in Scope]),
    multiple=True,
    required=True,
    metavar="SCOPE",
    help="What it may do; may be given several times.",
)
@click.option("--list", "slug", metavar="SLUG", help="Only for this list; for all if not given.")
@click.option(
    "--days", type=click.IntRange(LEAST_DAYS, MOST_DAYS), default=DAYS, show_default=True, help="How long it is good."
)
@output.as_json
def add(name: str, scopes: tuple[str, ...], slug: str | None, days: int, as_json: bool) -> None:
    """Make a token for another system, and print it. NAME is what you call the system, such as “Web shop”.

    The token can't be printed again: only its digest is kept.
    """
    with opened(), db.transaction() as session:
        only = lists.find(session, slug) if slug is not None else None
        made, secret = tokens.issue(session, name, scopes, only=only, days=days, by=actor(), now=db.utcnow())
    if as_json:
        output.document({"id": made.id, "token": secret, "expires_at": made.expires_at})
        return
    output.line(secret)
    click.echo(
        f"It is token {made.id}, good until {output.when(made.expires_at)}, and is not shown again. "
        "Whoever has it can do what it may: hand it over safely.",
        err=True,
    )


@programs.command("list")
@output.as_json
def list_(as_json: bool) -> None:
    """All tokens, the newest first; also those that are over."""
    now = db.utcnow()
    with opened(), db.reading() as session:
        slugs = {row.id: row.slug for row in lists.every(session)}
        facts = [_facts(row, slugs, now) for row in tokens.every(session)]
    if as_json:
        output.document([asdict(each) for each in facts])
        return
    for each in facts:
        where = f"list {each.list}" if each.list else "all lists"
        used = f"used {output.when(each.used_at)}" if each.used_at else "never used"
        output.line(
            f"{each.id}  {each.name}  {', '.join(each.scopes)}  {where}  {each.state}  "
            f"until {output.when(each.expires_at)}  {used}"
        )


@programs.command()
@click.argument("number", metavar="ID", type=click.IntRange(1, db.LARGEST_NUMBER))
def revoke(number: int) -> None:
    """End a token, at once. ID is its number in `programs list`."""
    with opened(), db.transaction() as session:
        tokens.revoke(session, number, by=actor(), now=db.utcnow())
    output.line("Revoked.")


@dataclass(frozen=True, slots=True)
class _Facts:
    id: int
    name: str
    scopes: list[str]
    list: str | None
    state: str
    created_at: datetime
    created_by: str
    expires_at: datetime
    used_at: datetime | None
    revoked_at: datetime | None
    revoked_by: str | None


def _facts(row: ApiToken, slugs: dict[int, str], now: datetime) -> _Facts:
    return _Facts(
        row.id, row.name, row.scopes, slugs[row.list_id] if row.list_id is not None else None,
        tokens.state(row, now).value, row.created_at, row.created_by, row.expires_at, row.used_at, row.revoked_at,
        row.revoked_by,
    )  # fmt: skip
