"""What comes out is on the list of what may, whatever goes in."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailinglist.errors import BadInput
from mailinglist.stationery.safehtml import MAX_DEPTH, from_markdown, in_text, sanitised

HOSTILE = [
    "<script>alert(1)</script>",
    "<ScRiPt src=//evil.example/x.js></sCrIpT>",
    "<scr<script>ipt>alert(1)</scr</script>ipt>",
    "<style>@import url(https://evil.example/x.css)</style>",
    "<p style='background:url(https://evil.example/x)'>a</p>",
    "<p style='background-color:red;background-image:url(x)'>a</p>",
    "<p style='color:expression(alert(1))'>a</p>",
    r"<p style='color:red;width:\75\72\6c(https://evil.example)'>a</p>",
    "<p style='width:calc(1px + 9999px)'>a</p>",
    "<p style='position:fixed;top:0;margin:0 0 -400px;margin-top:-.5em'>a</p>",
    "<p style='color:var(--x);--x:url(https://evil.example)'>a</p>",
    "<p style='color:red;&#x7d;*{background:url(x)}'>a</p>",
    "<img src=x onerror=alert(1)>",
    "<img src='javascript:alert(1)'>",
    "<img src='data:image/svg+xml,<svg onload=alert(1)>' alt=x>",
    "<img src='cid:logo' alt=x>",
    "<img src='//evil.example/a.png' alt=x>",
    "<img srcset='https://evil.example/a.png 2x' src='https://ok.example/a.png' alt=x>",
    "<a href='javascript:alert(1)'>a</a>",
    "<a href=' java\tscript:alert(1)'>a</a>",
    "<a href='&#106;avascript:alert(1)'>a</a>",
    "<a href='data:text/html,<script>alert(1)</script>'>a</a>",
    "<a href='vbscript:x'>a</a>",
    "<a href='//evil.example'>a</a>",
    "<a href='/relative' target=_blank ping='https://evil.example'>a</a>",
    "<a href='https://ok.example' onclick='x()' id=x class=button name=x>a</a>",
    "<iframe src='https://evil.example'></iframe><object data=x></object><embed src=x>",
    "<form action='https://evil.example'><input name=q><button formaction=x>go</button></form>",
    "<meta http-equiv=refresh content='0;url=https://evil.example'><base href='https://evil.example/'>",
    "<link rel=stylesheet href='https://evil.example/x.css'>",
    "<svg><a xlink:href='javascript:alert(1)'><text>x</text></a></svg><math><mtext></math>",
    "<math><mtext><table><mglyph><style><!--</style><img title='--&gt;&lt;img src=1 onerror=alert(1)&gt;'>",
    "<noscript><p title='</noscript><img src=x onerror=alert(1)>'>",
    "<!--[if mso]><script>alert(1)</script><![endif]--><!-- x -->",
    "<![CDATA[<script>alert(1)</script>]]><?php x ?><!DOCTYPE x>",
    "<table background='https://evil.example/x.png'><tr><td background=x>a</td></tr></table>",
    "<video poster='https://evil.example/x'><source src=x></video><audio src=x>",
    "<body onload=alert(1) style='background:url(x)'><p>a",
    "<p dir='x' lang='\"><script>' align='x' title='t'>a</p>",
    "<img src='https://ok.example/a.png' width='1' height='1' alt=''>",
    "<img src='https://ok.example/a.png' style='width:1px;height:1px' alt=''>",
]

ALLOWED = {
    "a": {"href"},
    "abbr": {"title"},
    "col": {"span", "width"},
    "img": {"alt", "height", "src", "width"},
    "ol": {"start"},
    "p": {"align"},
    "table": {"align", "width"},
    "td": {"align", "colspan", "rowspan", "valign", "width"},
    "th": {"align", "colspan", "rowspan", "scope", "valign", "width"},
}
BARE = {
    "b", "blockquote", "br", "caption", "code", "colgroup", "dd", "del", "div", "dl", "dt", "em", "figcaption",
    "figure", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "i", "ins", "li", "mark", "pre", "s", "small", "span", "strong",
    "sub", "sup", "tbody", "tfoot", "thead", "tr", "u", "ul",
}  # fmt: skip


class Inspector(HTMLParser):
    """Fails on everything that is not on this test's own list."""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in BARE or tag in ALLOWED, tag
        for name, value in attrs:
            assert value is not None
            assert name in ALLOWED.get(tag, set()) | {"style", "lang", "dir"}, (tag, name)
            if name == "href":
                assert re.match("(https?://|mailto:|tel:)", value, re.I), value
            if name == "src":
                assert re.match(r"\s*https?://", value, re.I), value
            if name == "style":
                assert not re.search(
                    r"[\\@<>{}\"'/*!]|url|expression|calc|var|position|image|:\s*-\d|\s-[.\d]", value
                ), value
        assert tag not in ("a", "img") or any(name in ("href", "src") for name, _ in attrs), "lost its address"

    def handle_comment(self, data: str) -> None:
        raise AssertionError(data)

    def handle_decl(self, decl: str) -> None:
        raise AssertionError(decl)

    def handle_pi(self, data: str) -> None:
        raise AssertionError(data)

    def unknown_decl(self, data: str) -> None:
        raise AssertionError(data)


def inspect(fragment: str) -> str:
    inspector = Inspector()
    inspector.feed(fragment)
    inspector.close()
    return fragment


@pytest.mark.parametrize("hostile", HOSTILE)
def test_hostile_html_comes_out_harmless(hostile: str) -> None:
    for source in (hostile, f"<table><tr><td>{hostile}", f"<p>x{hostile}</p>", f"<ul><li>{hostile}</ul><b>"):
        inspect(sanitised(source))
    inspect(from_markdown(f"Text\n\n{hostile}\n\n- {hostile}\n"))


@given(
    st.lists(st.sampled_from([*HOSTILE, "</p>", "</table>", "<p>", "'", '"', "<", ">", "&", "ä", "<b>", "</b>", "<a "]))
)
def test_hostile_html_in_any_order_comes_out_harmless(pieces: list[str]) -> None:
    clean = inspect(sanitised("".join(pieces))).replace(' style=""', "")
    assert sanitised(clean) == clean, "what is clean must stay as it is"


@pytest.mark.parametrize(
    "kept",
    [
        '<a href="https://example.fi/?a=1&amp;b=2">a</a>',
        '<a href="mailto:a@example.fi?subject=Hei">a</a>',
        '<a href="tel:+358931">a</a>',
        '<img src="https://example.fi/a.png" alt="Kuva &quot;1&quot;" width="300" height="200">',
        '<p lang="sv" style="text-align:center;color:rgb(1, 2, 3)">å ä ö</p>',
        '<table><caption>c</caption><thead><tr><th scope="col">a</th></tr></thead></table>',
        '<table><tbody><tr><td colspan="2" width="50%">b</td></tr></tbody></table>',
        "<h1>a</h1><h2>b</h2><hr><blockquote><p>c</p></blockquote><pre><code>d</code></pre>",
        '<ol start="3"><li>a</li></ol><dl><dt>b</dt><dd>c</dd></dl>',
        "<del>a</del><s>b</s>m<sup>2</sup>H<sub>2</sub>O<u>c</u><mark>d</mark>",
    ],
)
def test_what_a_bulletin_is_made_of_stays(kept: str) -> None:
    assert inspect(sanitised(kept)) == kept


def test_a_document_is_reduced_to_its_body() -> None:
    document = (
        "<!DOCTYPE html><html><head><title>T</title><style>p{color:red}</style><meta charset=utf-8></head>"
        "<body class=x><!--[if mso]>m<![endif]--><center><p>Sisältö</p></center></body></html>"
    )
    assert sanitised(document) == "<p>Sisältö</p>"


def test_what_lost_its_address_leaves_its_words() -> None:
    assert sanitised('<a style="color:red" href="/x">lue <b>lisää</b></a>') == "lue <b>lisää</b>"
    assert sanitised('<img src="kuva.png" alt="Talo &amp; piha">') == "Talo &amp; piha"


def test_safe_style_stays_beside_unsafe() -> None:
    assert sanitised('<p style="color:#123456 !important;position:fixed;padding:4px">a</p>') == (
        '<p style="color:#123456;padding:4px">a</p>'
    )


def test_markdown_has_tables_strikethrough_and_no_guessed_links() -> None:
    html = from_markdown("| a | b |\n|---|---|\n| c | ~~d~~ |\n\nhttps://example.fi example.fi")
    assert "<th>a</th>" in html
    assert "<s>d</s>" in html
    assert "<a" not in html


@pytest.mark.parametrize(
    "deep", ["<div>" * 100_000, "<b><i>" * 50_000, "<ul><li>" * 9_000, "<table><tr><td>" * 9_000, "<a " * 100_000]
)
def test_depth_that_would_crash_the_parsers_is_refused(deep: str) -> None:
    with pytest.raises(BadInput, match="elements within elements"):
        sanitised(deep)


def test_many_elements_side_by_side_are_no_depth() -> None:
    sloppy = "<p>x<br><li>y<img src=z><hr>" * (2 * MAX_DEPTH) + "</div>" * 9 + "<div><i>a</i></div>" * (2 * MAX_DEPTH)
    assert sanitised(sloppy).count("<p>") == 2 * MAX_DEPTH


def test_in_text_leaves_tags_alone() -> None:
    fragment = sanitised('<p><img src="https://a.example/a.png" alt="a > a"> a &amp; a&nbsp;&lt;a&gt; "a"</p>')
    assert in_text(lambda text: text, fragment) == fragment
    changed = in_text(lambda text: text.replace("a", "<b>"), fragment)
    assert changed.endswith('> &lt;b&gt; &amp; &lt;b&gt;&nbsp;&lt;&lt;b&gt;&gt; "&lt;b&gt;"</p>')
    assert 'alt="a &gt; a"' in changed
