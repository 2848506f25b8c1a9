"""Where a bulletin's links lead: its addresses, and what their answers mean."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

from ..doctor.domains import is_nearby
from ..stationery.sentences import Sentence
from ..stationery.sentences import noted as _
from .findings import Finding, Level, Where
from .links import Answer, Outcome
from .matter import Matter

MOST = 30
"""Addresses that are tried."""

_Said = tuple[str, Level, str, str]
_SAID: dict[Outcome, _Said] = {
    Outcome.GONE: (
        "link_gone", Level.ERROR,
        _("The page %(address)s is not there."),
        _("Correct the address, or remove the link."),
    ),
    Outcome.CLOSED: (
        "link_closed", Level.WARNING,
        _("The page %(address)s does not open for everybody."),
        _("Open it in a private window of your browser: recipients are not signed in as you are."),
    ),
    Outcome.FAULTY: (
        "link_unreachable", Level.WARNING,
        _("The page %(address)s has a fault of its own just now."),
        _("Open it yourself before you go on."),
    ),
    Outcome.NAMELESS: (
        "link_unreachable", Level.WARNING,
        _("The server %(host)s can't be found."),
        _("Look whether the address is written right."),
    ),
    Outcome.UNKNOWN: (
        "link_unreachable", Level.WARNING,
        _("Servers' names can't be looked up just now, so these links were not tried."),
        _("Open them yourself before you go on."),
    ),
    Outcome.SILENT: (
        "link_unreachable", Level.WARNING,
        _("The page %(address)s does not answer."),
        _("Open it yourself before you go on."),
    ),
    Outcome.UNSAFE: (
        "link_unreachable", Level.WARNING,
        _("The page %(address)s can't be reached safely: its certificate is not valid."),
        _("Open it yourself: browsers will warn of it."),
    ),
    Outcome.ASTRAY: (
        "link_unreachable", Level.WARNING,
        _("The page %(address)s sends its visitors on and on."),
        _("Open it yourself, and use the address at which you end."),
    ),
    Outcome.PRIVATE: (
        "link_private", Level.WARNING,
        _("The address %(address)s is one of a network of its own, and was not tried."),
        _("Use an address that everybody can open."),
    ),
}  # fmt: skip


def addresses(matter: Matter) -> list[str]:
    """The addresses of the web in the bulletin, each once; the first `MOST` of them. Not those of our own images, which
    are known to be there."""
    return _every(matter)[:MOST]


def nearby(matter: Matter) -> Iterator[Finding]:
    """Links that open here and nowhere else, our own among them. Nobody is asked, so it is known at once."""
    for language, written in matter.written.items():
        for piece in written.pieces:
            where = Where.BLOCK if piece.place else Where.VERSION
            for address in filter(is_nearby, piece.addresses):
                yield Finding(
                    "link_private",
                    Level.WARNING,
                    Sentence(_("The address %(address)s opens only on this machine, or in its own network."),
                             {"address": _short(address)}),
                    Sentence(_("Use an address that everybody can open.")),
                    where, language, piece.place,
                )  # fmt: skip


def check(matter: Matter, answers: Mapping[str, Answer]) -> Iterator[Finding]:
    """What is wrong with the links, by what answered; what `nearby` says is not said twice. An address without an
    answer was not asked."""
    for language, written in matter.written.items():
        for piece in written.pieces:
            where = Where.BLOCK if piece.place else Where.VERSION
            for address in piece.addresses:
                if answer := answers.get(address):
                    yield from _finding(address, answer, where, language, piece.place)
    if matter.logo and (answer := answers.get(matter.logo)):
        yield from _finding(matter.logo, answer, Where.SENDER, None, ())
    if untried := [each for each in _every(matter) if each not in answers]:
        yield Finding(
            "links_unchecked",
            Level.WARNING,
            Sentence(_("Links that were not tried: %(number)s. The first is %(address)s."),
                     {"number": len(untried), "address": _short(untried[0])}),
            Sentence(_("Open them yourself before you go on.")),
            Where.VERSION,
        )  # fmt: skip


def _finding(
    address: str, answer: Answer, where: Where, language: str | None, place: tuple[int, ...]
) -> Iterator[Finding]:
    if answer.outcome is Outcome.PRIVATE and where is not Where.SENDER and is_nearby(address):
        return
    if said := _SAID.get(answer.outcome):
        name, level, words, mend = said
        values = {"address": _short(address), "host": _short(_host(address))}
        detail = _short(address) if answer.outcome is Outcome.UNKNOWN else ""
        yield Finding(name, level, Sentence(words, values), Sentence(mend), where, language, place, detail=detail)


def _every(matter: Matter) -> list[str]:
    found = [
        address for written in matter.written.values() for piece in written.pieces for address in piece.addresses
    ]  # fmt: skip
    if matter.logo:
        found.append(matter.logo)
    return list(dict.fromkeys(found))


def _host(address: str) -> str:
    try:
        return urlsplit(address).hostname or address
    except ValueError:
        return address


def _short(address: str) -> str:
    return address if len(address) <= 100 else f"{address[:99]}…"
