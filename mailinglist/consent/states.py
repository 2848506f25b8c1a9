"""Pure: the states of a subscription, what may happen to it, and the table of moves.

Every pair that is absent from `MOVES` is a named refusal (REFUSALS, else the general one). A test walks the whole
product.
"""

from __future__ import annotations

from enum import StrEnum

from ..errors import NotAllowed


class State(StrEnum):
    """Where a person stands on one list."""

    NONE = "none"
    """No subscription row."""
    PENDING = "pending"
    """Asked, not confirmed: gets confirmation letters, nothing else."""
    ACTIVE = "active"
    LEFT = "left"
    """Left, or said "I did not ask for this". Only the person leads out of here (REQUIREMENTS 2.3)."""
    UNDELIVERABLE = "undeliverable"
    """Mail to the address fails for good."""


class Event(StrEnum):
    """What happens to a subscription."""

    ASK = "asked"
    CONFIRM = "confirmed"
    DISOWN = "disowned"
    LEAVE = "left"
    IMPORT = "imported"
    GIVE_UP = "given_up"
    """Mail kept failing."""
    RESTORE = "restored"
    """A member of staff undoes GIVE_UP."""
    LAPSE = "lapsed"
    """The request was never answered, and is forgotten."""
    READDRESS = "readdressed"
    """A member of staff corrects the address: what was agreed to under the old one does not count for the new one."""


class Basis(StrEnum):
    """The legal basis of a subscription."""

    CONSENT = "consent"
    CUSTOMER = "customer"
    """Soft opt-in, 917/2014 §200(3): needs a sale reference."""
    ORGANISATION = "organisation"


class Channel(StrEnum):
    """What a ban forbids."""

    EMAIL = "email"
    POST = "post"
    PHONE = "phone"
    DISCLOSURE = "disclosure"


ALL_CHANNELS = tuple(Channel)


def channels(name: str) -> tuple[Channel, ...]:
    """The channels that `name` (one of them, or "all") means. Raises ValueError."""
    return ALL_CHANNELS if name == "all" else (Channel(name),)


_N, _P, _A, _L, _U = State.NONE, State.PENDING, State.ACTIVE, State.LEFT, State.UNDELIVERABLE

MOVES: dict[tuple[State, Event], State] = {
    # Asking by itself gives nothing: who left stays left, and who could not be reached stays so, until the letter is
    # answered.
    (_N, Event.ASK): _P,
    (_P, Event.ASK): _P,
    (_A, Event.ASK): _A,
    (_L, Event.ASK): _L,
    (_U, Event.ASK): _U,
    # Only with a token of the present episode; `confirming.confirm` sees to that.
    (_P, Event.CONFIRM): _A,
    (_A, Event.CONFIRM): _A,
    (_L, Event.CONFIRM): _A,
    (_U, Event.CONFIRM): _A,
    # "I did not ask for this" is a no, and stands as one: an import must not overrule it.
    (_P, Event.DISOWN): _L,
    (_A, Event.DISOWN): _L,
    (_L, Event.DISOWN): _L,
    (_U, Event.DISOWN): _L,
    (_P, Event.LEAVE): _L,
    (_A, Event.LEAVE): _L,
    (_L, Event.LEAVE): _L,
    (_U, Event.LEAVE): _L,
    (_N, Event.IMPORT): _A,
    (_P, Event.IMPORT): _A,
    (_A, Event.IMPORT): _A,
    (_A, Event.GIVE_UP): _U,
    (_U, Event.GIVE_UP): _U,
    (_U, Event.RESTORE): _A,
    (_P, Event.LAPSE): _N,
    (_P, Event.READDRESS): _P,
    (_A, Event.READDRESS): _P,
    (_L, Event.READDRESS): _L,
    (_U, Event.READDRESS): _P,
}

REFUSALS: dict[tuple[State, Event], str] = {
    (_L, Event.IMPORT): "This person has left the list. Only they can come back, by the form and a fresh confirmation.",
    (_U, Event.IMPORT): "Mail to this address fails. The person's own sign-up, or a member of staff, ends that.",
    (_N, Event.CONFIRM): "There is no request to confirm.",
    (_N, Event.LEAVE): "This address is not on the list.",
    (_L, Event.RESTORE): "This person has left the list. Only they can come back.",
}


def move(state: State, event: Event) -> State:
    """The state after `event`. Raises NotAllowed, in words, where there is no such move."""
    try:
        return MOVES[state, event]
    except KeyError:
        words = REFUSALS.get((state, event), f"From “{state}”, a subscription can't be “{event}”.")
        raise NotAllowed(words) from None
