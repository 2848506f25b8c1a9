"""`mailinglist ledger …`: verify, proof."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from datetime import datetime
from typing import Any

import click

from .. import db
from ..consent import ledger as consent_ledger
from ..consent.address import parse
from ..errors import Unknown
from . import output
from .opening import opened, record


@click.group()
def ledger() -> None:
    """Check the consent ledger, and prove a consent."""


@ledger.command()
@output.as_json
def verify(as_json: bool) -> int:
    """Check the whole ledger: exit 0 when it is whole, 1 with a line for each thing that is wrong."""
    with opened(), output.progress("Reading the ledger"), db.reading() as session:
        problems = list(consent_ledger.verify(session))
    if as_json:
        output.document({"whole": not problems, "problems": [asdict(problem) for problem in problems]})
    else:
        for problem in problems:
            where = f"entry {problem.entry}: " if problem.entry is not None else ""
            chain = f" (chain {problem.chain})" if problem.chain else ""
            output.line(f"{where}{problem.what}{chain}")
        output.line("The ledger is whole." if not problems else f"{output.count(len(problems), 'thing')} wrong.")
    return 1 if problems else 0


@ledger.command()
@click.argument("address")
@output.as_json
def proof(address: str, as_json: bool) -> None:
    """One person's consent history, with the exact texts that were shown (GDPR 7(1)); also of somebody erased since."""
    with opened(), db.transaction() as session:
        history = consent_ledger.prove(session, parse(address).folded)
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


def _told(item: dict[str, Any]) -> Iterator[str]:
    """One entry in words."""
    at = datetime.fromisoformat(item["at"])
    yield f"{output.when(at)}  {item['event'].replace('_', ' ')}  (entry {item['entry']})"
    for key, label in (("list", "list"), ("state", "state"), ("basis", "basis"), ("source", "how")):
        if key in item:
            yield f"  {label:<9} {item[key]}"
    if item.get("channels"):
        yield f"  {'channels':<9} {', '.join(item['channels'])}"
    if "text_version" in item:
        yield f"  {'text':<9} version {item['text_version']} in {item['language']}, SHA-256 {item['text']}"
        # Who asked by phone or on paper is shown the text by the letter that asks for the confirmation.
        label = "in letter" if item["event"] == "asked" and item.get("source") == "staff" else "shown"
        for part in (item.get("text_shown") or "the text is gone").splitlines():
            yield f"  {label:<9} {part}"
    if "evidence" in item:
        content = item.get("evidence_content")
        told = json.dumps(content, ensure_ascii=False, sort_keys=True) if content else "no longer kept"
        yield f"  {'evidence':<9} {told}"
