"""THE DOCTOR: is everything in place, and if not, what mends it?

    findings.py    Finding; and how a check that crashes becomes one
    machine.py     settings, data directory, keys
    register.py    database, revision, ban key, triggers, clock, requests that nobody takes
    safety.py      the journal of opt-outs, a restore that is not complete, backups
    post.py        broker and mail servers
    incoming.py    the ways in for mail, and whether it is handled
    readiness.py   what is to be set before the first real bulletin; the console's first page shows it, too
    domains.py     SPF, DKIM and DMARC of the domains that we send as

Owns: nothing; it reads only, and sends nothing.

Promises: every check stands for itself: one that can't be made is a finding, and the others go on. It takes seconds,
whatever does not answer. No secret is in any finding.

Known limits: alignment (RFC 7489 §3.1) is judged by the names' endings, without the public suffix list. What relays of
others sign and rewrite is not seen from here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from dns.resolver import Resolver

from ..settings import Settings
from . import domains, incoming, machine, post, readiness, register, safety
from .findings import Finding, Level, safely

__all__ = ["Finding", "Level", "examine"]


def examine(settings: Settings, *, resolver: Callable[[], Resolver] = Resolver) -> Iterator[Finding]:
    """Check everything, in the context of an application made of `settings` (with keys, and the broker's URL)."""
    yield from safely("settings", lambda: machine.check_settings(settings))
    yield from safely("data directory", lambda: machine.check_data_dir(settings))
    yield from safely("database", register.check)
    yield from safely("opt-outs", lambda: safety.check(settings))
    yield from safely("broker", lambda: post.check_broker(settings))
    for relay in settings.relays:
        yield from safely("mail server", partial(post.check_relay, settings, relay))
    yield from safely("incoming mail", lambda: incoming.check(settings, resolver()))
    yield from safely("lists", lambda: readiness.check(settings))
    yield from safely("DNS", lambda: domains.check(settings, resolver()))
