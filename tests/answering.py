"""Answers to a letter as mail programs write them: their headers, their quoting, their encodings."""

from __future__ import annotations

import base64
import quopri
from collections.abc import Callable
from email.message import EmailMessage
from html import escape

from catching import text_of

MATTI = "Matti Meikäläinen <matti@example.fi>"
WHEN = "ma 2. marrask. 2026 klo 11.31"


def _head(letter: EmailMessage, program: str, sender: str, subject: str | None) -> bytes:
    subject = subject if subject is not None else f"Re: {letter['Subject']}"
    encoded = base64.b64encode(subject.encode()).decode()
    name, _, address = sender.rpartition(" ")
    from_ = f"=?utf-8?B?{base64.b64encode(name.encode()).decode()}?= {address}" if name else address
    return (
        f"Received: from mail.example.fi (mail.example.fi [192.0.2.1])\r\n\tby mx.example.fi; "
        f"Mon, 2 Nov 2026 11:31:00 +0200\r\n"
        f"From: {from_}\r\nTo: {letter['Reply-To']}\r\nSubject: =?utf-8?B?{encoded}?=\r\n"
        f"Date: Mon, 2 Nov 2026 11:31:00 +0200\r\nMessage-ID: <answer-1@mail.example.fi>\r\n"
        f"In-Reply-To: {letter['Message-ID']}\r\nReferences: {letter['Message-ID']}\r\n{program}\r\n"
        f"MIME-Version: 1.0\r\n"
    ).encode()


def _crlf(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\n", "\r\n")


def _marked(letter: EmailMessage) -> str:
    return "".join(f"> {line}\n" for line in text_of(letter).splitlines())


def thunderbird(letter: EmailMessage, words: str, *, sender: str = MATTI, subject: str | None = None) -> bytes:
    """Plain text, flowed, the quotation on top: the words stand below it."""
    signature = "-- \nMatti Meikäläinen\nwww.example.fi/a/b?c=d\n"
    body = f"Tector tiedottaa kirjoitti {WHEN}:\n{_marked(letter)}\n{words}\n\n{signature}"
    head = _head(letter, "User-Agent: Mozilla Thunderbird", sender, subject)
    kind = "Content-Type: text/plain; charset=UTF-8; format=flowed\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
    return head + kind.encode() + _crlf(body).encode()


def gmail(letter: EmailMessage, words: str, *, sender: str = MATTI, subject: str | None = None) -> bytes:
    """Two parts, the words on top; the line with who wrote is broken in two."""
    who = f"{WHEN} Tector tiedottaa <\ntiedote@lists.example.fi> kirjoitti:"
    plain = f"{words}\n\n{who}\n\n{_marked(letter)}"
    html = (
        f'<div dir="ltr">{escape(words)}</div><br><div class="gmail_quote"><div dir="ltr" class="gmail_attr">'
        f'{escape(who)}<br></div><blockquote class="gmail_quote" style="margin:0">{_html_of(letter)}</blockquote></div>'
    )
    return _alternative(_head(letter, "X-Google-Smtp-Source: x", sender, subject), plain, html)


def outlook(letter: EmailMessage, words: str, *, sender: str = MATTI, subject: str | None = None) -> bytes:
    """HTML alone, windows-1252 in quoted-printable; the quotation is marked by its header lines only."""
    html = (
        f'<html><head><meta http-equiv="Content-Type" content="text/html; charset=windows-1252">'
        f'<style>p.MsoNormal{{}}</style></head><body><div class="WordSection1">'
        f'<p class="MsoNormal">{escape(words)}<o:p></o:p></p>'
        f'<p class="MsoNormal">Ystävällisin terveisin<o:p></o:p></p><p class="MsoNormal">Matti, ei myynnissä</p>'
        f'<div style="border-top:solid"><p class="MsoNormal"><b>Lähettäjä:</b> Tector &lt;tiedote@lists.example.fi&gt;'
        f"<br><b>Lähetetty:</b> maanantai 2. marraskuuta 2026 11.30<br><b>Vastaanottaja:</b> matti@example.fi<br>"
        f"<b>Aihe:</b> {escape(letter['Subject'])}</p></div>{_html_of(letter)}</div></body></html>"
    )
    head = _head(letter, "X-Mailer: Microsoft Outlook 16.0", sender, subject or f"VS: {letter['Subject']}")
    octets = quopri.encodestring(_crlf(html).encode("windows-1252", "xmlcharrefreplace"))
    kind = "Content-Type: text/html; charset=windows-1252\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
    return head + kind.encode() + octets.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


def apple(letter: EmailMessage, words: str, *, sender: str = MATTI, subject: str | None = None) -> bytes:
    """A phone: base64, "sent from my", then the quotation."""
    body = (
        f"{words}\n\nLähetetty iPhonesta\n\n> Tector tiedottaa <tiedote@lists.example.fi> kirjoitti {WHEN}:\n> \n"
        f"> \ufeff\n{_marked(letter)}"
    )
    head = _head(letter, "X-Mailer: iPhone Mail (22A3354)", sender, subject or f"Vs: {letter['Subject']}")
    octets = base64.encodebytes(_crlf(body).encode())
    kind = "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    return head + kind.encode() + octets.replace(b"\n", b"\r\n")


def outlook_plain(letter: EmailMessage, words: str, *, sender: str = MATTI, subject: str | None = None) -> bytes:
    """An older one: plain text in windows-1252, octets as they are, the quotation not marked at all."""
    body = (
        f"{words}\n\nMed vänlig hälsning\nMatti Meikäläinen\n\n-----Ursprungligt meddelande-----\nFrån: Tector "
        f"[mailto:tiedote@lists.example.fi] \nSkickat: den 2 november 2026 11:30\nTill: matti@example.fi\n"
        f"Ämne: {letter['Subject']}\n\n{text_of(letter)}\n"
    )
    head = _head(letter, "X-Mailer: Microsoft Office Outlook 12.0", sender, subject or f"SV: {letter['Subject']}")
    kind = 'Content-Type: text/plain;\r\n\tcharset="iso-8859-1"\r\nContent-Transfer-Encoding: 8bit\r\n\r\n'
    return head + kind.encode() + _crlf(body).encode("windows-1252", "replace")


def samsung(letter: EmailMessage, words: str, *, sender: str = MATTI, subject: str | None = None) -> bytes:
    """A phone whose HTML holds no mark of a quotation but its line, and a text part that is the same."""
    plain = (
        f"{words}\n\nLähetetty Samsung-älypuhelimesta.\n\n-------- Alkuperäinen viesti --------\nLähettäjä: Tector\n"
        f"Päivämäärä: 2.11.2026 11.30 (GMT+02:00)\nVastaanottaja: matti@example.fi\nAihe: {letter['Subject']}\n\n"
        f"{text_of(letter)}"
    )
    html = f"<html><body><div>{escape(words)}</div><div>{escape(plain)}</div></body></html>"
    return _alternative(_head(letter, "X-Mailer: Samsung Email", sender, subject), plain, html)


PROGRAMS: dict[str, Callable[..., bytes]] = {
    "thunderbird": thunderbird,
    "gmail": gmail,
    "outlook": outlook,
    "outlook-plain": outlook_plain,
    "apple": apple,
    "samsung": samsung,
}


def _html_of(letter: EmailMessage) -> str:
    part = letter.get_body(("html",))
    assert part is not None
    return str(part.get_content())


def _alternative(head: bytes, plain: str, html: str) -> bytes:
    parts = [head, b'Content-Type: multipart/alternative; boundary="000000000000a1"\r\n\r\n']
    for kind, text in (("plain", plain), ("html", html)):
        octets = quopri.encodestring(_crlf(text).encode()).replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
        parts += [
            f'--000000000000a1\r\nContent-Type: text/{kind}; charset="UTF-8"\r\n'.encode(),
            b"Content-Transfer-Encoding: quoted-printable\r\n\r\n", octets, b"\r\n",
        ]  # fmt: skip
    return b"".join([*parts, b"--000000000000a1--\r\n"])
