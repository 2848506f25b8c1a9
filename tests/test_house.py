"""The picture of the house that can't drift: floors, cycles, purity, one writer per table."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "mailinglist"

# From the ground up. A room imports only from floors below its own (and from itself).
FLOORS: tuple[tuple[str, ...], ...] = (
    ("disk", "errors", "i18n", "moments", "observe", "periods", "places"),
    ("settings",),
    ("db", "tokens"),
    ("heartbeat", "pace", "stationery"),
    ("consent",),
    ("bulletins", "letters", "staff"),
    ("delivery",),
    ("inbound",),
    ("privacy",),
    ("schema",),
    ("migrate",),
    ("doctor",),
    ("preflight",),
    ("web",),
    ("app",),
    ("local", "worker"),
    ("cli",),
    ("__main__",),
)
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}

# Pure files know nothing of frameworks, databases or brokers.
PURE = (
    "consent/states.py",
    "consent/address.py",
    "consent/merkle.py",
    "consent/names.py",
    "consent/sheet.py",
    "bulletins/compose.py",
    "bulletins/setting.py",
    "bulletins/blocks.py",
    "bulletins/audience.py",
    "bulletins/comparison.py",
    "bulletins/templates.py",
    "letters/texts.py",
    "staff/levels.py",
    "staff/naming.py",
    "staff/passwords.py",
    "staff/totp.py",
    "staff/vault.py",
    "staff/secrecy.py",
    "staff/triggers.py",
    "delivery/template.py",
    "delivery/slots.py",
    "delivery/quoted.py",
    "delivery/headers.py",
    "delivery/dkim.py",
    "delivery/parcels.py",
    "delivery/replies.py",
    "delivery/conversation.py",
    "delivery/failures.py",
    "delivery/troubles.py",
    "delivery/verdicts.py",
    "inbound/bounds.py",
    "inbound/crowding.py",
    "inbound/conversation.py",
    "inbound/reading.py",
    "inbound/reports.py",
    "inbound/feedback.py",
    "inbound/robots.py",
    "inbound/answers.py",
    "inbound/intents.py",
    "inbound/vocabulary.py",
    "stationery/*.py",
    "preflight/findings.py",
    "preflight/pieces.py",
    "preflight/matter.py",
    "preflight/content.py",
    "preflight/recipients.py",
)
IMPURE = {"flask", "flask_sqlalchemy", "sqlalchemy", "celery", "kombu", "redis", "valkey"}

# Who writes what. Everything else may only read.
WRITERS = {
    "MailingList": {"consent/lists.py"},
    "Notice": {"consent/notices.py"},
    "ConsentText": {"consent/lists.py"},
    "Person": {
        "consent/register.py",
        "consent/register_many.py",
        "consent/registrar.py",
        "consent/restriction.py",
    },
    "Subscription": {
        "consent/confirming.py",
        "consent/register.py",
        "consent/register_many.py",
        "consent/registrar.py",
    },
    "Confirmation": {"consent/confirming.py", "consent/register.py"},
    "Request": {"consent/intake.py", "consent/requests.py"},
    "Ban": {"consent/bans.py"},
    "LedgerEntry": {"consent/ledger.py"},
    "ChainHead": {"consent/ledger.py"},
    "Evidence": {"consent/ledger.py", "consent/evidence.py"},
    "Seal": {"consent/seals.py"},
    "KeyCheck": {"consent/keys.py"},
    "JournalBacklog": {"consent/journal.py"},
    "JournalMark": {"consent/journal.py"},
    "Bulletin": {"bulletins/drafts.py", "bulletins/approvals.py"},
    "Issue": {"bulletins/approvals.py"},
    "Revision": {"bulletins/revisions.py"},
    "Approval": {"bulletins/approvals.py"},
    "Image": {"bulletins/images.py"},
    "Note": {"consent/notes.py"},
    "ImportJob": {"consent/import_jobs.py", "consent/import_errand.py"},
    "DailyCount": {"consent/growth.py"},
    "Bookmark": {"consent/growth.py"},
    "Account": {"staff/accounts.py", "staff/factors.py", "staff/sign_ins.py"},
    "Enrolment": {"staff/accounts.py"},
    "Passkey": {"staff/factors.py"},
    "RecoveryCode": {"staff/factors.py"},
    "SignIn": {"staff/sign_ins.py"},
    "ApiToken": {"staff/programs.py"},
    "AuditEntry": {"staff/audit.py"},
    "Dispatch": {"delivery/dispatch.py"},
    "AudiencePart": {"delivery/handoffs.py"},
    "Handoff": {"delivery/handoffs.py", "delivery/account.py", "delivery/server_words.py"},
    "Shift": {"delivery/handoffs.py"},
    "Line": {"delivery/pacing.py"},
    "OwnerMail": {"delivery/owner_mail.py"},
    "Bounce": {"delivery/bounces.py"},
    "Complaint": {"delivery/complaints.py"},
    "Hold": {"delivery/complaints.py"},
    "Spooled": {"inbound/onward.py", "inbound/spool.py", "inbound/unseen.py"},
    "InHand": {"inbound/hands.py"},
    "Disclosure": {"privacy/disclosures.py"},
    "DisclosedPerson": {"privacy/disclosures.py"},
    "Cleared": {"privacy/retention.py"},
    "Walk": {"privacy/retention.py"},
    "Task": {"privacy/tasks.py"},
    "Backup": {"privacy/backup.py"},
    "Restoration": {"privacy/restore.py"},
}
WRITING_CALLS = {"insert", "update", "delete", "insert_new"}
# Objects with attributes that are called as columns are. What hangs on `self` is never a row.
NOT_ROWS = {
    ("privacy/archive.py", "found"),
    ("privacy/archive.py", "info"),
    ("web/pages.py", "exchange"),
    ("web/pages.py", "here"),
    ("web/preferences.py", "here"),
}


def sources() -> list[Path]:
    own = [path for path in PACKAGE.rglob("*.py") if "migrations" not in path.parts]
    return sorted([*own, *(ROOT / "worker").rglob("*.py")])


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def imports(path: Path) -> list[tuple[str, bool]]:
    """Absolute names of what a file imports, and whether at its top level."""
    return list(_imports(path))


def _imports(path: Path) -> Iterator[tuple[str, bool]]:
    tree = tree_of(path)
    package = name_of(path).split(".") if path.name == "__init__.py" else name_of(path).split(".")[:-1]
    if path.name == "__init__.py":
        package = package[:-1]
    tops = set(tree.body)
    for node in ast.walk(tree):
        top = node in tops
        if isinstance(node, ast.Import):
            yield from ((alias.name, top) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            start = ".".join([*base, *([node.module] if node.module else [])])
            yield from ((f"{start}.{alias.name}" if start else alias.name, top) for alias in node.names)


def room_of(name: str) -> str | None:
    parts = name.split(".")
    if parts[0] == "worker":
        return "worker"
    return parts[1] if parts[0] == "mailinglist" and len(parts) > 1 else None


def test_every_room_has_a_floor():
    rooms = {room_of(name_of(path)) for path in sources()} - {None, "__init__"}
    assert rooms <= FLOOR.keys()


def test_arrows_point_only_down():
    wrong = [
        f"{name_of(path)} imports {name}, which is not below it"
        for path in sources()
        if (here := room_of(name_of(path))) not in (None, "__init__")
        for name, _ in imports(path)
        if (there := room_of(name)) in FLOOR and there != here and FLOOR[there] >= FLOOR[here]
    ]
    assert wrong == []


def test_the_console_stands_above_the_public_pages():
    wired = {"__init__", "problems", "routes"}  # they lead a request to one or the other
    wrong = [
        f"{name_of(path)} imports {name}"
        for path in (PACKAGE / "web").glob("*.py")
        if path.stem not in wired
        for name, _ in imports(path)
        if name.startswith("mailinglist.web.staff")
    ]
    assert wrong == []


def test_the_picture_shows_the_floors():
    svg = ElementTree.parse(ROOT / "docs" / "house.svg")
    names = svg.iterfind(".//{http://www.w3.org/2000/svg}text[@class='name']")
    drawn = {room: float(each.attrib["y"]) for each in names for room in (each.text or "").split(" · ")}
    assert drawn.keys() == FLOOR.keys() - {"__main__"}
    assert [
        (low, high) for low in drawn for high in drawn if FLOOR[low] < FLOOR[high] and drawn[low] < drawn[high]
    ] == []


def test_no_cycles_between_files():
    names = {name_of(path).removesuffix(".__init__"): path for path in sources()}
    graph = {
        name: {
            target
            for imported, top in imports(path)
            if top
            for target in (imported, imported.rpartition(".")[0])
            if target in names and target != name and not name.startswith(target + ".")
        }
        for name, path in names.items()
    }
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " → ".join((*trail[trail.index(name) :], name))
        if name not in done:
            for target in sorted(graph[name]):
                visit(target, (*trail, name))
            done.add(name)

    for name in sorted(graph):
        visit(name, ())


def pure_files() -> list[Path]:
    return sorted({path for pattern in PURE for path in PACKAGE.glob(pattern)})


def test_the_pure_files_exist():
    assert all(list(PACKAGE.glob(pattern)) for pattern in PURE)


@pytest.mark.parametrize("path", pure_files(), ids=name_of)
def test_pure_files_know_no_framework(path: Path):
    # Through what they import, too: a pure file that imports an impure one is not pure.
    seen: set[str] = set()

    def visit(file: Path) -> None:
        for name, _ in imports(file):
            assert name.split(".")[0] not in IMPURE, f"{name_of(path)} reaches {name} through {name_of(file)}"
            for target in (name, name.rpartition(".")[0]):
                if not target.startswith("mailinglist."):
                    continue
                candidate = ROOT / Path(*target.split(".")).with_suffix(".py")
                if candidate.exists() and target not in seen:
                    seen.add(target)
                    visit(candidate)

    visit(path)


def tables() -> dict[str, str]:
    from mailinglist.schema import ROOMS

    return {
        name: room.__name__ for room in ROOMS for name, value in vars(room).items() if hasattr(value, "__tablename__")
    }


def test_every_table_has_one_writer():
    assert tables().keys() == WRITERS.keys()


def test_only_its_writer_writes_a_table():
    assert [fault for path in sources() for fault in wrongly_written(path)] == []


def wrongly_written(path: Path) -> Iterator[str]:
    here = path.relative_to(PACKAGE).as_posix() if PACKAGE in path.parents else path.name
    rows = {name.rpartition(".")[2] for name, _ in imports(path) if ".tables." in name} & WRITERS.keys()
    for node in ast.walk(tree_of(path)):
        if not isinstance(node, ast.Call):
            continue
        written: set[str] = set()
        if isinstance(node.func, ast.Name) and node.func.id in rows:
            written.add(node.func.id)
        called = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
        if called in WRITING_CALLS:
            for argument in node.args:
                base = argument.value if isinstance(argument, ast.Attribute) else argument
                if isinstance(base, ast.Name) and base.id in rows:
                    written.add(base.id)
        yield from (f"{here}:{node.lineno} writes {table}" for table in written if here not in WRITERS[table])


@cache
def owners() -> dict[str, set[str]]:
    """Tables, by the name of a column of theirs."""
    from mailinglist.schema import ROOMS

    found: dict[str, set[str]] = {}
    for room in ROOMS:
        for name, value in vars(room).items():
            for column in value.__table__.columns if hasattr(value, "__table__") else ():
                found.setdefault(column.key, set()).add(name)
    return found


def test_only_its_writer_changes_a_row():
    assert [fault for path in sources() for fault in wrongly_changed(path)] == []


def test_a_row_that_is_changed_elsewhere_shows(tmp_path: Path):
    foreign = tmp_path / "foreign.py"
    foreign.write_text(
        "row.muted_until, (held.digest, x) = None, (b'', 1)\nrows()[0].epoch += 1\nself.epoch = row.x = 0\n"
    )
    found = {fault.partition(" ")[2] for fault in wrongly_changed(foreign)}
    assert found == {"changes row.muted_until", "changes held.digest", "changes rows()[0].epoch"}


def wrongly_changed(path: Path) -> Iterator[str]:
    """`row.column = …` in a file that writes no table with such a column: of those that it imports, if it does."""
    here = path.relative_to(PACKAGE).as_posix() if PACKAGE in path.parents else path.name
    known = {
        name.rpartition(".")[2] for name, _ in (imports(path) if ROOT in path.parents else ()) if ".tables." in name
    }
    for node in ast.walk(tree_of(path)):
        if not (isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and node.attr in owners()):
            continue
        tables_of = owners()[node.attr] & known or owners()[node.attr]
        base: ast.expr = node
        while not isinstance(base, ast.Name):
            assert isinstance(base, ast.Attribute | ast.Subscript | ast.Call), ast.unparse(node)
            base = base.func if isinstance(base, ast.Call) else base.value
        if base.id == "self" or (here, base.id) in NOT_ROWS:
            continue
        if not any(here in WRITERS[one] for one in tables_of):
            yield f"{here}:{node.lineno} changes {ast.unparse(node)}"


def test_importing_does_nothing():
    """Importing every module opens nothing, and reads no setting."""
    import subprocess

    names = [name_of(path).removesuffix(".__init__") for path in sources() if path.name != "__main__.py"]
    code = "import sys, importlib\nfor name in sys.argv[1:]: importlib.import_module(name)"
    environment = {"MAILINGLIST_SEND_RATE": "nonsense", "PATH": "", "HOME": "/nonexistent"}
    done = subprocess.run(
        [sys.executable, "-c", code, *names], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_every_room_has_a_manual_page():
    for room in PACKAGE.iterdir():
        if (room / "__init__.py").exists() and room.name not in ("migrations",):
            page = ast.get_docstring(ast.parse((room / "__init__.py").read_text(encoding="utf-8"))) or ""
            assert len(page) > 200, f"{room.name}/__init__.py is its manual page"
