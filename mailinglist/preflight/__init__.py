"""THE PREFLIGHT: what is wrong with a bulletin, said before it is approved.

    findings.py     Finding: what is wrong, how bad, where, and what mends it; what still hinders an approval
    matter.py       pure: what is looked at, as plain values
    gathering.py    takes it down from the database
    pieces.py       pure: a bulletin in pieces, each with its links, images and words
    content.py      pure: subject, text, images, weight
    links.py        which addresses answer
    leads.py        the links of a bulletin, and what the answers mean for them
    senders.py      SPF, DKIM and DMARC of the sender's domain
    recipients.py   pure: the audience, and the bulletin before this one

Owns: nothing; it reads only.

In two steps, since no transaction is held over a socket: `gather` reads the database, `examine` looks,
also at the web. An error keeps a bulletin from being approved; a warning is acknowledged by its `key`, by name of who
approves.

Promises: `examine` raises nothing for what stands in a bulletin, and takes about six seconds at most, whatever does
not answer. A link leads the program to no machine inside our own network: each step is resolved first, and only public
addresses are connected to, except our own base URL. No body is read, no cookie is sent, nothing names the bulletin.

What is the same in many places is a finding for each, with one sentence and what stands there as its `detail`, so that
it can be told once with the places below it.

Known limits: a page that answers 200 and says "not found" in words passes. A site that answers only to some browsers
may be called closed. Domains are judged as the doctor does; see there.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from dns.resolver import Resolver

from ..settings import Settings
from . import content, leads, links, recipients, senders
from .findings import Finding, Level, Where, hinders, in_order
from .gathering import gather
from .matter import Matter

__all__ = ["Finding", "Level", "Matter", "Where", "examine", "gather", "hinders"]

SECONDS = 6.0
"""For all that is asked of others, together."""


def examine(
    matter: Matter, *, settings: Settings, online: bool = True, resolver: Callable[[], Resolver] = Resolver
) -> list[Finding]:
    """Everything that is wrong, errors first. Call it outside of any transaction.

    `online` False: nobody is asked about links and domains; in milliseconds. `resolver`: whom to ask for the records of
    domains.
    """
    found = [*content.check(matter), *recipients.check(matter), *senders.named(matter), *leads.nearby(matter)]
    if not online:
        return in_order(found)
    until = time.monotonic() + SECONDS
    # Not as a context: that would wait for a resolver that does not answer.
    besides = ThreadPoolExecutor(max_workers=1, thread_name_prefix="preflight")
    try:
        domains = besides.submit(lambda: list(senders.check(matter, settings, resolver)))
        answers = links.check(leads.addresses(matter), own=settings.base_url, seconds=SECONDS)
        found += leads.check(matter, answers)
        try:
            found += domains.result(max(0.0, until - time.monotonic()))
        except TimeoutError:
            found.append(senders.silent(matter))
    finally:
        besides.shutdown(wait=False, cancel_futures=True)
    return in_order(found)
