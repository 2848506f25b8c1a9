"""DKIM: what we sign, another implementation verifies; what is altered, it refuses."""

from __future__ import annotations

import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import dkim
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ed25519, rsa
from hypothesis import given, settings
from hypothesis import strategies as st

from mailinglist.delivery.dkim import Seal, Signer, sealed
from mailinglist.delivery.parcels import Content
from mailinglist.delivery.slots import SlotKind, mark
from mailinglist.delivery.template import Message, Template, compile_message
from mailinglist.errors import SettingsError
from mailinglist.settings import DkimKey

AT = 1_795_330_000
NAME, LEAVE = mark("name", "ystävä"), mark("unsubscribe_url")
KINDS = {"name": SlotKind.TEXT, "unsubscribe_url": SlotKind.URL, "reply": SlotKind.ADDRESS}
BULLETIN = Message(
    subject=f"Hei {NAME}, marraskuun uutiset ovat täällä, ja niitä on paljon  enemmän kuin lokakuussa",
    text=f"{NAME}\nHei {NAME} \n.\n{LEAVE}\n\n\n",
    html=f"<p>Hei {NAME}</p>\n{NAME}\n<a href='{LEAVE}'>Peru</a>\n\n",
    sender="Tector tiedottaa – öljyä ja ääniä <tiedote@lista.example>",
    headers=(
        ("Reply-To", f"Pörinää <{mark('reply')}>"),
        ("List-Id", "Tector tiedottaa <tector-tiedottaa.lista.example>"),
        ("List-Unsubscribe", f"<{LEAVE}>, <mailto:{mark('reply')}>"),
        ("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"),
        ("Feedback-ID", "17:tector-tiedottaa:bulletin:lista"),
    ),
)
NAMES = (
    "Matti Meikäläinen",
    "Åsa Öhman",
    "🎉 Riemu 🎊",
    'J. R. "Bob" O\'Neil, Jr.',
    "x" * 70,
    "ä" * 90,
    "",
    "a  b",
    "From .",
)


def private_pem(
    key: rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey | dsa.DSAPrivateKey, password: bytes | None = None
) -> bytes:
    encryption = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)


@pytest.fixture(scope="module")
def signer(tmp_path_factory: pytest.TempPathFactory) -> Signer:
    folder = tmp_path_factory.mktemp("keys")
    (folder / "rsa.pem").write_bytes(private_pem(rsa.generate_private_key(65537, 2048)))
    (folder / "ed.pem").write_bytes(private_pem(ed25519.Ed25519PrivateKey.generate()))
    return Signer(
        [
            DkimKey("rsa2026", "lista.example", folder / "rsa.pem"),
            DkimKey("ed2026", "lista.example", folder / "ed.pem"),
        ]
    )


def fill(template: Template, name: str = "Matti", to_address: str = "matti@example.fi") -> bytes:
    values = {"name": name, "unsubscribe_url": "https://lista.example/u/aB3-_", "reply": "tector-leave+a@lista.example"}
    return bytes(
        template.fill(
            to_address=to_address,
            to_name=name,
            message_id="<17.4711@lista.example>",
            date=datetime(2026, 11, 22, tzinfo=UTC),
            values=values,
        )
    )


def verdicts(content: bytes, records: Mapping[str, str]) -> list[bool]:
    """What dkimpy says of each signature."""

    def dns(name: bytes, timeout: int = 5) -> bytes:
        return records[name.decode().rstrip(".")].encode()

    def verifies(index: int) -> bool:
        try:
            return bool(dkim.DKIM(content).verify(idx=index, dnsfunc=dns))
        except dkim.ValidationError:  # how it says that the body's hash differs
            return False

    return [verifies(index) for index in range(content.count(b"DKIM-Signature:"))]


def signed(seal: Seal, content: bytes) -> bytes:
    return seal.sign(content, at=AT) + content


@pytest.mark.parametrize("name", NAMES)
def test_both_signatures_verify_whatever_the_name(signer: Signer, name: str) -> None:
    template = compile_message(BULLETIN, slots=KINDS)
    assert verdicts(signed(signer.seal(template), fill(template, name)), signer.records) == [True, True]


def test_an_internationalised_address_verifies(signer: Signer) -> None:
    template = compile_message(BULLETIN, slots=KINDS)
    content = fill(template, to_address="pörriäinen@example.fi")
    assert verdicts(signed(signer.seal(template), content), signer.records) == [True, True]


words = st.text(
    st.one_of(st.characters(exclude_categories=["Cs"], exclude_characters="\ue000\ue001"), st.sampled_from(" .\r\n\tä"))
)
names = st.text(
    st.one_of(
        st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ue000\ue001"), st.sampled_from(" .ä🎉")
    )
)


@settings(max_examples=100, deadline=None)
@given(text=words, html=words, subject=names, name=names, first=st.booleans())
def test_any_message_verifies(signer: Signer, text: str, html: str, subject: str, name: str, first: bool) -> None:
    parts = {"text": NAME + text if first else text, "html": html.replace("<", "&lt;") + NAME, "subject": subject}
    template = compile_message(Message(**parts, sender="a@b.fi"), slots=KINDS)  # type: ignore[arg-type]
    assert verdicts(signed(signer.seal(template), fill(template, name)), signer.records) == [True, True]


def test_threads_may_share_a_seal(signer: Signer) -> None:
    template = compile_message(BULLETIN, slots=KINDS)
    seal = signer.seal(template)
    contents = [fill(template, f"Nimi {number} ä") for number in range(200)]
    with ThreadPoolExecutor(4) as pool:
        fields = list(pool.map(lambda content: seal.sign(content, at=AT), contents))
    # Both algorithms are deterministic, so one thread alone must have made the same.
    assert fields == [seal.sign(content, at=AT) for content in contents]
    assert all(verdicts(fields[at] + contents[at], signer.records) == [True, True] for at in range(0, 200, 20))


@pytest.mark.parametrize("count", [0, 1, 2, 31])
def test_all_cores_sign_and_the_order_stays(signer: Signer, count: int) -> None:
    template = compile_message(BULLETIN, slots=KINDS)
    seal = signer.seal(template)
    mails = [(None if number % 7 == 3 else seal, fill(template, f"Nimi {number} ä")) for number in range(count)]
    expected = [signed(own, content) if own else content for own, content in mails]
    ready = sealed([(own, Content.of(content)) for own, content in mails], at=AT)
    assert [bytes(content) for content in ready] == expected
    assert [content.octets for content in ready] == [len(content) for content in expected]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"\r\nHei =\r\n", b"\r\nMoi =\r\n"),
        (b"https://lista.example/u/aB3-_", b"https://lista.example/u/aB3-x"),
        (b"<p>Hei", b"<p>Hai"),
        (b"\r\nTo: ", b"\r\nTo: x"),
        (b"\r\nFrom: ", b"\r\nFrom: x"),
        (b"\r\nDate: Sun", b"\r\nDate: Mon"),
        (b"\r\nSubject: ", b"\r\nSubject: x"),
        (b"\r\nMessage-ID: <17", b"\r\nMessage-ID: <18"),
        (b"\r\nReply-To: ", b"\r\nReply-To: x"),
        (b"\r\nList-Id: Tector", b"\r\nList-Id: Tektor"),
        (b"\r\nList-Unsubscribe: <", b"\r\nList-Unsubscribe: <x"),
        (b"\r\nList-Unsubscribe-Post: ", b"\r\nList-Unsubscribe-Post: x"),
        (b"\r\nFeedback-ID: 17", b"\r\nFeedback-ID: 18"),
        (b"\r\nContent-Type: multipart/alternative", b"\r\nContent-Type: multipart/mixed"),
        (b"\r\nMIME-Version: 1.0", b"\r\nMIME-Version: 1.1"),
        (b"t=1795330000", b"t=1795330001"),
        (b"--\r\n", b"--\r\nmore\r\n"),
        # A second field of a kind that readers are shown (RFC 6376 §8.15): they may take the first, verifiers the last.
        *[
            (b"DKIM-Signature", name + b": x@y.fi\r\nDKIM-Signature")
            for name in (b"From", b"To", b"Subject", b"Cc", b"Reply-To")
        ],
    ],
)
def test_what_is_altered_fails(signer: Signer, before: bytes, after: bytes) -> None:
    template = compile_message(BULLETIN, slots=KINDS)
    whole = signed(signer.seal(template), fill(template))
    assert verdicts(whole, signer.records) == [True, True]
    altered = whole.replace(before, after, 1 if before == b"DKIM-Signature" else -1)
    assert altered != whole
    assert verdicts(altered, signer.records) == [False, False]


def test_the_fields_are_as_the_standards_want(signer: Signer) -> None:
    template = compile_message(BULLETIN, slots=KINDS)
    fields = signer.seal(template).sign(fill(template), at=AT).decode()
    assert max(map(len, fields.split("\r\n"))) <= 78
    assert fields.endswith("\r\n")
    signatures = [re.sub(r"\s+", "", one) for one in fields.split("DKIM-Signature: ")[1:]]
    tags = [dict(tag.split("=", 1) for tag in one.split(";")) for one in signatures]
    assert [(one["a"], one["d"], one["s"]) for one in tags] == [
        ("rsa-sha256", "lista.example", "rsa2026"),
        ("ed25519-sha256", "lista.example", "ed2026"),
    ]
    for one in tags:
        assert one.keys() == {"v", "a", "c", "d", "s", "h", "t", "bh", "b"}  # no l=, no x=
        assert (one["v"], one["c"], one["t"]) == ("1", "relaxed/simple", str(AT))
        covered = one["h"].lower().split(":")
        assert covered.count("from") == 2
        assert set(covered) >= {field.name.lower() for field in template.fields}
        assert {"list-unsubscribe", "list-unsubscribe-post", "feedback-id"} <= set(covered)  # RFC 8058 §4


def test_without_keys_nothing_is_written() -> None:
    nobody = Signer([])
    template = compile_message(BULLETIN, slots=KINDS)
    assert not nobody
    assert nobody.seal(template).sign(fill(template), at=AT) == b""


def wrong_files() -> dict[str, bytes]:
    return {
        "empty": b"",
        "no key": b"-----BEGIN PRIVATE KEY-----\nSECRETSECRET\n-----END PRIVATE KEY-----\n",
        "short": private_pem(rsa.generate_private_key(65537, 1024)),
        "locked": private_pem(ed25519.Ed25519PrivateKey.generate(), b"salainen"),
        "of another kind": private_pem(dsa.generate_private_key(1024)),
        "public": ed25519.Ed25519PrivateKey.generate()
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo),
    }


def test_a_wrong_key_is_a_wrong_setting(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    with pytest.raises(SettingsError, match=r"MAILINGLIST_DKIM: s1:lista\.example: .*can't be read"):
        Signer([DkimKey("s1", "lista.example", path)])
    with pytest.raises(SettingsError, match=r"MAILINGLIST_DKIM: s1:lista\.example: .*can't be read"):
        Signer([DkimKey("s1", "lista.example", tmp_path)])
    for content in wrong_files().values():
        path.write_bytes(content)
        with pytest.raises(SettingsError, match=r"MAILINGLIST_DKIM: s1:lista\.example: ") as caught:
            Signer([DkimKey("s1", "lista.example", path)])
        assert "SECRET" not in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("selector", "domain"), [("s 1", "a.fi"), ("s", "a.fi;x"), ("s", "hämö.fi"), ("s\r\nX: y", "a.fi")]
)
def test_names_that_could_break_the_field_are_refused(tmp_path: Path, selector: str, domain: str) -> None:
    path = tmp_path / "key.pem"
    path.write_bytes(private_pem(ed25519.Ed25519PrivateKey.generate()))
    with pytest.raises(SettingsError, match="MAILINGLIST_DKIM"):
        Signer([DkimKey(selector, domain, path)])
