"""The letters' mails: each written for one person, at the moment when it goes.

A confirmation letter's token is made here, in the transaction that marks the letter as being handed over: every
letter, and every try, has a token of its own, and only its digest is kept.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from email.utils import parseaddr
from types import MappingProxyType
from zoneinfo import ZoneInfo

from babel.dates import format_datetime
from sqlalchemy.orm import Session

from .. import i18n, observe
from ..bulletins.drafts import look_of, sender_of
from ..consent import confirming, gate, lists, own_page, requests
from ..consent.address import fold
from ..consent.keys import keys_of
from ..consent.tables import MailingList, Person
from ..errors import BadInput, OptOutsWait
from ..letters import desk, wordings
from ..letters.texts import Kind, letter
from ..settings import Settings
from ..tokens import Tokens
from . import handoffs, mail_headers
from .addressing import Addressing
from .dkim import Seal, Signer
from .handoffs import Claimed
from .run import Broken, Written
from .slots import SlotKind, mark
from .template import Message, Template, compile_message

_log = observe.logger(__name__)

_DAY = {"fi": "d. MMMM y", "sv": "d MMMM y", "en": "d MMMM y"}
_FOR_SUBSCRIBERS = (desk.WELCOME, desk.ALREADY)
"""Letters to who is on the list: mail programs show their button for leaving."""
_SLOTS = {
    "confirm_url": SlotKind.URL,
    "not_me_url": SlotKind.URL,
    "leave_url": SlotKind.URL,
    "unsubscribe_url": SlotKind.URL,
    "privacy_url": SlotKind.URL,
    "preferences_url": SlotKind.URL,
    "own_page_url": SlotKind.URL,
    "unsubscribe_token": SlotKind.TOKEN,
    "reply_address": SlotKind.ADDRESS,
    "answered": SlotKind.MESSAGE_ID,
    "address": SlotKind.TEXT,
    "until": SlotKind.TEXT,
}


def enqueue_due(session: Session, *, now: datetime) -> int:
    """Put the letters that are due among what is to be handed over. Returns how many."""
    letters = desk.due(session)
    for item in letters:
        handoffs.enqueue(
            session, kind=item.kind, about=item.about, list_id=item.list_id, person_id=item.person_id, now=now
        )
    desk.enqueued(session, letters)
    return len(letters)


class LetterDesk:
    """The desk of all letters of all lists."""

    kinds: Collection[str] = desk.KINDS
    about: int | None = None
    rates: Mapping[str, float] = MappingProxyType({})  # somebody is waiting for each

    def __init__(self, settings: Settings, tokens: Tokens, signer: Signer) -> None:
        self.puts_off = False
        """An opt-out can't be entered: the letters that wait for it are tried again, and hold up no others."""
        self._signer = signer
        self._settings = settings
        self._addressing = Addressing(settings, tokens)
        self._templates: dict[tuple[object, ...], tuple[Template, Seal | None]] = {}

    def halted(self, session: Session) -> bool:
        """Letters are never paused."""
        return False

    def refusals(self, session: Session, rows: Sequence[Claimed], *, now: datetime) -> Mapping[int, str]:
        """The gate, for each list and kind of letter. Raises OptOutsWait, unless the desk `puts_off`."""
        groups: dict[tuple[str, int], dict[int, list[int]]] = {}
        for row in rows:
            groups.setdefault((row.kind, row.list_id), {}).setdefault(row.person_id, []).append(row.id)
        refused: dict[int, str] = {}
        for (kind, list_id), persons in groups.items():
            persons.pop(desk.NOBODY, None)  # a key to an address without a person: what anybody may ask for themselves
            try:
                found = gate.refusals(session, desk.MAIL[kind], list_id=list_id, persons=list(persons), now=now)
            except OptOutsWait as error:
                if not self.puts_off:
                    raise
                found = dict.fromkeys(persons, Broken(str(error)))
            for person, reason in found.items():
                refused |= dict.fromkeys(persons[person], reason)
        return refused

    def write(self, session: Session, rows: Sequence[Claimed], *, now: datetime) -> Mapping[int, Written | str]:
        """Each letter that may go, with its own token."""
        refused = self.refusals(session, rows, now=now)
        return {row.id: refused.get(row.id) or self._write(session, row, now) for row in rows}

    def _write(self, session: Session, row: Claimed, now: datetime) -> Written | str:
        found = desk.occasion(session, row.kind, row.about)
        to = self._addressee(session, row, found)
        if found is None or to is None:
            return "the request is no longer kept"
        person, mailbox, digest, exact = to
        values = {
            "privacy_url": self._addressing.url(f"/privacy/{found.list.slug}?lang={found.language}"),
            "own_page_url": self._addressing.url(f"/preferences?lang={found.language}"),
            "unsubscribe_url": self._addressing.unsubscribe_url(found.list.id, digest),
            "address": mailbox,
        }
        values["leave_url"] = values["unsubscribe_url"]
        values["unsubscribe_token"] = values["unsubscribe_url"].rpartition("/")[2]
        answered = requests.answered_by(found.request) if found.request else None
        if answered and SlotKind.MESSAGE_ID.accepts(answered):
            values["answered"] = answered
        if row.kind == desk.KEY:
            key = own_page.Key(digest, exact, now)
            values["preferences_url"] = self._addressing.preferences_url(key)
            values["until"] = _moment(key.until, found)
        if row.kind == desk.CONFIRM and person is not None:
            made = self._confirmation(session, found, person, now)
            if made is None:
                return "the request was overtaken"
            values |= made
        try:
            template, seal = self._template(row.kind, found, in_reply="answered" in values)
        except BadInput as error:  # a setting of this list; other lists' letters go on
            _log.error("letter_cannot_be_written", list=found.list.id, kind=row.kind, reason=str(error))
            return Broken(str(error))
        return_path, message_id = self._addressing.of(row.id)
        try:
            content = template.fill(
                to_address=mailbox,
                to_name=person.name if person else None,
                message_id=message_id,
                date=now,
                values=values,
            )
        except BadInput as error:
            return str(error)
        return Written(return_path, mailbox, content, seal)

    def _addressee(
        self, session: Session, row: Claimed, found: desk.Occasion | None
    ) -> tuple[Person | None, str, bytes, bytes] | None:
        """Whom the letter goes to: the person if there is one, the address, its keyed digests case-folded and as
        written."""
        if row.person_id == desk.NOBODY:
            mailbox = found.request.mailbox if found and found.request else None
            if mailbox is None:
                return None
            keys = keys_of(session)
            return None, mailbox, keys.digest(fold(mailbox)), keys.digest(mailbox)
        person = session.get(Person, row.person_id)
        return (person, person.mailbox, person.digest, person.exact_digest) if person else None

    def _confirmation(
        self, session: Session, found: desk.Occasion, person: Person, now: datetime
    ) -> dict[str, str] | None:
        request = found.request
        if request is None or request.epoch is None or found.text is None:
            return None
        issued = confirming.issue(
            session, request_id=request.id, person_id=person.id, list_id=found.list.id, text_id=found.text.id,
            epoch=request.epoch, days=lists.settings_of(found.list).confirm_days or self._settings.confirm_days,
            now=now,
        )  # fmt: skip
        if issued is None:
            return None
        confirm, not_me, until = issued
        return {
            "confirm_url": self._addressing.url(f"/confirm/{confirm}"),
            "not_me_url": self._addressing.url(f"/not-me/{not_me}"),
            "reply_address": self._addressing.reply_address(confirm),
            "until": _moment(until, found),
        }

    def _template(self, kind: str, found: desk.Occasion, *, in_reply: bool) -> tuple[Template, Seal | None]:
        """Compiled once for each wording; a list's settings may change while the worker lives. `in_reply`: it names the
        mail that it answers."""
        row, text = found.list, found.text
        replied = found.request is not None and found.request.entrance == requests.MAIL
        key = (kind, found.language, row.id, row.name, str(row.settings), text.id if text else None, replied, in_reply)
        if key not in self._templates:
            if len(self._templates) > 100:
                self._templates.clear()
            headers = self._headers(kind, row, replied=replied, in_reply=in_reply)
            made = self._compiled(desk.WORDING[kind], row, found.language, text.body if text else None, headers)
            self._templates[key] = made, self._signer.seal(made) if self._signer else None
        return self._templates[key]

    def _headers(self, kind: str, row: MailingList, *, replied: bool, in_reply: bool) -> tuple[tuple[str, str], ...]:
        answers_to = lists.settings_of(row).owner
        if kind == desk.CONFIRM and self._settings.takes_mail:
            answers_to = mark("reply_address")
        return (
            *((("Reply-To", answers_to),) if answers_to else ()),
            # Robots answer neither (RFC 3834 §5).
            ("Auto-Submitted", "auto-replied" if replied else "auto-generated"),
            # RFC 5322 §3.6.4
            *((("In-Reply-To", mark("answered")), ("References", mark("answered"))) if in_reply else ()),
            mail_headers.list_id(row.name, row.slug, self._settings.return_domain),
            *(mail_headers.unsubscribe(row.slug, self._settings) if kind in _FOR_SUBSCRIBERS else ()),
        )

    def _compiled(
        self, kind: Kind, row: MailingList, language: str, consent: str | None, headers: tuple[tuple[str, str], ...]
    ) -> Template:
        settings = lists.settings_of(row)
        sender = sender_of(row, self._settings.mail_from)
        look = look_of(row, language=language)
        owner = settings.owner or parseaddr(sender)[1]
        own = wordings.own(row, kind, language)
        composed = letter(
            kind, language=language, look=look, owner=owner, consent_text=consent, own=own,
            answerable=self._settings.takes_mail,
        )  # fmt: skip
        return compile_message(
            Message(
                subject=composed.subject,
                html=composed.html,
                text=composed.text,
                sender=sender,
                headers=headers,
            ),
            slots=_SLOTS,
        )


def _moment(at: datetime, found: desk.Occasion) -> str:
    """A date and time in the letter's language, by the list's clock."""
    return format_datetime(
        at,
        f"{_DAY[found.language]} {i18n.CLOCK[found.language]}",
        tzinfo=ZoneInfo(lists.settings_of(found.list).time_zone),
        locale=i18n.locale(found.language),
    )
