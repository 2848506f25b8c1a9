from __future__ import annotations

import pytest

from mailinglist.staff.vault import Vault

OLD, NEW = "old-key-0123456789abcdef", "new-key-0123456789abcdef"


def test_what_is_sealed_opens_and_is_not_readable() -> None:
    vault = Vault([NEW])
    sealed = vault.seal(b"a shared secret", about="account 1")
    assert b"shared" not in sealed
    assert vault.open(sealed, about="account 1") == b"a shared secret"
    assert vault.seal(b"a shared secret", about="account 1") != sealed


def test_it_is_bound_to_what_it_is_about() -> None:
    vault = Vault([NEW])
    assert vault.open(vault.seal(b"secret", about="account 1"), about="account 2") is None


@pytest.mark.parametrize("broken", [b"", b"x", b"x" * 12, b"x" * 60])
def test_what_is_not_ours_does_not_open(broken: bytes) -> None:
    assert Vault([NEW]).open(broken, about="account 1") is None


def test_keys_rotate_the_newest_seals_and_all_open() -> None:
    before = Vault([OLD]).seal(b"secret", about="x")
    both = Vault([NEW, OLD])
    assert both.open(before, about="x") == b"secret"
    assert Vault([NEW]).open(both.seal(b"secret", about="x"), about="x") == b"secret"
    assert Vault([NEW]).open(before, about="x") is None
    assert not both.of_newest_key(before, about="x")
    assert both.of_newest_key(both.seal(b"secret", about="x"), about="x")
    assert not both.of_newest_key(b"", about="x")


def test_it_needs_a_key() -> None:
    with pytest.raises(ValueError):
        Vault([])
