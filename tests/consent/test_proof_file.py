"""A proof stands alone: the small script checks it without the program, and any changed byte fails."""

from __future__ import annotations

import hashlib
import json
import random
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from importlib import util
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from flask import Flask

from conftest import NOW
from mailinglist import db
from mailinglist.consent import address, proof_file, register, registrar, seals, signing
from mailinglist.consent.states import Channel, State
from mailinglist.errors import Unknown
from mailinglist.places import PACKAGE
from mailinglist.privacy import rights
from making import person

SCRIPT = PACKAGE.parent / "docs" / "verify_proof.py"
MATTI = address.parse("Matti@example.fi")
TOLD = registrar.Told("phone", "said so", date(2026, 11, 2), "Maija")


@pytest.fixture(scope="module")
def script() -> ModuleType:
    """The script, within this process: for checking many."""
    spec = util.spec_from_file_location("verify_proof", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def sealed(app: Flask) -> None:
    with db.transaction() as session:
        for n in range(5):
            person(session, f"p{n}@example.fi", now=NOW)
        person(session, MATTI.mailbox, now=NOW, state=State.LEFT)
    assert seals.make() is not None


def document(mailbox: str = MATTI.mailbox) -> dict[str, Any]:
    with db.reading() as session:
        return proof_file.document(session, address.parse(mailbox), now=NOW + timedelta(days=1))


def run(path: Path, told: Mapping[str, Any] | bytes, *arguments: str) -> subprocess.CompletedProcess[str]:
    path.write_bytes(told if isinstance(told, bytes) else proof_file.written(dict(told)))
    command = [sys.executable, "-I", str(SCRIPT), str(path), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=path.parent, env={})


def holds(script: ModuleType, content: bytes) -> bool:
    try:
        script.check(content)
    except (script.Wrong, ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError):
        return False
    return True


def resigned(told: dict[str, Any]) -> bytes:
    """Changed, and signed anew by the owner of the right key."""
    unsigned = {name: value for name, value in told.items() if name != "signature"}
    with db.reading() as session:
        signature = seals.signing_of(session).sign(signing.PROOF, proof_file.written(unsigned))
    return proof_file.written({**unsigned, "signature": signature.hex()})


def test_the_script_says_that_it_holds_and_what_it_says(sealed: None, tmp_path: Path):
    told = document()
    done = run(tmp_path / "proof.json", told, "--key", told["key"])
    assert (done.returncode, done.stderr) == (0, "")
    assert "The proof holds." in done.stdout
    assert f"Signed with the key {told['key']}" in done.stdout
    assert "3 entries; 3 of them, and no others, were there when seal 1 was made" in done.stdout
    assert told["texts"][0]["body"].splitlines()[0] in done.stdout
    assert '"client":"192.0.2.7"' in done.stdout
    assert run(tmp_path / "proof.json", told, "--key", "00" * 32).returncode == 1
    assert run(tmp_path / "proof.json", told, "--wrong").returncode == 2
    assert run(tmp_path / "proof.json", b"\xff").returncode == 1


def test_any_changed_byte_fails(sealed: None, script: ModuleType):
    """A sample of the places; the next test looks at each."""
    content = proof_file.written(document())
    assert holds(script, content)
    chance = random.Random(5)
    flip_each(script, content, chance.sample(range(len(content)), 100), chance)
    for at in chance.sample(range(len(content)), 20):
        assert not holds(script, content[:at] + content[at + 1 :])
        assert not holds(script, content[:at] + b" " + content[at:])
    for other in (content + b"\n", content.rstrip(), b"\xef\xbb\xbf" + content, content[:-2] + b',"x":1}\n'):
        assert not holds(script, other)


@pytest.mark.long
@pytest.mark.parametrize("databases", ["sqlite"], indirect=True)
def test_really_any(sealed: None, script: ModuleType):
    content = proof_file.written(document())
    flip_each(script, content, range(len(content)), random.Random(6))


def flip_each(script: ModuleType, content: bytes, places: Sequence[int], chance: random.Random) -> None:
    """A bit of each of these bytes, one after the other."""
    flipped = bytearray(content)
    for at in places:
        was = flipped[at]
        flipped[at] = was ^ (1 << chance.randrange(8))
        assert not holds(script, bytes(flipped)), (at, bytes(flipped[at - 20 : at + 20]))
        flipped[at] = was


def test_nor_can_the_owner_of_the_key_leave_something_out(sealed: None, script: ModuleType):
    """What a seal binds: not even who signs the file can tell otherwise."""
    assert holds(script, resigned(document()))
    told = document()
    told["chains"][0]["entries"].pop()
    told["evidence"], told["evidence_not_kept"] = (
        [],
        sorted(json.loads(each["body"])["evidence"] for each in told["chains"][0]["entries"]),
    )
    assert not holds(script, resigned(told))
    told["chains"][0]["sealed"]["entries"] -= 1
    assert not holds(script, resigned(told))
    for part, value in (("texts", []), ("evidence", []), ("subject", "00" * 32), ("format", "x"), ("more", 1)):
        assert not holds(script, resigned({**document(), part: value})), part
    told = document()
    entry = told["chains"][0]["entries"][0]
    entry["body"] = entry["body"].replace('"language":"fi"', '"language":"sv"')
    assert not holds(script, resigned(told))
    told = document()
    told["chains"][0]["sealed"]["index"] += 1
    assert not holds(script, resigned(told))
    told = document()
    told["seals"][0]["content"] = told["seals"][0]["content"].replace('"number":1', '"number":2')
    assert not holds(script, resigned(told))


def test_what_came_after_the_seal_is_told_as_such(sealed: None, script: ModuleType):
    with db.transaction() as session:
        registrar.forbid(session, MATTI, [Channel.EMAIL], TOLD, now=NOW + timedelta(hours=1))
    told = document()
    assert [sealed for _, _, sealed in proof_file.told_in_order(told)] == [True, True, True, False]
    lines = script.check(proof_file.written(told))
    assert any("4 entries; 3 of them" in line for line in lines)
    with db.transaction() as session:
        person(session, "late@example.fi", now=NOW)
    (line,) = [each for each in script.check(proof_file.written(document("late@example.fi"))) if "Chain" in each]
    assert line.endswith("2 entries, not sealed yet.")


def test_of_somebody_erased_and_of_nobody(sealed: None, script: ModuleType):
    with db.transaction() as session:
        rights.erase(session, MATTI, NOW + timedelta(hours=1))
    seals.make()
    told = document()
    assert told["evidence"] == []
    assert len(told["evidence_not_kept"]) == 3
    assert holds(script, proof_file.written(told))
    with pytest.raises(Unknown):
        document("nobody@example.fi")


def test_what_the_next_owner_of_a_corrected_address_did_is_not_in_it(sealed: None, script: ModuleType):
    later = NOW + timedelta(hours=1)
    with db.transaction() as session:
        found = register.find(session, MATTI)
        assert found is not None
        registrar.correct_address(session, found.id, address.parse("new@example.fi"), TOLD, now=later)
    seals.make()
    with db.transaction() as session:
        person(session, MATTI.mailbox, now=later + timedelta(hours=1))
    seals.make()
    told = document("new@example.fi")
    assert holds(script, proof_file.written(told))
    events = [body["event"] for _, body, _ in proof_file.told_in_order(told)]
    assert events == ["asked", "confirmed", "left", "moved", "readdressed"]
    assert {chain["sealed"]["seal"] for chain in told["chains"]} == {2, 3}
    assert holds(script, proof_file.written(document()))


def test_the_history_from_before_a_correction_can_t_be_left_out(sealed: None, script: ModuleType):
    """Three chains: the address was corrected twice. The script follows them, and misses each that is not there."""
    with db.transaction() as session:
        found = register.find(session, MATTI)
        assert found is not None
        for hours, name in enumerate(("new@example.fi", "newer@example.fi"), 1):
            registrar.correct_address(session, found.id, address.parse(name), TOLD, now=NOW + timedelta(hours=hours))
    seals.make()
    told = document("newer@example.fi")
    third, second, first = sorted(told["chains"], key=lambda chain: -chain["entries"][0]["number"])
    lines = script.check(proof_file.written(told))
    for later, earlier in ((third, second), (second, first)):
        assert f"Chain {later['chain']} goes on from chain {earlier['chain']}: the address was corrected." in lines
    for kept in ([third, second], [third], [third, first]):
        assert "is missing" in _refused(script, resigned(_of_chains(told, kept))), "the owner of the key can't either"
    # Up to the correction and no further: without its last entry the earlier chain does not say where it went.
    shorter = {**first, "entries": first["entries"][:-1], "sealed": None}
    assert "is missing" in _refused(script, resigned(_of_chains(told, [third, second, shorter])))
    # A chain of somebody else proves nothing here.
    other = document("p0@example.fi")
    both = {name: [*told[name], *(each for each in other[name] if each not in told[name])] for name in _PARTS}
    both["chains"][-1]["sealed"] = None
    assert "nothing leads to" in _refused(script, resigned(_of_chains({**told, **both}, both["chains"])))
    assert holds(script, resigned(_of_chains(told, told["chains"])))
    # The old address's own file says that somebody went on elsewhere.
    lines = script.check(proof_file.written(document()))
    assert any(first["chain"] in line and second["chain"] in line and "not in this file" in line for line in lines)


_PARTS = ("chains", "texts", "notices", "evidence", "evidence_not_kept", "seals")


def _refused(script: ModuleType, content: bytes) -> str:
    with pytest.raises(script.Wrong) as caught:
        script.check(content)
    return str(caught.value)


def _of_chains(told: dict[str, Any], chains: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The file with these chains alone, and with all that belongs to them: so nothing else in it is wrong."""
    bodies = [json.loads(entry["body"]) for chain in chains for entry in chain["entries"]]

    def named(part: str, what: str) -> list[Any]:
        wanted = {body[what] for body in bodies if what in body}
        return [each for each in told[part] if _digest(each) in wanted]

    evidence = {body["evidence"] for body in bodies if "evidence" in body}
    kept = [content for content in told["evidence"] if hashlib.sha256(content.encode()).hexdigest() in evidence]
    seals_used = {chain["sealed"]["seal"] for chain in chains if chain["sealed"]}
    return {
        **told, "chains": list(chains),
        "texts": named("texts", "text"), "notices": named("notices", "notice"), "evidence": kept,
        "evidence_not_kept": sorted(evidence - {hashlib.sha256(each.encode()).hexdigest() for each in kept}),
        "seals": [seal for seal in told["seals"] if json.loads(seal["content"])["number"] in seals_used],
    }  # fmt: skip


def _digest(text: dict[str, Any]) -> str:
    return hashlib.sha256(f"{text['language']}\n{text['body']}".encode()).hexdigest()


def test_the_script_shows_the_notice_that_was_in_force(app: Flask, script: ModuleType, tmp_path: Path):
    now = db.utcnow()
    with db.transaction() as session:
        person(session, MATTI.mailbox, now=now)
    seals.make()
    told = document()
    [notice] = told["notices"]
    done = run(tmp_path / "proof.json", told)
    name = f"version {notice['version']} (fi), SHA-256 {_digest(notice)}"
    assert f"    privacy notice in force, below: {name}\n" in done.stdout
    assert done.stdout.count(f"\nThe privacy notice, {name}:\n") == 1
    assert "    Rekisterinpitäjä\n" in done.stdout
    assert "<h2>" not in done.stdout
    told["notices"][0]["body"] += " "
    assert not holds(script, resigned(told))


def test_the_script_checks_signatures_as_others_do(script: ModuleType):
    chance = random.Random(7)
    for _ in range(5):
        key = Ed25519PrivateKey.from_private_bytes(chance.randbytes(32))
        public, content = key.public_key().public_bytes_raw().hex(), chance.randbytes(chance.randrange(99))
        made = key.sign(content)
        assert script.holds(public, made.hex(), content)
        assert not script.holds(public, made.hex(), content + b"x")
        assert not script.holds(public, made.hex().upper(), content)
        higher = (int.from_bytes(made[32:], "little") + script.L).to_bytes(32, "little")  # RFC 8032 §5.1.7: S < L
        assert not script.holds(public, (made[:32] + higher).hex(), content)
    # RFC 8032 §7.1, test 2
    assert script.holds(
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
        bytes.fromhex("72"),
    )
