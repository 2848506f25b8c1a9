"""Pure: what a server's refusal says of the address, of the mailbox, or of us.

Servers say it three times, and often differently: by the reply code (RFC 5321), by an enhanced status code (RFC 3463,
5248 and IANA's registry), and in words. Words that are clear win: many servers say 5.7.1 or 5.0.0 of an address that
they don't know, or 5.1.1 of a mailbox that is full. Then comes the enhanced code, then the reply code.

`dead` can take somebody off a list, so it has to be said twice: "user unknown" counts only beside a code, or where the
reporter calls the failure an error or permanent. What says nothing is `mailbox`, which harms nobody unless it goes on
for weeks.

The words are what servers have in common, not the sentence of any one of them; where a sentence stands whole, it is
that of a widely used server or a large provider.
"""

from __future__ import annotations

import re
from enum import StrEnum


class Verdict(StrEnum):
    """What a report, or a refusal in the conversation, means for the person it was about."""

    DEAD = "dead"
    """There is no such address any more, or no such domain."""
    MAILBOX = "mailbox"
    """The address may well be there and could not take this mail: full, locked or disabled, not reachable, too late.
    Also what a report means that says only that something failed."""
    SENDER = "sender"
    """It is about us: our address, our content, our server, our right to write there. It never counts against the
    person."""
    COMPLAINT = "complaint"
    """The person told their provider that the mail is unwanted."""
    NO_FAILURE = "no-failure"
    """Nothing failed: delivered, read, answered by a robot."""


MOST_WORDS = 6_000
"""Characters of what a server said that are looked at."""

_ADDRESS = re.compile(r"(?:rfc822;)?[^\s<>\"'(),;:\[\]]{1,128}@[^\s<>\"'(),;:\[\]]{0,255}")
_MARKS = re.compile(r"[\s<>\"'`´‘’“”()\[\]{}*|_]+")
_CODE = re.compile(r"(?:^|[\s:;<\[\"'(#])([245][0-9]{2})(?=[\s:;,.<#\"'\])-]|$)")
_STATUS = re.compile(r"(?<![0-9.])([245]\.[0-9]{1,3}\.[0-9]{1,3})(?![0-9]|\.[0-9])")

_SOMEBODY = (
    r"(?:user|recipient|addressee|mailbox|mail box|account|address|local[- ]part|customer|alias|person|subscriber"
    r"|destinataire)(?:e?s)?"
)
_ABSENT = (
    r"(?:unknown|not found|not be found|not known|not recogni[sz]ed|not exist|t exist|t found|invalid|not valid"
    r"|not listed|no longer \w+|has moved|was deleted|been deleted|inconnu|invalide)"
)
_NO_SUCH = (
    r"(?:no such|unknown|invalid|non-?existent|no valid|not a valid|not a known|not our|doesn t have a|bad|illegal)"
)


def _any(*patterns: str) -> re.Pattern[str]:
    """One of these, as whole words."""
    return re.compile(rf"\b(?:{'|'.join(patterns)})\b")


_UNKNOWN = _any(
    rf"{_SOMEBODY}(?: \S+){{0,6}}? {_ABSENT}",
    rf"{_NO_SUCH} (?:\S+ ){{0,2}}?{_SOMEBODY}",
    r"no (?:user|mailbox|account)",
    r"(?:local|virtual|relay) (?:recipient|alias|mailbox) table",  # Postfix
    r"undeliverable address",
    r"address rejected(?=\.(?: |$))",  # Cisco
    r"unroute?able address",  # Exim
    r"nosuchuser|recip\w{0,5}notfound",  # Google, Microsoft
)
"""Nobody of that name."""
_NO_DOMAIN = _any(
    rf"(?:host|domain|host ?name|system)(?: \S+){{0,3}}? {_ABSENT}",
    r"(?:no such|unknown|illegal|invalid|find any) (?:\S+ ){0,2}?(?:host|domain)",
    r"(?:no|null) mx",
    r"no smtp service",
    r"name service error",  # Postfix
    r"destination system address",
)
_FULL = _any(
    r"(?:mailbox|mail box|inbox|mail ?folder|account|storage|disk|quota|boite|messagerie|postfach|buzon)"
    r"(?: \S+){0,3}? (?:full|exceeded|pleine|voll|lleno)",
    r"(?:over|exceed\w{0,3}|out of|insufficient|not enough)(?: \S+){0,3}? (?:quota|storage|space|allocation)",
    r"overquota|quota (?:limit|exce|viol)\w*|mailbox size|no space left",
)
_SHUT = r"(?:disabled|suspended|inactive|deactivated|frozen|discontinued|expired)"
_LOCKED = _any(
    rf"(?:account|mailbox|user|recipient)(?: \S+){{0,6}}? {_SHUT}",
    rf"{_SHUT} (?:\S+ )?(?:account|mailbox|user|recipient)",
    r"(?:account|mailbox|user|recipient)(?: \S+){0,2}? (?:blocked|locked|closed|bloque)",
    r"not accepting (?:new |any )?(?:mail|messages)",
)
# What has a word for itself in the trade: of our content, our name, our right to write there.
_OURS = (
    "spam", "junk", "unsolicited", "bulk mail", "blacklist", "black list", "blocklist", "block list", "dnsbl",
    "reputation", "suspicious", "complaint", "polic", "violat", "administrative", "prohibited", "virus", "malware",
    "phish", "dmarc", "dkim", "spf", "authentic", "authrequired", "authoriz", "authoris", "permi", "relay", "ptr",
    "reverse dns", "reverse lookup", "rdns", "helo", "ehlo", "tls", "greylist", "graylist", "rate limit", "throttl",
    "too many", "too fast", "too much", "too large", "too big", "size limit", "maximum message", "message size",
    "message length", "rfc 5322", "rfc5322", "rfc 2822", "rfc 5321", "compliant", "syntax error",
    "sequence of commands", "bad sequence", "file type", "access denied", "ip address", "sending ip", "your ip",
    "client ip", "blocked ip", "banned", "frequency limit", "from your", "client host", "client address",
    "blocked using", "blocked by", "not a member", "not subscribed", "members only", "restricted", "smtputf8",
    "bare lf", "bare cr", "line too long", "loop to myself", "groups.google.com/support",
)  # fmt: skip
_REFUSED = r"(?:rejected|denied|refused|blocked|not allowed|not accepted|unacceptable|listed)"
_OURS_REFUSED = _any(
    rf"(?:senders?|mail from|from address|client|content|attachments?)(?: \S+){{0,3}}? {_REFUSED}",
    r"sender (?:address|domain|verif\w*)|domain of sender",
    r"headers? (?:error|too|missing|invalid|not)|(?:from|from:|missing|invalid|bad|duplicate) headers?",
)
_MAIL_REFUSED = _any(rf"(?:message|mail|e-?mail|content)(?: content)?(?: was| is| has been)? {_REFUSED}")
"""Says little, so that what is said of the recipient comes first."""
_IN_PASSING = re.compile(
    r"relay recipient table|mailbox size limit|too many hops|too many messages in|too much (?:mail )?in"
    r"|permission denied|permitted time|ip address lookup"
)
"""Holds one of the words above, and is about something else."""
_EARLY = (
    "after initial connection", "after mail from", "after ehlo", "after helo", "in reply to mail from",
    "in reply to ehlo", "in reply to helo", "refused to talk to me", "sender was rejected",
)  # fmt: skip
"""How Postfix, Exim and qmail say that nobody had been named yet when the server refused."""
_AT_THE_END = re.compile(r"\bend of data\b|\bsmtp command\W{1,9}data\b")
"""How Postfix, Exim and m-FILTER say that the recipient had been taken, and the mail was refused when it was there."""
_HARDLY_GONE = _any(r"user unknown", r"unknown user", r"no such user")
"""What some servers then say of whoever does not take mail from us, most of all the large Japanese carriers."""
_LATE = (
    "timed out", "timeout", "time-out", "connection timed", "connection refused", "connection reset",
    "connection lost", "connection dropped", "lost connection", "smtp connection", "connect to", "to connect",
    "no route", "unreachable", "not reachable", "in the queue", "on queue", "in queue", "giving up",
    "could not send message for", "could not be delivered for", "expired", "attempts", "temporar", "try again",
    "try later", "try your message", "retry", "hop count", "too many hops", "loop", "dns error", "lookup",
    "name server", "nameserver", "unavailable", "not available", "deferred", "delayed", "not yet been delivered",
)  # fmt: skip
_BACKING = re.compile(
    r"\bpermanent|\bfatal error|\bunrecoverable|\berror(?: code)? ?:|\b(?:0x)?[0-9a-f]{8}\b"
    r"|\bnot (?:listed|found) in (?:\S+ ){0,5}?(?:directory|address book)\b"  # Domino, Notes
)
"""The reporter's own number of an error, or its word that it is one; Exchange's numbers have eight digits. Or where it
looked: a server that knows its directory is no hearsay."""
_NOBODY_NAMED = re.compile(r"\b55[0-9]:? ?: user unknown")
"""A server that knows its users says which one it means. Where it names nobody it had taken the recipient, and
refused the mail afterwards by what the reader has set: the large Japanese carriers do."""

_BY_STATUS = {
    "1.1": Verdict.DEAD, "1.2": Verdict.DEAD, "1.3": Verdict.DEAD, "1.6": Verdict.DEAD, "1.10": Verdict.DEAD,
    "1.7": Verdict.SENDER, "1.8": Verdict.SENDER, "2.3": Verdict.SENDER, "3.3": Verdict.SENDER,
    "3.4": Verdict.SENDER, "4.4": Verdict.DEAD, "7.13": Verdict.MAILBOX, "7.17": Verdict.DEAD, "7.18": Verdict.DEAD,
}  # fmt: skip
"""Detail of a status → what it means (RFC 3463 §3, RFC 5248, RFC 7293 §4, RFC 7505 §4.2)."""
_BY_SUBJECT = {
    "2": Verdict.MAILBOX,
    "3": Verdict.MAILBOX,
    "4": Verdict.MAILBOX,
    "6": Verdict.SENDER,
    "7": Verdict.SENDER,
}
_BY_CODE = {
    523: Verdict.SENDER, 530: Verdict.SENDER, 534: Verdict.SENDER, 535: Verdict.SENDER, 538: Verdict.SENDER,
    541: Verdict.SENDER, 551: Verdict.DEAD, 554: Verdict.SENDER, 555: Verdict.SENDER, 571: Verdict.SENDER,
}  # fmt: skip
"""Reply code → what it means, where nothing else is said. 554 at the end of the data, or before anybody is named, is
mostly a policy; 550 is said of everything."""


def judge(*, code: int | None = None, status: str | None = None, words: str = "", action: str | None = None) -> Verdict:
    """What a refusal means: `code` the SMTP reply code, `status` the enhanced status code, `words` what the server
    said, `action` that of RFC 3464 §2.3.3. What says nothing is MAILBOX; what is only late is never DEAD."""
    return weigh(code=code, status=status, words=words, action=action) or Verdict.MAILBOX


def weigh(
    *, code: int | None = None, status: str | None = None, words: str = "", action: str | None = None
) -> Verdict | None:
    """As `judge`; None where nothing is said that means anything."""
    if action in ("delivered", "relayed", "expanded"):
        return Verdict.NO_FAILURE
    words = words[:MOST_WORDS].lower()
    statuses = [each for each in (status, *_STATUS.findall(words)) if each and each[0] in "45"]
    codes = [each for each in (code, *map(int, _CODE.findall(words))) if each and each >= 400]
    verdict = _by_words(f"{code or ''} {words}", codes, statuses) or _by_codes(codes, statuses)
    return Verdict.MAILBOX if action == "delayed" and verdict is Verdict.DEAD else verdict


def status_in(words: str) -> str | None:
    """The enhanced status code in what a server said; where there are several, the first with a detail."""
    found = [each for each in _STATUS.findall(words[:MOST_WORDS]) if each[0] != "2"]
    return next((each for each in found if not each.endswith(".0")), found[0] if found else None)


def _spoken(words: str) -> str:
    """What a server said as the words above are written: lower case, without addresses, marks and line ends."""
    return _MARKS.sub(" ", _ADDRESS.sub(" ", words)).replace("...", " ").replace("  ", " ")


def _has(said: str, phrases: tuple[str, ...]) -> bool:
    return any(phrase in said for phrase in phrases)


def _has_detail(statuses: list[str], *details: str) -> bool:
    return any(status.endswith(details) for status in statuses)


def _by_words(words: str, codes: list[int], statuses: list[str]) -> Verdict | None:
    said = _spoken(words)
    if _FULL.search(said) or (_LOCKED.search(said) and not _has_detail(statuses, ".1.1", ".1.6")):
        return Verdict.MAILBOX
    ours = _is_ours(said)
    if _has(said, _EARLY) or _has_detail(statuses, ".1.7", ".1.8"):
        lasting = any(code >= 500 for code in codes) or any(status[0] == "5" for status in statuses)
        return Verdict.SENDER if lasting or ours else Verdict.MAILBOX
    if any(500 <= code <= 504 for code in codes) and not _has_detail(statuses, ".1.1", ".1.3"):
        return Verdict.SENDER  # RFC 5321 §4.2.2: it did not understand us, so it says nothing of anybody
    if "5.4.1" in statuses and "recipient address rejected" in said:
        return Verdict.DEAD  # how Microsoft's servers say that nobody of that name is in the directory
    if ours:
        return Verdict.SENDER
    if _NOBODY_NAMED.search(words):
        return Verdict.MAILBOX
    if _is_gone(said, codes, statuses):
        # x.2 says that the mailbox is there (RFC 3463 §3.3): 5.2.0 is what Sendmail makes of a refusal that comes after
        # the recipient was taken.
        return Verdict.MAILBOX if _has_detail(statuses, ".2.0") or _was_taken(said, statuses) else Verdict.DEAD
    if _NO_DOMAIN.search(said):
        if _AT_THE_END.search(said) and not _of_the_address(statuses):
            return Verdict.SENDER  # the recipient's domain was good enough to take the mail for: it means ours
        for_now = any(status[0] == "4" for status in statuses) or "try again" in said
        return Verdict.MAILBOX if for_now else Verdict.DEAD
    if _MAIL_REFUSED.search(said):
        return Verdict.SENDER
    return _by_statuses(statuses) or (Verdict.MAILBOX if _has(said, _LATE) else None)


def _is_ours(said: str) -> bool:
    said = _IN_PASSING.sub(" ", said)
    return _has(said, _OURS) or _OURS_REFUSED.search(said) is not None


def _is_gone(said: str, codes: list[int], statuses: list[str]) -> bool:
    if 550 in codes and "mailbox unavailable" in said:  # RFC 5321 §4.2.2; the same words after 450 say that it is busy
        return True
    return bool(codes or statuses or _BACKING.search(said)) and _UNKNOWN.search(said) is not None


def _was_taken(said: str, statuses: list[str]) -> bool:
    """Whether "user unknown" came only after the recipient had been taken, and no status says the same."""
    return bool(_AT_THE_END.search(said) and _HARDLY_GONE.search(said)) and not _of_the_address(statuses)


def _of_the_address(statuses: list[str]) -> bool:
    """Whether a status is about the address (RFC 3463 §3.2), or says that its host can't be found."""
    return any(status[2:4] == "1." or status.endswith(".4.4") for status in statuses)


def _by_statuses(statuses: list[str]) -> Verdict | None:
    """By the status that says most: one with a detail before one that ends in 0."""
    for status in sorted(statuses, key=lambda each: each.endswith(".0")):
        kind, _, detail = status.partition(".")
        verdict = _BY_STATUS.get(detail) or _BY_SUBJECT.get(detail.partition(".")[0])
        if verdict is Verdict.DEAD and kind == "4":
            return Verdict.MAILBOX  # 4.1.1 is also what Postfix says while it still asks whether the address is there
        if verdict is not None:
            return verdict
    return None


def _by_codes(codes: list[int], statuses: list[str]) -> Verdict | None:
    for code in codes:
        if verdict := _BY_CODE.get(code):
            return verdict
    return Verdict.MAILBOX if codes or statuses else None
