"""`mailinglist ledger …`: verify, seal, proof, key."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import click
from flask import Flask

from .. import db
from ..consent import lists, proof_file, seal_check, seals, seals_outside, verification
from ..consent import proof as consent_proof
from ..consent.address import Address, parse
from ..errors import BadInput, Fault, Unknown
from ..i18n import DEFAULT_LANGUAGE, LANGUAGES
from ..settings import SETTINGS, Settings
from ..web.staff import proof_page
from . import output
from .opening import opened, record


@click.group()
def ledger() -> None:
    """Check and seal the consent ledger, and prove a consent."""


@ledger.command()
@output.as_json
def verify(as_json: bool) -> int:
    """Check the whole ledger and its seals: exit 0 when it is whole, 1 with a line for each thing that is wrong."""
    with opened() as app, output.progress("Reading the ledger"), db.reading() as session:
        problems = list(verification.verify(session, outside=_settings(app).seals_folder))
        number, unsealed = seal_check.standing(session) if not problems else (0, 0)
    if as_json:
        whole = {"whole": not problems, "problems": [asdict(problem) for problem in problems]}
        output.document(whole if problems else {**whole, "seals": number, "unsealed": unsealed})
        return 1 if problems else 0
    for problem in problems:
        of_entry = f"entry {problem.entry}: " if problem.entry is not None else ""
        of_seal = f"seal {problem.seal}: " if problem.seal is not None else ""
        chain = f" (chain {problem.chain})" if problem.chain else ""
        output.line(f"{of_entry}{of_seal}{problem.what}{chain}")
    output.line("The ledger is whole." if not problems else f"{output.count(len(problems), 'thing')} wrong.")
    if number:
        newer = f"; {output.count(unsealed, 'entry', 'entries')} since" if unsealed else ""
        output.line(f"{output.count(number, 'seal')}{newer}.")
    return 1 if problems else 0


@ledger.command()
@output.as_json
def seal(as_json: bool) -> None:
    """Seal what the ledger has now. The scheduler does so once a day."""
    with opened() as app:
        with output.progress("Sealing"):
            said = seals_outside.seal(_settings(app).seals_folder)
        with db.transaction() as session:
            if said is not None:
                record(session, "ledger_sealed", seal=said.number)
            elif seals.behind(session) is not None:
                raise Fault("Somebody is writing to the ledger for a long time, or sealing it now: try again later.")
    if as_json:
        output.document({"sealed": said is not None, **(json.loads(said.content()) if said else {})})
    elif said is None:
        output.line("There is nothing new to seal.")
    else:
        entries, chains = output.count(said.entries, "entry", "entries"), output.count(said.chains, "chain")
        output.line(f"Seal {said.number}: {entries} in {chains}, Merkle root {said.root.hex()}.")


@ledger.command()
def key() -> None:
    """Print the public key of seals and proofs, for those who check them: Ed25519, in hex."""
    with opened(), db.reading() as session:
        output.line(seals.signing_of(session).public.hex())


@ledger.command()
@click.argument("address")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Write a file that proves itself.")
@click.option("--html", type=click.Path(path_type=Path, dir_okay=False), help="Write a page for reading and printing.")
@click.option("--lang", type=click.Choice(LANGUAGES), help="Of the page; Finnish if not given.")
@output.as_json
def proof(address: str, out: Path | None, html: Path | None, lang: str | None, as_json: bool) -> None:
    """One person's consent history, with the exact texts that were shown (GDPR 7(1)); also of somebody erased since.

    With --out or --html the ledger is sealed first if need be. docs/verify_proof.py checks the file without the
    program.
    """
    found = parse(address)
    if out or html:
        if as_json:
            raise BadInput("--json prints the history; --out and --html write files. Choose one of them.")
        _write(found, out, html, lang or DEFAULT_LANGUAGE)
        return
    with opened(), db.transaction() as session:
        history = consent_proof.prove(session, found.folded, with_notices=True)
        record(session, "proof_seen", entries=len(history))
    if not history:
        raise Unknown("The ledger knows nothing of this address.")
    if as_json:
        output.document(history)
        return
    for item in history:
        for text in _told(item):
            output.line(text)
        output.line()


def _settings(app: Flask) -> Settings:
    settings: Settings = app.config[SETTINGS]
    return settings


def _write(address: Address, out: Path | None, html: Path | None, language: str) -> None:
    with opened() as app:
        with db.reading() as session:
            if not consent_proof.entries(session, address.folded):
                raise Unknown("The ledger knows nothing of this address.")
            unsealed = proof_file.unsealed(session, address.folded)
        if unsealed:
            with output.progress("Sealing"):
                seals_outside.seal(_settings(app).seals_folder)
        with db.reading() as session:
            told = proof_file.document(session, address, now=db.utcnow())
            names = {row.slug: row.name for row in lists.every(session)}
        with db.transaction() as session:
            record(session, "proof_exported", page=html is not None)
        content = proof_file.written(told)
        if out is not None:
            _put(out, content)
            output.line(f"{out}: the proof, SHA-256 {sha256(content).hexdigest()}, key {told['key']}")
        if html is not None:
            with app.test_request_context(query_string={"lang": language}):
                _put(html, proof_page.render(told, names).encode())
            output.line(f"{html}: a page of it for reading.")
    if any(not sealed for _, _, sealed in proof_file.told_in_order(told)):
        output.line("Some of its entries are not sealed yet.")


def _put(path: Path, content: bytes) -> None:
    try:
        path.write_bytes(content)
    except OSError as error:
        raise Fault(f"{path}: {error.strerror or 'it could not be written'}.") from error


def _told(item: dict[str, Any]) -> Iterator[str]:
    """One entry in words."""
    at = datetime.fromisoformat(item["at"])
    yield f"{output.when(at)}  {item['event'].replace('_', ' ')}  (entry {item['entry']})"
    for name, label in (("list", "list"), ("state", "state"), ("basis", "basis"), ("source", "how")):
        if name in item:
            yield f"  {label:<9} {item[name]}"
    if item.get("channels"):
        yield f"  {'channels':<9} {', '.join(item['channels'])}"
    if "text_version" in item:
        yield f"  {'text':<9} version {item['text_version']} in {item['language']}, SHA-256 {item['text']}"
        # Who asked by phone or on paper is shown the text by the letter that asks for the confirmation.
        label = "in letter" if item["event"] == "asked" and item.get("source") == "staff" else "shown"
        for part in (item.get("text_shown") or "the text is gone").splitlines():
            yield f"  {label:<9} {part}"
    if "notice_shown" in item:
        version, language = item["notice_version"], item["notice_language"]
        yield f"  {'notice':<9} version {version} in {language}, SHA-256 {item['notice']} (--json has its text)"
    if "evidence" in item:
        content = item.get("evidence_content")
        told = json.dumps(content, ensure_ascii=False, sort_keys=True) if content else "no longer kept"
        yield f"  {'evidence':<9} {told}"
