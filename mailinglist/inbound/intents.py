"""Pure: what a mail is, and what it asks for.

    complaint   somebody told their provider that a mail of ours is unwanted
    bounce      a mail of ours failed, was delayed, or arrived: a server's report
    autoreply   written by a program: nobody acts by it, and nobody answers it
    command     to one of the addresses that take one, by a person: join, leave, confirm, decline, ban
    other       for a person to read

A report is known at whatever address it comes to; a command only at its own. What a robot writes is no command, with
one exception: a mail to SLUG-leave@ whose subject holds a valid token (`by_token`). Mail programs make that one by
themselves when somebody presses their button, and some of them mark it as made by a machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from ..delivery.verdicts import Verdict
from . import answers, feedback, reports, robots
from .reading import Mail

BOUNCE, COMPLAINT, COMMAND, AUTOREPLY, OTHER = "bounce", "complaint", "command", "autoreply", "other"
JOIN, LEAVE, CONFIRM, DECLINE, BAN = "join", "leave", "confirm", "decline", "ban"
_ANSWER = "answer"
_FAILED = (Verdict.DEAD, Verdict.MAILBOX, Verdict.SENDER)


class Address(Protocol):
    """What of `addresses.To` matters here."""

    @property
    def kind(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Intent:
    """What a mail is, and would do."""

    kind: str
    """bounce, complaint, command, autoreply or other."""
    verdict: Verdict | None = None
    """Of a bounce or a complaint."""
    status: str | None = None
    """The enhanced status code of a bounce."""
    address: str | None = None
    """Of whom a report says that the mail failed. For people to read: nobody is found by it."""
    words: str = ""
    """The server's words, the provider of a complaint, or by which mark a robot is known."""
    delayed: bool = False
    """Whether the mail that a bounce is about may still arrive: then it does not count."""
    act: str | None = None
    """join, leave, confirm, decline or ban."""
    forbids: answers.Forbids | None = None
    """What a ban forbids."""
    disowns: bool = False
    """Whether who declines says that they did not ask."""

    @property
    def counts(self) -> bool:
        """Whether it tells of a mail that has failed."""
        return self.verdict in _FAILED and not self.delayed


def intent(mail: Mail, to: Address | None, *, return_path: str | None, by_token: bool = False) -> Intent:
    """What this mail to one of our addresses is. `return_path`: "" is the null one, None: it is not known.

    `by_token`: a valid unsubscribe token of ours stands in its subject.
    """
    found = returned(mail)
    if found is not None:
        return found
    kind = to.kind if to is not None else None
    robot = robots.robot(mail, return_path=return_path)
    if robot is not None:
        return Intent(COMMAND, act=LEAVE) if kind == LEAVE and by_token else Intent(AUTOREPLY, words=robot)
    if kind == JOIN:
        return Intent(COMMAND, act=JOIN)
    if kind == LEAVE:
        return _leave(mail)
    return _answer(mail) if kind == _ANSWER else Intent(OTHER)


def returned(mail: Mail) -> Intent | None:
    """What a mail says of one that was sent before, a complaint or a bounce; None: it is something else."""
    found = feedback.complaint(mail)
    if found is not None:
        return Intent(COMPLAINT, verdict=Verdict.COMPLAINT, words=found.provider)
    report = reports.report(mail)
    if report is None:
        return None
    return Intent(
        BOUNCE, verdict=report.verdict, status=report.status, address=report.address, words=report.words,
        delayed=report.delayed,
    )  # fmt: skip


def _leave(mail: Mail) -> Intent:
    forbids = answers.said(mail).forbids
    return Intent(COMMAND, act=BAN if forbids else LEAVE, forbids=forbids)


def _answer(mail: Mail) -> Intent:
    said = answers.said(mail)
    if said.sense is answers.Sense.YES:
        return Intent(COMMAND, act=CONFIRM)
    if said.sense is answers.Sense.NO:
        return Intent(COMMAND, act=BAN if said.forbids else DECLINE, forbids=said.forbids, disowns=said.disowns)
    return Intent(OTHER)
