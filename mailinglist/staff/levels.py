"""Levels, and what each may do. Pure.

A member of staff has one or more levels; their rights add up. What a page or verb needs is a right, never a level, so
that this table is the only place where the two meet.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum


class Level(StrEnum):
    """What an account is; combinable."""

    READER = "reader"
    EDITOR = "editor"
    PUBLISHER = "publisher"
    REGISTRAR = "registrar"
    AUDITOR = "auditor"
    ADMINISTRATOR = "administrator"


class Right(StrEnum):
    """What a page or verb needs."""

    SEE = "see"
    """Bulletins, their reports, and how the lists grow: no personal data."""
    WRITE = "write"
    """Drafts, images, templates, test mails."""
    SEND = "send"
    """Approve, schedule, send, pause, resume, cancel, decide about uncertain mails."""
    RECIPIENTS = "recipients"
    """The addresses of uncertain and rejected mails of a bulletin."""
    PERSONS = "persons"
    """Look at, and change, what is held about a person; bans."""
    TRANSFER = "transfer"
    """Import and export."""
    SETTINGS = "settings"
    """A list's names, texts, looks and rules."""
    AUDIT = "audit"
    """Read the audit."""
    RETENTION = "retention"
    """See what goes by itself, when and by which rule: counts, no personal data."""
    ACCOUNTS = "accounts"
    """Members of staff and their levels."""


_R = Right
RIGHTS: Mapping[Level, frozenset[Right]] = {
    Level.READER: frozenset({_R.SEE}),
    Level.EDITOR: frozenset({_R.SEE, _R.WRITE}),
    Level.PUBLISHER: frozenset({_R.SEE, _R.WRITE, _R.SEND, _R.RECIPIENTS}),
    Level.REGISTRAR: frozenset({_R.SEE, _R.RECIPIENTS, _R.PERSONS, _R.TRANSFER, _R.RETENTION}),
    Level.AUDITOR: frozenset({_R.SEE, _R.AUDIT, _R.RETENTION}),
    Level.ADMINISTRATOR: frozenset({_R.SEE, _R.SETTINGS, _R.AUDIT, _R.RETENTION, _R.ACCOUNTS}),
}


def rights_of(levels: Iterable[Level]) -> frozenset[Right]:
    """All rights of somebody with these levels."""
    return frozenset().union(*(RIGHTS[level] for level in levels))
