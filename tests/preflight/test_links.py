"""Asking addresses, against real servers on loopback; names and what is permitted are the test's own."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from mailinglist.doctor import domains
from mailinglist.preflight import links
from mailinglist.preflight.links import Answer, Outcome
from servers import free_port

OWN = "https://news.example.fi"
LOOPBACK = "127.0.0.1"

Say = Callable[[str, str], str | bytes | None]
"""Method and path → the answer's status and headers, or raw bytes; None: say nothing."""


class Server:
    """Says what it is told to, once for each connection, and keeps what it was asked."""

    def __init__(self, say: Say, tls: ssl.SSLContext | None = None) -> None:
        self._say, self._tls = say, tls
        self.asked: list[tuple[str, str]] = []
        self.heads: list[str] = []
        self.left_at: list[float] = []
        self._socket = socket.create_server((LOOPBACK, 0))
        self.port = self._socket.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            if self._tls:
                connection = self._tls.wrap_socket(connection, server_side=True)
            with connection:
                head = connection.recv(65_536).decode()
                if not head:
                    return
                method, path, _ = head.split(" ", 2)
                self.asked.append((method, path))
                self.heads.append(head)
                said = self._say(method, path)
                if isinstance(said, bytes):
                    connection.sendall(said)
                elif said is not None:
                    connection.sendall(f"HTTP/1.1 {said}\r\n\r\n".encode())
                if said is None or isinstance(said, bytes):
                    connection.recv(1)  # until the other side leaves
                    self.left_at.append(time.monotonic())
        except OSError:
            return

    def close(self) -> None:
        self._socket.close()


@contextmanager
def server(say: Say | str | bytes, tls: ssl.SSLContext | None = None) -> Iterator[Server]:
    made = Server(say if callable(say) else lambda _method, _path: say, tls)
    try:
        yield made
    finally:
        made.close()


def everything_here(_name: str, _port: int) -> list[str]:
    return [LOOPBACK]


def ask(*addresses: str, **more: object) -> dict[str, Answer]:
    values: dict[str, object] = {
        "own": OWN, "seconds": 6.0, "lookup": everything_here, "permitted": lambda address: address == LOOPBACK,
    }  # fmt: skip
    return links.check(addresses, **(values | more))  # type: ignore[arg-type]


def outcome(address: str, **more: object) -> Outcome:
    return ask(address, **more)[address].outcome


# ── what answers mean ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("200 OK", Outcome.FINE), ("204 No Content", Outcome.FINE), ("404 Not Found", Outcome.GONE),
        ("410 Gone", Outcome.GONE), ("401 Unauthorized", Outcome.CLOSED), ("403 Forbidden", Outcome.CLOSED),
        ("429 Too Many Requests", Outcome.FINE), ("999 Denied", Outcome.FINE), ("500 Oh", Outcome.FAULTY),
        ("503 Later", Outcome.FAULTY), ("302 Found", Outcome.ASTRAY), ("304 Not Modified", Outcome.FINE),
    ],
)  # fmt: skip
def test_a_status_has_a_meaning(said: str, meant: Outcome):
    with server(said) as one:
        assert outcome(f"http://www.example.fi:{one.port}/page") is meant


def test_good_news_by_head_is_enough_and_bad_news_is_asked_for_again_by_get():
    with server("200 OK") as fine, server(lambda method, _: "405 No" if method == "HEAD" else "200 OK") as no_head:
        answers = ask(f"http://a.example.fi:{fine.port}/x?y=1#z", f"http://b.example.fi:{no_head.port}/")
        assert {each.outcome for each in answers.values()} == {Outcome.FINE}
        assert fine.asked == [("HEAD", "/x?y=1")]
        assert no_head.asked == [("HEAD", "/"), ("GET", "/")]
    with server(lambda method, _: "404 No" if method == "HEAD" else "200 OK") as shy:
        assert outcome(f"http://c.example.fi:{shy.port}/") is Outcome.FINE


def test_who_gives_no_answer_to_head_is_asked_by_get(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(links, "SECONDS", 0.4)
    with server(lambda method, _: None if method == "HEAD" else "200 OK") as one:
        assert outcome(f"http://www.example.fi:{one.port}/") is Outcome.FINE
    assert one.asked == [("HEAD", "/"), ("GET", "/")]


def test_a_question_names_the_host_and_nothing_of_ours():
    with server("200 OK") as one:
        ask(f"http://matti:salasana@www.example.fi:{one.port}/sivu/ä ö".replace(" ", "%20"))
    assert f"Host: www.example.fi:{one.port}\r\n" in one.heads[0]
    assert one.asked == [("HEAD", "/sivu/%C3%A4%20%C3%B6")]
    assert not any(word in one.heads[0].lower() for word in ("cookie", "referer", "authorization", "salasana"))


def test_announcements_are_passed_over():
    with server(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\nHTTP/1.1 404 No\r\n\r\n") as one:
        assert outcome(f"http://www.example.fi:{one.port}/") is Outcome.GONE


# ── redirects ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_three_redirects_are_followed_and_no_fourth():
    def say(_method: str, path: str) -> str:
        left = int(path[1:])
        return f"302 Found\r\nLocation: /{left - 1}" if left else "404 Not Found"

    with server(say) as one:
        base = f"http://www.example.fi:{one.port}"
        answers = ask(f"{base}/3", f"{base}/4")
    assert answers[f"{base}/3"].outcome is Outcome.GONE
    assert answers[f"{base}/4"].outcome is Outcome.ASTRAY
    assert ("HEAD", "/0") in one.asked


@pytest.mark.parametrize(
    ("location", "meant"),
    [
        ("http://inside.example.fi:{port}/", Outcome.PRIVATE),
        ("http://169.254.169.254/latest/meta-data/", Outcome.PRIVATE),
        ("file:///etc/passwd", Outcome.ASTRAY),
        ("gopher://www.example.fi/", Outcome.ASTRAY),
        ("", Outcome.ASTRAY),
        ("http://[::1", Outcome.ASTRAY),
        ("http://www.example.fi:99999/", Outcome.ASTRAY),
    ],
)
def test_each_hop_is_looked_at_like_the_first(location: str, meant: Outcome):
    def lookup(name: str, _port: int) -> list[str]:
        return {"www.example.fi": ["203.0.114.7"], "inside.example.fi": ["10.0.0.5"]}.get(name, [name])

    with server("200 OK") as inside:
        say = f"301 Moved\r\nLocation: {location.format(port=inside.port)}"
        # Only the first name is let through to loopback, as it were the public address that it stands for.
        with server(say) as one:

            def pinned(name: str, port: int) -> list[str]:
                return [LOOPBACK] if port == one.port else lookup(name, port)

            assert outcome(
                f"http://www.example.fi:{one.port}/", lookup=pinned,
                permitted=lambda address: address == LOOPBACK or domains.is_open(address),
            ) is meant  # fmt: skip
        assert inside.asked == []


# ── what is not asked ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("8.8.8.8", True), ("2a00:1450:400f::1", True), ("127.0.0.1", False), ("127.8.8.8", False), ("10.1.2.3", False),
        ("172.16.0.1", False), ("192.168.1.1", False), ("169.254.169.254", False), ("100.64.0.1", False),
        ("0.0.0.0", False), ("224.0.0.1", False), ("255.255.255.255", False), ("::1", False), ("::", False),
        ("fe80::1%eth0", False), ("fc00::1", False), ("fec0::1", False), ("ff02::1", False),
        ("::ffff:127.0.0.1", False),
        ("::ffff:8.8.8.8", True), ("2002:7f00:1::", False), ("64:ff9b::7f00:1", False), ("64:ff9b::808:808", True),
        ("64:ff9b::a00:1", False), ("no address", False),
    ],
)  # fmt: skip
def test_what_is_public(address: str, public: bool):
    assert domains.is_open(address) is public


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "[::1]", "0.0.0.0", "[::ffff:127.0.0.1]", "2130706433", "0x7f.1"]
)
def test_nothing_of_this_machine_is_asked(host: str):
    with server("200 OK") as one:
        found = outcome(f"http://{host}:{one.port}/", lookup=links.resolve, permitted=domains.is_open)
    assert found in (Outcome.PRIVATE, Outcome.NAMELESS)
    assert one.asked == []


def test_our_own_base_url_may_lie_anywhere_but_only_itself():
    with server("200 OK") as own, server("200 OK") as other:
        base = f"http://127.0.0.1:{own.port}/lista"
        answers = ask(
            f"http://127.0.0.1:{own.port}/join", f"http://127.0.0.1:{other.port}/",
            own=base, lookup=links.resolve, permitted=domains.is_open,
        )  # fmt: skip
    assert [each.outcome for each in answers.values()] == [Outcome.FINE, Outcome.PRIVATE]
    assert other.asked == []


def test_a_name_that_changes_its_meaning_is_connected_to_where_it_was_looked_at():
    """DNS rebinding: public at the first look, loopback at the next."""
    looks: list[str] = []
    with server("200 OK") as one:

        def lookup(name: str, _port: int) -> list[str]:
            looks.append(name)
            return ["203.0.113.9"] if len(looks) == 1 else [LOOPBACK]

        found = outcome(
            f"http://www.example.fi:{one.port}/", lookup=lookup,
            permitted=lambda address: not ip_address(address).is_loopback,
        )  # fmt: skip
    assert found is not Outcome.FINE
    assert one.asked == []


def test_of_several_addresses_only_the_public_ones_are_tried():
    with server("200 OK") as one:
        found = outcome(
            f"http://www.example.fi:{one.port}/", lookup=lambda *_: ["10.0.0.1", "127.0.0.9", LOOPBACK]
        )  # fmt: skip
    assert found is Outcome.FINE


def test_ports_of_other_services_are_left_alone():
    assert outcome("http://www.example.fi:25/") is Outcome.PRIVATE


# ── who does not answer ───────────────────────────────────────────────────────────────────────────────────────────────


def test_nobody_there():
    assert outcome(f"http://www.example.fi:{free_port()}/") is Outcome.SILENT


def test_a_name_that_nobody_has():
    def lookup(*_: object) -> list[str]:
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    asked: list[bool] = []
    for known, meant in ((True, Outcome.NAMELESS), (False, Outcome.UNKNOWN)):

        def knows(known: bool = known) -> bool:
            asked.append(known)
            return known

        first, second = "http://nobody.example.fi/", "http://nothing.example.fi/"
        answers = ask(first, second, lookup=lookup, knows=knows)
        assert [each.outcome for each in answers.values()] == [meant, meant], "a resolver may know one network only"
    assert asked == [True, False], "once for all of them"


def test_a_machine_that_can_look_up_no_names_says_nothing_of_the_page():
    def lookup(*_: object) -> list[str]:
        raise socket.gaierror(socket.EAI_AGAIN, "temporary failure")

    assert outcome("http://www.example.fi/", lookup=lookup) is Outcome.UNKNOWN


@pytest.mark.parametrize(
    ("address", "nearby"),
    [
        ("http://127.0.0.1:8000/", True), ("http://localhost/", True), ("http://intranet/x", True),
        ("https://nas.local/", True), ("http://10.0.0.8/", True), ("http://[::1]:80/", True),
        ("http://[fe80::1%25eth0]/", True),
        ("http://pi.home.arpa./", True), ("http://lists.test/", True),
        ("http://2130706433/", True), ("https://www.example.fi/", False),
        ("http://localhost.example.fi/", False), ("http://8.8.8.8/", False), ("http://[::1", False), ("", False),
    ],
)  # fmt: skip
def test_what_opens_only_here_is_seen_without_asking(address: str, nearby: bool):
    assert domains.is_nearby(address) is nearby


@pytest.mark.parametrize("said", [b"220 mail.example.fi ESMTP\r\n", b"HTTP/1.1 hello\r\n\r\n", b"\r\n\r\n"])
def test_somebody_who_speaks_no_http(said: bytes):
    with server(said) as one:
        assert outcome(f"http://www.example.fi:{one.port}/") is Outcome.SILENT


def test_a_head_without_end_is_left():
    endless = b"HTTP/1.1 200 OK\r\n" + b"X-More: 0123456789\r\n" * 10_000
    with server(endless) as one:
        assert outcome(f"http://www.example.fi:{one.port}/") is Outcome.SILENT


def test_a_body_is_not_read():
    """The connection is left at the end of the head, while the body still goes on."""
    with server(lambda *_: b"HTTP/1.1 404 No\r\nContent-Length: 100000000\r\n\r\n") as one:
        started = time.monotonic()
        assert outcome(f"http://www.example.fi:{one.port}/") is Outcome.GONE
        assert time.monotonic() - started < 2


def test_all_at_once_and_bounded_whoever_is_silent():
    with ExitStack() as stack:
        silent = [stack.enter_context(server(lambda *_: None)) for _ in range(20)]
        fine = stack.enter_context(server("200 OK"))
        addresses = [f"http://www.example.fi:{each.port}/" for each in (*silent, fine)]
        started = time.monotonic()
        answers = ask(*addresses, seconds=1.0)
        took = time.monotonic() - started
    assert took < 2
    assert [each.outcome for each in answers.values()] == [Outcome.SILENT] * 20 + [Outcome.FINE]


def test_a_lookup_that_hangs_holds_up_nobody():
    hold = threading.Event()

    def lookup(name: str, _port: int) -> list[str]:
        if name == "slow.example.fi":
            hold.wait(20)
        return [LOOPBACK]

    with server("200 OK") as one:
        started = time.monotonic()
        slow, quick = f"http://slow.example.fi:{one.port}/", f"http://quick.example.fi:{one.port}/"
        answers = ask(slow, quick, lookup=lookup, seconds=0.5)
        took = time.monotonic() - started
    hold.set()
    assert took < 2
    assert (answers[slow].outcome, answers[quick].outcome) == (Outcome.SILENT, Outcome.FINE)


# ── https ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def certificate(folder: Path, name: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """(server's settings, settings of a client that believes it)."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = folder / f"{name}.pem"
    public = made.public_bytes(serialization.Encoding.PEM)
    pem.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + public
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return context, ssl.create_default_context(cadata=public.decode())


def test_certificates_are_looked_at_for_the_name_that_was_asked(tmp_path: Path):
    tls, trust = certificate(tmp_path, "www.example.fi")
    with server("200 OK", tls) as one:
        assert outcome(f"https://www.example.fi:{one.port}/", trust=trust) is Outcome.FINE
        assert outcome(f"https://other.example.fi:{one.port}/", trust=trust) is Outcome.UNSAFE
        assert outcome(f"https://www.example.fi:{one.port}/") is Outcome.UNSAFE


@pytest.mark.parametrize(
    "address",
    ["http://", "http:///x", "http://exa mple.fi/", "https://www.example.fi:port/", "http://a..b/", "ftp://x/"],
)
def test_addresses_that_are_none_lead_nowhere(address: str):
    def lookup(name: str, port: int) -> list[str]:
        name.encode("idna")
        return []

    assert outcome(address, lookup=lookup) in (Outcome.ASTRAY, Outcome.NAMELESS)
