"""Which passwords are taken, and how they are kept."""

from __future__ import annotations

import pytest

from mailinglist.errors import BadInput
from mailinglist.staff import passwords

KNOWN = ("matti.meikalainen@example.fi", "Matti Meikäläinen", "Tector tiedottaa", "tector-tiedottaa")


@pytest.mark.parametrize(
    "password",
    [
        "correct horse battery staple", "vihreä lamppu nauraa", "Tr0ub4dor&3xyz", "x7#kQ9!mZ2@w", "!@#$%^&*()_+",
        "kukkakaalia syödään", "  lingonberry boat  ", "密码是一个很长的句子没有人知道", "x" * 5 + "yzzy plugh " * 5,
        "Matti eats lingonberries daily", "a" * 60 + " lot of lamps",
    ],
)  # fmt: skip
def test_taken(password: str) -> None:
    passwords.require_good(password, known=KNOWN)


@pytest.mark.parametrize(
    ("password", "why"),
    [
        ("short one", "at least 12"), ("x y" * 50, "at most 128"), ("a bell \x07 rings", "keyboards"),
        ("password1234", "common"), ("Password2024!", "common"), ("P@$$w0rd1234", "common"),
        ("salasana12345", "common"), ("lösenord2026!!", "common"), ("123456789012", "common"),
        ("qwertyuiopas", "common"), ("abcdefghijkl", "common"),
        ("zyxwvutsrqpo", "common"), ("abcabcabcabc", "common"), ("Kesä2026Kesä2026", "common"),
        ("iloveyoupassword", "common"), ("aaaaaaaaaaaa", "common"), ("!!!!!!!!!!!!", "common"),
        ("matti.meikalainen1", "mostly your name"), ("Meikäläinen2026!", "mostly your name"),
        ("tector-tiedottaa1", "mostly your name"), ("MattiMatti12345", "common"),
    ],
)  # fmt: skip
def test_refused_in_words(password: str, why: str) -> None:
    with pytest.raises(BadInput, match=why):
        passwords.require_good(password, known=KNOWN)


def test_the_limits_are_what_is_asked_for() -> None:
    """ASVS 5.0, 6.2: 12 are enough, and 64 at least are allowed."""
    passwords.require_good("zq" + "kvxwjyhguf", known=())
    passwords.require_good(("lamps and more " * 10)[:128], known=())
    with pytest.raises(BadInput):
        passwords.require_good("zqkvxwjyhgu", known=())


def test_kept_as_argon2id_and_found_again() -> None:
    kept = passwords.hash_of("vihreä lamppu nauraa")
    assert kept.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    assert not passwords.is_dated(kept)
    assert passwords.fits(kept, "vihreä lamppu nauraa")
    assert passwords.fits(kept, "vihrea\u0308 lamppu nauraa"), "another keyboard's way to write ä"
    assert not passwords.fits(kept, "vihreä lamppu nauraA")
    assert not passwords.fits(kept, "vihreä lamppu nauraa" + " " * 200)
    assert not passwords.fits("not a hash", "vihreä lamppu nauraa")


def test_nobody_costs_the_same_work() -> None:
    """The hash that stands in for nobody's has the settings of a real one, so that a verification is as long."""
    passwords._nobodys.cache_clear()
    stand_in = passwords._nobodys()
    assert not passwords.is_dated(stand_in)
    assert len(stand_in) == len(passwords.hash_of("anything at all"))
    assert not passwords.fits(None, "anything at all")


def test_a_weaker_hash_is_dated() -> None:
    assert passwords.is_dated("$argon2id$v=19$m=8192,t=1,p=1$c29tZXNhbHRzb21lc2FsdA$" + "A" * 43)
