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
from unicodedata import combining, normalize


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
    r"(?:user(?:name|id)?|recipient|rcpt|mail[- ]?box|inbox|account|address|local[- ]part|customer|alias"
    r"|kayttaja\w{0,3}|vastaanottaja\w{0,3}|(?:sahkoposti)?osoi(?:te|tetta)|(?:posti)?laatikko[an]?|tilia?"  # fi
    r"|anvandaren?|mottagaren?|(?:e-?post)?adress(?:en)?|brevladan?|inkorgen|konto[nt]?"  # sv
    r"|bru[gk]er(?:en)?|modtager(?:en)?|mottaker(?:en)?|postkass[ae]n?"  # da, nb
    r"|benutzer|empfanger|adresse|postfach|gebruiker|ontvanger|postbus"  # de, nl
    r"|utilisateur|destinataire|boite|usuario|destinatario|cuenta|buzon|conta"  # fr, es, pt
    r"|utente|casella)(?:e?s)?"  # it
)
_ABSENT = (
    r"(?:unknown|unrecogni[sz]ed|not (?:be )?found|not known|not recogni[sz]ed|not exist|t exist|t found|invalid"
    r"|not valid|not listed|no longer \w+|has moved"
    r"|tuntematon|ei (?:loydy|loytynyt|loydetty|ole olemassa|tunneta)"  # fi
    r"|okand|(?:finns|existerar|hittades) inte|uk(?:endt|jent)|fin[dn]es ikke"  # sv, da, nb
    r"|unbekannt|existiert nicht|nicht (?:gefunden|bekannt)|onbekend|bestaat niet"  # de, nl
    r"|inconnue?|n existe pas|introuvable|invalide|descon(?:oc|hec)id[ao]|n[oa]o? existe|no encontrad[ao]|inexistente"
    r"|sconosciut[ao]|non esiste)"  # fr, es, pt, it
)
_NO_SUCH = (
    r"(?:no such|no valid|unknown|invalid|non-?existent|bad|illegal|not (?:an?|our)|doesn t have an?"
    r"|tuntematon|okand|uk(?:endt|jent)|unbekannter?|onbekende?)"
)


def _any(*patterns: str) -> re.Pattern[str]:
    """One of these, as whole words."""
    return re.compile(rf"\b(?:{'|'.join(patterns)})\b")


_UNKNOWN = _any(
    rf"{_SOMEBODY}(?: \S+){{0,6}}? {_ABSENT}",
    rf"{_NO_SUCH} (?:\S+ ){{0,2}}?{_SOMEBODY}",
    r"no (?:user|mail[- ]?box|account|such id)",
    r"mail[- ]?box name not allowed",  # RFC 5321, 553
    r"(?:undeliverable|unroute?able) address",  # Postfix, Exim
    r"(?:address|recipient) rejected(?! ?[:a-z])",  # and no word why: Cisco
    r"nosuchuser|recip\w{0,5}notfound",  # Google, Microsoft
)
"""Nobody of that name."""
_NO_DOMAIN = _any(
    rf"(?:host|domain|host ?name|system)(?: \S+){{0,3}}? {_ABSENT}",
    r"(?:no such|unknown|illegal|invalid|find any) (?:\S+ ){0,2}?(?:host|domain)",
    r"(?:no|null) mx",
    r"name or service not known",  # getaddrinfo(3)
    r"no smtp service",
    r"name service error",  # Postfix
    r"destination system address",  # RFC 3463, 5.1.2
)
_FULL = _any(
    rf"(?:{_SOMEBODY}|mail ?folder|storage|disk|quota)(?: \S+){{0,3}}? (?:full|exceeded|too many messages"
    r"|taynna|fullt?|fuld|(?:uber)?voll|vol|pleine?|llen[ao]|chei[ao]|pien[ao])",
    r"(?:over|exceed\w{0,3}|out of|insufficient|not enough)(?: \S+){0,3}? (?:quota|storage|space|allocation)",
    r"overquota|quota (?:limit|exce|viol)\w*|mailbox size|no space left",
)
_SHUT = r"(?:disabled|suspended|inactive|deactivated|discontinued|expired)"
_HOLDER = r"(?:account|mail[- ]?box|user|recipient)"
_LOCKED = _any(
    rf"{_HOLDER}(?: \S+){{0,6}}? {_SHUT}",
    rf"{_SHUT} (?:\S+ )?{_HOLDER}",
    rf"{_HOLDER}(?: \S+){{0,3}}? (?:b?locked|closed)",
    r"not accepting (?:new |any )?(?:mail|messages)",
)
_OURS = re.compile(
    r"spam|junk|unsolicited|(?:black|block|gr[ae]y|white) ?list|dnsbl|\brbl\b|reputation|suspici|complain|abus|virus"
    r"|phish|polic|violat|administrative|prohibit|restrict|banned|blocked|access denied|permi"
    r"|not (?:a member|allowed to post)"
    r"|auth(?:enti|ori[sz]|req)|relay|dmarc|dkim|\bspf|\btls\b|\bptr\b|\brdns|reverse dns|\b[he][eh]lo\b"
    r"|\bips?\b(?!=)|client (?:host|address)|from your|(?:rate|frequency|size) limit|too (?:many|much|large|big)"
    r"|m(?:aximum|essage) (?:message|size|length)|(?:line|path) too long|rfc ?[25][38]2[12]|syntax error"
    r"|sequence of commands|bad sequence|smtputf8|bare (?:cr|lf)|groups\.google\.com/support"
)
"""What has a word for itself in the trade: of our content, our name, our right to write there, in families of words.
Google Groups refuses in the reader's language, and the link is what all its notices have in common."""
_REFUSED = r"(?:rejected|denied|refused|blocked|not allowed|not accepted|listed)"
_OURS_REFUSED = _any(
    rf"(?:senders?|mail from|client|content)(?: \S+){{0,3}}? {_REFUSED}",
    r"sender (?:address|domain|verif\w*)|domain of sender",
)
_MAIL_REFUSED = _any(rf"(?:message|mail|e-?mail|content)(?: content)?(?: was| is| has been)? {_REFUSED}")
"""Says little, so that what is said of the recipient comes first."""
_IN_PASSING = re.compile(r"relay recipient table|too many hops|too many messages [io]n")
"""Holds one of the words above, and is about something else."""
_STEP = r"\b(?:(?:reply|response)\s+to|after|command)\W{1,9}(?:pipelined\s+)?"
"""How Postfix, Exim, qmail and others begin to say at which step the server refused."""
_BEFORE = rf"{_STEP}(?:initial\s+connection|mail\s+from|ehlo|helo)\b"
_AT_THE_END = re.compile(rf"{_STEP}(?:end\s+of\s+)?data\b")
"""The recipient had been taken, and the mail was refused when it was there."""
_EARLY = re.compile(rf"{_BEFORE}|\brefused to talk to me|\bsender was rejected")
"""Nobody had been named yet."""
_MOMENT = re.compile(rf"{_BEFORE}|{_AT_THE_END.pattern}")
_LATE = re.compile(
    r"timed?[ -]?out|connect(?!ions)|no route|reachable|queue|giving up"
    r"|expired|attempts|temporar|try (?:again|later|your)|retry|\bhops?\b|\bloop|dns error|lookup|name ?server"
    r"|available|deferred|delayed"
)
_BACKING = re.compile(
    r"\bpermanent|\bfatal error|\berror(?: code)? ?:|\b(?:0x)?[0-9a-f]{8}\b"
    r"|\bnot (?:listed|found) in\b"  # Domino, Notes
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
    530: Verdict.SENDER, 534: Verdict.SENDER, 535: Verdict.SENDER, 538: Verdict.SENDER,
    551: Verdict.DEAD, 554: Verdict.SENDER, 555: Verdict.SENDER,
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


def step_in(words: str) -> str:
    """The words by which a notice says that the server refused before anybody was named, or when the mail was there;
    "" where it says neither. For the answer of a server that was taken out of its notice."""
    found = _MOMENT.search(words.lower())
    return " ".join(found[0].split()) if found else ""


def _spoken(words: str) -> str:
    """What a server said as the words above are written: without addresses, marks, line ends and accents."""
    if not words.isascii():
        words = "".join(each for each in normalize("NFKD", words) if not combining(each))
    return _MARKS.sub(" ", _ADDRESS.sub(" ", words)).replace("...", " ").replace("  ", " ")


def _is_lasting(codes: list[int], statuses: list[str]) -> bool:
    return any(code >= 500 for code in codes) or any(status[0] == "5" for status in statuses)


def _has_detail(statuses: list[str], *details: str) -> bool:
    return any(status.endswith(details) for status in statuses)


def _by_words(words: str, codes: list[int], statuses: list[str]) -> Verdict | None:
    said = _spoken(words)
    if _FULL.search(said) or _LOCKED.search(said):
        return Verdict.MAILBOX
    ours = _is_ours(said)
    if _EARLY.search(said) or _has_detail(statuses, ".1.7", ".1.8"):
        return Verdict.SENDER if ours or _is_lasting(codes, statuses) else Verdict.MAILBOX
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
        if _was_taken(said, statuses):
            return Verdict.SENDER  # the recipient's domain was good enough to take the mail for: it means ours
        for_now = any(status[0] == "4" for status in statuses) or "try again" in said
        return Verdict.MAILBOX if for_now else Verdict.DEAD
    if _MAIL_REFUSED.search(said):
        return Verdict.SENDER
    return _by_statuses(statuses) or (Verdict.MAILBOX if _LATE.search(said) else None)


def _is_ours(said: str) -> bool:
    said = _IN_PASSING.sub(" ", said)
    return _OURS.search(said) is not None or _OURS_REFUSED.search(said) is not None


def _is_gone(said: str, codes: list[int], statuses: list[str]) -> bool:
    if "mailbox unavailable" in said and _is_lasting(codes, statuses):
        return True  # RFC 5321 §4.2.2 of 550; the same words after 450 say that it is busy
    return bool(codes or statuses or _BACKING.search(said)) and _UNKNOWN.search(said) is not None


def _was_taken(said: str, statuses: list[str]) -> bool:
    """Whether the server refused only after it had taken the recipient, and no status says that the address is bad."""
    return _AT_THE_END.search(said) is not None and not _of_the_address(statuses)


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
