"""Does what a mail asks for, once: in the transaction that marks the mail as handled.

What comes of it is an `Outcome`. Nobody is answered here: a letter becomes due by the register's own verbs, with their
limits, or there is none.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from ..consent import confirming, intake, keys, lists, readdressed, register, requests
from ..consent.address import Address, parse
from ..consent.confirming import Door
from ..consent.register import Origin, Ticket
from ..consent.states import Channel, State, channels
from ..consent.tables import MailingList
from ..delivery import bounces, complaints, handoffs
from ..delivery.tables import Handoff
from ..delivery.verdicts import Verdict
from ..errors import BadAddress, Banned, RegisterUnsound, TokenSpent, Unknown
from ..i18n import LANGUAGES
from ..observe import count
from ..settings import Settings
from . import addresses, answers, intents, robots, spool, traces, whose
from .addresses import ANSWER, BOUNCE, DESK, LEAVE, To
from .intents import Intent
from .reading import Mail, read
from .senders import addresses_of
from .tables import HANDLED, OWNER, Spooled

OUTCOMES = (
    "asked", "letter", "left", "banned", "kept", "confirmed", "confirmed-before", "fresh-letter", "declined", "robot",
    "unclear", "for-a-person", "forbidden", "spent", "no-address", "unlisted", "no-letter", "not-ours",
    "unreadable-bounce", "unnamed-bounce", "nothing-failed", "unnamed-complaint", "restored",
    "erased", "too-many", "dmarc", "too-large", "kills", "crowded-out", "outlived",
    # and what `bounces.note` and `complaints.note` say of a report
)  # fmt: skip
"""What was done, in a word.

    asked               to join: a confirmation letter becomes due, or what the register makes of it
    letter              to leave, without a token: a letter with a link becomes due for who is on the list
    left, banned        by a token; with words that forbid marketing it is banned, too
    kept                the same, kept until the register is sound again
    confirmed           … or it had been before
    fresh-letter        a yes to a letter that is spent: another becomes due
    declined            a no: the request is ended
    robot               written by a program: nothing
    restored            it waited when a backup was made, and was answered in its time: to join (`spool.come_back`), a
                        yes to a letter that is spent, a leave without a token by who has left since
    erased              whoever wrote it was erased while it waited: nothing is kept of it, and nothing done but a leave
    too-many            to join, and not answered: too many such mails came the same way
    dmarc               the relay says that its From is forged: to join, and not answered; to leave without a token, and
                        the owner reads it
    nothing-failed      a report of a delay, or of success
    and what the owner reads:
    unlisted            to leave, without a token, by who is not on the list: it may be about another address
    no-letter           to leave, without a token, by who has had the letters with a link, or wants none
    unclear             an answer to a confirmation letter, neither a clear yes nor a clear no
    forbidden           a yes, and marketing to the address is forbidden
    spent               an answer to a letter of which nothing is kept any more
    no-address          a command by who names not one address, or one of ours
    not-ours            to no address of ours any more, or to a list that is gone
    unreadable-bounce   at a return path or the desk, from nobody
    unnamed-bounce, unnamed-complaint   a report that names no mail of ours
    too-large           only its header was fetched, from a mailbox
    kills               workers died over it; nobody has read it
    for-a-person        all else
    crowded-out, outlived   … and went before a person had dealt with it: to make room, or since nobody looked for long
"""

FROM_A_CLIENT, FROM_A_DOMAIN = 60, 200
"""Requests to join that are answered in an hour, of one client of the relay, and of return paths at one domain."""
_HOUR = timedelta(hours=1)
_MOST_HEADERS = 60
_LONGEST_VALUE = 1000
_LONGEST_ID = 250
_HOW_ANSWER, _HOW_MAIL = "answer", "mail"
_FOR_PERSONS = (DESK, addresses.OWNER)
"""Addresses that take no command: what programs tell, too, is for whoever reads there."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a mail was, and what came of it."""

    kind: str
    """bounce, complaint, command, autoreply or other."""
    state: str
    """handled, or owner: the list's owner is sent it, and the console shows it."""
    outcome: str
    list_id: int | None = None
    person_id: int | None = None
    writer: str | None = None
    """Of what is the owner's: whom its From names, as limits count it."""


def list_id_of(session: Session, to: To | None) -> int | None:
    """The list that a recipient names; None: none, or one that is gone."""
    try:
        return lists.find(session, to.slug).id if to is not None and to.slug else None
    except Unknown:
        return None


class Busy(Exception):
    """Whoever wrote the mail is being changed by somebody else, or was erased while it was handled."""


def act(session: Session, row: Spooled, *, settings: Settings, now: datetime) -> Outcome:
    """Do what a claimed mail asks for. Raises RegisterUnsound: nothing was done, and it is tried again; Busy: the same,
    and the whole transaction has to be rolled back."""
    outcome = _Handling(session, row, settings, now).outcome()
    count(f"inbound_{outcome.kind}")
    return outcome


class _Handling:
    """One mail in hand."""

    def __init__(self, session: Session, row: Spooled, settings: Settings, now: datetime) -> None:
        self._session, self._row, self._now, self._settings = session, row, now, settings
        self._raw = row.raw or b""
        self._mail: Mail = read(self._raw)
        self._addresses = addresses_of(session, settings)
        self._to: To | None = self._addresses.read(row.recipient)
        self._by_subject: Ticket | None = self._addresses.find_token(self._mail.header("Subject") or "")
        self._list = self._meant()
        self._writers = whose.writers(row.sender, self._mail.addresses("From"))
        self._restored = row.outcome == spool.RESTORED
        self._erased = False
        """As it was before anything was done; looked at once more at the end."""

    def _meant(self) -> MailingList | None:
        try:
            return lists.find(self._session, self._to.slug) if self._to and self._to.slug else None
        except Unknown:
            return None

    def outcome(self) -> Outcome:
        """What came of it. Of whoever was erased while the mail waited, nothing is kept, whatever it did.

        They are pinned at the end, when whomever it is about is locked: else two mails, each from the person that the
        other is about, could wait for each other. An erasure waits from here on, and finds what was written down."""
        if self._restored:  # what was taken back since is known once the journals are replayed
            keys.assert_sound(self._session)
        self._erased = self._writer_erased()
        came = self._handled()
        if not register.pin_now(self._session, self._writers):
            raise Busy
        if self._writer_erased() is not self._erased:
            raise Busy
        if not self._erased:
            return came
        spool.nobodys(self._row)
        if came.state != OWNER:
            return replace(came, person_id=None)
        count("inbound_of_the_erased")
        return Outcome(came.kind, HANDLED, "erased", came.list_id)

    def _handled(self) -> Outcome:
        mail, to = self._mail, self._to
        if self._row.outcome == spool.TOO_LARGE:
            return self._owners(intents.OTHER, spool.TOO_LARGE)
        found = intents.intent(mail, to, return_path=self._row.sender, by_token=self._by_subject is not None)
        if found.kind == intents.COMPLAINT:
            return self._complaint(found)
        if found.kind == intents.BOUNCE:
            return self._bounce(found)
        if found.kind == intents.AUTOREPLY:
            return self._robots(found)
        if to is None or (to.slug and self._list is None):
            return self._owners(found.kind, "not-ours")
        if self._addresses.sent_by_us(mail):  # it came back, its marks taken off
            return self._done(intents.AUTOREPLY, "robot", self._list)
        if found.kind == intents.COMMAND and (self._leaves_by_subject() or not self._addresses.from_us(mail)):
            return self._command(found, to)
        return self._owners(intents.OTHER, "unclear" if to.kind == ANSWER else "for-a-person")

    def _leaves_by_subject(self) -> bool:
        return self._to is not None and self._to.kind == LEAVE and self._by_subject is not None

    # ── by a person ───────────────────────────────────────────────────────────────────────────────────────────────

    def _command(self, found: Intent, to: To) -> Outcome:
        if to.kind == ANSWER and to.secret is not None:
            return self._answered(found, to.secret)
        if self._list is None:
            return self._owners(intents.OTHER, "not-ours")
        return self._join(self._list) if found.act == intents.JOIN else self._leave(found, self._list)

    def _join(self, row: MailingList) -> Outcome:
        address = self._sender()
        if address is None:
            return self._owners(intents.COMMAND, "no-address")
        client = traces.client(self._mail)
        if refused := self._forged_or_erased() or self._too_many(client):
            return self._done(intents.COMMAND, refused, row)
        spool.came_from(self._row, client)
        intake.write_down(
            self._session, row, address, entrance=requests.MAIL, language=self._language(row), origin=self._asking(),
            slow=intake.proof_wanted(self._session, row, now=self._now), now=self._now,
        )  # fmt: skip
        return self._done(intents.COMMAND, "asked", row)

    def _forged_or_erased(self) -> str | None:
        """Why no letter goes to whoever the mail says that it is from; None: it may go."""
        if self._erased:
            return "erased"
        return "dmarc" if traces.forged(self._mail, self._settings.inbound_authserv_id) else None

    def _too_many(self, client: str | None) -> str | None:
        """A letter to a forged From is mail to somebody who asked for nothing, so it matters where mails to join come
        from, and not only to whom the letters go (`requests` has the limits per address)."""
        since = self._now - _HOUR
        domain = self._row.sender.rpartition("@")[2].lower()
        if client and spool.asked_since(self._session, since, client=client) >= FROM_A_CLIENT:
            return "too-many"
        if domain and spool.asked_since(self._session, since, domain=domain) >= FROM_A_DOMAIN:
            return "too-many"
        return None

    def _leave(self, found: Intent, row: MailingList) -> Outcome:
        ticket = self._by_subject or self._addresses.find_token(self._mail.text)
        if ticket is None:
            return self._leave_by_letter(row)
        named = self._session.get(MailingList, ticket.list_id)
        if named is None:
            return self._owners(intents.COMMAND, "not-ours")
        ban = _channels(found)
        person = readdressed.owner(self._session, ticket.digest)
        origin = self._origin(_HOW_MAIL)
        try:
            with self._session.begin_nested():
                register.leave_by(self._session, ticket, named, origin=origin, ban=ban, now=self._now)
        except RegisterUnsound:  # as on the web: it is entered once the register is sound
            intake.keep_exit(
                self._session, ticket, named, entrance=requests.MAIL, origin=origin, ban=ban, now=self._now
            )
            return self._done(intents.COMMAND, "kept", named)
        return self._done(intents.COMMAND, "banned" if ban else "left", named, person.id if person else None)

    def _leave_by_letter(self, row: MailingList) -> Outcome:
        address = self._sender()
        if address is None:
            return self._owners(intents.COMMAND, "no-address")
        if refused := self._forged_or_erased():
            # A relay may be wrong about a mail that was forwarded: a person looks, so that no leave is lost.
            return self._owners(intents.COMMAND, refused)
        if self._restored and self._has_left(address, row):
            return self._done(intents.COMMAND, spool.RESTORED, row)
        if silent := requests.no_leave_letter(self._session, row, address, now=self._now):
            # They may mean another address of theirs, or find no letter: a person looks. Nobody outside sees that.
            return self._owners(intents.COMMAND, "unlisted" if silent == requests.UNKNOWN else "no-letter", row)
        intake.write_down(
            self._session, row, address, kind=requests.LEAVE, entrance=requests.MAIL, language=self._language(row),
            origin=self._asking(), now=self._now,
        )  # fmt: skip
        return self._done(intents.COMMAND, "letter", row)

    def _has_left(self, address: Address, row: MailingList) -> bool:
        person = register.find(self._session, address)
        standing = register.subscription(self._session, person.id, row.id) if person else None
        return standing is not None and standing.standing is State.LEFT

    def _answered(self, found: Intent, secret: bytes) -> Outcome:
        try:
            knock = confirming.knock_by_answer(self._session, secret, now=self._now)
        except TokenSpent:
            return self._owners(intents.COMMAND, "spent")
        person, row = knock.person, knock.list
        origin = self._origin(_HOW_ANSWER)
        sender = self._sender()
        if sender is None or sender.folded != person.folded:
            origin["from_another"] = sender.mailbox if sender else "–"
        if found.act in (intents.DECLINE, intents.BAN):
            ban = _channels(found)
            confirming.decline(
                self._session, secret, disowns=found.disowns, ban=ban, origin=origin, now=self._now
            )  # fmt: skip
            return self._done(intents.COMMAND, "banned" if ban else "declined", row, person.id)
        try:
            door = confirming.confirm_by_answer(self._session, secret, origin=origin, now=self._now).door
        except Banned:
            return self._owners(intents.COMMAND, "forbidden", row, person.id)
        except TokenSpent:
            if self._restored:  # it was answered in its time, and what ended the letter since is in the journal
                return self._done(intents.COMMAND, spool.RESTORED, row, person.id)
            intake.ask_again_by_answer(self._session, secret, origin=self._asking(), now=self._now)
            return self._done(intents.COMMAND, "fresh-letter", row, person.id)
        return self._done(
            intents.COMMAND, "confirmed" if door is Door.OPEN else "confirmed-before", row, person.id
        )  # fmt: skip

    # ── by a program ──────────────────────────────────────────────────────────────────────────────────────────────

    def _robots(self, found: Intent) -> Outcome:
        to = self._to
        if to is not None and not self._addresses.sent_by_us(self._mail):
            # Without any other mark than its null return path it may be a report in words that we don't know.
            if found.words == robots.NULL_RETURN_PATH and to.kind in (BOUNCE, *_FOR_PERSONS):
                return self._owners(intents.BOUNCE, "unreadable-bounce", *self._about(to.handoff_id))
            # Nobody is taken off by it, and a no is not thrown away either.
            if found.words == robots.AWAY_SUBJECT and to.kind in (LEAVE, *_FOR_PERSONS) and self._says_no():
                return self._owners(intents.OTHER, "for-a-person")
            if found.words in robots.NOTICES and to.kind in _FOR_PERSONS:
                return self._owners(intents.AUTOREPLY, "for-a-person")
        return self._done(intents.AUTOREPLY, "robot", self._list)

    def _says_no(self) -> bool:
        return answers.said(self._mail).sense is answers.Sense.NO

    def _bounce(self, found: Intent) -> Outcome:
        # Not by what the report says: whoever can write one could else end anybody's subscription.
        handoff_id = self._to.handoff_id if self._to is not None else None
        if found.verdict is Verdict.COMPLAINT:  # said in a server's refusal
            return self._complaint(found)
        if not found.counts or found.verdict is None:
            return self._done(intents.BOUNCE, "nothing-failed", *self._about(handoff_id))
        if handoff_id is None:
            return self._owners(intents.BOUNCE, "unnamed-bounce")
        outcome = bounces.note(
            self._session, handoff_id, found.verdict, status=found.status, words=found.words, now=self._now
        )  # fmt: skip
        return self._done(intents.BOUNCE, outcome, *self._about(handoff_id))

    def _complaint(self, found: Intent) -> Outcome:
        handoff_id = self._to.handoff_id if self._to is not None else None
        handoff_id = handoff_id or self._addresses.handoff_named(self._mail) or self._by_ticket()
        if handoff_id is None:
            return self._owners(intents.COMPLAINT, "unnamed-complaint")
        evidence = {"message_sha256": hashlib.sha256(self._raw).hexdigest()}
        outcome = complaints.note(self._session, handoff_id, found.words, evidence=evidence, now=self._now)
        return self._done(intents.COMPLAINT, outcome, *self._about(handoff_id))

    def _by_ticket(self) -> int | None:
        """The mail that a redacted report is about, by its List-Unsubscribe."""
        ticket: Ticket | None = self._addresses.ticket_named(self._mail)
        person = readdressed.owner(self._session, ticket.digest) if ticket else None
        if ticket is None or person is None:
            return None
        return self._session.scalar(
            select(Handoff.id).where(
                Handoff.kind == handoffs.BULLETIN,
                Handoff.about == ticket.dispatch_id,
                Handoff.person_id == person.id,
            )
        )

    def _about(self, handoff_id: int | None) -> tuple[MailingList | None, int | None]:
        """The list and the person of a mail of ours."""
        sent = self._session.get(Handoff, handoff_id) if handoff_id else None
        if sent is None:
            return None, None
        return self._session.get(MailingList, sent.list_id), sent.person_id or None

    # ── what is known of the mail ─────────────────────────────────────────────────────────────────────────────────

    def _sender(self) -> Address | None:
        """Who the mail says that it is from: one address, and none of ours."""
        written = self._mail.addresses("From")
        if len(written) != 1 or self._addresses.sends_for_us(written[0]):
            return None
        try:
            return parse(written[0])
        except BadAddress:
            return None

    def _language(self, row: MailingList) -> str:
        """What the mail program says that its user reads, else the list's own."""
        for name in ("Content-Language", "Accept-Language"):
            for said in (self._mail.header(name) or "").split(","):
                if (code := said.strip()[:2].lower()) in LANGUAGES:
                    return code
        return lists.settings_of(row).language

    def _asking(self) -> Origin:
        """The same as `_origin`, and which mail a letter answers."""
        named = (self._mail.header("Message-ID") or "").strip()
        answered = {requests.ANSWERS: named} if named and len(named) <= _LONGEST_ID else {}
        return self._origin(_HOW_MAIL) | answered

    def _origin(self, how: str) -> Origin:
        """What is kept as evidence: the digest of the mail as it came, its return path and its header, bounded."""
        fields = [f"{name}: {value[:_LONGEST_VALUE]}" for name, value in self._mail.fields[:_MOST_HEADERS]]
        return {
            "how": how,
            "message_sha256": hashlib.sha256(self._raw).hexdigest(),
            "return_path": self._row.sender,
            "headers": fields,
        }

    def _done(self, kind: str, outcome: str, row: MailingList | None = None, person_id: int | None = None) -> Outcome:
        return Outcome(kind, HANDLED, outcome, row.id if row else None, person_id)

    def _owners(self, kind: str, outcome: str, row: MailingList | None = None, person_id: int | None = None) -> Outcome:
        row = row or self._list
        if person_id is None and (sender := self._sender()):  # whose page the owner is led to, no more
            found = register.find(self._session, sender)
            person_id = found.id if found else None
        writer = spool.writer_of(next(iter(self._mail.addresses("From")), ""))
        spool.came_from(self._row, traces.client(self._mail))
        return Outcome(kind, OWNER, outcome, row.id if row else None, person_id, writer)

    def _writer_erased(self) -> bool:
        """Whether who wrote the mail, or has its return path, was erased since it came."""
        if self._row.received_at is None:  # handed to us by a test or a command, and kept nowhere
            return False
        return whose.erased(self._session, self._writers, self._row.received_at)


def _channels(found: Intent) -> tuple[Channel, ...]:
    return channels(found.forbids) if found.forbids else ()
