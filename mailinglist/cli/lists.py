"""`mailinglist lists …`: add, set, show."""

from __future__ import annotations

from typing import Any

import click
from flask import current_app
from sqlalchemy.orm import Session

from .. import db
from ..bulletins import approvals
from ..consent import lists as register_of_lists
from ..consent.tables import MailingList
from ..i18n import LANGUAGES
from ..privacy import notice
from ..settings import SETTINGS
from . import output
from .opening import opened, record


@click.group()
def lists() -> None:
    """The mailing lists and what is set for them."""


@lists.command()
@click.argument("slug")
@click.option("--name", required=True, metavar="NAME", help="What people see.")
def add(slug: str, name: str) -> None:
    """Make a list. SLUG is its short name, in addresses and links; it stays as it is."""
    with opened(), db.transaction() as session:
        row = register_of_lists.add(session, slug, name, now=db.utcnow())
        made = row.slug
        _say_in_the_notice(session, row)
        record(session, "list_made", about=f"list {row.id}")
    output.line(f"The list {made} is made. What can be set for it: mailinglist lists show {made}")


_KEYS_HELP = """

\b
KEY is one of:
  name                              what people see; name_fi, name_sv, name_en: in one language
  controller, postal_address        who is responsible, and where: in every mail
  business_id, phone                in the privacy notice, with the next ones
  register_contact, protection_officer   whom to write to about the register
  processors_fi, processors_sv, processors_en   who handles the data on the controller's behalf
  transfers_fi, transfers_sv, transfers_en   where data go outside the EU and EEA
  sender                            From: Name <address>; empty: MAILINGLIST_MAIL_FROM
  owner                             where answers go, and once a day what needs somebody
  colour, logo                      #rrggbb; an https address
  language, time_zone               of bulletins: fi, sv or en; Europe/Helsinki
  consent-fi, consent-sv, consent-en   the words that people agree to
  confirm_days, welcome             days a confirmation link is good; true or false
  origins                           sites whose own form may set the cookie, comma-separated
  proof_of_work                     off, auto or on
  approval                          of bulletins by a second person: off, auto or on
  rate                              bulletins a second"""


@lists.command("set", epilog=_KEYS_HELP)
@click.argument("slug")
@click.argument("key")
@click.argument("value")
def set_(slug: str, key: str, value: str) -> None:
    """Set one value of a list; an empty VALUE is the default again (but for the name and the consent texts).

    A consent text (consent-fi, consent-sv, consent-en) that is set becomes a new version; consents given point to the
    old one.
    """
    with opened(), db.transaction() as session:
        row = register_of_lists.find(session, slug)
        register_of_lists.set_value(session, row, key, value, now=db.utcnow())
        _say_in_the_notice(session, row)
        record(session, "list_set", about=f"list {row.id}", key=key)
        void = approvals.void_outdated(session, row, now=db.utcnow())
    output.line("Set.")
    if void:
        numbers = ", ".join(map(str, void))
        output.line(f"Recipients would see it: the approval is void of bulletin {numbers}. Have it approved anew.")


@lists.command()
@click.argument("slug", required=False)
@output.as_json
def show(slug: str | None, as_json: bool) -> None:
    """Show one list, or all of them, with everything that is set."""
    with opened(), db.reading() as session:
        rows = [register_of_lists.find(session, slug)] if slug else register_of_lists.every(session)
        found = [_facts(session, row) for row in rows]
    if as_json:
        output.document(found[0] if slug else found)
        return
    for facts in found:
        output.line(facts["slug"])
        output.line(f"  name: {facts['name']}")
        for key, value in facts["settings"].items():
            shown = ", ".join(value) if isinstance(value, list) else "" if value is None else str(value)
            output.line(f"  {key}: {shown}")
        for language, text in facts["consent"].items():
            output.line(f"  consent-{language} (version {text['version']}): {text['body']}")


def _say_in_the_notice(session: Session, row: MailingList) -> None:
    notice.refresh(session, row, current_app.config[SETTINGS], now=db.utcnow())


def _facts(session: Session, row: MailingList) -> dict[str, Any]:
    texts = {language: register_of_lists.current_text(session, row, language) for language in LANGUAGES}
    return {
        "slug": row.slug,
        "name": row.name,
        "created_at": row.created_at,
        "settings": register_of_lists.settings_of(row).model_dump(mode="json"),
        "consent": {language: {"version": text.version, "body": text.body} for language, text in texts.items()},
    }
