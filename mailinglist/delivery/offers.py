"""What a mail server offers (EHLO), and what that makes of an envelope: its commands, or a refusal. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from .parcels import Parcel
from .replies import Reply


@dataclass(frozen=True, slots=True)
class Offers:
    """The extensions of one server (RFC 5321 §2.2). The default is what HELO gives: none."""

    pipelining: bool = False
    """RFC 2920."""
    eight_bit: bool = False
    """8BITMIME, RFC 6152."""
    utf8: bool = False
    """SMTPUTF8, RFC 6531."""
    starttls: bool = False
    """RFC 3207."""
    size: bool = False
    """SIZE is understood (RFC 1870)."""
    most_octets: int = 0
    """… and no message may be larger; 0: no limit is said."""
    sign_in: frozenset[str] = frozenset()
    """The mechanisms of AUTH (RFC 4954)."""

    @classmethod
    def read(cls, reply: Reply) -> Offers:
        """The offers in an answer to EHLO (§4.1.1.1): its first line greets; what isn't known here is skipped."""
        keywords: dict[str, list[str]] = {}
        for line in reply.lines[1:]:
            # Some old servers write AUTH=LOGIN.
            keyword, *parameters = re.sub(r"^(AUTH)=", r"\1 ", line.upper()).split() or [""]
            keywords.setdefault(keyword, []).extend(parameters)
        size = keywords.get("SIZE")
        return cls(
            pipelining="PIPELINING" in keywords,
            eight_bit="8BITMIME" in keywords,
            utf8="SMTPUTF8" in keywords,
            starttls="STARTTLS" in keywords,
            size=size is not None,
            most_octets=int(size[0]) if size and re.fullmatch("[0-9]{1,15}", size[0]) else 0,
            sign_in=frozenset(keywords.get("AUTH", ())),
        )


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a parcel isn't handed over at all; the codes are those that a server would give."""

    code: int
    enhanced: str
    text: str


@dataclass(frozen=True, slots=True)
class Envelope:
    """The commands of one transaction, each with its CRLF."""

    mail: bytes
    rcpt: bytes


# What may stand between < and >: nothing that ends the path or the line. Half a character (a lone surrogate) has no
# octets.
_PLAIN_PATH = re.compile(r"[^\x00-\x20<>\x7f\ud800-\udfff]+")
# A quoted local part may hold all that but control characters (RFC 5321 §4.1.2).
_QUOTED_PATH = re.compile(r'"(?:[^"\\\x00-\x1f\x7f\ud800-\udfff]|\\[\x20-\x7e])*"@[^\x00-\x20<>\x7f\ud800-\udfff]+')

_BAD_SENDER = Refusal(553, "5.1.7", "the sender can't be written in an envelope")
_BAD_RECIPIENT = Refusal(553, "5.1.3", "the recipient can't be written in an envelope")
_BAD_CONTENT = Refusal(554, "5.6.0", "the content isn't ready for sending: its end or a line with a lone dot is wrong")
_NO_UTF8 = Refusal(553, "5.6.7", "the mail server can't take internationalised addresses (SMTPUTF8)")
_NO_8BIT = Refusal(554, "5.6.3", "the mail server can't take 8-bit content (8BITMIME)")


def address(parcel: Parcel, offers: Offers) -> Envelope | Refusal:
    """The envelope of a parcel for a server with these offers, or why there is none.

    CR, LF and NUL never reach a command line (REQUIREMENTS.md §5), and parameters go only where they are offered and
    needed.
    """
    sender, recipient, content = parcel.sender, parcel.recipient, parcel.content
    if not _PLAIN_PATH.fullmatch(recipient) and not _QUOTED_PATH.fullmatch(recipient):
        return _BAD_RECIPIENT
    if sender and not _PLAIN_PATH.fullmatch(sender) and not _QUOTED_PATH.fullmatch(sender):
        return _BAD_SENDER
    if not content.ready:
        return _BAD_CONTENT
    if offers.most_octets and content.octets > offers.most_octets:
        return Refusal(
            552,
            "5.3.4",
            f"the message has {content.octets} octets, and the mail server takes {offers.most_octets} at most",
        )
    parameters = f" SIZE={content.octets}" if offers.size else ""
    plain = content.plain
    if not (recipient.isascii() and sender.isascii() and (plain or _headers(bytes(content)).isascii())):
        if not offers.utf8:
            return _NO_UTF8
        parameters += " SMTPUTF8"
    if not plain:
        if not offers.eight_bit:
            return _NO_8BIT
        parameters += " BODY=8BITMIME"
    return Envelope(f"MAIL FROM:<{sender}>{parameters}\r\n".encode(), f"RCPT TO:<{recipient}>\r\n".encode())


def _headers(content: bytes) -> bytes:
    return content.partition(b"\r\n\r\n")[0]
