"""The doctor, against real servers: databases, Valkey, SMTP, DNS."""

from __future__ import annotations

import base64
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dns.resolver
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID
from flask import Flask
from sqlalchemy import text

import servers
from catching import mail_server
from conftest import NOW, SECRETS
from mailinglist import db, doctor
from mailinglist.app import create_app
from mailinglist.consent import address, intake, lists
from mailinglist.delivery.offers import Offers
from mailinglist.doctor import Finding, Level, domains, findings, machine, post, register
from mailinglist.settings import Relay, Settings
from making import person, the_list
from servers import free_port
from zones import zone

LISTENING = b"220 mail.example.fi ESMTP\r\n"


def by_subject(found: Iterator[Finding]) -> dict[str, list[Finding]]:
    sorted_out: dict[str, list[Finding]] = {}
    for finding in found:
        sorted_out.setdefault(finding.subject, []).append(finding)
    return sorted_out


def only(found: Iterator[Finding]) -> Finding:
    (finding,) = found
    return finding


def settings_with(**values: object) -> Settings:
    return Settings.of(**{**SECRETS, **values})


# ── each for itself ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_check_that_crashes_is_a_finding_and_those_before_it_stand():
    def check() -> Iterator[Finding]:
        yield Finding("thing", Level.OK, "fine so far")
        raise RuntimeError("matti@example.fi\nand more")

    fine, crashed = findings.safely("thing", check)
    assert fine.level is Level.OK
    assert crashed.level is Level.FAILURE
    assert crashed.words == "could not be checked: [address]"


def test_one_crash_does_not_end_the_examination(app: Flask, settings: Settings, monkeypatch: pytest.MonkeyPatch):
    def crash(*_: object) -> Iterator[Finding]:
        raise RuntimeError("no")

    for module, name in ((machine, "check_settings"), (post, "check_relay"), (register, "_check_clock")):
        monkeypatch.setattr(module, name, crash)

    def no_resolver() -> dns.resolver.Resolver:
        raise dns.resolver.NoResolverConfiguration

    found = by_subject(doctor.examine(settings, resolver=no_resolver))
    for subject in ("settings", "mail server", "clock", "DNS"):
        assert found[subject][0].level is Level.FAILURE
    for subject in ("database", "ban key", "ledger", "requests"):
        assert found[subject][0].level is Level.OK


# ── this machine ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({"base_url": "http://www.example.fi", "smtp_url": "smtp://mail.example.fi"}, "BASE_URL"),
        ({"base_url": "https://www.example.fi", "smtp_url": "smtp://mail.example.fi"}, "TRUSTED_PROXIES"),
        ({"base_url": "https://www.example.fi", "trusted_proxies": 1}, "SMTP_URL"),
    ],
)
def test_settings_that_do_not_go_together(values: dict[str, object], word: str):
    finding = only(machine.check_settings(settings_with(**values)))
    assert finding.level is Level.WARNING
    assert word in finding.mend


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"base_url": "http://localhost:8000"},
        {"base_url": "https://www.example.fi", "smtp_url": "smtp://mail.example.fi", "trusted_proxies": 1},
    ],
)
def test_settings_that_go_together(values: dict[str, object]):
    assert only(machine.check_settings(settings_with(**values))).level is Level.OK


def test_a_data_directory_and_its_keys(tmp_path: Path):
    folder = tmp_path / "var"
    assert only(machine.check_data_dir(settings_with(data_dir=folder))).level is Level.WARNING
    settings = Settings.of(data_dir=folder).with_keys()
    assert only(machine.check_data_dir(settings)).level is Level.OK
    (folder / "keys").chmod(0o755)
    assert only(machine.check_data_dir(settings)).level is Level.OK, "the folder above is closed"
    folder.chmod(0o755)
    _, keys = machine.check_data_dir(settings)
    assert keys.level is Level.FAILURE
    assert keys.mend == f"chmod go= {folder / 'keys'}"
    (folder / "keys").chmod(0o700)
    assert only(machine.check_data_dir(settings)).level is Level.OK


def test_a_data_directory_that_can_not_be_written(tmp_path: Path):
    file = tmp_path / "var"
    file.write_text("not a folder")
    finding = only(machine.check_data_dir(settings_with(data_dir=file)))
    assert finding.level is Level.FAILURE
    assert "DATA_DIR" in finding.mend


# ── the register ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_healthy_register(app: Flask):
    assert {finding.level for finding in register.check()} == {Level.OK}


def test_a_database_that_was_not_made(tmp_path: Path):
    with create_app(settings_with(data_dir=tmp_path)).app_context():
        finding = only(register.check())
        db.db.engine.dispose()
    assert (finding.level, finding.mend) == (Level.FAILURE, "mailinglist db upgrade")


def test_a_database_that_does_not_answer(tmp_path: Path):
    url = f"postgresql://somebody:sesame-sesame@127.0.0.1:{free_port()}/register"
    with create_app(settings_with(data_dir=tmp_path, database_url=url)).app_context():
        finding = only(register.check())
        db.db.engine.dispose()
    assert finding.level is Level.FAILURE
    assert "can't be reached" in finding.words
    assert "sesame" not in finding.words


def test_a_missing_trigger(app: Flask):
    with db.transaction() as session:
        on = " ON ledger" if db.db.engine.dialect.name == "postgresql" else ""
        session.execute(text(f"DROP TRIGGER ledger_no_delete{on}"))
    finding = by_subject(register.check())["ledger"][0]
    assert finding.level is Level.FAILURE
    assert "ledger_no_delete" in finding.words


def test_a_clock_that_goes_back(app: Flask, monkeypatch: pytest.MonkeyPatch):
    with db.transaction() as session:
        person(session, "a@example.fi", now=datetime.now(UTC) + timedelta(hours=1))
    finding = by_subject(register.check())["clock"][0]
    assert finding.level is Level.FAILURE
    assert "ledger" in finding.words


@pytest.mark.parametrize("databases", ["postgresql"], indirect=True)
def test_clocks_that_are_apart(app: Flask, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(db, "utcnow", lambda: datetime.now(UTC) + timedelta(minutes=3))
    finding = by_subject(register.check())["clock"][0]
    assert finding.level is Level.FAILURE
    assert "database server are 1" in finding.words


@pytest.mark.parametrize(("minutes", "level"), [(1, Level.OK), (5, Level.FAILURE)])
def test_requests_that_nobody_takes(app: Flask, minutes: int, level: Level):
    since = datetime.now(UTC) - timedelta(minutes=minutes)
    with db.transaction() as session:
        row, somebody = the_list(session), address.parse("a@example.fi")
        intake.write_down(session, row, somebody, entrance="web", language="fi", origin={}, now=since)
    assert by_subject(register.check())["requests"][0].level is level


# ── broker and mail servers ───────────────────────────────────────────────────────────────────────────────────────────


def test_a_broker_that_answers(valkey: servers.Valkey):
    finding = only(post.check_broker(settings_with(broker_url=valkey.url)))
    assert finding.level is Level.OK


def test_a_broker_that_does_not_answer():
    finding = only(post.check_broker(settings_with(broker_url=f"redis://:sesame@127.0.0.1:{free_port()}/0")))
    assert finding.level is Level.FAILURE
    assert "sesame" not in finding.words


def test_no_broker_at_all():
    assert only(post.check_broker(settings_with())).level is Level.WARNING


def test_a_mail_server_on_this_machine():
    with mail_server() as caught:
        settings = settings_with(smtp_url=caught.url)
        finding = only(post.check_relay(settings, settings.relays[0]))
    assert finding.level is Level.OK
    assert "in the clear" in finding.words


def test_a_mail_server_that_is_not_there():
    settings = settings_with(smtp_url=f"smtp://somebody:sesame@127.0.0.1:{free_port()}")
    finding = only(post.check_relay(settings, settings.relays[0]))
    assert finding.level is Level.FAILURE
    assert "can't be reached" in finding.words
    assert "sesame" not in finding.words


def test_a_catcher_that_is_not_running_is_no_failure():
    port = free_port()
    settings = settings_with(catcher_bind=f"127.0.0.1:{port},127.0.0.1:{port}")
    assert only(post.check_relay(settings, settings.relays[0])).level is Level.WARNING


@contextmanager
def scripted(serve: Callable[[socket.socket], None]) -> Iterator[int]:
    """A server that treats its first connection by `serve`. Gives its port."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def work() -> None:
            connection, _ = listening.accept()
            with connection:
                serve(connection)

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        yield int(listening.getsockname()[1])
        thread.join(10)


@pytest.mark.parametrize(
    ("greeting", "words"),
    [
        (b"554 go away\r\n", "go away"),
        (b"SSH-2.0-OpenSSH\r\n", "can't be understood"),
        (b"", "hangs up"),
    ],
)
def test_a_mail_server_that_is_none(greeting: bytes, words: str):
    with scripted(lambda connection: connection.sendall(greeting)) as port:
        settings = settings_with(smtp_url=f"smtp://127.0.0.1:{port}")
        finding = only(post.check_relay(settings, settings.relays[0]))
    assert finding.level is Level.FAILURE
    assert words in finding.words


def test_a_mail_server_without_the_tls_that_is_required():
    def serve(connection: socket.socket) -> None:
        connection.sendall(LISTENING)
        connection.recv(1000)
        connection.sendall(b"250 mail.example.fi\r\n")
        connection.recv(1000)

    with scripted(serve) as port:
        settings = settings_with(smtp_url=f"smtp://127.0.0.1:{port}?starttls=required")
        finding = only(post.check_relay(settings, settings.relays[0]))
    assert finding.level is Level.FAILURE
    assert "TLS" in finding.words


def certificate(folder: Path) -> ssl.SSLContext:
    """Server settings with a certificate that nobody vouches for."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mail.example.fi")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    pem = folder / "server.pem"
    pem.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + made.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return context


@pytest.mark.parametrize(("query", "level"), [("", Level.OK), ("?starttls=required", Level.FAILURE)])
def test_starttls_is_verified_where_it_is_required(tmp_path: Path, query: str, level: Level):
    context = certificate(tmp_path)

    def serve(connection: socket.socket) -> None:
        connection.sendall(LISTENING)
        connection.recv(1000)
        connection.sendall(b"250-mail.example.fi\r\n250 STARTTLS\r\n")
        connection.recv(1000)
        connection.sendall(b"220 go ahead\r\n")
        try:
            with context.wrap_socket(connection, server_side=True) as secured:
                secured.recv(1000)
                secured.sendall(b"250-mail.example.fi\r\n250 SMTPUTF8\r\n")
                secured.recv(1000)
        except OSError:  # the client did not believe the certificate
            return

    with scripted(serve) as port:
        settings = settings_with(smtp_url=f"smtp://127.0.0.1:{port}{query}")
        finding = only(post.check_relay(settings, settings.relays[0]))
    assert finding.level is level
    assert ("over TLS" in finding.words) == (level is Level.OK)


def test_plain_text_to_another_machine_is_a_warning(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(post, "_greet", lambda *_: (Offers(utf8=True), False))
    settings = settings_with(smtp_url="smtp://mail.example.fi")
    finding = only(post.check_relay(settings, Relay("mail.example.fi", 25, "if-offered")))
    assert finding.level is Level.WARNING


# ── DNS ───────────────────────────────────────────────────────────────────────────────────────────────────────────────


def key_file(folder: Path, key: rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey) -> Path:
    path = folder / "key.pem"
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return path


GOOD = {"tector.fi": ["some=thing", "v=spf1 mx -all"], "_dmarc.tector.fi": ["v=DMARC1; p=quarantine"]}
FROM = {"mail_from": "Tector <tiedote@tector.fi>"}


@pytest.mark.parametrize("kind", ["rsa", "ed25519"])
def test_domains_that_are_in_order(app: Flask, tmp_path: Path, kind: str):
    if kind == "rsa":
        private: rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey = rsa.generate_private_key(65537, 2048)
        public = private.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    else:
        private = ed25519.Ed25519PrivateKey.generate()
        public = private.public_key().public_bytes_raw()
    record = f"v=DKIM1; k={kind}; p={base64.b64encode(public).decode()}"
    settings = settings_with(**FROM, dkim=f"s1:tector.fi:{key_file(tmp_path, private)}")
    with zone({**GOOD, "s1._domainkey.tector.fi": [record]}) as resolver:
        found = by_subject(domains.check(settings, resolver))
    assert {subject: [finding.level for finding in each] for subject, each in found.items()} == {
        "SPF": [Level.OK],
        "DKIM": [Level.OK],
        "DMARC": [Level.OK],
    }


def test_domains_of_which_nothing_is_published(app: Flask, tmp_path: Path):
    path = key_file(tmp_path, ed25519.Ed25519PrivateKey.generate())
    settings = settings_with(**FROM, dkim=f"s1:tector.fi:{path}")
    with zone({}) as resolver:
        found = by_subject(domains.check(settings, resolver))
    assert [found[subject][0].level for subject in ("SPF", "DKIM", "DMARC")] == [Level.FAILURE] * 3
    assert "v=DKIM1; k=ed25519; p=" in found["DKIM"][0].mend


@pytest.mark.parametrize(
    ("records", "subject", "level", "words"),
    [
        ({"tector.fi": ["v=spf1 a -all", "v=spf1 mx -all"]}, "SPF", Level.FAILURE, "2 SPF records"),
        ({"tector.fi": ["v=spf1 +all"]}, "SPF", Level.WARNING, "everybody"),
        ({"tector.fi": ["v=spf10 -all"]}, "SPF", Level.FAILURE, "no SPF"),
        ({"_dmarc.tector.fi": ["v=spf1 -all"]}, "DMARC", Level.FAILURE, "no DMARC"),
    ],
)
def test_records_that_are_wrong(app: Flask, records: dict[str, list[str]], subject: str, level: Level, words: str):
    with zone({**GOOD, **records}) as resolver:
        finding = by_subject(domains.check(settings_with(**FROM), resolver))[subject][0]
    assert finding.level is level
    assert words in finding.words


def test_a_published_key_that_is_not_ours(app: Flask, tmp_path: Path):
    path = key_file(tmp_path, ed25519.Ed25519PrivateKey.generate())
    other = base64.b64encode(ed25519.Ed25519PrivateKey.generate().public_key().public_bytes_raw()).decode()
    settings = settings_with(**FROM, dkim=f"s1:tector.fi:{path}")
    with zone({**GOOD, "s1._domainkey.tector.fi": [f"v=DKIM1; k=ed25519; p={other}"]}) as resolver:
        finding = by_subject(domains.check(settings, resolver))["DKIM"][0]
    assert finding.level is Level.FAILURE
    assert "does not hold the key" in finding.words


def test_a_policy_of_the_domain_above_counts(app: Flask):
    settings = settings_with(mail_from="Tector <tiedote@mail.tector.fi>")
    with zone({**GOOD, "mail.tector.fi": ["v=spf1 -all"]}) as resolver:
        finding = by_subject(domains.check(settings, resolver))["DMARC"][0]
    assert finding.level is Level.OK
    assert "at _dmarc.tector.fi" in finding.words


def test_the_sender_of_each_list_counts(app: Flask, tmp_path: Path):
    with db.transaction() as session:
        lists.set_value(session, the_list(session), "sender", "News <news@other.fi>", now=NOW)
    path = key_file(tmp_path, ed25519.Ed25519PrivateKey.generate())
    settings = settings_with(**FROM, dkim=f"s1:tector.fi:{path}")
    with zone(GOOD) as resolver:
        found = by_subject(domains.check(settings, resolver))
    assert ("other.fi has no DMARC record" in [finding.words for finding in found["DMARC"]]) is True
    assert any("no key signs for other.fi" in finding.words for finding in found["DKIM"])


def test_a_domain_that_is_not_public_is_left_alone(app: Flask):
    finding = only(domains.check(settings_with(), dns.resolver.Resolver(configure=False)))
    assert finding.level is Level.WARNING
    assert "localhost.localdomain" in finding.words


def test_a_name_server_that_does_not_answer_is_a_warning(app: Flask, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(domains, "_SECONDS", 0.3)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        resolver = dns.resolver.Resolver(configure=False)
        resolver.nameservers, resolver.port = ["127.0.0.1"], silent.getsockname()[1]
        finding = only(domains.check(settings_with(**FROM), resolver))
    assert finding.level is Level.WARNING
    assert "could not be asked" in finding.words
