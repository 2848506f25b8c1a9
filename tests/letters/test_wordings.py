"""Letters in words of a list's own: data to the last sign, and never without what they are sent for."""

from __future__ import annotations

from typing import Any

import pytest

from mailinglist.errors import BadInput
from mailinglist.i18n import LANGUAGES
from mailinglist.letters.texts import KINDS, PLACES, Kind, Look, letter, source_of
from mailinglist.stationery import slots, wording

LOOK = Look("Tector & <co>", "#1f4e5f", None, "Katu 1", "Tector", "en")
FIT = "[Leave]({leave_url})"


def body_of(text: str, kind: Kind = "leave") -> str:
    return wording.set_in_type("Hello", text, PLACES[kind]).body


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("language", LANGUAGES)
def test_our_own_words_are_fit_and_make_the_same_letter(kind: Kind, language: str) -> None:
    values: dict[str, Any] = {
        "language": language, "look": LOOK, "owner": "o@example.fi", "consent_text": "I want\nmail & <b>.",
    }  # fmt: skip
    assert letter(kind, **values, own=source_of(kind, language)) == letter(kind, **values)


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_letter_is_for_and_what_the_law_asks_stays(kind: Kind) -> None:
    subject, body = source_of(kind, "en")
    assert PLACES[kind].needed
    for name in PLACES[kind].needed:
        with pytest.raises(BadInput, match="can't be left out"):
            wording.set_in_type(subject, body.replace(f"{{{name}}}", "https://example.fi"), PLACES[kind])


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("Hello {nmae} " + FIT, "no placeholder {nmae}"),
        ("{unsubscribe_url} " + FIT, "no placeholder {unsubscribe_url}"),
        ("{consent} " + FIT, "no placeholder {consent}"),
        ("{leave_url}", "write it as"),
        ("[ ]({leave_url})", "can't be left out"),
        ("[&nbsp;]({leave_url})", "can't be left out"),
        ("\\[x]({leave_url})", "write it as"),
        ("[x](https://elsewhere.example/{leave_url})", "part of a link's address"),
        ("[x](https://elsewhere.example/?a={address}) " + FIT, "part of a link's address"),
        ("[x](mailto:{address}) " + FIT, "part of a link's address"),
        ("![x](https://elsewhere.example/{leave_url}) " + FIT, "part of a link's address"),
        ("{address|friend} " + FIT, "takes no other words"),
        ("{add**re**ss} " + FIT, "can't be understood"),
        ("x\u202ey " + FIT, "can't be mailed"),
        ("x\ue000leave_url\ue001", "can't be mailed"),
        ("x\x07 " + FIT, "can't be mailed"),
        ("", "can't be left out"),
    ],
)
def test_what_can_not_be_worded_so_is_refused_in_words(text: str, why: str) -> None:
    with pytest.raises(BadInput) as refused:
        body_of(text)
    assert why in str(refused.value)


@pytest.mark.parametrize(
    "text",
    ["{{ 7*7 }}", "{{ config }}", "{% for x in y %}", "{{ ''.mro() }}", "<script>alert(1)</script>", "<b>x</b>",
     "${7*7}", "<!-- x -->", "<style>*{display:none}</style>"],
)  # fmt: skip
def test_what_looks_like_a_program_or_html_is_text_as_typed(text: str) -> None:
    body = body_of(f"{text}\n\n{FIT}")
    assert "<script" not in body
    assert "<style" not in body
    assert "<b>" not in body
    made = letter("leave", language="en", look=LOOK, owner="o@example.fi", own=("Hello", f"{text}\n\n{FIT}"))
    assert text in made.text
    assert "49" not in made.text


def test_values_are_data_wherever_they_come_to_stand() -> None:
    made = letter("leave", language="en", look=LOOK, owner="<i>@x", own=("To {list}", f"{{list}} {{owner}} {FIT}"))
    assert made.subject == "To Tector & <co>"
    assert "Tector &amp; &lt;co&gt; &lt;i&gt;@x" in made.html
    assert "leave_url" in slots.names(made.html) & slots.names(made.text)


@pytest.mark.parametrize("subject", ["", "  ", "{address}", "{leave_url}", "a\nBcc: b@example.fi", "a\x00", "\u202eb"])
def test_a_subject_is_one_line_that_may_name_the_list(subject: str) -> None:
    with pytest.raises(BadInput):
        wording.set_in_type(subject, FIT, PLACES["leave"])


def test_images_are_text_and_scripts_lead_nowhere() -> None:
    body = body_of(f"![x](https://e.example/p.png) [y](javascript:alert(1)) [z](data:text/html,x) {FIT}")
    assert "<img" not in body
    assert body.count("<a ") == 2
    assert 'href="javascript' not in body
    assert 'href="data' not in body
