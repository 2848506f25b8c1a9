"""The lists and their consent texts: the only writer of both.

A list's settings are one checked object; consent texts are versioned and never changed, so that every consent points to
the exact words that were shown (GDPR 7(1)). What a change changed is told, for the audit.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from email.utils import parseaddr
from typing import Annotated, Any, Literal
from zoneinfo import available_timezones

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from ..db import insert_new
from ..errors import BadInput, Unknown
from ..i18n import LANGUAGES, gettext
from ..stationery.sentences import SaidBadInput
from ..stationery.sentences import noted as _
from . import address
from .ledger import text_digest
from .tables import ConsentText, MailingList

DEFAULT_SLUG = "tector-tiedottaa"

# The default list's facts: REQUIREMENTS, section 6.
_DEFAULT_NAME = "Tector tiedottaa"
_DEFAULT_SETTINGS = {
    "controller": "Tekninen Toimisto Tektor Oy",
    "postal_address": "Rälssintie 12, 00720 Helsinki",
    "business_id": "0700464-5",
    "phone": "09-3508 170",
}

# Both purposes are named (T5.3), who sends (GDPR 13), that it may be withdrawn (7(3)).
_CONSENT = (
    "I want %(controller)s to send me the “%(list)s” bulletins by e-mail: news of its work, products and services, "
    "and direct marketing. My address is not given to outsiders. I can withdraw this consent at any time, by the link "
    "in every message."
)

_SENDER = re.compile(r'[^<>@,;:"()\\\[\]]*<[!-;=?-~]+>|[!-;=?-~]+')
# Host names as they are in DNS, so that they can stand in a policy (CSP); no user, a port of digits.
_WEB_ORIGIN = re.compile(r"https?://[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?(?::[0-9]{1,5})?")
_WEB_ADDRESS = re.compile(_WEB_ORIGIN.pattern + r"(?:/[A-Za-z0-9._~!$&()*+,=:@%/?-]*)?")

_UNPRINTABLE = address.UNPRINTABLE | {"Cn"}

_SLUG = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,46}[a-z0-9])?")


class WrongSetting(BadInput):
    """A value that a setting can't have; `key` says which setting."""

    def __init__(self, key: str, message: str) -> None:
        self.key = key
        super().__init__(f"{key}: {message}")


class LetterWords(BaseModel):
    """A letter's own wording in one language, as staff wrote it; `letters.texts` says what it may hold."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    subject: Annotated[str, Field(max_length=200)]
    body: Annotated[str, Field(max_length=10_000)]


class ListSettings(BaseModel):
    """What a list may have set; each has a default."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    controller: Annotated[str, Field(max_length=200)] = ""
    """The company that is responsible for the list; in the consent text."""
    sender: Annotated[str, Field(max_length=320)] = ""
    """From of letters and bulletins, `Name <address>`; empty: MAILINGLIST_MAIL_FROM."""
    owner: Annotated[str, Field(max_length=254)] = ""
    """Where answers go while no inbound mail is configured (empty: to the sender), and once a day what needs staff."""
    postal_address: Annotated[str, Field(max_length=300)] = ""
    business_id: Annotated[str, Field(max_length=40)] = ""
    """This, and the fields down to `transfers_en`: what the privacy notice says besides (GDPR 13)."""
    phone: Annotated[str, Field(max_length=40)] = ""
    register_contact: Annotated[str, Field(max_length=254)] = ""
    """A function's address for register matters; empty: the owner's, else the sender's."""
    protection_officer: Annotated[str, Field(max_length=300)] = ""
    """How to reach the data protection officer; empty: there is none (GDPR 37)."""
    processors_fi: Annotated[str, Field(max_length=1000)] = ""
    """Who handles the data on the controller's behalf (GDPR 28); empty: nobody."""
    processors_sv: Annotated[str, Field(max_length=1000)] = ""
    processors_en: Annotated[str, Field(max_length=1000)] = ""
    transfers_fi: Annotated[str, Field(max_length=1000)] = ""
    """Transfers outside the EU and EEA, with their safeguards (GDPR 13(1)(f)); empty: there are none."""
    transfers_sv: Annotated[str, Field(max_length=1000)] = ""
    transfers_en: Annotated[str, Field(max_length=1000)] = ""
    colour: Annotated[str, Field(pattern=r"^#[0-9a-fA-F]{6}$")] = "#1f4e5f"
    logo: Annotated[str, Field(max_length=500)] = ""
    """https address of the logo; empty: none."""
    name_fi: Annotated[str, Field(max_length=200)] = ""
    """The list's name in Finnish; empty: its name."""
    name_sv: Annotated[str, Field(max_length=200)] = ""
    name_en: Annotated[str, Field(max_length=200)] = ""
    confirm_days: Annotated[int, Field(ge=1, le=60)] | None = None
    """Days for which a confirmation link is good; none: MAILINGLIST_CONFIRM_DAYS."""
    welcome: bool = True
    rate: Annotated[float, Field(gt=0, le=100_000)] | None = None
    """Bulletins a second of this list, over all workers together; none: only MAILINGLIST_SEND_RATE holds."""
    language: Literal["fi", "sv", "en"] = "fi"
    """Of bulletins: of their footer, and what mail programs are told. Letters are in the person's own."""
    approval: Literal["auto", "on", "off"] = "auto"
    """Whether a bulletin is approved by somebody other than who wrote in it; auto: where there are two who may."""
    time_zone: Annotated[str, Field(max_length=60)] = "Europe/Helsinki"
    """IANA name; in which times are told."""
    origins: tuple[str, ...] = ()
    """Origins (`https://www.example.fi`) whose own sign-up form may get the confirming browser's cookie."""
    proof_of_work: Literal["off", "auto", "on"] = "auto"
    """When the form asks the browser for a proof of work; auto: while there is an attack."""
    letters: dict[str, LetterWords] = Field(default_factory=dict)
    """Letters in words of the list's own, by `kind.language` (`confirm.fi`); the others are in ours."""

    @field_validator(
        "controller", "sender", "owner", "postal_address", "logo", "name_fi", "name_sv", "name_en",
        "business_id", "phone", "register_contact", "protection_officer",
        "processors_fi", "processors_sv", "processors_en", "transfers_fi", "transfers_sv", "transfers_en",
    )  # fmt: skip
    @classmethod
    def _one_line(cls, value: str) -> str:
        # They go into mail headers and pages: a line break would start a header of its own.
        if _UNPRINTABLE.intersection(map(unicodedata.category, value)):
            raise ValueError("must be one line, without control characters")
        return value.strip()

    @field_validator("sender")
    @classmethod
    def _mailbox(cls, value: str) -> str:
        if value and not _SENDER.fullmatch(value):
            raise ValueError("must be one address in ASCII, or Name <address>")
        if value:
            _parsed(parseaddr(value)[1])
        return value

    @field_validator("owner", "register_contact")
    @classmethod
    def _address(cls, value: str) -> str:
        if value and not value.isascii():
            raise ValueError("must be an address in ASCII")
        return _parsed(value).mailbox if value else value

    @field_validator("logo")
    @classmethod
    def _https(cls, value: str) -> str:
        if value and not _WEB_ADDRESS.fullmatch(value):
            raise ValueError("must be an address such as https://www.example.fi/logo.png")
        return value

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        if value not in available_timezones():
            raise ValueError("must be the name of a time zone, such as Europe/Helsinki")
        return value

    @field_validator("origins", mode="before")
    @classmethod
    def _origins(cls, value: Any) -> Any:
        items = value.split(",") if isinstance(value, str) else value
        origins = tuple(item.strip().rstrip("/").lower() for item in items if item.strip())
        for origin in origins:
            if not _WEB_ORIGIN.fullmatch(origin):
                raise ValueError("must be origins such as https://www.example.fi, separated by commas")
        return origins


KEYS = (
    *(key for key in ListSettings.model_fields if key != "letters"),
    "name",
    *(f"consent-{language}" for language in LANGUAGES),
)
"""What `set_value` and `change` take."""


@dataclass(frozen=True, slots=True)
class Change:
    """One setting that was changed: what it was, and what it is. Texts and lists of values are as they are stored."""

    key: str
    before: Any
    after: Any


def _parsed(text: str) -> address.Address:
    """An address in a setting; a ValueError where it is none, so that it is told of which setting."""
    try:
        return address.parse(text)
    except BadInput as error:
        raise ValueError(str(error)) from None


def settings_of(row: MailingList) -> ListSettings:
    """The settings of one list."""
    return ListSettings.model_validate(row.settings)


def name_in(row: MailingList, language: str) -> str:
    """The list's name in one language."""
    settings = settings_of(row)
    return {"fi": settings.name_fi, "sv": settings.name_sv, "en": settings.name_en}.get(language) or row.name


def names(session: Session, language: str) -> dict[str, str]:
    """Every list's name in one language, by its slug."""
    return {row.slug: name_in(row, language) for row in every(session)}


def slugs(session: Session) -> dict[int, str]:
    """Every list's slug, by its number."""
    return dict(session.execute(select(MailingList.id, MailingList.slug)).all())


def find(session: Session, slug: str) -> MailingList:
    """The list with this slug. Raises Unknown."""
    row = session.scalar(select(MailingList).where(MailingList.slug == slug))
    if row is None:
        raise Unknown("There is no such list.")
    return row


def every(session: Session) -> list[MailingList]:
    """All lists, oldest first."""
    return list(session.scalars(select(MailingList).order_by(MailingList.id)))


def default(session: Session) -> MailingList:
    """The list that is meant where none is named: the one from the first start, else the oldest. Raises Unknown."""
    rows = every(session)
    if not rows:
        raise Unknown("There is no list.")
    return next((row for row in rows if row.slug == DEFAULT_SLUG), rows[0])


def add(session: Session, slug: str, name: str, *, now: datetime, **values: Any) -> MailingList:
    """A new list, with its first consent texts in three languages. Raises BadInput."""
    if not _SLUG.fullmatch(slug):
        raise SaidBadInput(_("The short name may hold a–z, 0–9 and hyphens inside, at most 48 characters."))
    fresh = insert_new(session, MailingList).values(
        slug=slug, name=_name(name), settings=_checked(values), created_at=now
    )
    # Of two who add it at once, the second waits for the first, and is told.
    made = session.scalar(fresh.on_conflict_do_nothing(index_elements=["slug"]).returning(MailingList.id))
    if made is None:
        raise SaidBadInput(_("There is a list “%(slug)s” already."), slug=slug)
    row = session.get_one(MailingList, made)
    for language in LANGUAGES:
        _add_text(session, row, language, _default_consent(row, language), now)
    return row


def ensure_default(session: Session, *, now: datetime) -> None:
    """The list `tector-tiedottaa`, made on the first start only: once there is any list, none is added."""
    if session.scalar(select(MailingList.id).limit(1)) is None:
        add(session, DEFAULT_SLUG, _DEFAULT_NAME, now=now, **_DEFAULT_SETTINGS)


def set_value(session: Session, row: MailingList, key: str, value: str, *, now: datetime) -> None:
    """Set one of KEYS. A changed consent text becomes a new version; a text that was the default follows its names.

    Raises BadInput.
    """
    key = key.replace("_", "-") if key.startswith("consent") else key.replace("-", "_")
    change(session, row, {key: value}, now=now)


def change(session: Session, row: MailingList, values: Mapping[str, str], *, now: datetime) -> tuple[Change, ...]:
    """Set several of KEYS at once: all of them, or (raising BadInput, see `key` of WrongSetting) none.

    An empty value is the default again, but for the name and the consent texts. Returns what is different now.
    """
    for key in values:
        if key not in KEYS:
            raise BadInput(f"There is no setting “{key}”. There are: {', '.join(KEYS)}.")
    texts = {
        key.removeprefix("consent-"): value.replace("\r\n", "\n").strip()
        for key, value in values.items()
        if key.startswith("consent-")
    }
    before = {"name": row.name, **row.settings}
    following = [
        language
        for language in LANGUAGES
        if current_text(session, row, language).body == _default_consent(row, language)
    ]
    name = _name(values["name"]) if "name" in values else row.name
    kept = {key: held for key, held in row.settings.items() if key not in values}
    given = {key: value for key, value in values.items() if value.strip() and key in ListSettings.model_fields}
    settings = _checked({**kept, **given})
    row.name, row.settings = name, settings
    after = {"name": name, **settings}
    changed = [
        Change(key, before.get(key), after.get(key))
        for key in ("name", *ListSettings.model_fields)
        if before.get(key) != after.get(key)
    ]
    for language in following if changed else ():
        texts.setdefault(language, _default_consent(row, language))
    for language, body in texts.items():
        old = current_text(session, row, language)
        if body != old.body:
            _add_text(session, row, language, body, now)
            changed.append(Change(f"consent-{language}", old.body, body))
    session.flush()
    return tuple(changed)


def set_letter(
    session: Session, row: MailingList, kind: str, language: str, words: LetterWords | None
) -> Change | None:
    """Give a letter words of the list's own; none: ours again. Only `letters.wordings`, which checks them, calls it.

    Returns what is different now; None: nothing.
    """
    key = f"{kind}.{language}"
    held = settings_of(row).letters
    before, after = held.get(key), words
    if before == after:
        return None
    letters = {name: each for name, each in held.items() if name != key}
    if words is not None:
        letters[key] = words
    stored = {name: each.model_dump() for name, each in sorted(letters.items())}
    row.settings = _checked({**row.settings, "letters": stored})
    session.flush()
    return Change(f"letter-{key}", before and before.model_dump(), after and after.model_dump())


def current_text(session: Session, row: MailingList, language: str) -> ConsentText:
    """The consent text in force, in one language. Raises Unknown."""
    found = session.scalar(
        select(ConsentText)
        .where(ConsentText.list_id == row.id, ConsentText.language == language)
        .order_by(ConsentText.version.desc())
        .limit(1)
    )
    if found is None:
        raise Unknown("The list has no consent text in this language.")
    return found


def texts(session: Session, row: MailingList, language: str) -> list[ConsentText]:
    """Every version of the consent text in one language, the newest, which is in force, first."""
    wanted = select(ConsentText).where(ConsentText.list_id == row.id, ConsentText.language == language)
    return list(session.scalars(wanted.order_by(ConsentText.version.desc())))


def shown_text(session: Session, row: MailingList, language: str, digest: str | None) -> ConsentText:
    """The text that a form says it showed, by its digest in hex; else the one in force."""
    if digest and re.fullmatch(r"[0-9a-f]{64}", digest):
        found = session.scalar(
            select(ConsentText).where(ConsentText.list_id == row.id, ConsentText.digest == bytes.fromhex(digest))
        )
        if found is not None:
            return found
    return current_text(session, row, language)


def _add_text(session: Session, row: MailingList, language: str, body: str, now: datetime) -> None:
    if not body or len(body) > 4000 or _UNPRINTABLE.intersection(map(unicodedata.category, body.replace("\n", ""))):
        raise SaidBadInput(_("A consent text has between 1 and 4,000 characters, and no control characters."))
    digest = text_digest(language, body)
    latest = session.scalar(
        select(func.max(ConsentText.version)).where(ConsentText.list_id == row.id, ConsentText.language == language)
    )
    if latest and current_text(session, row, language).digest == digest:
        return
    if session.scalar(select(ConsentText.id).where(ConsentText.list_id == row.id, ConsentText.digest == digest)):
        raise SaidBadInput(_("These very words were an earlier version already; a version can't come back."))
    session.add(
        ConsentText(
            list_id=row.id, language=language, version=(latest or 0) + 1, digest=digest, body=body, created_at=now
        )
    )
    session.flush()


def _default_consent(row: MailingList, language: str) -> str:
    controller = settings_of(row).controller or row.name
    return gettext(language, _CONSENT, controller=controller, list=name_in(row, language))


def _name(name: str) -> str:
    name = name.strip()
    if not name or len(name) > 200 or _UNPRINTABLE.intersection(map(unicodedata.category, name)):
        raise SaidBadInput(_("A list's name is one line of at most 200 characters."))
    return name


def _checked(values: dict[str, Any]) -> dict[str, Any]:
    try:
        return ListSettings.model_validate(values).model_dump(mode="json", exclude_defaults=True)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        raise WrongSetting(str(first["loc"][0]), first["msg"].removeprefix("Value error, ")) from None
