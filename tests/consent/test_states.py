from __future__ import annotations

from itertools import product

import pytest

from mailinglist.consent.states import MOVES, REFUSALS, Event, State, move
from mailinglist.errors import NotAllowed


@pytest.mark.parametrize(("state", "event"), list(product(State, Event)))
def test_every_pair_is_a_move_or_a_refusal_in_words(state: State, event: Event):
    if (state, event) in MOVES:
        assert move(state, event) is MOVES[state, event]
        assert (state, event) not in REFUSALS
    else:
        with pytest.raises(NotAllowed) as refused:
            move(state, event)
        assert str(refused.value).endswith(".")


def test_only_the_person_leads_out_of_left():
    out = {event for (state, event), after in MOVES.items() if state is State.LEFT and after is not State.LEFT}
    assert out == {Event.CONFIRM}


def test_only_an_answered_letter_or_a_list_brought_along_makes_active():
    ways = {event for (state, event), after in MOVES.items() if after is State.ACTIVE and state is not State.ACTIVE}
    assert ways == {Event.CONFIRM, Event.IMPORT, Event.RESTORE}
    assert (State.PENDING, Event.RESTORE) not in MOVES
