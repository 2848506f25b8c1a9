"""`mailinglist db upgrade` and `mailinglist doctor`."""

from __future__ import annotations

from dataclasses import asdict

import click

from .. import doctor as examination
from .. import migrate
from ..app import create_app
from ..errors import SettingsError
from . import output
from .opening import load, with_broker


@click.group()
def db() -> None:
    """Create or migrate the database."""


@db.command()
def upgrade() -> None:
    """Bring the database to this version's revision; on the first start, make it, and the first list."""
    settings = load()
    settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    with output.progress("Migrating"):
        migrate.upgrade(create_app(settings))
    output.line(f"The database is at revision {migrate.head()}.")


@click.command()
@output.as_json
def doctor(as_json: bool) -> int:
    """Check settings, database, broker, mail server, DNS and clock.

    One line each: ok, warning, or failure and the mend. Exit 0 when nothing failed, else 1.
    """
    findings = []
    try:
        settings = load()
    except SettingsError as error:
        findings.append(examination.Finding("settings", examination.Level.FAILURE, str(error)))
    else:
        with output.progress("Examining"), create_app(settings).app_context():
            findings.extend(examination.examine(with_broker(settings)))
    if as_json:
        output.document([asdict(finding) for finding in findings])
    else:
        for finding in findings:
            mend = f". Fix: {finding.mend}" if finding.mend else ""
            output.line(f"{finding.level:<8} {finding.subject}: {finding.words}{mend}")
    return 1 if any(finding.level is examination.Level.FAILURE for finding in findings) else 0
