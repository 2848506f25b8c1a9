"""Incoming mail: the role that takes it, and one message from a pipe or a file."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import BinaryIO

import click
from sqlalchemy.exc import SQLAlchemyError

from .. import db
from ..consent import lists
from ..delivery.verdicts import Verdict
from ..errors import BadInput, Fault, MailinglistError, Refused, SettingsError, Unknown
from ..inbound import bounds, envelope, intents, spool
from ..inbound.addresses import Addresses
from ..inbound.reading import read
from ..inbound.senders import addresses_of
from ..settings import PREFIX, SETTINGS, Settings
from ..tokens import Tokens
from .opening import load, opened, with_broker
from .output import line
from .roles import assert_current, role_settings, started

_RECIPIENTS = ("ORIGINAL_RECIPIENT", "RECIPIENT")
"""Where Postfix's local(8) and Exim's pipe transport say for whom a mail is."""


class _Later(Fault):
    """The mail server is to keep the message and to come again: EX_TEMPFAIL of sysexits.h, which Postfix's pipe(8) and
    Exim's pipe transport understand. Any other code makes them send it back."""

    exit_code = 75


@click.group(invoke_without_command=True)
@click.pass_context
def inbound(context: click.Context) -> None:
    """Take mail that comes in; hand in or look at one message.

    Without a command: listen on MAILINGLIST_INBOUND_BIND for mail from the relay, and fetch it from the mailbox of
    MAILINGLIST_INBOUND_IMAP.
    """
    if context.invoked_subcommand is None:
        _serve()


def _serve() -> None:
    from worker.app import wired

    from . import mail_server

    settings = role_settings("inbound")
    if settings.inbound_address is None and settings.mailbox is None:
        raise SettingsError(f"{PREFIX}INBOUND_BIND: not set, nor is {PREFIX}INBOUND_IMAP: there is no mail to take")
    assert_current(settings)
    settings = with_broker(settings)
    started()
    mail_server.serve(wired(settings), settings)


@inbound.command()
@click.option("--recipient", metavar="ADDRESS", help="Which of our addresses it is for; else as the mail server says.")
@click.option("--sender", metavar="ADDRESS", help="The return path, empty for none; else as the mail server noted it.")
def deliver(recipient: str | None, sender: str | None) -> None:
    """Hand in one raw message from standard input: for a mail server's pipe.

    Ends with 0 when it is kept, 1 when it is for nobody here or too large, and 75 when it should be tried again.
    """
    try:
        _deliver(sys.stdin.buffer, recipient, sender)
    except Refused:
        raise
    except (MailinglistError, SQLAlchemyError, OSError) as error:
        reason = str(error) if isinstance(error, MailinglistError) else type(error).__name__
        raise _Later(f"The message could not be kept now: {reason}") from error


def _deliver(source: BinaryIO, recipient: str | None, sender: str | None) -> None:
    raw = source.read(bounds.LARGEST + 1)
    if not raw.strip():
        raise BadInput("There is no message on standard input.")
    if len(raw) > bounds.LARGEST:
        raise Refused(f"The message is too large: {bounds.LARGEST:,} octets are taken.")
    raw = envelope.with_crlf(raw)
    mail = read(raw)
    with opened() as app, db.transaction() as session:
        settings: Settings = app.config[SETTINGS]
        addresses = addresses_of(session, settings)
        named = recipient or next((os.environ[name] for name in _RECIPIENTS if os.environ.get(name)), None)
        named = named or envelope.recipient_of(mail, addresses)
        to = addresses.read(named) if named else None
        if named is None or to is None:
            raise Unknown("The message is for no address of ours.")
        if to.slug is not None:
            lists.find(session, to.slug)
        sender = (envelope.sender_of(mail) if sender is None else sender).strip().strip("<>")
        fresh = spool.keep(session, recipient=named, sender=sender, via="pipe", raw=raw, now=db.utcnow())
    line("Kept; a worker will handle it." if fresh else "It was handed in before.")


@inbound.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE…", type=click.Path(path_type=Path, allow_dash=True))
def classify(files: tuple[Path, ...]) -> None:
    """Say what messages are and would do, one JSON object a line. Nothing is kept or changed."""
    addresses = _known_addresses()
    for file in files:
        raw = _content(file)
        mail = read(envelope.with_crlf(raw))
        named = envelope.recipient_of(mail, addresses) if addresses is not None else None
        to = addresses.read(named) if addresses is not None and named is not None else None
        token = addresses.find_token(mail.header("Subject") or "") if addresses is not None else None
        found = intents.intent(mail, to, return_path=envelope.return_path_of(mail), by_token=token is not None)
        facts = {
            "file": str(file),
            "kind": found.kind,
            "verdict": _verdict(found),
            "address": found.address,
            "status": found.status,
            "act": found.act,
        }
        click.echo(json.dumps(facts, ensure_ascii=False))


def _verdict(found: intents.Intent) -> str | None:
    """What it means for a mail of ours; a robot's answer says that none failed, a command or a letter says nothing."""
    verdict = Verdict.NO_FAILURE if found.kind == intents.AUTOREPLY else found.verdict
    return verdict.value if verdict is not None else None


def _known_addresses() -> Addresses | None:
    """What our addresses mean; None where there are no keys, and none can be made: then a command is not known."""
    try:
        settings = load()
    except SettingsError:
        return None
    return Addresses(settings, Tokens(settings.signing_keys))


def _content(file: Path) -> bytes:
    try:
        if str(file) == "-":
            return sys.stdin.buffer.read(bounds.LARGEST)
        with file.open("rb") as source:
            return source.read(bounds.LARGEST)
    except OSError as error:
        raise BadInput(f"{file} can't be read: {error.strerror}.") from None
