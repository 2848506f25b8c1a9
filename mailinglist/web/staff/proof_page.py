"""A proof of consent for reading and printing: one page that stands alone, with nothing from outside.

It says in words what the file of `consent.proof_file` says, and names that file by its digest: the file is what proves.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from hashlib import sha256
from typing import Any

from flask import render_template
from markupsafe import Markup

from ...consent import ledger, proof_file, seals
from .. import pages
from . import frame, person


def render(told: Mapping[str, Any], names: Mapping[str, str]) -> str:
    """The page of this document, in the language of the request; `names` of the lists by their slugs."""
    texts = {ledger.text_digest(each["language"], each["body"]).hex(): each for each in told["texts"]}
    notices = {ledger.text_digest(each["language"], each["body"]).hex(): each for each in told["notices"]}
    evidence = {sha256(each.encode()).hexdigest(): json.loads(each) for each in told["evidence"]}
    events = []
    for number, body, sealed in proof_file.told_in_order(told):
        entry = {**body, "hash": ""}
        if body.get("text") in texts:
            entry["text_shown"] = texts[body["text"]]["body"]
        if "evidence" in body:
            entry["evidence_content"] = evidence.get(body["evidence"])
        notice = notices.get(body.get("notice", ""))
        events.append({
            **person.event_of(entry, names), "number": number, "sealed": sealed, "exactly": body["at"],
            "notice": notice and notice["version"], "notice_digest": body.get("notice"),
        })  # fmt: skip
    return render_template(
        "staff/registry/proof_page.html",
        language=pages.language(), told=told, events=events, made_at=datetime.fromisoformat(told["made_at"]),
        notices=[(digest, each, _notice(each)) for digest, each in notices.items() if digest in _named(told)],
        seals=[_seal(each) for each in told["seals"]], moment=frame.moment,
        file_digest=sha256(proof_file.written(dict(told))).hexdigest(),
    )  # fmt: skip


def _named(told: Mapping[str, Any]) -> set[str]:
    return {body["notice"] for _, body, _ in proof_file.told_in_order(told) if "notice" in body}


def _notice(row: Mapping[str, str]) -> Markup:
    """A notice's own HTML, which is ours: only words that have the digest which an entry names come here. Its headings
    stand below this page's."""
    lower = row["body"].replace("<h3", "<h4").replace("</h3>", "</h4>").replace("<h2", "<h3").replace("</h2>", "</h3>")
    return Markup(lower)  # noqa: S704 - see above


def _seal(row: Mapping[str, str]) -> tuple[seals.Said, str]:
    return seals.read(row["content"].encode()), row["key"]
