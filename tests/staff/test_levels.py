from __future__ import annotations

from mailinglist.staff.levels import RIGHTS, Level, Right, rights_of


def test_every_level_has_its_rights_and_every_right_somebody() -> None:
    assert RIGHTS.keys() == set(Level)
    assert rights_of(Level) == set(Right)


def test_rights_add_up_and_nobody_has_none() -> None:
    assert rights_of([]) == frozenset()
    both = rights_of([Level.EDITOR, Level.AUDITOR])
    assert both == {Right.SEE, Right.WRITE, Right.AUDIT, Right.RETENTION}


def test_who_may_do_what_is_grave() -> None:
    """No level has a right by accident: each grave right has exactly these."""
    having = {right: {level for level in Level if right in RIGHTS[level]} for right in Right}
    assert having[Right.SEND] == {Level.PUBLISHER}
    assert having[Right.PERSONS] == having[Right.TRANSFER] == {Level.REGISTRAR}
    assert having[Right.ACCOUNTS] == having[Right.SETTINGS] == {Level.ADMINISTRATOR}
    assert having[Right.AUDIT] == {Level.AUDITOR, Level.ADMINISTRATOR}
