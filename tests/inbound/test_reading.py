"""Mail as mail programs write it, and as broken ones do."""

from __future__ import annotations

import base64

import pytest

from mailinglist.inbound.reading import MOST_FIELDS, MOST_PARTS, content_type, fields_of, read


def mail(header: str, body: str | bytes = b"", *, charset: str = "utf-8") -> bytes:
    return header.strip().encode(charset) + b"\n\n" + (body.encode(charset) if isinstance(body, str) else body)


def test_a_header() -> None:
    found = read(b"Subject: =?utf-8?q?Kyll=C3=A4=2C_?=\r\n =?UTF-8?B?bGlpdHluIQ==?=\r\nTo: a\r\nto: b\r\n\r\nHei\r\n")
    assert found.header("subject") == "Kyllä, liityn!"
    assert found.headers("TO") == ("a", "b")
    assert found.header("Cc") is None
    assert found.headers("Cc") == ()
    assert found.text == "Hei"


@pytest.mark.parametrize(
    ("raw", "read_as"),
    [
        ("Kyllä".encode(), "Kyllä"),
        ("Kyllä".encode("windows-1252"), "Kyllä"),
        (b"=?windows-1252?Q?Kyll=E4?=", "Kyllä"),
        (b"=?iso-8859-1*fi?q?Kyll=E4?=", "Kyllä"),
        (b"=?x-unknown?q?Kyll=C3=A4?=", "Kyllä"),
        (b"=?utf-8?q?Kyll=C3=A4?= ja =?utf-8?q?ei?=", "Kyllä ja ei"),
        (b"=?utf-8?b?S3lsbM?=", "Kyll"),
        (b"=?utf-8?x?Kyll?=", "=?utf-8?x?Kyll?="),
        (b"=?idna?q?xn--kyll?=", "xn--kyll"),
        (b"a\x00b\tc", "ab c"),
    ],
)
def test_a_value_in_any_charset(raw: bytes, read_as: str) -> None:
    assert (read(b"Subject: " + raw + b"\n\n").header("Subject") or "").replace("�", "") == read_as


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("a@example.fi", ("a@example.fi",)),
        ('"Korhonen, Matti" <Matti@Example.FI>, b@example.fi', ("Matti@Example.FI",)),
        ("Matti <a@example.fi>, Liisa <b@example.fi>", ("a@example.fi", "b@example.fi")),
        ('"c@example.fi" <a@example.fi>', ("a@example.fi",)),
        ("a@example.fi (c@example.fi)", ("a@example.fi",)),
        ("a@example.fi, b@example.fi;", ("a@example.fi", "b@example.fi")),
        ("<>", ()),
        ("MAILER-DAEMON", ()),
        ("<@>", ()),
    ],
)
def test_addresses(value: str, found: tuple[str, ...]) -> None:
    assert fields_of(f"From: {value}").addresses("from") == found


@pytest.mark.parametrize(
    ("value", "kind", "parameters"),
    [
        (None, "text/plain", {}),
        ("", "text/plain", {}),
        ("TEXT/HTML; Charset=UTF-8", "text/html", {"charset": "UTF-8"}),
        ('multipart/report; report-type=delivery-status;\tboundary="a;b\\"c"', "multipart/report",
         {"report-type": "delivery-status", "boundary": 'a;b"c'}),
        ("text/plain; charset = utf-8 ;; x", "text/plain", {"charset": "utf-8"}),
        ("text/plain; name*0*=utf-8''Kyll%C3%A4; name*1=.txt", "text/plain", {"name": "Kyllä.txt"}),
        ("nonsense", "text/plain", {}),
        ("multipart", "multipart/mixed", {}),
    ],
)  # fmt: skip
def test_a_content_type(value: str | None, kind: str, parameters: dict[str, str]) -> None:
    assert content_type(value) == (kind, parameters)


@pytest.mark.parametrize(
    ("header", "body"),
    [
        ("Content-Type: text/plain; charset=utf-8", "Kyllä".encode()),
        ("Content-Type: text/plain; charset=iso-8859-1", "Kyllä".encode("latin-1")),
        ("Content-Type: text/plain; charset=us-ascii", "Kyllä".encode()),
        ("Content-Type: text/plain", "Kyllä".encode("windows-1252")),
        ("Content-Type: text/plain; charset=utf-8", "Kyllä".encode("windows-1252")),
        ("Content-Type: text/plain; charset=unicode_escape", "Kyllä".encode()),
        ("Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: base64",
         base64.b64encode("Kyllä".encode())),
        ("Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: BASE64", b"S3\nlsb!\nMOk"),
        ("Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: quoted-printable", b"Kyll=C3=\n=A4"),
        ("Content-Type: text/plain; charset=utf-16\nContent-Transfer-Encoding: base64",
         base64.b64encode("Kyllä".encode("utf-16"))),
        ("Content-Type: text/html; charset=utf-8", b"<p>Kyll&auml;</p>"),
    ],
)  # fmt: skip
def test_the_text_of_one_part(header: str, body: bytes) -> None:
    assert read(mail(header, body)).text == "Kyllä"


def alternative(*parts: tuple[str, str], kind: str = "multipart/alternative") -> bytes:
    inner = "".join(f"--x\nContent-Type: {of}\n\n{text}\n" for of, text in parts)
    return mail(f'Content-Type: {kind}; boundary="x"', f"preamble\n{inner}--x--\nepilogue\n")


def test_plain_text_comes_before_html() -> None:
    found = read(alternative(("text/plain", "Kyllä"), ("text/html", "<b>Kyllä</b>")))
    assert [part.type for part in found.parts] == ["text/plain", "text/html"]
    assert found.text == "Kyllä"
    assert read(alternative(("text/plain", " "), ("text/html", "<b>Liityn</b>"))).text == "Liityn"


def test_an_attachment_is_no_text() -> None:
    file = ("text/plain\nContent-Disposition: attachment", "salaista")
    found = read(alternative(file, ("text/plain", "Kyllä")))
    assert found.text == "Kyllä"
    assert [part.attached for part in found.parts] == [True, False]


def test_a_mail_within_a_mail_is_a_part() -> None:
    inner = "Message-ID: <1@example.fi>\nTo: <a@example.fi>\nSubject: Vanha\n\nEi tätä\n"
    found = read(alternative(("text/plain", "Kyllä"), ("message/rfc822", inner), kind="multipart/mixed"))
    assert found.text == "Kyllä"
    assert found.embedded is not None
    assert found.embedded.header("Message-ID") == "<1@example.fi>"
    assert found.embedded.addresses("To") == ("a@example.fi",)
    assert read(b"Subject: x\n\nHei").embedded is None


def test_a_header_alone_within_a_mail() -> None:
    found = read(alternative(("text/rfc822-headers", "Message-ID: <2@example.fi>"), kind="multipart/report"))
    assert found.embedded is not None
    assert found.embedded.header("message-id") == "<2@example.fi>"


def test_a_boundary_is_a_whole_line() -> None:
    found = read(mail('Content-Type: multipart/mixed; boundary="a"', "--a\n\nyksi\n--ab\nkaksi\nx --a\n--a--\nkolme"))
    assert [part.text for part in found.parts] == ["yksi\n--ab\nkaksi\nx --a"]


def test_the_last_boundary_may_be_missing() -> None:
    found = read(mail('Content-Type: multipart/mixed; boundary="a"', "--a\n\nyksi\n--a\n\nkaksi"))
    assert [part.text for part in found.parts] == ["yksi", "kaksi"]


@pytest.mark.parametrize("kind", ["multipart/mixed", 'multipart/mixed; boundary=""', 'multipart/mixed; boundary="b"'])
def test_without_parts_all_is_text(kind: str) -> None:
    assert read(mail(f"Content-Type: {kind}", "Kyllä")).text == "Kyllä"


def test_html_as_text() -> None:
    source = """<html><head><title>x</title><style>p {color: red}</style></head><body><!-- ei tätä -->
    <p>Kyllä,&nbsp;liityn!<br>T. Matti</p><script>alert(1)</script>
    <div>Lähettäjä kirjoitti:</div>
    <blockquote type="cite"><div>Vahvista</div><blockquote>vanha</blockquote></blockquote>
    <p>1 < 2 &lt;3&gt;</body></html>"""
    assert read(mail("Content-Type: text/html", source)).text == (
        "Kyllä, liityn!\nT. Matti\nLähettäjä kirjoitti:\n> Vahvista\n> > vanha\n1 < 2 <3>"
    )


def test_no_mail_at_all() -> None:
    for raw in (b"", b"\n", b"\r\n\r\n", b"\x00", b"no header", b": x\n\n", b"From nobody\n", b"\xff\xfe"):
        found = read(raw)
        assert found.parts
        assert found.embedded is None
    assert read(b"\nHei").text == "Hei"
    assert read(b"From a@example.fi Sat Jan  1\nSubject: x\n\nHei").header("Subject") == "x"


def test_bounds() -> None:
    many = read(b"X: y\n" * 5_000 + b"\nHei")
    assert len(many.fields) == MOST_FIELDS
    assert many.text == "Hei"
    parts = read(mail('Content-Type: multipart/mixed; boundary="a"', "--a\n\nyksi\n" * 5_000))
    assert len(parts.parts) == MOST_PARTS
