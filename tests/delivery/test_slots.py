"""Slots: reading the marks, and refusing what no escaping would make safe."""

from __future__ import annotations

import pytest

from mailinglist.delivery.slots import Slot, SlotKind, UnfilledSlot, html_segments, mark, segments
from mailinglist.errors import BadInput
from mailinglist.stationery.slots import END, START

KINDS = {"name": SlotKind.TEXT, "leave_url": SlotKind.URL, "reply": SlotKind.ADDRESS}
NAME, LEAVE, REPLY = mark("name"), mark("leave_url"), mark("reply")


def test_a_text_is_cut_at_its_slots() -> None:
    assert segments(f"Hei {mark('name', 'Sinä')}{LEAVE}.", KINDS) == [
        "Hei ",
        Slot("name", SlotKind.TEXT, "Sinä"),
        Slot("leave_url", SlotKind.URL),
        ".",
    ]
    assert segments("", KINDS) == []


def test_an_empty_fallback_is_one() -> None:
    assert segments(f"{START}leave_url|{END}", KINDS) == [Slot("leave_url", SlotKind.URL, "")]
    assert Slot("leave_url", SlotKind.URL, "").value({}) == ""


def test_only_words_may_be_given_as_empty() -> None:
    assert Slot("name", SlotKind.TEXT).value({"name": " "}) == ""
    for slot, values in (
        (Slot("name", SlotKind.TEXT), {}),
        (Slot("leave_url", SlotKind.URL), {"leave_url": ""}),
        (Slot("reply", SlotKind.ADDRESS), {"reply": " "}),
    ):
        with pytest.raises(UnfilledSlot):
            slot.value(values)


@pytest.mark.parametrize(
    "text",
    [
        START,
        END,
        f"{START}name",
        f"name{END}",
        f"{START}{NAME}",
        f"{NAME}{END}",
        mark("nobody"),
        mark(""),
        mark("Name"),
        mark("leave_url", "ei mitään"),
        mark("reply", "x"),
        "https://x.fi/%EE%80%80leave_url%EE%80%81",
        "%ee%80%81",
        "&#xE000;name&#xE001;",
        "&#57344;",
    ],
)
def test_a_broken_unknown_or_mangled_slot_is_refused(text: str) -> None:
    for read in (segments, html_segments):
        with pytest.raises(BadInput):
            read(text, KINDS)


@pytest.mark.parametrize(
    "html",
    [
        f"<p>Hei {NAME}, {LEAVE} {REPLY}</p>",
        f"{NAME}",
        f"<img src='x.png' alt='{NAME}'><p title=\"{NAME} {LEAVE}\" aria-label = '{NAME}'>",
        f'<a href="{LEAVE}">Peru</a>',
        f'<A HREF="{LEAVE}?ban=all">Peru</A>',
        f'<a class=x href="mailto:{REPLY}?subject=leave">Peru</a>',
        f'<!--[if mso]><v:rect href="{LEAVE}"><![endif]-->',
        f"<td>{NAME}<br/>{NAME}",
        f"1 < 2 {NAME} > 0",
        f"<title>{NAME}</title>",
    ],
)
def test_slots_may_stand_where_they_are_escaped(html: str) -> None:
    parts = html_segments(html, KINDS)
    assert "".join(part if isinstance(part, str) else mark(part.name) for part in parts) == html


@pytest.mark.parametrize(
    "html",
    [
        f"<p {NAME}>",
        f"<{NAME}>x",
        f"<b{NAME}>x",
        f"</b{NAME}>",
        f"<p title={NAME}>",
        f"<a href={LEAVE}>",
        f"<p class='{NAME}'>",
        f"<p style='color:{NAME}'>",
        f"<p onclick='{NAME}'>",
        f"<p id='{LEAVE}'>",
        f"<img src='{LEAVE}'>",  # a personal image would be tracking
        f"<img src='https://x.fi/{NAME}.png'>",
        f"<a href='{NAME}'>",
        f"<a href='https://x.fi/?name={NAME}'>",
        f"<a href='https://x.fi/?to={LEAVE}'>",
        f"<a href='{REPLY}'>",
        f"<a href='mailto:{NAME}'>",
        f"<a href='mailto:x@y.fi?body={LEAVE}'>",
        f"<script>{NAME}</script>",
        f"<style>p {{ color: {NAME} }}</style>",
        '<p title="' + mark("name", '"Sinä"') + '">',
        mark("name", "<b>Sinä</b>"),
    ],
)
def test_slots_may_not_stand_where_no_escaping_helps(html: str) -> None:
    with pytest.raises(BadInput):
        html_segments(html, KINDS)


@pytest.mark.parametrize(
    ("kind", "value", "good"),
    [
        (SlotKind.URL, "https://lista.example/a?b=c&d=%C3%A4#e", True),
        (SlotKind.URL, "http://[::1]:8000/x", True),
        (SlotKind.URL, "mailto:a@b.fi?subject=x", True),
        (SlotKind.URL, "https://x/" + "a" * 790, True),
        (SlotKind.URL, "https://x/" + "a" * 791, False),
        (SlotKind.URL, "HTTPS//x", False),
        (SlotKind.URL, "data:text/html,x", False),
        (SlotKind.URL, "https://x/å", False),
        (SlotKind.URL, "https://x/\n", False),
        (SlotKind.ADDRESS, "tector-leave+a1@lista.example", True),
        (SlotKind.ADDRESS, "å@lista.example", False),
        (SlotKind.ADDRESS, "a@b.fi, c@d.fi", False),
        (SlotKind.ADDRESS, "a@b.fi>", False),
        (SlotKind.ADDRESS, "a@b.fi?bcc", False),
        (SlotKind.TEXT, "mitä tahansa\n<b>", True),
    ],
)
def test_a_kind_takes_its_values_only(kind: SlotKind, value: str, good: bool) -> None:
    assert kind.accepts(value) is good
    assert not good or kind is SlotKind.TEXT or len(value) <= kind.longest
