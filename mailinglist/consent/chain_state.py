"""What the entries of a chain say of the register, taken in one by one: `verification` holds the register to it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from sys import intern
from typing import Any

from .ledger import BAN_LIFTED, ERASED, MOVED, OF_BANS, READDRESSED, RESTRICTED, UNRESTRICTED
from .states import Basis, Event, State


@dataclass(slots=True)
class Stand:
    """Where the ledger says that a person stands on one list."""

    state: str
    basis: str | None = None
    since: str | None = None
    """None: another chain knows."""
    text: str | None = ""
    """The digest of the consent text agreed to; empty: none; None: another chain knows."""

    def after(self, body: dict[str, Any]) -> Stand:
        """Where they stand after one more entry, by the rules of `register`, `registrar` and `register_many`."""
        event, state = body["event"], body["state"]
        came = event == READDRESSED
        fresh = came and state == State.PENDING.value  # they wait anew, also who did so before
        basis = body.get("basis") or self.basis or (Basis.CONSENT.value if event == Event.ASK.value else None)
        if came and not fresh:
            return Stand(state, basis, None, None)
        since = body["at"] if fresh or state != self.state else self.since
        if event == Event.CONFIRM.value:
            return Stand(state, basis, since, body.get("text", ""))
        return Stand(state, basis, since, "" if fresh else self.text)


NOWHERE = Stand(State.NONE.value)

Banned = tuple[str, str | None]
"""A channel, and the one list that the ban is about; None: all lists."""


@cache
def banned(channel: str, slug: str | None) -> Banned:
    """One object for all that are alike: there may be a million."""
    return channel, slug


@dataclass(slots=True)
class LastWord:
    """What was last said of a ban."""

    entry: int
    """The number of the entry, over all chains."""
    lifted: bool
    at: datetime
    source_digest: str
    """Of the words that its row gives as its source; empty: the entry is of a version that did not bind them."""
    name_digest: str = ""
    """Of the name that it had from another ban of the same address; empty: none, or the entry is of a version that did
    not bind it."""
    erased: bool = False
    """The same chain tells of an erasure since."""
    of_bans: bool = False
    """Its chain tells of nothing but bans."""
    given: LastWord | None = None
    """Of a ban that was lifted: the word that gave it; None: another chain knows."""
    gone_on: bytes = b""
    """Its chain, where somebody's address was corrected away from it: an erasure may be told of in another one."""

    @classmethod
    def of(cls, body: dict[str, Any], number: int) -> LastWord:
        """By this entry. The digest is held once for all bans of an import: there may be a million."""
        at, source = datetime.fromisoformat(body["at"]), intern(body.get("source_digest", ""))
        return cls(number, body["event"] == BAN_LIFTED, at, source, body.get("name_digest", ""))


Restricted = bool | tuple[bytes, int]
"""Whether the use of the data is restricted; else the chain that knows, and the how many-th entry there."""


@dataclass(slots=True)
class ChainState:
    """What one chain says of the register."""

    stands: dict[str, Stand] = field(default_factory=dict)
    bans: dict[bytes, dict[Banned, LastWord]] = field(default_factory=dict)
    """What was last said of each ban, by the digest that it names. An address may have two chains: somebody came into
    the register at the moment when somebody else had it forbidden, and the next word is in the chain of who came."""
    lifted: list[tuple[bytes, Banned, LastWord]] = field(default_factory=list)
    """Each lifting of a ban, also where it was given again since."""
    names_kept: dict[tuple[bytes, Banned], tuple[int, str]] = field(default_factory=dict)
    """By digest and ban: the last erasure at which it kept the name, as the number of the entry, and what that binds of
    the name. A ban that names the address as written may have its entries in another chain."""
    subject: bytes = b""
    """The digest that the last entry names."""
    erased: bool = False
    """Erased, and not come back since."""
    erased_at: int = 0
    """The place in the chain of the last erasure; 0: none."""
    of_bans: bool = True
    """It tells of nothing else."""
    goals: set[bytes] = field(default_factory=set)
    """The chains of those whose address was corrected: one after another may have had this one."""
    restricted: Restricted = False
    """Whether the use of their data is restricted; else the chain that knows, and the how many-th entry there of their
    going away to this one."""
    gone: list[tuple[bytes, Restricted]] = field(default_factory=list)
    """Of each entry of somebody's going away: to which chain, and whether they were restricted."""
    going: bool = False
    """The last entry told of somebody's going."""
    came: dict[bytes, int] = field(default_factory=dict)
    """How many entries tell of somebody's coming, by the chain that they came from."""

    def hear(self, body: dict[str, Any], number: int) -> None:
        """Take in one entry; `number` is the row's, over all chains."""
        self.subject = bytes.fromhex(body["subject"])
        event = body["event"]
        if event in OF_BANS:
            # An entry without a list is about all lists, as every ban was at first.
            named = [banned(channel, body.get("list")) for channel in body.get("channels", ())]
            said = self.bans.setdefault(self.subject, {})
            if event == BAN_LIFTED:
                for held in named:
                    before, word = said.get(held), LastWord.of(body, number)
                    word.given = before if before is not None and not before.lifted else None
                    said[held] = word
                    self.lifted.append((self.subject, held, word))
            else:
                said.update(dict.fromkeys(named, LastWord.of(body, number)))
            return
        self.erased = self.of_bans = False
        self._hear_restriction(event, body)
        if event == ERASED:
            self.stands.clear()
            self.erased, self.erased_at = True, body["seq"]
            for kept in body.get("names_kept", ()):
                held = banned(kept["channel"], kept.get("list"))
                self.names_kept[bytes.fromhex(kept["subject"]), held] = number, kept["name_digest"]
            for word in self._words():
                word.erased = True
        elif event == MOVED:
            self.stands.clear()  # nobody has this address now; the person is told of in another chain
            self.goals.add(bytes.fromhex(body["other_chain"]))
        elif "state" in body and "list" in body:
            self.stands[body["list"]] = self.stands.get(body["list"], NOWHERE).after(body)

    def last_words(self, chain: bytes) -> dict[bytes, dict[Banned, LastWord]]:
        """`bans`, once the whole of this chain was heard."""
        if self.of_bans or self.goals:
            for word in self._words():
                word.of_bans, word.gone_on = self.of_bans, chain if self.goals else b""
        return self.bans

    def _words(self) -> Iterator[LastWord]:
        for said in self.bans.values():
            yield from said.values()
        for _digest, _ban, word in self.lifted:
            if word.given is not None:
                yield word.given

    def _hear_restriction(self, event: str, body: dict[str, Any]) -> None:
        """A restriction goes along with a corrected address: each entry of going away has its like in the other
        chain."""
        if self.going and event != MOVED:
            self.restricted = False  # whoever has the address now is somebody else
        self.going = event == MOVED
        if event in (RESTRICTED, UNRESTRICTED):
            self.restricted = event == RESTRICTED
        elif event == ERASED:
            self.restricted = False
        elif event == MOVED:
            self.gone.append((bytes.fromhex(body["other_chain"]), self.restricted))
        elif event == READDRESSED:
            before = bytes.fromhex(body["other_chain"])
            self.came[before] = self.came.get(before, 0) + 1
            self.restricted = before, self.came[before]
