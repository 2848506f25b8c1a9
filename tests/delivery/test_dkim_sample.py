"""Bulletins that went the whole way are verified by dkimpy: all of a bulletin's mails, whatever the names in them."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import dkim
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from fast_mail_parser import parse_email
from flask import Flask

from catching import Caught
from mailinglist import db
from mailinglist.bulletins import drafts
from mailinglist.consent import transfer
from mailinglist.consent.states import Basis
from mailinglist.delivery import dispatch, post
from mailinglist.delivery.dkim import Signer
from mailinglist.settings import Settings
from making import the_list

NAMES = (
    "Matti Meikäläinen",
    "Åsa Öhman",
    "🎉 Riemu 🎊",
    "Äiti =20",
    ".",
    'J. R. "Bob" O\'Neil, Jr.',
    "x" * 70,
    "öäå" * 30,
    "👩‍👩‍👧‍👦" * 9,
    "",
)
BODY = "\n\n".join(
    [
        "# Hei {name|ystävä}",
        "{name}",
        *(f"{'x' * length} {{name|sinä}}" for length in range(66, 80)),  # a slot at each end of a line
        "Pitkä linkki: https://example.fi/" + "polku/" * 40,
        "öljyä ja ääniä 🎉 " * 40 + "{name}",
    ]
)


@pytest.fixture
def keys(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """MAILINGLIST_DKIM, with keys made for it."""
    made: dict[str, rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey] = {
        "rsa": rsa.generate_private_key(65537, 2048), "ed25519": ed25519.Ed25519PrivateKey.generate(),
    }  # fmt: skip
    settings = []
    for name, key in made.items():
        if request.param in (name, "both"):
            path = tmp_path / f"{name}.pem"
            encryption = serialization.NoEncryption()
            path.write_bytes(
                key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
            )
            settings.append(f"{name}:lists.example.fi:{path}")
    return ",".join(settings)


@pytest.fixture
def extra_settings(caught: Caught, keys: str) -> dict[str, str]:
    return {"smtp_url": caught.url, "dkim": keys, "bounce_domain": "lists.example.fi"}


@pytest.mark.parametrize(
    ("keys", "count"),
    [("both", 50), *(pytest.param(name, 1000, marks=pytest.mark.long) for name in ("rsa", "ed25519", "both"))],
    indirect=["keys"],
)
def test_every_mail_of_a_bulletin_verifies(
    app: Flask, settings: Settings, caught: Caught, keys: str, count: int
) -> None:
    table = io.StringIO()
    rows = csv.writer(table)
    rows.writerow(["email", "name"])
    rows.writerows([f"p{n}@example.fi", NAMES[n % len(NAMES)]] for n in range(count))
    with db.transaction() as session:
        consignment = transfer.read(table.getvalue().encode(), basis=Basis.CONSENT, source="test", file="people.csv")
        transfer.take_in(session, the_list(session), consignment, who="test", now=db.utcnow())
        bulletin = drafts.add(
            session, the_list(session), subject="Hei {name|ystävä}, uutisia 🎉 ja ääkkösiä", source=BODY,
            form="markdown", now=db.utcnow(),
        )  # fmt: skip
        dispatch.send(
            session,
            bulletin.id,
            sender="Tector – ääniä <t@lists.example.fi>",
            by="test",
            at=None,
            publishers=(),
            now=db.utcnow(),
        )
    post.bulletins(stop=lambda: False)
    records = {f"{name}.": record.encode() for name, record in Signer(settings.dkim_keys).records.items()}

    def verdicts(raw: bytes) -> list[bool]:
        signatures = raw.count(b"DKIM-Signature:")
        assert signatures == len(keys.split(","))
        return [verifies(raw, index) for index in range(signatures)]

    def verifies(raw: bytes, index: int) -> bool:
        try:
            return bool(dkim.DKIM(raw).verify(idx=index, dnsfunc=lambda name, timeout=5: records[name.decode()]))
        except dkim.ValidationError:  # how it says that the body's hash differs
            return False

    assert len(caught.raw) == count
    # Python's parser leaves spaces between the encoded words of a long name.
    assert {parse_email(raw).to[0].display_name or "" for raw in caught.raw} == set(NAMES)
    assert [raw for raw in caught.raw if not all(verdicts(raw))] == []
    for raw in caught.raw[:5]:
        assert not any(verdicts(raw.replace(b"polku/", b"poku/", 1)))
        assert not any(verdicts(raw.replace(b"\r\nTo: ", b"\r\nTo: x", 1)))
