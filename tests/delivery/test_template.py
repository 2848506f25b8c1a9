"""Templates: what is filled in arrives as it was written, and the bytes are fit for SMTP as they stand."""

from __future__ import annotations

import email
import email.policy
import html as htmllib
import quopri
from email.utils import parsedate_to_datetime
from typing import Any, cast

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from mails import KINDS, LINK, VALUES, WHEN, arrives, content_of, fill, filled, message, parsed, phrases, prose

from mailinglist.delivery.slots import UnfilledSlot, mark
from mailinglist.delivery.template import compile_message
from mailinglist.errors import BadInput

AWKWARD = (
    ".\n..\n.a\n\n. \n",
    "a\rb\r\nc\n\rd",
    "x" * 2000,
    ("." * 76 + "\n") * 3,
    "loppuu väliin \nja sarkaimeen\t\n \n\t\nx ",
    "From Turku with love\n>From x\nFrom \n",
    "https://example.fi/" + "polku/" * 60 + "?q=" + "a=b&" * 50,
    "🎉" * 300 + "👩‍👩‍👧‍👦" * 40,
    "a" * 70 + "ääääää" + "b" * 74 + "." + "c" * 72 + "=3D=\n=20",
    "--=_alternative\n--=_alternative--\n",
    "\0\x01\x0b\x0c\x1b\x7f\x85\u2028\u2029\ufeff",
    "",
)


# ── the message as a whole ────────────────────────────────────────────────────────────────────────────────────────────


def test_a_message_is_complete_and_in_order() -> None:
    extra = (
        ("Reply-To", f"Tector <{mark('reply')}>"),
        ("List-Id", "Tector tiedottaa <tector-tiedottaa.lista.example>"),
        ("List-Unsubscribe", f"<{mark('unsubscribe_url')}>, <mailto:{mark('reply')}?subject=leave>"),
        ("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"),
        ("Feedback-ID", "17:tector-tiedottaa:bulletin:lista"),
    )
    content = fill(compile_message(message(headers=extra), slots=KINDS))
    mail = parsed(content)
    names = [name for name, _ in extra]
    order = ["Date", "From", "To", "Subject", "Message-ID", *names, "MIME-Version", "Content-Type"]
    assert mail.keys() == order
    assert mail["Date"] == "Sun, 22 Nov 2026 07:05:09 +0200"
    assert parsedate_to_datetime(mail["Date"]) == WHEN
    assert mail["To"].addresses[0].display_name == "Matti Meikäläinen"
    assert mail["To"].addresses[0].addr_spec == "matti@example.fi"
    assert mail["Message-ID"] == "<17.4711.k3@lista.example>"
    assert mail["List-Unsubscribe"] == f"<{LINK}>, <mailto:{VALUES['reply']}?subject=leave>"
    assert mail["Reply-To"].addresses[0].addr_spec == VALUES["reply"]
    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"


def test_the_same_input_gives_the_same_bytes() -> None:
    template = compile_message(message(text=f"Hei {mark('name')}"), slots=KINDS)
    assert fill(template) == fill(template)
    other = fill(template, values={"name": "Liisa"})
    assert b"Liisa" in other
    assert b"Matti=" not in other


def test_slots_are_named_once_and_only_where_used() -> None:
    template = compile_message(
        message(
            subject=f"Hei {mark('name', 'Sinä')}",
            text=f"{mark('archive_url')} {mark('name', 'ystävä')}",
            html=f"<a href='{mark('archive_url')}'>x</a>",
        ),
        slots=KINDS,
    )
    assert template.slots == ("name", "archive_url")


def test_each_slot_gets_its_own_value_wherever_it_stands() -> None:
    names = [name for name in KINDS for _ in range(2)] + [*reversed(KINDS)]
    text = "|".join(mark(name) for name in names)
    mail = filled(text=text, html=text, headers=(("X-Both", f"{mark('reply')} {mark('unsubscribe_url')}"),))
    expected = "|".join(VALUES[name] for name in names) + "\n"
    assert content_of(mail, "plain") == expected
    assert htmllib.unescape(content_of(mail, "html")) == expected
    assert mail["X-Both"] == f"{VALUES['reply']} {VALUES['unsubscribe_url']}"


def test_what_is_alike_for_all_is_the_same_as_if_it_were_filled_for_each() -> None:
    everywhere = "{0} and {1}"
    parts = {
        "subject": f"Hei {mark('name', 'ystävä')} & {mark('until')}",
        "text": everywhere.format(mark("archive_url"), mark("until")) + "\n",
        "html": f'<p title="{mark("until")}"><a href="{mark("archive_url")}">{mark("until")}</a>, {mark("name")}</p>\n',
        "headers": (("X-Archive", f"<{mark('archive_url')}>"),),
    }
    values = {**VALUES, "until": '<29.11.> & "ä"' + " pitkä" * 30}
    alike = {name: values.pop(name) for name in ("archive_url", "until")}
    for_each = compile_message(message(**parts), slots=KINDS)
    at_once = compile_message(message(**parts), slots=KINDS, alike=alike)
    assert at_once.slots == ("name",)
    assert fill(at_once, values=values) == fill(for_each, values={**values, **alike})
    with pytest.raises(BadInput, match="archive_url"):
        compile_message(message(**parts), slots=KINDS, alike={**alike, "archive_url": "javascript:alert(1)"})


def test_the_older_parser_of_the_standard_library_agrees() -> None:
    text, html = f"Hei {mark('name')} 🎉\n.\n", f"<p>{mark('name')} &amp; å</p>\n"
    content = fill(
        compile_message(message(subject="Pörinää", text=text, html=html), slots=KINDS), values={"name": "Åsa <3"}
    )
    legacy = email.message_from_bytes(content, policy=email.policy.compat32)
    plain, rich = cast("list[Any]", legacy.get_payload())
    assert legacy.defects == plain.defects == rich.defects == []
    assert plain.get_payload(decode=True).decode() == "Hei Åsa <3 🎉\r\n.\r\n"
    assert rich.get_payload(decode=True).decode() == "<p>Åsa &lt;3 &amp; å</p>\r\n"
    # … and so does quoted-printable alone, without any parser of mail.
    part = content.split(b"\r\n--=_alternative")[1].split(b"\r\n\r\n", 1)[1]
    assert quopri.decodestring(part).decode() == "Hei Åsa <3 🎉\r\n.\r\n"


# ── the parts ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("text", AWKWARD)
def test_awkward_text_arrives_as_written(text: str) -> None:
    mail = filled(text=text, html=text.replace("<", "&lt;"))
    assert content_of(mail, "plain") == arrives(text)
    assert content_of(mail, "html") == arrives(text.replace("<", "&lt;"))


@pytest.mark.parametrize("around", AWKWARD)
@pytest.mark.parametrize(
    "value", [".", "..a", "From here", "å" * 100, " x ", "a" * 75, "a" * 76, "." * 151, "=", "🎉", "x=\t."]
)
def test_values_arrive_between_awkward_texts(around: str, value: str) -> None:
    slot = mark("name")
    text = f"{slot}{around}{slot}{slot}{around}{slot}\n{slot} \n.{slot}.\n{slot}"
    mail = filled({"name": value}, text=text)
    assert content_of(mail, "plain") == arrives(text.replace(slot, "\ue002")).replace("\ue002", value)


@settings(max_examples=300, deadline=None)
@given(literals=st.lists(prose, min_size=1, max_size=5), name=phrases, path=st.text("abz019-_.~%&=?/;@", max_size=300))
@example(literals=["", "", ""], name="x", path="." * 200)
def test_any_text_with_any_values_arrives(literals: list[str], name: str, path: str) -> None:
    link = f"https://x.fi/{path}"
    slots = [mark("name", "ystävä"), mark("unsubscribe_url")]
    written = "".join(literal + slots[index % 2] for index, literal in enumerate(literals))
    html_written = "".join(htmllib.escape(literal) + slots[index % 2] for index, literal in enumerate(literals))
    mail = filled({"name": name, "unsubscribe_url": link}, text=written, html=html_written)
    shown = name if name.strip() else "ystävä"
    expected = arrives("".join(literal + (link if index % 2 else shown) for index, literal in enumerate(literals)))
    assert content_of(mail, "plain") == expected
    assert htmllib.unescape(content_of(mail, "html")) == htmllib.unescape(arrives(html_expected(literals, shown, link)))


def html_expected(literals: list[str], name: str, link: str) -> str:
    values = (htmllib.escape(name), htmllib.escape(link))
    return "".join(htmllib.escape(literal) + values[index % 2] for index, literal in enumerate(literals))


@settings(max_examples=150, deadline=None)
@given(html=prose, text=prose)
def test_any_html_without_slots_arrives(html: str, text: str) -> None:
    mail = filled(html=html, text=text)
    assert content_of(mail, "html") == arrives(html)
    assert content_of(mail, "plain") == arrives(text)


def test_a_value_cannot_break_its_line_in_a_part() -> None:
    mail = filled({"name": "a\r\nb\nc\x00d\u2028e"}, text=f"{mark('name')}|", html=f"{mark('name')}|")
    assert content_of(mail, "plain") == "a  b c d e|\n"
    assert content_of(mail, "html") == "a  b c d e|\n"


def test_values_are_escaped_in_html_and_not_in_text() -> None:
    value = "<script>alert(\"1\")</script> & 'x'"
    html = f'<p title="{mark("name")}">{mark("name")}</p><a href="{mark("archive_url")}">a</a>'
    mail = filled({"name": value}, text=mark("name"), html=html)
    escaped = "&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt; &amp; &#39;x&#39;"
    assert content_of(mail, "plain") == value + "\n"
    link = "https://lista.example/archive/?a=1&amp;b=2"
    assert content_of(mail, "html") == f'<p title="{escaped}">{escaped}</p><a href="{link}">a</a>\n'


@pytest.mark.parametrize("values", [{}, {"name": ""}, {"name": "  "}])
def test_an_absent_or_blank_value_gives_way_to_the_fallback(values: dict[str, str]) -> None:
    slot = mark("name", "hyvä vastaanottaja")
    template = compile_message(message(subject=f"Hei {slot}", text=f"Hei {slot}!", html=f"Hei {slot}!"), slots=KINDS)
    mail = parsed(fill(template, values=values))
    assert mail["Subject"] == "Hei hyvä vastaanottaja"
    assert content_of(mail, "plain") == content_of(mail, "html") == "Hei hyvä vastaanottaja!\n"


def test_a_fallback_in_html_is_html_already() -> None:
    mail = filled({"name": ""}, html=f"<p>{mark('name', 'Matti &amp; Liisa')}</p>")
    assert content_of(mail, "html") == "<p>Matti &amp; Liisa</p>\n"


@pytest.mark.parametrize("name", ["", "  "])
def test_words_may_be_given_as_empty(name: str) -> None:
    mail = filled({"name": name}, subject=f"Hei{mark('name')}!", text=f"Hei{mark('name')}!", html=mark("name"))
    assert mail["Subject"] == "Hei!"
    assert content_of(mail, "plain") == "Hei!\n"
    assert content_of(mail, "html") == "\n"


@pytest.mark.parametrize(
    ("parts", "values"),
    [
        ({"subject": mark("name")}, {}),
        ({"text": mark("name")}, {}),
        ({"html": mark("name")}, {}),
        ({"html": mark("archive_url")}, {"archive_url": ""}),
        ({"text": mark("archive_url")}, {"archive_url": " "}),
        ({"headers": (("List-Unsubscribe", f"<{mark('archive_url')}>"),)}, {}),
    ],
)
def test_a_missing_value_stops_the_mail(parts: dict[str, str], values: dict[str, str]) -> None:
    template = compile_message(message(**parts), slots=KINDS)
    with pytest.raises(UnfilledSlot) as caught:
        fill(template, values=values)
    assert caught.value.slot == template.slots[0]
    assert caught.value.slot in str(caught.value)


def test_a_value_never_looks_like_an_unfilled_slot() -> None:
    content = fill(
        compile_message(message(subject=f"x {mark('name')}", text=mark("name")), slots=KINDS),
        values={"name": mark("until")},
        to_name=mark("until"),
    )
    mail = parsed(content)
    assert content_of(mail, "plain") == "until\n"
    assert "\ue000" not in str(mail["Subject"]) + str(mail["To"])


@pytest.mark.parametrize(
    "link",
    [
        "javascript:alert(1)",
        "https://x/ y",
        'https://x/"',
        "https://x/>",
        "https://å.fi/",
        "https://",
        "//x",
        "https://x/\r\n",
    ],
)
def test_a_link_must_be_one(link: str) -> None:
    template = compile_message(message(headers=(("List-Unsubscribe", f"<{mark('unsubscribe_url')}>"),)), slots=KINDS)
    with pytest.raises(BadInput, match="unsubscribe_url is no URL"):
        fill(template, values={"unsubscribe_url": link})


def test_a_lone_surrogate_is_refused_everywhere() -> None:
    for parts in ({"text": "\ud83c"}, {"html": "\ud83c"}, {"subject": "\ud83c"}, {"sender": "\ud83c <a@b.fi>"}):
        with pytest.raises(BadInput):
            compile_message(message(**parts), slots=KINDS)
    template = compile_message(message(text=mark("name"), subject=mark("name")), slots=KINDS)
    for given_values in ({"values": {"name": "\ud83c"}}, {"to_name": "\ud83c"}, {"to_address": "\ud83c@example.fi"}):
        with pytest.raises(BadInput):
            fill(template, **given_values)
