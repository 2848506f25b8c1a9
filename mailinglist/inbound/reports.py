"""Pure: what a report says that a mail server, or a forwarding one, sent back about one of our mails.

The fields of RFC 3464 first, then what the notice beside them says, which many servers send alone. What the words
mean is `delivery/verdicts.py`, the same as for a refusal in the conversation. Whom it is about is never taken from
here: that is the signed return path it came to.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from ..delivery.replies import one_line
from ..delivery.verdicts import Verdict, judge, status_in, step_in, weigh
from .reading import Fields, Mail, addresses, fields_of

MOST_RECIPIENTS = 50
"""Recipients of one report that are looked at: a list behind the address may have many."""
MOST_NOTICE = 8_000
"""Characters of a notice that are read."""
MOST_FIELDS = 65_536
"""Characters of the fields about recipients that are read."""

_STATUS_TYPES = ("message/delivery-status", "message/global-delivery-status")
_GRAVITY = (Verdict.DEAD, Verdict.MAILBOX, Verdict.SENDER, Verdict.COMPLAINT, Verdict.NO_FAILURE)
_ONCE = ("final-recipient", "original-recipient", "action")

_DAEMON = re.compile(
    r"mailer[- ]daemon|postmaster|mail[ -]?deliver|delivery (?:sub)?system"
    r"|(?:system|mail) administrator",
    re.IGNORECASE,
)
_SUBJECT = re.compile(
    r"\W*(?:warning: )?(?:undeliver|returned (?:mail|message)|rejected|failure notice|failed (?:delivery|mail)"
    r"|(?:e?mail )?delivery (?:status|fail|error|report|notification|has failed|problem)"
    r"|mail (?:system )?(?:delivery|fail|error|could not)|message (?:delivery|undeliver|could not|status)"
    r"|non[- ]?deliver|(?:could not|unable to|cannot|can't) (?:send|deliver)"
    # Exchange in the languages hereabouts, and the large ones
    r"|ei voi(?:tu)? toimittaa|olevererbar|kan ikke leveres|unzustellbar"
    r"|non remis|no se puede entregar|onbestelbaar)",
    re.IGNORECASE,
)
_NOTICE = re.compile(
    r"(?:could ?n[o']t|can(?:no|')t|able to|did not|failed to|was not|not be) (?:be )?(?:deliver|reach|sen[dt])"
    r"|undeliver|delivery (?:fail|error|to the following|has failed)|permanent (?:error|fatal)|trouble delivering"
    r"|following address|returned to (?:you|sender)|rejected by|host unknown|user unknown|unknown user"
    r"|mailbox (?:is )?full",
    re.IGNORECASE,
)
_LISTS = re.compile(r"you are not (?:a member of|allowed to post to) this (?:mailing )?list", re.IGNORECASE)
"""How the robots of other mailing lists refuse what comes to a list that one of our addresses leads to."""
_DELAYED = re.compile(r"warning message only|not yet been delivered|\bdelayed\b", re.IGNORECASE)
_COPY = re.compile(
    r"^[ \t>]{0,20}(?:[-=_*]{0,80}[a-z :,']{0,40}(?:copy of (?:the|your) (?:original |whole )?message|original message"
    r"|unsent message|(?<!attached )returned message|header of the original|message headers? follow"
    r"|original mail headers)(?! was)[^\n]{0,70}"
    r"|(?:received|return-path|dkim-signature|x-[a-z-]{2,40}|arc-seal|authentication-results):[^\n]*)$",
    re.IGNORECASE | re.MULTILINE,
)
"""Where the mail that failed begins: what its header and text say is no server's answer."""
_ANSWER = re.compile(r"(?:^|[\s:;<(\[#])(?:[45][0-9]{2}[\s:;-]|[45]\.[0-9]{1,3}\.[0-9]{1,3})")
_PARAGRAPH = re.compile(
    r"\n\n(?=<[^\s<>]{1,320}>:)|\n(?=  [^\s<>@]{1,128}@[^\s<>]{1,255}\n {4}\S)|\n(?=\"[^\s<>\"]{1,320}\":\n)"
)
"""Before what is said of one recipient: in the form that qmail's bounces have and many others took over (QSBMF), in
Exim's, and in the one of GMX and mail.com."""
_NAMED = r"<?([^\s<>\"'(),;:\[\]]{1,128}@[^\s<>\"'(),;:\[\]]{1,255})"
_FIRST_ON_A_LINE = re.compile(r"^[ \t*>\"]{0,20}" + _NAMED, re.MULTILINE)
"""How most notices name whom they are about."""
_ANYWHERE = re.compile(_NAMED)


@dataclass(frozen=True, slots=True)
class Report:
    """What a report says."""

    verdict: Verdict
    address: str | None
    """Of whom it says that the mail failed; for people to read, never to find the person by."""
    status: str | None
    """The enhanced status code (RFC 3463)."""
    words: str
    """What the server said, on one line (`replies.one_line`); may hold addresses."""
    delayed: bool = False
    """Whether the mail may still arrive: then nothing is counted yet. The verdict says what stands in its way."""


def report(mail: Mail) -> Report | None:
    """What the report says; None: the mail is no report about a delivery.

    Of several recipients, as where the address forwards to some, the gravest verdict counts.
    """
    if mail.of_type("message/disposition-notification", "message/feedback-report"):
        return None
    notice = _notice(mail)
    groups = list(_groups(mail))
    if groups:
        if len(groups) == 1:
            return _by_fields(groups[0], notice)
        said = _by_address(notice)
        return _gravest([_by_fields(group, said.get((_whom(group) or "").lower(), "")) for group in groups])
    return _by_notice(mail, notice) if _is_report(mail, notice) else None


def _gravest(found: list[Report]) -> Report:
    return min(found, key=lambda each: _GRAVITY.index(each.verdict))


def _groups(mail: Mail) -> Iterator[Fields]:
    """The groups of fields about one recipient each (RFC 3464 §2.1)."""
    left = MOST_RECIPIENTS
    for part in mail.of_type(*_STATUS_TYPES):
        blocks = (block.strip() for block in re.split(r"\n[ \t]*\n", part.text[:MOST_FIELDS]))
        for block in filter(None, blocks):
            for group in _apart(fields_of(block)):
                if left and (group.header("Action") or group.header("Status") or group.header("Final-Recipient")):
                    left -= 1
                    yield group


def _apart(fields: Fields) -> Iterator[Fields]:
    """One group for each recipient, also where the empty line between two is missing."""
    group: dict[str, tuple[str, str]] = {}
    for name, value in fields.fields:
        if name.lower() in group and name.lower() in _ONCE:
            yield Fields(tuple(group.values()))
            group = {}
        group.setdefault(name.lower(), (name, value))
    yield Fields(tuple(group.values()))


def _by_fields(group: Fields, notice: str) -> Report:
    action = (group.header("Action") or "failed").partition(" ")[0].strip().lower()
    kind, semicolon, said = (group.header("Diagnostic-Code") or "").partition(";")
    words = said.strip() if semicolon else kind.strip()
    status = status_in(group.header("Status") or "")
    verdict = weigh(status=status, words=words + _step(notice), action=action)
    if notice and (verdict is None or _says_little(status, words)):
        verdict = weigh(status=status, words=f"{words}\n{notice}", action=action) or verdict
    if status is None or status.endswith(".0.0"):
        status = status_in(words) or status
    return Report(
        verdict=verdict or Verdict.MAILBOX,
        address=_whom(group),
        status=status,
        words=_on_one_line(words or _telling(notice)),
        delayed=action == "delayed",
    )


def _whom(group: Fields) -> str | None:
    """Of whom a group of fields speaks."""
    recipient = group.header("Original-Recipient") or group.header("Final-Recipient") or ""
    return next(iter(addresses(recipient.partition(";")[2] or recipient)), None)


def _by_address(notice: str) -> dict[str, str]:
    """What a notice about several says of each: the lines from one that begins with the address (lower case here) to
    an empty one, or to one that begins with another's."""
    found: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in notice.split("\n"):
        if named := _FIRST_ON_A_LINE.match(line):
            lines = found.setdefault(named[1].strip(".").lower(), [])
        elif not line.strip():
            lines = []
        lines.append(line)
    return {address: "\n".join(lines) for address, lines in found.items()}


def _step(notice: str) -> str:
    """When the server refused, to follow its answer: Postfix and Exim tell it in the notice, and not in the fields."""
    step = step_in(notice)
    return f" ({step})" if step else ""


def _says_little(status: str | None, words: str) -> bool:
    """Whether only the notice can tell more: the words mean nothing, and the status has no detail."""
    return (status is None or status.endswith(".0")) and weigh(words=words) is None


def _is_report(mail: Mail, notice: str) -> bool:
    kind = mail.parameters.get("report-type", "delivery-status").lower()
    if (mail.type == "multipart/report" and kind == "delivery-status") or _LISTS.search(notice[:300]):
        return True
    by_daemon = _DAEMON.search(mail.header("From") or "") is not None
    if not _SUBJECT.match(mail.header("Subject") or ""):
        return (by_daemon or _from_nobody(mail)) and _NOTICE.search(notice) is not None
    return by_daemon or _from_nobody(mail) or _NOTICE.search(notice) is not None


def _from_nobody(mail: Mail) -> bool:
    return (mail.header("Return-Path") or "").strip() == "<>"


def _by_notice(mail: Mail, notice: str) -> Report:
    delayed = _DELAYED.search(mail.header("Subject") or "") or _DELAYED.search(notice[:2_000])
    failed = next(iter(mail.addresses("X-Failed-Recipients")), None)  # Exim and Google say it so
    opening, *paragraphs = _PARAGRAPH.split(notice)[: MOST_RECIPIENTS + 1]
    texts = [f"{opening}\n\n{each}" for each in paragraphs] or [notice]
    return _gravest([_by_text(text, "delayed" if delayed else "failed", failed) for text in texts])


def _by_text(text: str, action: str, failed: str | None) -> Report:
    words = _telling(text)
    named = _FIRST_ON_A_LINE.search(text) or _ANYWHERE.search(text)
    return Report(
        verdict=weigh(words=words and words + _step(text), action=action) or judge(words=text, action=action),
        address=failed or (named[1].strip(".") if named else None),
        status=status_in(text),
        words=_on_one_line(words or text),
        delayed=action == "delayed",
    )


def _notice(mail: Mail) -> str:
    """What the report says in words, without the copy of the mail below it."""
    text = mail.text[:MOST_NOTICE]
    cut = _COPY.search(text, 1)
    return (text[: cut.start()] if cut else text).strip()


def _telling(notice: str) -> str:
    """The lines of a notice that hold a server's answer, each with the one before it, which says to what, and the two
    after it, since long answers are wrapped."""
    lines = [line.strip() for line in notice.split("\n")]
    wanted: dict[int, None] = {}
    for number, line in enumerate(lines):
        if _ANSWER.search(line):
            wanted.update(dict.fromkeys(range(max(number - 1, 0), min(number + 3, len(lines)))))
    return " ".join(lines[number] for number in wanted)


def _on_one_line(words: str) -> str:
    return one_line(" ".join(words.split()))
