"""One bulletin's mails: the frozen issue compiled once for each language, filled per person."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from email.utils import parseaddr

from sqlalchemy import select
from sqlalchemy.orm import Session

from ..bulletins import approvals, drafts
from ..bulletins.compose import Composed
from ..bulletins.imprint import Imprint
from ..consent import gate, lists
from ..consent.tables import MailingList, Person
from ..db import among
from ..errors import BadInput, Fault
from ..settings import Settings
from ..tokens import Tokens
from . import dispatch, handoffs, mail_headers
from .addressing import Addressing
from .dkim import Signer
from .handoffs import Claimed
from .run import Written
from .slots import SlotKind
from .template import Message, compile_message

_SLOTS = {
    "unsubscribe_url": SlotKind.URL,
    "unsubscribe_token": SlotKind.TOKEN,
    "privacy_url": SlotKind.URL,
    "own_page_url": SlotKind.URL,
    "name": SlotKind.TEXT,
}


class BulletinPaper:
    """One bulletin's mail in one language, compiled once. Raises BadInput for what can't be written.

    What of the list's settings goes into it comes from `sender` and `shown`, never from the list as it is now.
    """

    def __init__(
        self,
        row: MailingList,
        bulletin_id: int,
        language: str,
        sender: str,
        shown: Imprint,
        made: Composed,
        addressing: Addressing,
        settings: Settings,
        signer: Signer,
    ) -> None:
        self._list_id, self._bulletin, self._addressing = row.id, bulletin_id, addressing
        alike = {
            "privacy_url": addressing.url(f"/privacy/{row.slug}?lang={language}"),
            "own_page_url": addressing.url(f"/preferences?lang={language}"),
        }
        owner = shown["owner"]
        own_domain = parseaddr(sender)[1].rpartition("@")[2]
        headers = (
            *((("Reply-To", owner),) if owner else ()),
            mail_headers.list_id(shown["name"], row.slug, settings.return_domain),
            *mail_headers.unsubscribe(row.slug, settings),
            # Gmail's feedback loop: at most four fields, the last names the sender; the same for every recipient.
            ("Feedback-ID", f"{bulletin_id}:{row.slug}:bulletin:{own_domain}"),
        )
        message = Message(subject=made.subject, html=made.html, text=made.text, sender=sender, headers=headers)
        self._template = compile_message(message, slots=_SLOTS, alike=alike)
        self._seal = signer.seal(self._template) if signer else None

    def fill(self, handoff_id: int, mailbox: str, name: str | None, digest: bytes, now: datetime) -> Written:
        """The mail for one person. Raises BadInput."""
        unsubscribe = self._addressing.unsubscribe_url(self._list_id, digest, self._bulletin)
        token = unsubscribe.rpartition("/")[2]
        values = {"unsubscribe_url": unsubscribe, "unsubscribe_token": token, "name": name or ""}
        return_path, message_id = self._addressing.of(handoff_id)
        content = self._template.fill(
            to_address=mailbox,
            to_name=name,
            message_id=message_id,
            date=now,
            values=values,
        )
        return Written(return_path, mailbox, content, self._seal)


class BulletinDesk:
    """The desk of one bulletin. Raises Fault when the issue is not what was approved."""

    kinds: Collection[str] = (handoffs.BULLETIN,)

    def __init__(self, session: Session, bulletin_id: int, settings: Settings, tokens: Tokens, signer: Signer) -> None:
        issue = approvals.issue_of(session, bulletin_id)
        if issue is None:
            raise Fault(f"Bulletin {bulletin_id} is not approved.")
        row = session.get_one(MailingList, drafts.find(session, bulletin_id).list_id)
        self.about: int | None = bulletin_id
        self._bulletin, self._list_id = bulletin_id, row.id
        own = lists.settings_of(row).rate
        self.rates: Mapping[str, float] = {
            **({"all": settings.send_rate} if settings.send_rate else {}),
            **({f"list {row.id}": own} if own else {}),
        }
        shown = approvals.issue_imprint(issue, row)
        self._own_language = shown["language"]
        addressing = Addressing(settings, tokens)
        self._papers = {
            language: BulletinPaper(row, bulletin_id, language, issue.sender, shown, made, addressing, settings, signer)
            for language, made in approvals.issue_editions(issue, row).items()
        }

    def halted(self, session: Session) -> bool:
        """Paused, cancelled or held."""
        return not dispatch.goes_on(session, self._bulletin)

    def write(self, session: Session, rows: Sequence[Claimed], *, now: datetime) -> Mapping[int, Written | str]:
        """Each person's bulletin; the gate and what a mail needs come in one reading."""
        persons = [row.person_id for row in rows]
        read = gate.read(session, gate.Mail.BULLETIN, list_id=self._list_id, persons=persons, now=now)
        spoken = self._languages(session, rows)
        return {
            row.id: self._write(row, read.get(row.person_id), spoken.get(row.person_id), now) for row in rows
        }  # fmt: skip

    def refusals(self, session: Session, rows: Sequence[Claimed], *, now: datetime) -> Mapping[int, str]:
        """The gate for bulletins."""
        persons = [row.person_id for row in rows]
        found = gate.refusals(session, gate.Mail.BULLETIN, list_id=self._list_id, persons=persons, now=now)
        return {row.id: found[row.person_id] for row in rows if row.person_id in found}

    def _languages(self, session: Session, rows: Sequence[Claimed]) -> Mapping[int, str]:
        """The persons' languages; nobody is asked for while the bulletin has one version."""
        if len(self._papers) == 1:
            return {}
        wanted = select(Person.id, Person.language).where(among(Person.id, [row.person_id for row in rows]))
        return dict(session.execute(wanted).all())

    def _write(self, row: Claimed, read: gate.Reading | None, language: str | None, now: datetime) -> Written | str:
        if read is None:
            return "erased"
        if read.why is not None:
            return read.why
        paper = self._papers[drafts.pick(self._papers, own=language, of_list=self._own_language)]
        try:
            return paper.fill(row.id, read.mailbox, read.name, read.digest, now)
        except BadInput as error:
            return str(error)
