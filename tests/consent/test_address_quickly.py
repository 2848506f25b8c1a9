"""Most addresses are read in one look; it must say what the long way says."""

from __future__ import annotations

import pytest
from email_validator import SPECIAL_USE_DOMAIN_NAMES
from hypothesis import example, given
from hypothesis import strategies as st

from mailinglist.consent import address
from mailinglist.errors import BadAddress

_LABEL = st.text("aZ0-", min_size=1, max_size=66)
_NAMES = ["fi", "com", "xn--p1ai", "a1", "F", *SPECIAL_USE_DOMAIN_NAMES]
_DOMAIN = st.builds(
    lambda labels, last: ".".join([*labels, last]), st.lists(_LABEL, max_size=4), st.sampled_from(_NAMES) | _LABEL
)
_LOCAL = st.text("aZ0._+-", min_size=1, max_size=66)


def _said(read: object, text: str) -> object:
    try:
        return read(text)  # type: ignore[operator]
    except BadAddress as error:
        return str(error)


@given(_LOCAL, _DOMAIN)
@example("a" * 64, "example.fi")
@example("a" * 65, "example.fi")
@example("a", "b" * 63 + ".fi")
@example("a", "b" * 64 + ".fi")
@example("a", ".".join(["b" * 60] * 4) + ".fi")
@example("a", "ex--ample.fi")
@example("a", "Example.FI")
@example("a", "printer.local")
def test_both_ways_say_the_same(local: str, domain: str) -> None:
    text = f"{local}@{domain}"
    assert _said(address.parse, text) == _said(address._parsed_with_care, text)


def test_plain_addresses_need_one_look() -> None:
    """Else taking in a million takes minutes, and this test would compare the long way with itself."""
    for text in ("Matti.Meikalainen@example.fi", "a_b+c@mail.example.co.uk", "x9@ex-ample.com"):
        assert address._PLAIN.match(text)
    for text in ("a@localhost", "ä@example.fi", "a@xn--4ca.fi", "a\r\n@example.fi", "a@example.fi\n", "a@b@c.fi"):
        assert not address._PLAIN.match(text)


@pytest.mark.parametrize("local", ["\uff4datti", "matti\ufe0f", "mat\u034fti", "\u115f", "\u3164", "\ufb01", "m\u00b5"])
def test_what_looks_like_another_s_address_is_none(local: str) -> None:
    with pytest.raises(BadAddress) as told:
        address.parse(f"{local}@example.fi")
    assert told.value.reason == "local"


def test_letters_of_every_language_are_letters() -> None:
    for local in ("väinö", "\u7528\u6237", "\u091c\u0949\u0928", "ma\u0131ti"):
        assert address.parse(f"{local}@example.fi").mailbox == f"{local}@example.fi"
    assert address.parse("va\u0308ino\u0308@example.fi").mailbox == "väinö@example.fi"
