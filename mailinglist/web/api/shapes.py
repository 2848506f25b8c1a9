"""What calls ask and are answered, as schemas: they check what comes in, make what goes out, and are the API's public
description. A name that no schema has is refused, so that nothing of another register slips in (T5.1, T5.4)."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    StringConstraints,
    Tag,
    model_validator,
)
from pydantic_core import PydanticCustomError

from ...consent import address, sheet
from ...consent.ban_lists import By
from ...consent.states import Basis, Channel
from ...errors import BadAddress, BadInput
from .. import visitor
from ..guards import SLUG

MOST = 1000
"""Items or people in one call."""


class _Shape(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


# ── kinds of text ─────────────────────────────────────────────────────────────────────────────────────────────────


def _is_address(text: str) -> str:
    try:
        address.parse(text)
    except BadAddress as error:
        raise PydanticCustomError("address", "{why}", {"why": str(error)}) from None
    return text


def _is_name(text: str) -> str:
    try:
        return sheet.text_of(text, "the name") or ""
    except BadInput as error:
        raise PydanticCustomError("name", "{why}", {"why": str(error)}) from None


def _is_client(text: str) -> str:
    try:
        # The zone of a local address may be any text, as long as one likes.
        return str(ipaddress.ip_address(text.strip().partition("%")[0]))
    except ValueError:
        raise PydanticCustomError("client", "This is no network address (IPv4 or IPv6)") from None


def _is_line(text: str) -> str:
    if not text.isprintable():
        raise PydanticCustomError("line", "This has to be one line, without control characters")
    return text


_SHA256, _SLUG = "^[0-9a-fA-F]{64}$", f"^{SLUG}$"
WRITTEN = {
    _SHA256: "This has to be a SHA-256 in hex: 64 digits, 0 to 9 and a to f.",
    _SLUG: "This has to be a list's short name: small letters, digits and hyphens, 48 at most.",
}
"""What each pattern asks for, in words."""

Mailbox = Annotated[str, AfterValidator(_is_address), Field(examples=["matti@example.fi"])]
Sha256 = Annotated[str, StringConstraints(pattern=_SHA256)]
Slug = Annotated[str, StringConstraints(pattern=_SLUG), Field(examples=["tector-tiedottaa"])]
Source = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=190), AfterValidator(_is_line)
]
Name = Annotated[str, AfterValidator(_is_name)]
Client = Annotated[str, AfterValidator(_is_client), Field(examples=["192.0.2.7"])]
# No visitor is refused for what their browser sends.
Agent = Annotated[str, AfterValidator(visitor.kept_of_agent)]
Channels = Annotated[
    Annotated[Literal["all"], Tag("all")] | Annotated[Sequence[Channel], Field(min_length=1), Tag("some")],
    Discriminator(lambda told: "all" if isinstance(told, str) else "some"),  # so that a fault is told once
]
Language = Literal["fi", "sv", "en"]
Moment = Annotated[str, Field(json_schema_extra={"format": "date-time"}, examples=["2026-11-23T09:30:00.125Z"])]
"""RFC 3339, in UTC, to the millisecond."""

# ── bans ──────────────────────────────────────────────────────────────────────────────────────────────────────────


class Item(_Shape):
    """What to look up: an address, by itself or by its SHA-256; a name; or both, of which one is enough."""

    model_config = ConfigDict(
        json_schema_extra={"anyOf": [{"required": ["email"]}, {"required": ["sha256"]}, {"required": ["name"]}]}
    )

    email: str | None = None
    sha256: str | None = None
    """In hex, of the address in small letters."""
    name: str | None = None
    """For a system that holds no address. The order of the words and capitals make no difference."""

    @model_validator(mode="after")
    def _names_something(self) -> Self:
        if self.email is None and self.sha256 is None and self.name is None:
            raise PydanticCustomError("one", "Give “email”, “sha256” or “name”")
        return self


class BansAsked(_Shape):
    """Whom another system means to write to, or to call."""

    items: Annotated[Sequence[Item], Field(min_length=1, max_length=MOST)]
    channel: Channel | None = None
    """Ask about one channel; any of them if not given."""
    list: Slug | None = None
    """Ask what counts for this list. Without it a ban of any list counts, which takes a token for all lists."""


class BanInForce(_Shape):
    """One ban."""

    channel: Channel
    list: str | None
    """On this list alone; null: on all lists."""


class Standing(_Shape):
    """What is forbidden for one item."""

    banned: bool
    channels: list[Channel]
    in_force: list[BanInForce]
    by: Sequence[By]
    """By what it was found. By a name alone it may be another person of that name."""


class Malformed(_Shape):
    """An item that can't be read."""

    error: str


class BansTold(_Shape):
    """The answers, in the order of the items."""

    answers: list[Standing | Malformed]


class BanGiven(_Shape):
    """Somebody forbade marketing, and told the other system."""

    model_config = ConfigDict(json_schema_extra={"oneOf": [{"required": ["email"]}, {"required": ["sha256"]}]})

    email: Mailbox | None = None
    sha256: Sha256 | None = None
    """In hex, of the address in small letters."""
    channels: Channels
    list: Slug | None = None
    """On this list alone; without it on all lists, which takes a token for all lists."""
    source: Source
    """Who forbade it, and how; kept as evidence."""

    @model_validator(mode="after")
    def _names_one(self) -> Self:
        if (self.email is None) == (self.sha256 is None):
            raise PydanticCustomError("one", "Give either “email” or “sha256”")
        return self


class BanTaken(_Shape):
    """What is forbidden now, on all lists or on the one that was named."""

    added: list[Channel]
    """What was not forbidden before."""
    channels: list[Channel]
    """All that is in force."""


# ── people ────────────────────────────────────────────────────────────────────────────────────────────────────────


class LeaveGiven(_Shape):
    """Somebody told the other system that they want off the list."""

    email: Mailbox
    source: Source
    """How they told it; kept as evidence."""


class PersonGiven(_Shape):
    """One person. No other field is taken."""

    email: str
    name: str | None = None
    language: str | None = None
    """fi, sv or en, as a code, a word or a locale; the list's own if it is not given or not known."""
    sale_reference: str | None = None
    """Which sale the relationship rests on; needed with the basis “customer” (917/2014 §200(3))."""


class PeopleGiven(_Shape):
    """People who are customers of the other system, or on a list there."""

    basis: Basis
    source: Source
    """Where they come from; kept as evidence."""
    people: Annotated[list[PersonGiven], Field(min_length=1, max_length=MOST)]


class PersonRefused(_Shape):
    """Somebody who was not taken in."""

    index: int
    """Their place in `people`, from 0 on."""
    reason: str


class PersonRemark(_Shape):
    """What of somebody was corrected, or not understood."""

    index: int
    words: list[str]


class PeopleTaken(_Shape):
    """What became of each."""

    added: int
    updated: int
    unchanged: int
    refused: list[PersonRefused]
    remarks: list[PersonRemark]


class RequestGiven(_Shape):
    """A visitor of another site asked to join the list."""

    email: Mailbox
    name: Name | None = None
    language: Language | None = None
    """Of the letter; the list's own if not given."""
    text: Sha256 | None = None
    """The digest of the consent text that the visitor saw (`GET …/texts`); the one in force if not given."""
    client: Client | None = None
    """The visitor's network address: evidence, and what the limits per client count."""
    agent: Agent | None = None
    """What the visitor's browser says that it is; evidence, of which 300 characters are kept."""


class Done(_Shape):
    """It is written down. The answer is the same whoever's address it was."""

    done: Literal[True] = True


class TextInForce(_Shape):
    """A consent text that is in force."""

    language: Language
    text: str
    """The words that a form has to show, as they are."""
    digest: str
    """What a request gives back as `text`."""


class TextsTold(_Shape):
    """What a form for this list has to show."""

    list: str
    name: str
    texts: Sequence[TextInForce]


# ── bulletins ─────────────────────────────────────────────────────────────────────────────────────────────────────


class BulletinTold(_Shape):
    """How far a bulletin has come, in counts. Moments are in UTC."""

    state: Literal["draft", "approved", "scheduled", "sending", "paused", "sent", "cancelled"]
    audience: int
    accepted: int
    deferred: int
    rejected: int
    excluded: int
    uncertain: int
    pending: int
    first_at: Moment | None
    """When the first mail was accepted."""
    last_at: Moment | None
    due_at: Moment | None
    trouble: str | None
    """What keeps it, in words."""
    held: bool
    """It stands still, with all of its list, since too many complained."""
    ready_at: Moment | None


class Fault(BaseModel):
    """What is wrong with one field."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    pointer: str
    """Where it stands in what was sent: a JSON pointer, as a URI fragment."""
    detail: str


class Problem(BaseModel):
    """What went wrong (RFC 9457)."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    title: str
    status: int
    detail: str
    """In plain words, and what to do about it."""
    errors: list[Fault] | None = None
