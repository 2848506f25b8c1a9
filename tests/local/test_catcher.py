"""The mail catcher: real SMTP in, HTTP out."""

from __future__ import annotations

import http.client
import json
import smtplib
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest

from keeping import python
from mailinglist.local.catcher import message
from mailinglist.local.catcher.store import Store
from servers import free_port, wait_for

RUN = """
from mailinglist import observe
from mailinglist.local import catcher
from mailinglist.settings import Settings
observe.configure(role="catcher")
catcher.run(Settings.load())
"""


@dataclass
class Catcher:
    """A catcher in a process of its own."""

    folder: Path
    smtp_port: int
    http_port: int
    process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        environment = {
            "MAILINGLIST_DATA_DIR": str(self.folder),
            "MAILINGLIST_CATCHER_BIND": f"127.0.0.1:{self.smtp_port},127.0.0.1:{self.http_port}",
        }
        program = f"import os; os.environ.update({environment!r})\n{RUN}"
        self.process = python(program)
        wait_for(self._answers)

    def stop(self) -> str:
        """End it as the supervisor does; returns what it logged."""
        assert self.process is not None
        self.process.terminate()
        _, errors = self.process.communicate(timeout=10)
        assert self.process.returncode == 0
        return errors

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.process.communicate()
        try:
            return self.ask("GET", "/health/live")[0] == 200
        except OSError:
            return False

    def smtp(self) -> smtplib.SMTP:
        return smtplib.SMTP("127.0.0.1", self.smtp_port, local_hostname="localhost", timeout=10)

    def send(self, raw: bytes, to: str = "matti@example.fi", sender: str = "b-1@lists.example") -> None:
        with self.smtp() as client:
            client.sendmail(sender, [to], raw)

    def ask(self, method: str, path: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.http_port, timeout=10)
        try:
            connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()
        finally:
            connection.close()

    def json(self, path: str) -> Any:
        status, _, body = self.ask("GET", path)
        assert status == 200, body
        return json.loads(body)

    def newest(self) -> Any:
        return self.json(f"/messages/{self.json('/messages?limit=1')[0]['id']}")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Catcher]:
    catcher = Catcher(tmp_path_factory.mktemp("catcher"), free_port(), free_port())
    catcher.start()
    yield catcher
    catcher.stop()


@pytest.fixture
def catcher(running: Catcher) -> Catcher:
    """The running catcher, empty."""
    assert running.ask("DELETE", "/messages")[0] == 204
    return running


def letter(subject: str = "Vahvista tilauksesi – Tector tiedottaa") -> EmailMessage:
    made = EmailMessage()
    made["From"] = "Tector tiedottaa <tiedote@tector.example>"
    made["To"] = "Mätti Meikäläinen <matti@example.fi>"
    made["Subject"] = subject
    made.set_content("Hei Mätti,\n\nvahvista: http://127.0.0.1:8000/confirm/abc\n")
    made.add_alternative("<html><head></head><body><p>Hei Mätti</p><script>1</script></body></html>", subtype="html")
    return made


# ── what programs rely on ─────────────────────────────────────────────────────────────────────────────────────────────


def test_a_letter_is_listed_and_read(catcher: Catcher) -> None:
    before = datetime.now(UTC) - timedelta(milliseconds=1)
    catcher.send(letter().as_bytes())
    (listed,) = catcher.json("/messages")
    assert {name: listed[name] for name in ("from", "to", "subject")} == {
        "from": "Tector tiedottaa <tiedote@tector.example>",
        "to": ["matti@example.fi"],
        "subject": "Vahvista tilauksesi – Tector tiedottaa",
    }
    assert before <= datetime.fromisoformat(listed["date"]) <= datetime.now(UTC)
    read = catcher.json(f"/messages/{listed['id']}")
    assert read["text"] == "Hei Mätti,\n\nvahvista: http://127.0.0.1:8000/confirm/abc\n"
    assert "<p>Hei Mätti</p>" in read["html"]
    assert read["envelope"] == {"from": "b-1@lists.example", "to": ["matti@example.fi"]}
    assert ["Subject", "Vahvista tilauksesi – Tector tiedottaa"] in read["headers"]


def test_the_raw_mail_is_what_was_sent(catcher: Catcher) -> None:
    sent = b"Subject: dots\r\n\r\n..\r\n.one\r\nend\r\n"
    catcher.send(sent)
    number = catcher.newest()["id"]
    status, headers, body = catcher.ask("GET", f"/messages/{number}/raw")
    assert (status, headers["Content-Type"], body) == (200, "text/plain; charset=utf-8", sent)
    _, headers, body = catcher.ask("GET", f"/messages/{number}/raw?download")
    assert (headers["Content-Type"], body) == ("message/rfc822", sent)


def test_the_newest_comes_first_and_a_search_finds(catcher: Catcher) -> None:
    for name in ("Ilta", "Yö", "Aamu"):
        catcher.send(letter(name).as_bytes(), to=f"{name.encode('idna').decode()}@example.fi")
    assert [mail["subject"] for mail in catcher.json("/messages")] == ["Aamu", "Yö", "Ilta"]
    assert [mail["subject"] for mail in catcher.json("/messages?q=y%C3%96")] == ["Yö"]
    assert [mail["subject"] for mail in catcher.json("/messages?q=ilta@EXAMPLE")] == ["Ilta"]
    assert catcher.json("/messages?q=%25") == []


def test_what_is_deleted_is_gone_and_its_number_is_not_used_again(catcher: Catcher) -> None:
    catcher.send(letter().as_bytes())
    old = catcher.newest()["id"]
    assert catcher.ask("DELETE", "/messages")[0] == 204
    assert catcher.json("/messages") == []
    assert catcher.ask("GET", f"/messages/{old}")[0] == 404
    assert b"confirm/abc" not in b"".join(file.read_bytes() for file in (catcher.folder / "catcher").iterdir())
    catcher.send(letter().as_bytes())
    assert catcher.newest()["id"] > old


# ── as a mail server ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_it_offers_what_a_relay_offers(catcher: Catcher) -> None:
    with catcher.smtp() as client:
        client.ehlo()
        assert {"pipelining", "8bitmime", "smtputf8"} <= client.esmtp_features.keys()
        assert int(client.esmtp_features["size"]) > 20_000_000


def test_a_whole_pipelined_conversation_in_one_write(catcher: Catcher) -> None:
    """RFC 2920 §3.1: content, and the next envelope behind it, in one go; replies by count."""
    one = b"MAIL FROM:<a@example.fi>\r\nRCPT TO:<%b@example.fi>\r\nDATA\r\nSubject: %b\r\n\r\ntext\r\n.\r\n"
    with socket.create_connection(("127.0.0.1", catcher.smtp_port), timeout=10) as connection:
        replies = connection.makefile("rb")
        assert replies.readline().startswith(b"220 ")
        connection.sendall(b"EHLO localhost\r\n")
        while replies.readline()[3:4] == b"-":
            pass
        connection.sendall(b"".join(one % (name, name) for name in (b"x", b"y", b"z")) + b"QUIT\r\n")
        codes = [line[:3] for line in replies.read().splitlines()]
    assert codes == [b"250", b"250", b"354", b"250"] * 3 + [b"221"]
    assert [mail["subject"] for mail in catcher.json("/messages")] == ["z", "y", "x"]


def test_addresses_beyond_ascii(catcher: Catcher) -> None:
    """RFC 6531."""
    raw = "To: pöytä@exämple.fi\r\nSubject: Pöytä\r\n\r\nHei ä\r\n".encode()
    with catcher.smtp() as client:
        client.sendmail("ä@example.fi", ["pöytä@exämple.fi"], raw, mail_options=["SMTPUTF8", "BODY=8BITMIME"])
    read = catcher.newest()
    assert (read["to"], read["subject"], read["text"]) == (["pöytä@exämple.fi"], "Pöytä", "Hei ä\n")
    assert read["envelope"] == {"from": "ä@example.fi", "to": ["pöytä@exämple.fi"]}


def test_a_null_return_path_is_empty(catcher: Catcher) -> None:
    catcher.send(b"Subject: report\r\n\r\n", sender="")
    assert catcher.newest()["envelope"]["from"] == ""


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"no header at all",
        b"\r\n\r\n",
        b"Subject: =?nonsense?q?=E4?=\r\nTo: <<@>\r\n\r\nx",
        b"Subject: =?utf-8?b?####?=\r\nContent-Type: text/plain; charset=nonsense\r\n\r\n\xff\xfe",
        b"Subject: \xe4\xff\x00\r\nFrom: \xff@\xff\r\n\r\n\xff",
        b"Content-Type: multipart/alternative; boundary=x\r\n\r\n--x\r\nContent-Type: text/html\r\n\r\n<p>cut",
        b"Content-Type: text/pl\xe4in; charset=\xff\r\nContent-Transfer-Encoding: \xe4\r\n\r\nx",
        b"Content-Type: multipart/mixed\r\n\r\nno boundary",
        b"Content-Type: text/html; charset=utf-7\r\nContent-Transfer-Encoding: base64\r\n\r\n!!!!",
        b"Content-Type: ; ;=\r\nContent-Disposition: attachment; filename*=bad''%ff%zz\r\n\r\nx",
        b"Content-Type: text/plain; charset=\"unicode_escape\"\r\n\r\n\\x",
        b"X" * 40_000 + b"\r\n\r\n" + b"y" * 40_000,
    ],
)  # fmt: skip
def test_broken_mails_are_caught_and_shown(catcher: Catcher, raw: bytes) -> None:
    catcher.send(raw)
    number = catcher.newest()["id"]
    for tab in ("", "html", "text", "headers", "raw"):
        assert catcher.ask("GET", f"/mail/{number}?tab={tab}")[0] == 200
    assert catcher.ask("GET", "/")[0] == 200


def test_a_thousand_mails_in_a_few_seconds(catcher: Catcher) -> None:
    raw = letter().as_bytes() + b"x" * 70 + b"\r\n"
    begun = time.monotonic()
    with catcher.smtp() as client:
        for number in range(1000):
            client.sendmail("b@lists.example", [f"p{number}@example.fi"], raw)
    assert time.monotonic() - begun < 20  # some 2 s on an idle machine
    assert len(catcher.json("/messages")) == 1000
    _, _, page = catcher.ask("GET", "/")
    assert page.count(b'class="subject"') == 200
    assert b"1000 mails" in page


def test_mails_outlive_a_restart_and_no_address_is_logged(tmp_path: Path) -> None:
    catcher = Catcher(tmp_path, free_port(), free_port())
    catcher.start()
    catcher.send(letter().as_bytes())
    catcher.ask("GET", "/messages?q=matti@example.fi")
    kept = catcher.json("/messages")
    assert catcher.stop() == ""
    catcher.start()
    assert catcher.json("/messages") == kept
    catcher.stop()


# ── who may look ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:8025", 200),
        ("127.0.0.1:8025", 200),
        ("[::1]:8025", 200),
        ("mail.localhost", 200),
        ("evil.example", 403),
        ("127.0.0.1.evil.example:8025", 403),
        ("", 403),
        ("[", 403),
    ],
)
def test_only_names_that_nobody_else_can_own_are_answered(catcher: Catcher, host: str, status: int) -> None:
    assert catcher.ask("GET", "/messages", Host=host)[0] == status


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
    ],
)
def test_another_sites_page_deletes_nothing(catcher: Catcher, headers: dict[str, str]) -> None:
    catcher.send(letter().as_bytes())
    assert catcher.ask("POST", "/clear", **headers)[0] == 403
    assert catcher.ask("DELETE", "/messages", **headers)[0] == 403
    assert len(catcher.json("/messages")) == 1
    own = f"http://127.0.0.1:{catcher.http_port}"
    assert catcher.ask("POST", "/clear", Origin=own, Sec_Fetch_Site="same-origin")[0] == 303
    assert catcher.json("/messages") == []


def test_a_mails_html_stays_in_its_sandbox(catcher: Catcher) -> None:
    catcher.send(letter().as_bytes())
    status, headers, body = catcher.ask("GET", f"/messages/{catcher.newest()['id']}/html")
    assert status == 200
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "sandbox allow-popups" in policy
    assert "allow-scripts" not in policy
    assert "img-src data: http://127.0.0.1:8000;" in policy
    assert b'<head><base target="_blank"></head>' in body
    assert "default-src 'none'" in catcher.ask("GET", "/")[1]["Content-Security-Policy"]


def test_the_list_is_sent_again_only_when_it_has_changed(catcher: Catcher) -> None:
    _, headers, _ = catcher.ask("GET", "/list")
    assert catcher.ask("GET", "/list", If_None_Match=headers["ETag"])[0] == 304
    catcher.send(letter("Uusi").as_bytes())
    status, _, body = catcher.ask("GET", "/list", If_None_Match=headers["ETag"])
    assert status == 200
    assert b"Uusi" in body


# ── the store ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_oldest_go_when_there_are_too_many(tmp_path: Path) -> None:
    with Store(tmp_path / "mails.db", most=20) as store:
        for number in range(21):
            store.add("a@example.fi", ["b@example.fi"], b"Subject: %d\r\n\r\n" % number)
        assert [caught.subject for caught in store.newest()] == [str(n) for n in range(20, 1, -1)]
        assert store.count == 19


def test_the_oldest_go_when_they_take_too_much_room(tmp_path: Path) -> None:
    with Store(tmp_path / "mails.db", most_octets=10_000) as store:
        for _ in range(30):
            store.add("a@example.fi", ["b@example.fi"], b"x" * 1_000)
            assert sum(caught.size for caught in store.newest()) <= 10_000
        last = store.add("a@example.fi", ["b@example.fi"], b"x" * 20_000)
        assert [caught.id for caught in store.newest()] == [last]  # the newest is kept, however large


@pytest.mark.parametrize("content", [b"not a database, and longer than a header " * 50, b""])
def test_a_damaged_file_is_set_aside(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "catcher" / "mails.db"
    path.parent.mkdir()
    path.write_bytes(content)
    path.with_name("mails.db-wal").write_bytes(content)
    with Store(path) as store:
        assert store.newest() == []
        assert store.add("a@example.fi", [], b"Subject: x\r\n\r\n")
    assert path.with_suffix(".broken").exists() == bool(content)


def test_a_name_with_a_comma_is_one_recipient() -> None:
    raw = b"To: =?utf-8?q?Meik=C3=A4l=C3=A4inen=2C_Matti?= <matti@example.fi>,\r\n liisa@example.fi\r\n\r\n"
    assert message.summary(raw).to == ["matti@example.fi", "liisa@example.fi"]


def test_reading_a_mail_names_its_attachments() -> None:
    mail = letter()
    mail.add_attachment(b"%PDF", maintype="application", subtype="pdf", filename="esite ä.pdf")
    mail.add_attachment("kopio", subtype="plain", filename="muistio.txt")
    read = message.content(mail.as_bytes())
    assert read.attachments == ["esite ä.pdf", "muistio.txt"]
    assert read.text is not None
    assert read.text.startswith("Hei Mätti")


def test_starting_where_the_address_is_taken_says_so(running: Catcher, tmp_path: Path) -> None:
    other = Catcher(tmp_path, running.smtp_port, free_port())
    with pytest.raises(AssertionError, match="already in use"):
        other.start()
