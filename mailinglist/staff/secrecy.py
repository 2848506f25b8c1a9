"""The secrecy statement that everybody accepts before they see any data (T8, N "vaitiolovelvollisuus")."""

from __future__ import annotations

from ..stationery.sentences import noted as _

VERSION = 1
"""Grows with each change of what is promised: everybody then accepts it anew."""

STATEMENT = (
    _("I keep secret what I learn here about persons, and I do so also after my work here has ended."),
    _("I look at personal data only where my work needs it, and I give it to nobody who has no right to it."),
    _("I let nobody else use my account, and I keep my password and my second factor to myself."),
    _("I know that what I do here, and whose data I look at, is written down with my name."),
)
