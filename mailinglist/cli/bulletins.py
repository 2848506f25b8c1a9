"""`mailinglist bulletins …`: add, send, pause, resume, cancel, status."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import click

from .. import db, moments, preflight
from ..bulletins import approvals, drafts
from ..consent import lists, register
from ..consent.address import parse
from ..delivery import account, dispatch
from ..delivery.dispatch import Status
from ..errors import BadInput, NotAllowed
from ..settings import SETTINGS, Settings
from ..staff import accounts
from . import output
from .opening import opened, record, who
from .people import on_list

_FORMS: dict[str, Literal["markdown", "html"]] = {
    ".md": "markdown",
    ".markdown": "markdown",
    ".html": "html",
    ".htm": "html",
}
_LOOK_EVERY = 0.5
"""Seconds between two looks at a bulletin that is waited for."""
_BEGINS_WITHIN = timedelta(seconds=15)
_MAY_CHANGE = ("audience_empty",)
"""Errors that keep no command from sending: until its time comes, somebody may join."""
_COUNTS = ("audience", "accepted", "deferred", "rejected", "excluded", "uncertain", "pending")

bulletin_id = click.argument("number", metavar="ID", type=click.IntRange(min=1))


@click.group()
def bulletins() -> None:
    """Write in and send bulletins."""


@bulletins.command()
@on_list
@click.option("--subject", required=True, metavar="TEXT")
@click.option("--body", "body", type=click.Path(exists=True, dir_okay=False, path_type=Path), required=True)
@output.as_json
def add(slug: str, subject: str, body: Path, as_json: bool) -> None:
    """Write a bulletin in, as a draft, and print its id. The body is Markdown (.md) or HTML (.html), in UTF-8."""
    form = _FORMS.get(body.suffix.lower())
    if form is None:
        raise BadInput(f"The body's name has to end in one of {', '.join(_FORMS)}: that says what it is.")
    try:
        source = body.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError:
        raise BadInput("The body is not in UTF-8.") from None
    with opened(), db.transaction() as session:
        row = lists.find(session, slug)
        made = drafts.add(session, row, subject=subject, source=source, form=form, now=db.utcnow()).id
        record(session, "bulletin_begun", about=f"bulletin {made}", form=form)
    if as_json:
        output.document({"id": made})
    else:
        output.line(str(made))


class _Moment(click.ParamType[datetime]):
    """A moment with its offset."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        try:
            at = value if isinstance(value, datetime) else datetime.fromisoformat(value)
        except ValueError:
            self.fail("expected a time such as 2026-12-24T09:00+02:00", param, ctx)
        if at.tzinfo is None:
            self.fail("the time needs its offset, as in 2026-12-24T09:00+02:00", param, ctx)
        return at.astimezone(UTC)


@bulletins.command()
@bulletin_id
@click.argument("address")
def test(number: int, address: str) -> None:
    """Mail a bulletin as it stands to one address, its subject marked; refused where marketing to it is forbidden."""
    from ..delivery import post, proofs

    colleague = parse(address)
    with opened() as app:
        settings: Settings = app.config[SETTINGS]
        with db.transaction() as session:  # before it goes: none goes without its line
            mail = proofs.proof(session, number, colleague, settings, now=db.utcnow())
            known = register.find(session, colleague)
            recipient = {"person": known.id} if known else {}
            record(session, "test_mailed", about=f"bulletin {number}", **recipient)
        proofs.hand_over(mail, settings, post.own_name(settings))
    output.line(f"Mailed to {colleague.mailbox}.")


@bulletins.command()
@bulletin_id
@click.option("--at", type=_Moment(), metavar="TIME", help="When, with its offset: 2026-12-24T09:00+02:00.")
@click.option("--wait", is_flag=True, help="Wait until nobody is pending.")
@output.as_json
def send(number: int, at: datetime | None, wait: bool, as_json: bool) -> int:
    """Approve a bulletin and send it, at once or at a time. With --wait, the answer is no (1) when it is cancelled.

    What is not approved yet is checked first, as in the staff console: an error keeps it from being sent, and warnings
    are printed.
    """
    with opened() as app:
        settings: Settings = app.config[SETTINGS]
        examined = _check(number, settings)
        with db.transaction() as session:
            now = db.utcnow()
            publishers = [each.id for each in accounts.publishers(session, now=now)]
            dispatch.send(
                session, number, sender=settings.mail_from, by=who(), at=at, publishers=publishers, now=now
            )  # fmt: skip
            if examined is not None and drafts.find(session, number).revision != examined:
                raise NotAllowed(f"Bulletin {number} was changed while it was checked. Give the command again.")
            record(session, "bulletin_sent", about=f"bulletin {number}", at=moments.exact(at))
        if wait:
            _wait(number)
        found = _status(number)
    _print(found, as_json)
    return 1 if wait and found.state == "cancelled" else 0


def _check(number: int, settings: Settings) -> int | None:
    """Look at a bulletin that is to be approved: its revision, or None where it is approved already. Warnings go to
    stderr. Raises NotAllowed for an error, with what mends it."""
    with db.reading() as session:
        bulletin = drafts.find(session, number)
        if approvals.approval_of(session, number) is not None or bulletin.given_at is not None:
            return None
        publishers = [each.id for each in accounts.publishers(session, now=db.utcnow())]
        approvals.assert_second(session, bulletin, None, publishers=publishers)
        matter = preflight.gather(session, bulletin, settings=settings)
        revision = bulletin.revision
    found = preflight.examine(matter, settings=settings)
    errors = [each for each in found if each.level is preflight.Level.ERROR and each.name not in _MAY_CHANGE]
    for each in found:
        if each not in errors:
            click.echo(f"mailinglist: warning: {each.in_full} {each.mend}", err=True)
    if errors:
        more = f" ({len(errors) - 1} more: look at it in the staff console.)" if len(errors) > 1 else ""
        raise NotAllowed(f"Bulletin {number} is not sent. {errors[0].in_full} {errors[0].mend}{more}")
    return revision


@bulletins.command()
@bulletin_id
@output.as_json
def status(number: int, as_json: bool) -> None:
    """Where a bulletin stands: its state, and how many of its audience got it."""
    with opened():
        found = _status(number)
    _print(found, as_json)


@bulletins.command()
@bulletin_id
def pause(number: int) -> None:
    """Stop the sending until `resume`."""
    with opened(), db.transaction() as session:
        dispatch.pause(session, number)
        record(session, "bulletin_paused", about=f"bulletin {number}")
    output.line("Paused.")


@bulletins.command()
@bulletin_id
def resume(number: int) -> None:
    """Go on after `pause`."""
    with opened(), db.transaction() as session:
        dispatch.resume(session, number, now=db.utcnow())
        record(session, "bulletin_resumed", about=f"bulletin {number}")
    output.line("Going on.")


@bulletins.command()
@bulletin_id
def cancel(number: int) -> None:
    """Stop the sending for good: who has not been mailed is left out."""
    with opened(), db.transaction() as session:
        dispatch.cancel(session, number, now=db.utcnow())
        record(session, "bulletin_cancelled", about=f"bulletin {number}")
    output.line("Cancelled.")


@bulletins.command()
@bulletin_id
@output.as_json
def uncertain(number: int, as_json: bool) -> None:
    """Who may or may not have got a bulletin: nobody knows, and a person decides (`settle`)."""
    with opened(), db.transaction() as session:
        dispatch.status(session, number)
        rows = account.uncertain(session, number)
        record(session, "recipients_seen", about=f"bulletin {number}", number=len(rows))
    if as_json:
        output.document([{"address": mailbox, "since": moments.exact(at)} for mailbox, at in rows])
        return
    for mailbox, at in rows:
        output.line(f"{mailbox or '(erased)'}  since {output.when(at) if at else 'unknown'}")


@bulletins.command()
@bulletin_id
@click.option("--uncertain", "decision", type=click.Choice(["accepted", "resend"]), required=True)
def settle(number: int, decision: str) -> None:
    """Decide about the uncertain mails of a bulletin: they count as accepted, or are sent once more."""
    with opened(), db.transaction() as session:
        done = dispatch.resolve(session, number, resend=decision == "resend", by=who(), now=db.utcnow())
        record(session, "uncertain_settled", about=f"bulletin {number}", decision=decision, number=done)
    output.line(f"{done} {'sent once more' if decision == 'resend' else 'counted as accepted'}.")


@bulletins.command()
@bulletin_id
def watch(number: int) -> None:
    """Follow a bulletin until nobody is pending: a bar with rate and time left, on a terminal."""
    with opened():
        _wait(number)
        found = _status(number)
    _print(found, as_json=False)


def _status(number: int) -> Status:
    with db.reading() as session:
        return dispatch.status(session, number)


def _wait(number: int) -> None:
    """Until the sending is over."""
    for _ in _while(number, "scheduled"):
        pass
    with output.progress("Sending", _status(number).audience) as done:
        shown = 0
        for found in _while(number, "sending", "paused"):
            settled = found.audience - found.pending
            done(settled - shown)
            shown = settled


def _while(number: int, *states: str) -> Iterator[Status]:
    """Look at a bulletin again and again while it is in one of these states; on stderr, once each, what keeps it."""
    told = ""
    while (found := _status(number)).state in states:
        trouble = _trouble(found)
        if trouble and trouble != told:
            click.echo(f"mailinglist: {trouble}", err=True)
            told = trouble
        yield found
        time.sleep(_LOOK_EVERY)


def _trouble(found: Status) -> str:
    if found.state == "paused":
        return "it is paused; it goes on after `mailinglist bulletins resume`"
    if found.state == "scheduled" and found.ready_at and db.utcnow() - found.ready_at > _BEGINS_WITHIN:
        return "no worker has begun it: is one running?"
    return found.trouble or ""


def _print(found: Status, as_json: bool) -> None:
    if as_json:
        output.document({name: moments.exact(value) for name, value in asdict(found).items()})
        return
    output.line(f"state      {found.state}")
    if found.state == "scheduled" and found.due_at:
        output.line(f"due        {output.when(found.due_at)}")
    for name in _COUNTS:
        output.line(f"{name:<10} {getattr(found, name):,}")
    if found.first_at and found.last_at:
        output.line(f"accepted   from {output.when(found.first_at)} to {output.when(found.last_at)}")
    if found.trouble:
        output.line(f"trouble    {found.trouble}")
