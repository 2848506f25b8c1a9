"""Every way by which mail or addresses leave the program is known, and asks the gate, or says here why it need not.

A new one fails here until somebody has decided which it is (REQUIREMENTS 2.5, 5; `consent/gate.py`).
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from mailinglist.consent.gate import Mail
from mailinglist.delivery.bulletin_desk import BulletinDesk
from mailinglist.delivery.letter_desk import LetterDesk
from mailinglist.delivery.tables import KINDS
from mailinglist.letters import desk
from mailinglist.web import api
from mailinglist.web.api import openapi

ROOT = Path(__file__).resolve().parents[1]

CARRIERS = {
    "delivery/post.py:_office": "what a run hands over: each mail by a desk, and each desk asks the gate",
    "delivery/proofs.py:hand_over": "a test mail that `proofs.proof` made: refused to who is banned, has left or did "
    "not ask",
    "delivery/owner_mail.py:_hand_over": "the daily mail to the list's own owner: not marketing, and of no subscriber",
    "inbound/forward.py:send_due": "a mail that came in for a person, sent on to the list's own owner",
}
"""Who makes a `Courier`, the only thing that hands mail to a mail server."""

SOCKETS = {
    "delivery/connection.py": "the courier's own, the only one that mail goes over",
    "delivery/fleet.py": "looks up the courier's relays by name",
    "doctor/incoming.py": "asks our own listener how it greets; hands over nothing",
    "doctor/post.py": "asks a mail server how it greets; hands over nothing",
    "preflight/links.py": "asks whether a page that a bulletin links to is there",
    "local/broker.py": "asks the embedded broker on this machine whether it is up",
    "local/ports.py": "listens",
    "local/supervisor.py": "asks its own web server on this machine whether it is up",
}
"""Who opens sockets to elsewhere, or may."""
_OPENS = {"create_connection", "open_connection", "urlopen", "HTTPConnection", "HTTPSConnection", "getaddrinfo"}
_MAILERS = {"smtplib", "aiosmtplib", "requests", "httpx", "aiohttp", "http.client", "urllib.request"}

EXPORTERS = {
    "consent/export.py:lines": "gate.banned",
    "web/staff/exports.py:_written": "export.lines",
    "consent/ban_lists.py:table": "says of addresses that somebody gave whether they are banned",
    "consent/export.py:written": "writes down what it is given",
    "web/staff/exports.py:download": "_written",
    "web/preferences.py:data_file": "a person's own data, by their own key",
    "web/staff/person_rights.py:export": "one person's data, for that person (GDPR 15)",
    "web/staff/proofs_pages.py:make": "one person's consent, for an authority or that person (GDPR 7(1))",
    "web/staff/disclosure_pages.py:give": "disclosures.note",
    "inbound/reading.py:_take_apart": "reads the field of a mail that came in; makes no file",
}
"""Who makes a file with addresses in it: the name that it has to call, or in words why no gate stands before it."""


TOLD_TO_PROGRAMS = {
    "of addresses and names that the program has": {"answers", "banned", "channels", "in_force", "channel", "error",
                                                    "by"},
    "of people whom it hands over": {"updated", "unchanged", "refused", "remarks", "index", "reason", "words", "added"},
    "of a bulletin": {"state", "audience", "accepted", "deferred", "rejected", "excluded", "uncertain", "pending",
                      "first_at", "last_at", "due_at", "trouble", "held", "ready_at"},
    "of a list, and of nobody on it": {"list", "name", "texts", "text", "language", "digest"},
    "of nobody": {"done"},
}  # fmt: skip
"""What an answer of the API may hold: none of it is an address that the program did not have (T7.3)."""


def sources() -> Iterator[Path]:
    package = ROOT / "mailinglist"
    for path in sorted([*package.rglob("*.py"), *(ROOT / "worker").rglob("*.py")]):
        if "migrations" not in path.parts and "catcher" not in path.parts:  # the catcher is a mail server of its own
            yield path


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def named(path: Path) -> str:
    return path.relative_to(ROOT / "mailinglist").as_posix() if "mailinglist" in path.parts else path.name


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    yield from (node for node in ast.walk(tree(path)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def dotted(node: ast.AST) -> str:
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}".lstrip(".")
    return node.id if isinstance(node, ast.Name) else ""


def called(node: ast.AST) -> set[str]:
    """What is called in a piece of code, as it is written there."""
    return {dotted(each.func) for each in ast.walk(node) if isinstance(each, ast.Call)}


@cache
def called_in(path: Path) -> frozenset[str]:
    return frozenset(called(tree(path)))


def method(file: str, owner: str, name: str) -> ast.FunctionDef:
    [found] = [
        each
        for node in tree(ROOT / "mailinglist" / file).body
        if isinstance(node, ast.ClassDef) and node.name == owner
        for each in node.body
        if isinstance(each, ast.FunctionDef) and each.name == name
    ]
    return found


# ── mail ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


def desks() -> set[str]:
    """Every class that hands mails to a run: it can write them and say which may not go."""
    return {
        f"{named(path)}:{node.name}"
        for path in sources()
        for node in tree(path).body
        if isinstance(node, ast.ClassDef)
        and {"write", "refusals"} <= {each.name for each in node.body if isinstance(each, ast.FunctionDef)}
        and "Protocol" not in {dotted(base) for base in node.bases}
    }


def test_each_kind_of_mail_is_handed_over_at_a_desk_that_asks_the_gate() -> None:
    assert desks() == {"delivery/bulletin_desk.py:BulletinDesk", "delivery/letter_desk.py:LetterDesk"}
    assert sorted([*BulletinDesk.kinds, *LetterDesk.kinds]) == sorted(KINDS), "a kind that no desk, or two, hand over"
    asked = {"gate.read", "gate.refusals"}
    for each in desks():
        file, _, owner = each.partition(":")
        assert called(method(file, owner, "refusals")) & asked, each
        assert called(method(file, owner, "write")) & {*asked, "self.refusals"}, each


def test_each_letter_goes_by_a_rule_of_the_gate_and_two_are_stopped_by_no_ban() -> None:
    assert set(desk.MAIL) == set(LetterDesk.kinds)
    assert {kind for kind, mail in desk.MAIL.items() if not mail.marketing} == {"leave", "key"}
    assert [mail for mail in Mail if not mail.marketing] == [Mail.SERVICE]


def test_rows_to_be_handed_over_are_claimed_by_a_run_alone() -> None:
    claims = {named(path) for path in sources() if "handoffs.claim" in called_in(path)}
    runs = {
        named(path)
        for path in sources()
        for node in ast.walk(tree(path))
        if isinstance(node, ast.ImportFrom)
        if "run" in {alias.name for alias in node.names} and (node.module or "").endswith("run")
    }
    assert (claims, runs) == ({"delivery/run.py"}, {"delivery/post.py"})


def test_whoever_hands_mail_over_by_another_way_says_why() -> None:
    made = {
        f"{named(path)}:{each.name}"
        for path in sources()
        for each in functions(path)
        if "Courier" in {name.rpartition(".")[2] for name in called(each)}
    }
    assert made == set(CARRIERS)
    asked = called(next(each for each in functions(ROOT / "mailinglist/delivery/proofs.py") if each.name == "proof"))
    assert {"bans.forbids_mail", "gate.not_even_a_test"} <= asked


def test_only_the_courier_has_a_mail_socket() -> None:
    opened = set()
    for path in sources():
        names = called_in(path)
        connects = any(name in ("socket.socket", "socket") for name in names)
        if connects or {name.rpartition(".")[2] for name in names} & _OPENS:
            opened.add(named(path))
    assert opened <= set(SOCKETS), "a file that opens sockets, and has not said here for what"
    assert set(SOCKETS) <= opened, "said here, and opens none"
    mailers = {
        named(path)
        for path in sources()
        for node in ast.walk(tree(path))
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom) and not node.level
            else []
        )
        if name in _MAILERS
    }
    assert mailers == {"local/supervisor.py"}, "a library that could send by itself"


# ── addresses ─────────────────────────────────────────────────────────────────────────────────────────────────────────


_WRITES = {"csv.writer", "csv.DictWriter", "export.lines", "export.written"}


def exporters() -> dict[str, set[str]]:
    """Every function that writes a table or sends a file, with what it calls."""
    found = {}
    for path in sources():
        for each in functions(path):
            names = called(each)
            attached = any(
                isinstance(node, ast.Constant) and node.value == "Content-Disposition" for node in ast.walk(each)
            )
            if attached or names & _WRITES:
                found[f"{named(path)}:{each.name}"] = names
    return found


def test_whoever_makes_a_file_of_addresses_names_its_gate() -> None:
    found = exporters()
    found["consent/export.py:lines"] = next(
        called(each) for each in functions(ROOT / "mailinglist/consent/export.py") if each.name == "lines"
    )
    assert set(found) == set(EXPORTERS)
    for name, rests_on in EXPORTERS.items():
        if " " not in rests_on:
            assert rests_on in found[name], f"{name} does not ask {rests_on}"


def test_no_answer_to_a_program_holds_an_address() -> None:
    told = openapi.described(api.CALLS, "https://lists.example.fi")
    answers = {call.answers.__name__ for call in api.CALLS}
    schemas, fields = told["components"]["schemas"], set()
    while answers:
        schema = schemas[answers.pop()]
        fields |= schema.get("properties", {}).keys()
        answers |= set(re.findall(r"#/components/schemas/(\w+)", json.dumps(schema)))
    assert fields == set().union(*TOLD_TO_PROGRAMS.values())
