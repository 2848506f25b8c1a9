"""The JSON of the editor: what may stand in it, and that nothing is lost."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailinglist.bulletins import blocks, templates
from mailinglist.bulletins.blocks import Button, Columns, Divider, Draft, Heading, Image, List, Text, Version
from mailinglist.errors import BadInput, Unknown
from mailinglist.i18n import LANGUAGES

WORDS = st.text(alphabet="aåäö{}|*[]()<>&\\\"' %ж🌲", max_size=20)
LINES = WORDS.map(lambda text: " ".join(text.split()))
SINGLES = st.one_of(
    st.builds(Heading, st.sampled_from([2, 3]), LINES),
    st.builds(Text, WORDS),
    st.builds(List, st.lists(WORDS, max_size=3).map(tuple), st.booleans()),
    st.builds(Image, st.sampled_from(["", "a" * 64]), LINES, LINES),
    st.builds(Button, LINES, LINES),
    st.just(Divider()),
)
COLUMN = st.lists(SINGLES, max_size=3).map(tuple)
VERSIONS = st.builds(
    Version, LINES, LINES, st.lists(st.one_of(SINGLES, st.builds(Columns, COLUMN, COLUMN)), max_size=4).map(tuple)
)
DRAFTS = st.dictionaries(st.sampled_from(LANGUAGES), VERSIONS, min_size=1).map(Draft)


@given(DRAFTS)
def test_what_is_written_is_read_the_same(draft: Draft) -> None:
    written = blocks.write(draft)
    assert blocks.read(written) == draft
    assert blocks.write(blocks.read(written)) == written, "one draft has one text"


def test_versions_come_in_the_order_of_languages() -> None:
    source = '{"versions":{"en":{"subject":"c"},"sv":{},"fi":{"subject":"a"}}}'
    assert list(blocks.read(source).versions) == ["fi", "sv", "en"]


def test_half_written_is_no_reason() -> None:
    source = json.dumps({
        "versions": {"fi": {"subject": "", "blocks": [
            {"type": "button", "text": "", "url": "htt"}, {"type": "image"}, {"type": "text", "text": "{nmae"},
        ]}}
    })  # fmt: skip
    assert blocks.read(source).versions["fi"].blocks == (Button("", "htt"), Image(""), Text("{nmae"))


def in_fi(block: Any) -> Any:
    return {"versions": {"fi": {"blocks": [block]}}}


@pytest.mark.parametrize(
    "raw",
    [
        None,
        [],
        {},
        {"versions": {}},
        {"versions": {"de": {}}},
        {"versions": {"fi": {}}, "more": 1},
        {"versions": {"fi": {"subject": 1}}},
        {"versions": {"fi": {"subject": "x" * 501}}},
        {"versions": {"fi": {"blocks": {}}}},
        in_fi("text"),
        in_fi({"type": "html", "text": "<b>"}),
        in_fi({"type": "text", "text": "a", "class": "b"}),
        in_fi({"type": "text", "text": None}),
        in_fi({"type": "text", "text": "x" * 20_001}),
        in_fi({"type": "heading", "level": 1, "text": "a"}),
        in_fi({"type": "heading", "level": True, "text": "a"}),
        in_fi({"type": "list", "items": "abc"}),
        in_fi({"type": "list", "items": [], "ordered": 1}),
        in_fi({"type": "image", "image": "../../etc/passwd"}),
        in_fi({"type": "columns", "left": [{"type": "columns", "left": [], "right": []}], "right": []}),
        {"versions": {"fi": {"blocks": [{"type": "divider"}] * 201}}},
        in_fi({"type": "columns", "left": [{"type": "divider"}] * 150, "right": [{"type": "divider"}] * 150}),
    ],
)
def test_another_form_is_refused(raw: Any) -> None:
    with pytest.raises(BadInput):
        blocks.read(json.dumps(raw))


@pytest.mark.parametrize("source", ["", "{", "[" * 100_000, " " * 1_000_001, '{"versions": NaN}'])
def test_what_is_no_json_is_refused(source: str) -> None:
    with pytest.raises(BadInput):
        blocks.read(source)


def test_control_characters_halves_and_marks_go() -> None:
    [text] = blocks.draft(in_fi({"type": "text", "text": "a\x00\ud800\ue000b\r\nc\td"})).versions["fi"].blocks
    assert text == Text("ab\nc\td")
    assert blocks.draft({"versions": {"fi": {"subject": " a\r\nBcc: b "}}}).versions["fi"].subject == "a Bcc: b"


def test_images_and_places() -> None:
    one, two = "a" * 64, "b" * 64
    version = Version("", "", (Image(one), Columns((Divider(),), (Text(""), Image(two)))))
    assert Draft({"fi": version, "sv": Version("", "", (Image(""),))}).images() == {one, two}
    assert [place for place, _ in version.flat()] == [(0,), (1, 0, 0), (1, 1, 0), (1, 1, 1)]


@pytest.mark.parametrize("name", templates.BUILT_IN)
def test_a_built_in_template_is_alike_in_each_language(name: str) -> None:
    template = templates.built_in(name)
    assert blocks.read(blocks.write(template.draft)) == template.draft
    kinds = [[type(block) for _, block in version.flat()] for version in template.draft.versions.values()]
    assert list(template.draft.versions) == list(LANGUAGES)
    assert kinds[0] == kinds[1] == kinds[2]
    assert list(template.of(["sv", "fi"]).versions) == ["fi", "sv"]


def test_there_is_no_other_template() -> None:
    with pytest.raises(Unknown):
        templates.built_in("../news")


def test_a_version_has_an_end_and_each_language_its_own() -> None:
    def version(characters: int) -> dict[str, Any]:
        whole, rest = divmod(characters - 2, blocks.MAX_TEXT)
        texts = [{"type": "text", "text": "a" * blocks.MAX_TEXT}] * whole
        columns = {"type": "columns", "left": [{"type": "list", "items": ["a" * rest]}], "right": []}
        return {"subject": "a", "preview": "a", "blocks": [*texts, columns]}

    most = version(blocks.MAX_VERSION)
    assert blocks.draft({"versions": {"fi": most, "sv": most}}).versions.keys() == {"fi", "sv"}
    with pytest.raises(BadInput, match="at most 150,000 characters"):
        blocks.draft({"versions": {"fi": version(10), "sv": version(blocks.MAX_VERSION + 1)}})
