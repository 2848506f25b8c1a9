"""Pure: what a mail address is, and when two are one person's.

The address is kept as the person wrote it (the local part may be case-sensitive, RFC 5321 §2.4), its domain as
A-labels in lower case. One person per case-folded address (REQUIREMENTS 2.5); `+detail` is never stripped.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from email_validator import SPECIAL_USE_DOMAIN_NAMES, EmailNotValidError, validate_email

from ..errors import BadAddress

MAX_LENGTH = 254  # RFC 5321 §4.5.3.1.3, less the angle brackets
SHA256 = re.compile(r"[0-9a-fA-F]{64}")
"""What stands for an address in lists that must not show it: its SHA-256 in hex."""

_REASONS = {
    "missing": "An e-mail address is needed.",
    "too_long": "The address is too long.",
    "no_at": "The address needs one @, with something before and after it.",
    "control": "The address holds characters that can't be part of an address.",
    "domain": "The part after the @ is not a domain name.",
    "local": "The part before the @ is not one that we can write to.",
}
UNPRINTABLE = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})
"""Controls, marks that turn the writing around, halves of characters, private use, line and paragraph ends."""
_UNSEEN = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\ufff0-\ufff8\U000e0000-\U000e0fff]"
)
"""Shown as nothing: Unicode's Default_Ignorable_Code_Point (DerivedCoreProperties.txt), less what is UNPRINTABLE."""
_ESCAPED = re.compile(r"%[89A-Fa-f][0-9A-Fa-f]")
# Most addresses: these need no more than this look, which takes a twentieth of the time. Labels of a domain with two
# hyphens in a row may be A-labels, and single-label or special domains have rules of their own: those go the long way.
_PLAIN = re.compile(
    r"(?=.{6,254}\Z)(?=[^@]{1,64}@)[A-Za-z0-9]+(?:[._+-][A-Za-z0-9]+)*"
    r"@(?:[A-Za-z0-9](?:-?[A-Za-z0-9]){0,61}\.)+[A-Za-z]{2,24}\Z",
    re.A,
)
_LONGEST_LABEL = 63
_SPECIAL = tuple(f".{name}" for name in SPECIAL_USE_DOMAIN_NAMES)
REASONS = tuple(_REASONS.values())
"""Every sentence that a BadAddress can say; each is a message id of the catalogues."""


@dataclass(frozen=True, slots=True)
class Address:
    """A well-formed mail address."""

    mailbox: str
    """As written, the domain as A-labels in lower case; what goes into RCPT TO."""
    folded: str
    """Case-folded: the key of one person."""

    @property
    def domain(self) -> str:
        """The domain, A-labels, lower case."""
        return self.mailbox.rpartition("@")[2]


def parse(text: str) -> Address:
    """The address that `text` is. Surrounding white space is forgiven. Raises BadAddress, with the reason in words."""
    if _PLAIN.match(text):
        local, _, domain = text.partition("@")
        domain = domain.lower()
        if not f".{domain}".endswith(_SPECIAL) and max(map(len, domain.split("."))) <= _LONGEST_LABEL:
            return Address(mailbox=f"{local}@{domain}", folded=f"{local.lower()}@{domain}")
    return _parsed_with_care(text)


def _parsed_with_care(text: str) -> Address:
    text = unicodedata.normalize("NFC", text.strip(" \t\u00a0"))
    if not text:
        raise _bad("missing")
    if len(text) > MAX_LENGTH:
        raise _bad("too_long")
    # U+FFFD, or %FF left as it stood: what decoders leave of bytes that were no text.
    if "\ufffd" in text or _ESCAPED.search(text) or UNPRINTABLE.intersection(map(unicodedata.category, text)):
        raise _bad("control")
    local, _, domain = text.rpartition("@")
    if not local or not domain or "@" in local:
        raise _bad("no_at")
    try:
        # No DNS here: the answer must take the same time for everybody (REQUIREMENTS 5).
        checked = validate_email(text, check_deliverability=False, allow_quoted_local=False, globally_deliverable=False)
    except EmailNotValidError as error:
        part = "domain" if _valid_local(local) else "local"
        raise _bad(part) from error
    if checked.local_part.casefold() != checked.local_part.lower():
        # ſmith and smith, straße and strasse fold alike, and are two mailboxes: one could keep the other off the list.
        raise _bad("local")
    if unicodedata.normalize("NFKC", checked.local_part) != checked.local_part or _UNSEEN.search(checked.local_part):
        # Who reads ｍatti or a matti with a mark that nobody sees takes them for matti (RFC 8264 §9.17, UTS 39 §3).
        raise _bad("local")
    if "." not in checked.ascii_domain:
        raise _bad("domain")
    mailbox = f"{checked.local_part}@{checked.ascii_domain.lower()}"
    if len(mailbox.encode()) > MAX_LENGTH or len(checked.local_part.encode()) > 64:
        raise _bad("too_long")
    return Address(mailbox=mailbox, folded=fold(mailbox))


def fold(mailbox: str) -> str:
    """The case-folded form of an address that `parse` made."""
    return unicodedata.normalize("NFC", mailbox.casefold())


def _valid_local(local: str) -> bool:
    try:
        validate_email(f"{local}@example.com", check_deliverability=False)
    except EmailNotValidError:
        return False
    return True


def _bad(reason: str) -> BadAddress:
    return BadAddress(_REASONS[reason], reason=reason)
