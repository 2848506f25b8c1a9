"""The domain that the bulletin is sent as: what the doctor finds of it, in words for who writes bulletins.

What the records have to be is for whoever keeps the domain; the doctor's own words go along as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from dns.resolver import Resolver

from ..doctor import Finding as Examined
from ..doctor import Level as Health
from ..doctor import domains
from ..settings import Settings
from ..stationery.sentences import Sentence
from ..stationery.sentences import noted as _
from .findings import Finding, Level, Where
from .matter import Matter

BULK = 5000
"""Mails a day from which on Gmail, Yahoo and Microsoft take none without SPF, DKIM and DMARC (REQUIREMENTS 4)."""

_WORDS = {
    "SPF": _("The domain %(domain)s does not say which servers may send for it (SPF)."),
    "DKIM": _("The mails of %(domain)s are not signed as they have to be (DKIM)."),
    "DMARC": _("The domain %(domain)s does not say what is to be done with forged mail (DMARC)."),
    "DNS": _("Nobody could be asked about the domain %(domain)s."),
}


def named(matter: Matter) -> Iterator[Finding]:
    """Whether the list says who sends (917/2014 §203). Nobody is asked."""
    if not matter.named:
        yield Finding(
            "sender_unnamed",
            Level.ERROR,
            Sentence(_("The list has no postal address, and every bulletin has to say where its sender is found.")),
            Sentence(_("Have it written in the list's settings.")),
            Where.SENDER,
        )


def check(matter: Matter, settings: Settings, resolver: Callable[[], Resolver]) -> Iterator[Finding]:
    """SPF, DKIM and DMARC of the sender's domain; seconds at most."""
    domain = domains.domain_of(matter.sender)
    if not (domains.is_public(domain) and domains.is_public(settings.return_domain.lower())):
        # While everything goes into the catcher, there is nobody to mistrust it.
        if not settings.uses_catcher:
            yield Finding(
                "sender_private",
                Level.WARNING,
                Sentence(_("The sender's domain %(domain)s is not known outside: mailboxes will mistrust it."),
                         {"domain": domain}),
                Sentence(_("Have the list's sender set to an address of your organisation's domain.")),
                Where.SENDER,
            )  # fmt: skip
        return
    try:
        found = list(domains.check_sender(settings, resolver(), matter.sender))
    except Exception:  # no resolver, an unreadable key: the doctor says which
        yield silent(matter)
        return
    many = (matter.audience or 0) >= BULK
    for each in found:
        if each.level is not Health.OK:
            yield _finding(each, domain, many=many)


def silent(matter: Matter) -> Finding:
    """Nobody answered in time."""
    domain = domains.domain_of(matter.sender)
    return Finding(
        "sender_dns",
        Level.WARNING,
        Sentence(_WORDS["DNS"], {"domain": domain}),
        Sentence(_("Try once more; if it stays so, have “mailinglist doctor” run on the server.")),
        Where.SENDER,
    )


def _finding(examined: Examined, domain: str, *, many: bool) -> Finding:
    name = f"sender_{examined.subject.lower()}"
    words = Sentence(_WORDS[examined.subject], {"domain": domain})
    failed = many and examined.level is Health.FAILURE
    details = f"{examined.words}; {examined.mend}" if examined.mend else examined.words
    return Finding(
        name,
        Level.ERROR if failed else Level.WARNING,
        words,
        Sentence(_("Tell whoever keeps the domain: %(details)s"), {"details": details}),
        Where.SENDER,
    )
