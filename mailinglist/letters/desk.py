"""Which letters are due: asked of the register, never remembered here.

A letter becomes due in the transaction that makes it so (a request taken, a confirmation); the desk turns it into one
row to be handed over. Form, mail, API and staff go through the same verbs, so none can forget the letter.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from ..consent import confirming, requests
from ..consent.gate import Mail
from ..consent.tables import Confirmation, ConsentText, MailingList, Request
from .texts import Kind

CONFIRM, ALREADY, LEAVE, WELCOME, KEY = "confirm", "already", "leave", "welcome", "key"

MAIL = {
    CONFIRM: Mail.CONFIRM,
    ALREADY: Mail.ALREADY,
    LEAVE: Mail.SERVICE,
    WELCOME: Mail.WELCOME,
    KEY: Mail.SERVICE,
}
"""Which rule of the gate each letter goes by. The links to leave by and to one's own page are what a person asked for:
no ban stops them."""

WORDING: Mapping[str, Kind] = {
    CONFIRM: "confirm",
    ALREADY: "already",
    LEAVE: "leave",
    WELCOME: "welcome",
    KEY: "preferences",
}
"""Which text each letter has."""

NOBODY = 0
"""In place of a person's id: a key goes to an address that is known by a ban only. The request holds the address."""

KINDS = tuple(MAIL)


@dataclass(frozen=True, slots=True)
class Due:
    """One letter that is due. `about`: the request, or for WELCOME the confirmation."""

    kind: str
    about: int
    list_id: int
    person_id: int


def due(session: Session, *, limit: int = 200) -> list[Due]:
    """Letters that are due and not yet on their way, oldest first; their rows are locked."""
    asked = [
        Due(request.letter, request.id, request.list_id, request.person_id or NOBODY)
        for request in requests.letters_due(session, limit=limit)
        if request.letter and (request.person_id or request.letter == KEY)
    ]
    welcomes = [
        Due(WELCOME, found.id, found.list_id, found.person_id)
        for found in confirming.welcomes_due(session, limit=limit)
    ]
    return [*asked, *welcomes]


def enqueued(session: Session, letters: Sequence[Due]) -> None:
    """These letters are on their way."""
    if asked := [letter.about for letter in letters if letter.kind != WELCOME]:
        requests.letters_enqueued(session, asked)
    if welcomes := [letter.about for letter in letters if letter.kind == WELCOME]:
        confirming.welcomes_enqueued(session, welcomes)


@dataclass(frozen=True, slots=True)
class Occasion:
    """What a letter is about, as it stands now."""

    list: MailingList
    language: str
    text: ConsentText | None
    request: Request | None


def occasion(session: Session, kind: str, about: int) -> Occasion | None:
    """What this letter is about; None when its request is no longer kept."""
    if kind == WELCOME:
        confirmation = session.get(Confirmation, about)
        if confirmation is None:
            return None
        text = session.get_one(ConsentText, confirmation.text_id)
        return Occasion(session.get_one(MailingList, confirmation.list_id), text.language, text, None)
    request = session.get(Request, about)
    if request is None:
        return None
    asked = session.get_one(ConsentText, request.text_id) if request.text_id else None
    return Occasion(session.get_one(MailingList, request.list_id), request.language, asked, request)
