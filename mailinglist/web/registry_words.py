"""The register in words, for pages: states, events, channels, and what its verbs refuse.

The verbs of `consent` speak English to whoever calls them. The sentences that a page may have to show are marked here
for the catalogues; a test holds them against the verbs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from .. import i18n
from ..consent import transfer
from ..consent.import_jobs import CHECKED, CHECKING, DONE, FAILED, RUNNING, UPLOADED, WAITING
from ..consent.states import Channel, State
from ..delivery.verdicts import Verdict
from ..errors import MailinglistError
from ..i18n import LANGUAGES
from ..stationery.sentences import noted as _
from . import pages
from .pages import say

Badge = tuple[str, str]
"""A short word, and what kind of badge it is: good, warn, bad, plain."""


def state(key: str, *, banned: bool = False) -> Badge:
    """Where somebody stands on a list. `banned`: a ban keeps them from being mailed all the same."""
    if banned and key == State.ACTIVE:
        return say("On the list, but banned: nothing is mailed"), "bad"
    words: Mapping[str, Badge] = {
        State.PENDING: (say("Awaits the answer"), "warn"),
        State.ACTIVE: (say("On the list"), "good"),
        State.LEFT: (say("Has left"), "plain"),
        State.UNDELIVERABLE: (say("Can't be reached"), "bad"),
        State.NONE: (say("Not on the list"), "plain"),
    }
    return words.get(key, (key, "plain"))


def states() -> list[tuple[str, str]]:
    """The states that somebody on record may have, to choose from."""
    return [(key.value, state(key)[0]) for key in State if key is not State.NONE]


def channel(key: str) -> str:
    """What a ban forbids."""
    return {each: words for each, words, _hint in channels()}.get(key, key)


def ban(key: str, list_name: str | None) -> str:
    """What a ban forbids, and where that is one list alone, on which."""
    if list_name is None:
        return channel(key)
    return say("%(what)s: only the list “%(list)s”", what=channel(key), list=list_name)


def channels() -> list[tuple[str, str, str]]:
    """Everything that a ban can forbid: its key, its name, and what that means."""
    return [
        (Channel.EMAIL.value, say("Marketing by e-mail"), say("Bulletins, and letters that ask for a confirmation.")),
        (Channel.POST.value, say("Marketing by post"), ""),
        (Channel.PHONE.value, say("Marketing by phone"), ""),
        (Channel.DISCLOSURE.value, say("Giving the data to others"), ""),
    ]


def basis(key: str) -> str:
    """On what somebody's subscription rests."""
    return dict(bases()).get(key, key)


def bases() -> list[tuple[str, str]]:
    """What a subscription may rest on, to choose from."""
    return [
        ("consent", say("Consent")),
        ("customer", say("Customer relationship")),
        ("organisation", say("Organisation")),
    ]


def way(key: str) -> str:
    """How a wish reached us."""
    known = {
        "form": say("By the form"),
        "browser": say("By the link in the letter, in the browser that signed up"),
        "button": say("By the button on the page"),
        "link": say("By the link in the letter"),
        "not-me": say("By the link in the letter"),
        "page": say("By the button on the page"),
        "one-click": say("By the mail program's own button"),
        transfer.BY_FILE: say("By a file"),
        transfer.BY_PROGRAM: say("By another of our systems"),
        "correction": say("By a file"),
        "staff": say("By staff"),
        "letter": say("By the link in the letter"),
        "fresh": say("By the button for a fresh letter"),
        "web": say("By the form"),
        "own page": say("On their own page"),
        "erasure": say("By an erasure"),
        "retention": say("Its period was over"),
        "confirmed": say("By the confirmation letter"),
        "answer": say("By answering the letter"),
        "complaint": say("By a complaint to their mailbox provider"),
        "bounces": say("Mails came back"),
        "dead": say("there is no such address"),
        "mailbox": say("the mailbox took nothing"),
        "went along with a corrected address": say("Went along with a corrected address"),
        "journal": say("Done again after a restore"),
        "journal of opt-outs": say("Done again after a restore"),
        "erased": say("Not kept: the person was erased"),
    }
    return known.get(key) or dict(ways()).get(key, key)


def source(key: str) -> str:
    """Where a subscription or a ban came from: the way, and what was said about it."""
    origin, colon, rest = key.partition(": ")
    return f"{way(origin)}: {way(rest)}" if colon else way(origin)


def sources_meant(typed: str) -> list[str]:
    """What a source may hold that is meant by what somebody typed: that itself, and each way that is called so in the
    language of the page."""
    said = typed.casefold()
    return [typed, *(key for key in _WAYS if said in way(key).casefold())] if said else []


_WAYS = (
    "page", "one-click", "answer", "own page", transfer.BY_FILE, transfer.BY_PROGRAM,
    "went along with a corrected address", "journal of opt-outs", "erased", "phone", "paper", "mail", "visit", "staff",
)  # fmt: skip


def ways() -> list[tuple[str, str]]:
    """How a wish can reach staff, to choose from."""
    return [
        ("phone", say("By phone")),
        ("paper", say("On paper")),
        ("mail", say("By mail")),
        ("visit", say("On a visit")),
    ]


def language(code: str) -> str:
    """A language by its name in the language of the page."""
    name = i18n.locale(pages.language()).languages.get(code, code)
    return str(name[:1].upper() + name[1:])


def languages() -> list[tuple[str, str]]:
    """The languages, to choose from."""
    return [(code, language(code)) for code in LANGUAGES]


def event(key: str) -> Badge:
    """What happened, as the ledger tells it."""
    words: Mapping[str, Badge] = {
        "asked": (say("Asked to join"), "plain"),
        "confirmed": (say("Confirmed"), "good"),
        "disowned": (say("Said that they did not ask"), "bad"),
        "left": (say("Left"), "bad"),
        "imported": (say("Brought over from another system"), "good"),
        "given_up": (say("Mail kept failing"), "bad"),
        "restored": (say("Put back on the list after mail had failed"), "good"),
        "lapsed": (say("The request was never answered"), "plain"),
        "readdressed": (say("Came here from a corrected address"), "plain"),
        "moved": (say("The address was corrected"), "plain"),
        "corrected": (say("Details corrected"), "plain"),
        "banned": (say("Forbade marketing"), "bad"),
        "ban_lifted": (say("A ban was lifted"), "good"),
        "restricted": (say("Restricted the use of their data"), "bad"),
        "unrestricted": (say("Ended the restriction"), "good"),
        "erased": (say("Erased"), "bad"),
    }
    return words.get(key, (key, "plain"))


def evidence(key: str) -> str:
    """What a piece of evidence is."""
    words = {
        "how": say("How"),
        "client": say("Network address"),
        "user_agent": say("Browser"),
        "language": say("Language of the page"),
        "evidence": say("What was said or signed"),
        "asked_on": say("Day"),
        "asked_at": say("Asked at"),
        "key_mailed_at": say("Key mailed at"),
        "recorded_by": say("Recorded by"),
        "system": say("System that handed it on"),
        "lifted_by": say("Lifted by"),
        "corrected": say("What was corrected"),
        "message_sha256": say("Digest of the mail"),
        "return_path": say("Return path of the mail"),
        "headers": say("Header of the mail"),
        "from_another": say("Written from another address"),
        "in_reply_to": say("The mail's own number (Message-ID)"),
        "file": say("File"),
        "source": say("Source"),
        "basis": say("Basis"),
    }
    return words.get(key, key)


def note_kind(key: str) -> str:
    """What is noted."""
    return dict(note_kinds()).get(key, key)


def note_kinds() -> list[tuple[str, str]]:
    """What can be noted, to choose from."""
    return [("note", say("Note")), ("contact", say("Contact")), ("meeting", say("Meeting"))]


def mail(kind: str, subject: str | None) -> str:
    """Which mail it was."""
    letters = {
        "bulletin": say("Bulletin"),
        "confirm": say("Confirmation letter"),
        "already": say("Letter: already on the list"),
        "leave": say("Letter with a link to leave by"),
        "welcome": say("Welcome letter"),
        "key": say("Letter with a link to their own page"),
    }
    return subject or letters.get(kind, kind)


def handoff(key: str) -> Badge:
    """What became of a mail."""
    words: Mapping[str, Badge] = {
        "pending": (say("Waits"), "plain"),
        "handing": (say("Is being handed over"), "plain"),
        "accepted": (say("Accepted"), "good"),
        "rejected": (say("Rejected"), "bad"),
        "deferred": (say("Put off by the mail server"), "warn"),
        "excluded": (say("Not sent"), "plain"),
        "uncertain": (say("Uncertain"), "warn"),
    }
    return words.get(key, (key, "plain"))


def verdicts() -> Mapping[str, Badge]:
    """What a mail that failed says of its address."""
    return {
        Verdict.DEAD.value: (say("The address is gone"), "bad"),
        Verdict.MAILBOX.value: (say("The mailbox took nothing"), "warn"),
        Verdict.SENDER.value: (say("Refused because of us"), "bad"),
    }


def request_kind(key: str) -> str:
    """What somebody asked for."""
    kinds = {
        "join": say("To join"),
        "leave": say("For a link to leave by"),
        "key": say("For a link to their own page"),
        "exit": say("To leave"),
    }
    return kinds.get(key, key)


def task_kind(key: str) -> str:
    """What somebody asked for, or what is to be done."""
    kinds = {
        "address": say("A new address"),
        "other": say("A question or request"),
        "erase": say("To be erased, from an address that is not confirmed"),
        "tell_recipient": say("Tell a recipient of a correction or erasure"),
    }
    return kinds.get(key, key)


def given(fields: Iterable[str]) -> str:
    """Which data were given to somebody outside."""
    return ", ".join(label for _field, label in givable(fields))


def givable(fields: Iterable[str]) -> list[tuple[str, str]]:
    """Data that can be given to somebody outside, to choose from."""
    said = {
        "address": say("E-mail address"),
        "name": say("Name"),
        "language": say("Language"),
        "subscriptions": say("Subscriptions"),
        "history": say("Consent history"),
        "bans": say("Marketing bans"),
        "notes": say("Notes and contacts"),
        "mails": say("Mails"),
    }
    return [(field, said.get(field, field)) for field in fields]


def request_outcome(key: str | None) -> str:
    """What became of a request."""
    words = {
        None: say("Waits for the worker"),
        "asked": say("A letter went out"),
        "already": say("On the list already"),
        "joined": say("Joined"),
        "leaving": say("A letter went out"),
        "key": say("A letter went out"),
        "used": say("A letter went out, and its link was used"),
        "left": say("Left"),
        "banned": say("Stopped by a ban"),
        "muted": say("No letter: they did not ask"),
        "limited": say("No letter: too many of late"),
        "unknown": say("Not on the list"),
        "failed": say("Failed"),
    }
    return words.get(key, key or "")


def import_state(key: str) -> Badge:
    """How far a file has come."""
    words: Mapping[str, Badge] = {
        UPLOADED: (say("Choose the columns"), "warn"),
        CHECKING: (say("Is being looked through"), "plain"),
        CHECKED: (say("Checked"), "warn"),
        WAITING: (say("Waits to be taken in"), "plain"),
        RUNNING: (say("Is being taken in"), "plain"),
        DONE: (say("Taken in"), "good"),
        FAILED: (say("Not taken in"), "bad"),
    }
    return words.get(key, (key, "plain"))


def meanings() -> list[tuple[str, str]]:
    """What a column can be said to mean."""
    return [
        ("ignore", say("Not taken")),
        ("email", say("E-mail address")),
        ("name", say("Name")),
        ("language", say("Language")),
        ("sale_reference", say("Sale reference")),
    ]


# ── what verbs refuse ─────────────────────────────────────────────────────────────────────────────────────────────

SENTENCES = (
    _("There is no such state."),
    _("That is no part of an address."),
    _("That is no domain name."),
    _("This person is not in the register any more."),
    _("Nobody with this address is in the register."),
    _("Marketing to this address is forbidden. The ban has to be lifted first."),
    _("The owner of this mailbox said that they did not ask for mail. No letter may go there."),
    _("This person is on the list already."),
    _("This person is not on the list."),
    _("A ban needs at least one channel."),
    _("There is no such language."),
    _("This is the address that the person has."),
    _(
        "Somebody with this address is in the register already. Record a leave for the old address instead; the new "
        "one has its own entry."
    ),
    _(
        "The owner of this mailbox said that they did not ask for mail. Enter the right address as somebody new, and "
        "leave this one as it is."
    ),
    _("An entry by staff says how the person told us: by phone, on paper, by mail, or on a visit."),
    _("An entry by staff needs evidence: what was said or signed, and where that is found."),
    _("The evidence has at most 2,000 characters, and no control characters."),
    _("The day when they asked lies in the future."),
    _("A note is a note, a meeting or a contact."),
    _("A note has between 1 and 4,000 characters."),
    _("The note holds control characters."),
    _("The day of the note lies in the future."),
    _("There is no such note."),
    _("Many files wait to be taken in. Take them in, or give them up, first."),
    _("There is no such import."),
    _("This file is being taken in, or is done with."),
    _("An import needs its source: the system or register that the people come from."),
    _("The source is one line of at most 190 characters."),
    _("An import rests on consent, on a customer relationship, or on being an organisation."),
    _("Customers need a sale reference: no column of the file is said to be one."),
    _("This file has not been looked through yet, or is being taken in already."),
    _("Somebody has had this file looked through anew. Look at the result, and then take it in."),
    _("There is nobody to take in: every line is refused."),
    _("The file is larger than 64 MB: split it."),
    _("The file is in UTF-16, not in UTF-8: save it as “CSV UTF-8”."),
    _("The file is a workbook, not CSV: open it in Excel or LibreOffice, and save it as “CSV UTF-8”."),
    _("The file is empty."),
    _("The file has more than 500,000 lines: split it."),
    _("The first line must name the columns (email, name, language, sale_reference), and here it holds an address."),
    _("Each column of the file is one of: email, name, language, sale_reference, ignore."),
    _("Two columns can't mean the same."),
    _("One column must be the e-mail address."),
    _("A ban needs its source: who forbade it, and how."),
    _("Lifting a ban needs evidence: what the person said, when, and to whom."),
    _("No such ban is in force for this address."),
    _("This person has left the list. Only they can come back, by the form and a fresh confirmation."),
    _("This person has left the list. Only they can come back."),
    _("Mail to this address fails. The person's own sign-up, or a member of staff, ends that."),
    _("This address is not on the list."),
    _("it has more cells than the first line has columns"),
    _("a customer without a sale reference"),
    _("the name is longer than 200 characters"),
    _("the name holds a line break or control characters"),
    _("the sale reference is longer than 200 characters"),
    _("the sale reference holds a line break or control characters"),
    _("nobody decided about it in time"),
    _("it named somebody who was erased since"),
    _("This person has forbidden that data about them are given to others."),
    _("This person has restricted the use of their data: name the ground on which they may be given."),
    _("There is no such ground (GDPR 18(2))."),
    _("That is too long, or holds control characters."),
    _("banned: marketing to this address is forbidden"),
    _("restricted: this person asked that their data be kept and not used (GDPR 18)"),
    _("left: who has this address left the list, and was erased or moved since; only they can come back, by the form"),
    _("holds passwords: those of the web shop stay in the web shop"),
    _("belongs to billing: cards, credit and accounts are no business of a mailing list"),
    _("identifies persons in a way that a mailing list has no need of"),
)
"""Every refusal without a value in it."""

REMARKS = (
    _("new name"),
    _("new language"),
    _("new basis"),
    _("new sale reference"),
    _("waited for a confirmation, and is put on the list"),
    _("unknown language: mails go out in Finnish"),
    _("unknown language: mails go out in Swedish"),
    _("unknown language: mails go out in English"),
)
"""What is said of a line that an import takes."""

_WITH_VALUES = (
    (
        re.compile(r"The file is not in UTF-8 \(first seen on line (?P<line>.+)\): save it as “CSV UTF-8”\."),
        _("The file is not in UTF-8 (first seen on line %(line)s): save it as “CSV UTF-8”."),
    ),
    (
        re.compile(r"From line (?P<line>.+) on, the file can't be read as CSV \((?P<why>.+)\)\."),
        _("From line %(line)s on, the file can't be read as CSV (%(why)s)."),
    ),
    (
        re.compile(r"The column “(?P<column>.+)” (?P<why>.+)\. Take it out of the file\."),
        _("The column “%(column)s” %(why)s. Take it out of the file."),
    ),
    (
        re.compile(r"a duplicate: the same address is on line (?P<line>.+)"),
        _("a duplicate: the same address is on line %(line)s"),
    ),
    (re.compile(r"bad address: (?P<why>.+)"), _("bad address: %(why)s")),
    (re.compile(r"given up by (?P<who>.+)"), _("given up by %(who)s")),
    (
        re.compile(r"From “(?P<state>.+)”, a subscription can't be “(?P<event>.+)”\."),
        _("From “%(state)s”, a subscription can't be “%(event)s”."),
    ),
)
_AFTER_A_STATE = re.compile(r"(?:none|pending|active|left|undeliverable): (.+)")
_TRANSLATED = ("why",)
"""Values that are sentences of their own."""


def reason(words: str | MailinglistError) -> str:
    """A refusal in the language of the page."""
    if isinstance(words, MailinglistError):
        if getattr(words, "sentence", None) is not None:
            return pages.reason(words)
        words = str(words)
    if words in SENTENCES or words in REMARKS:
        return say(words)
    if found := _AFTER_A_STATE.fullmatch(words):
        words = found[1]
    for pattern, sentence in _WITH_VALUES:
        if found := pattern.fullmatch(words):
            values = {name: say(text) if name in _TRANSLATED else text for name, text in found.groupdict().items()}
            return say(sentence, **values)
    return say(words)
