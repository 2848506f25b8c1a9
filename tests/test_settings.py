"""Every variable: its default, what it takes and what it refuses; and the keys that are made on the first start."""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import SecretStr

from commanding import environment
from mailinglist.errors import SettingsError
from mailinglist.settings import DkimKey, HostPort, Mailbox, Relay, Settings, is_loopback

SECRET = "hush-hush-hush-hush"


def load(**variables: str) -> Settings:
    return Settings.load({f"MAILINGLIST_{name.upper()}": value for name, value in variables.items()})


def test_nothing_set_works_out_of_the_box() -> None:
    settings = load()
    assert settings.sqlalchemy_url == f"sqlite:///{Path('var/mailinglist.db').absolute()}"
    assert settings.uses_catcher
    assert settings.relays == (Relay("127.0.0.1", 1025, "none"),)
    assert settings.web_bind == HostPort("127.0.0.1", 8000)
    assert settings.catcher_binds == (HostPort("127.0.0.1", 1025), HostPort("127.0.0.1", 8025))
    assert (settings.base_url, settings.https) == ("http://127.0.0.1:8000", False)
    assert settings.return_domain == "localhost.localdomain"
    assert (settings.dkim_keys, settings.signing_keys) == ((), ())
    assert (settings.broker_url, settings.inbound_bind, settings.send_rate, settings.bounce_domain) == (None,) * 4
    assert (settings.trusted_proxies, settings.confirm_days, settings.smtp_connections) == (0, 7, 4)
    with pytest.raises(SettingsError, match="MAILINGLIST_BAN_KEY"):
        _ = settings.ban_secret


@pytest.mark.parametrize("empty", ["", "  ", "\t"])
def test_an_empty_variable_is_as_good_as_none(empty: str) -> None:
    names = list(Settings.model_fields)
    assert load(**dict.fromkeys(names, empty)) == load()


def test_the_environment_is_read_only_by_load(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAILINGLIST_CONFIRM_DAYS", "3")
    assert Settings.of().confirm_days == 7
    assert Settings.load().confirm_days == 3


def test_a_misspelt_variable_is_named() -> None:
    with pytest.raises(SettingsError, match=r"^MAILINGLIST_DATABSE_URL: there is no such setting") as told:
        load(databse_url=SECRET)
    assert SECRET not in str(told.value)


def test_they_can_not_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load().confirm_days = 3


@pytest.mark.parametrize(
    ("name", "value", "attribute", "meaning"),
    [
        ("database_url", "postgresql://u:p@db/x", "sqlalchemy_url", "postgresql+psycopg://u:p@db/x"),
        ("database_url", "postgres://u:p@db/x", "sqlalchemy_url", "postgresql+psycopg://u:p@db/x"),
        ("database_url", "postgresql+psycopg://u:p@db/x", "sqlalchemy_url", "postgresql+psycopg://u:p@db/x"),
        ("database_url", "sqlite:////srv/x.db", "sqlalchemy_url", "sqlite:////srv/x.db"),
        ("broker_url", "rediss://x:1/0", "broker_url", SecretStr("rediss://x:1/0")),
        ("smtp_url", "smtp://mx", "relays", (Relay("mx", 25, "if-offered"),)),
        ("smtp_url", "smtp://mx?starttls=required", "relays", (Relay("mx", 25, "required"),)),
        ("smtp_url", "smtp://[::1]:26?starttls=never", "relays", (Relay("::1", 26, "none"),)),
        ("smtp_url", "smtps://a%40b:p%2Fw@mx", "relays", (Relay("mx", 465, "implicit", "a@b", "p/w"),)),
        ("smtp_url", "smtps://a:1, smtp://b:2,", "relays", (Relay("a", 1, "implicit"), Relay("b", 2, "if-offered"))),
        ("dkim", "s1:Example.FI:/k/1.pem", "dkim_keys", (DkimKey("s1", "example.fi", Path("/k/1.pem")),)),
        ("dkim", "a:b.fi:/1,c:d.fi:/2", "dkim_keys",
         (DkimKey("a", "b.fi", Path("/1")), DkimKey("c", "d.fi", Path("/2")))),
        ("base_url", "https://lists.example.fi/", "base_url", "https://lists.example.fi"),
        ("base_url", "https://example.fi/posti/", "base_url", "https://example.fi/posti"),
        ("base_url", "https://example.fi", "https", True),
        ("bind", "0.0.0.0:9000", "base_url", "http://127.0.0.1:9000"),
        ("bind", "[::]:9000", "base_url", "http://[::1]:9000"),
        ("bind", "10.0.0.1:80", "base_url", "http://10.0.0.1:80"),
        ("bind", "[::1]:9000", "web_bind", HostPort("::1", 9000)),
        ("secret_keys", f"{SECRET}1,{SECRET}2", "signing_keys", (f"{SECRET}1", f"{SECRET}2")),
        ("ban_key", SECRET, "ban_secret", SECRET.encode()),
        ("seal_key", f"{SECRET},old-{SECRET}", "seal_secrets", (SECRET, f"old-{SECRET}")),
        ("mail_from", "Väinö <a@example.fi>", "return_domain", "example.fi"),
        ("bounce_domain", "palaute.example.fi", "return_domain", "palaute.example.fi"),
        ("data_dir", "/srv/data", "data_dir", Path("/srv/data")),
        ("catcher_bind", "[::1]:1,localhost:2", "catcher_binds", (HostPort("::1", 1), HostPort("localhost", 2))),
        ("inbound_bind", "0.0.0.0:25", "inbound_bind", "0.0.0.0:25"),
        ("inbound_bind", "[::]:25", "inbound_address", HostPort("::", 25)),
        ("inbound_bind", "0.0.0.0:25", "takes_mail", True),
        ("inbound_bind", "auto", "inbound_address", None),
        ("inbound_bind", "auto", "takes_mail", False),
        ("inbound_imap", "imaps://a%40b.fi:p%2Fw@mail.b.fi/Listat%20x?every=5", "mailbox",
         Mailbox("mail.b.fi", 993, "implicit", "a@b.fi", "p/w", "Listat x", 5)),
        ("inbound_imap", "imap://a:b@c", "mailbox", Mailbox("c", 143, "required", "a", "b")),
        ("inbound_imap", "imap://a:b@127.0.0.1:1?starttls=never", "mailbox", Mailbox("127.0.0.1", 1, "none", "a", "b")),
        ("inbound_imap", "imaps://a:b@c", "takes_mail", True),
        ("inbound_pipe", "true", "takes_mail", True),
        ("inbound_pipe", "no", "takes_mail", False),
        ("trusted_proxies", "10", "trusted_proxies", 10),
        ("confirm_days", "60", "confirm_days", 60),
        ("send_rate", "0.5", "send_rate", 0.5),
        ("smtp_connections", "100", "smtp_connections", 100),
    ],
)  # fmt: skip
def test_what_a_variable_means(name: str, value: str, attribute: str, meaning: object) -> None:
    assert getattr(load(**{name: value}), attribute) == meaning


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("database_url", f"mysql://u:{SECRET}@db/x"),
        ("database_url", SECRET),
        ("database_url", f"postgresql://u:{SECRET}@[::1/x"),
        ("database_url", f"postgresql://u:{SECRET}@db:port/x"),
        ("broker_url", f"amqp://u:{SECRET}@mq"),
        ("broker_url", f"redis://:{SECRET}@[mq:1"),
        ("broker_url", f"redis://:{SECRET}@mq:port"),
        ("smtp_url", f"http://u:{SECRET}@mx"),
        ("smtp_url", f"u:{SECRET}@mx"),
        ("smtp_url", f"smtp://u:{SECRET}@mx?starttls=maybe"),
        ("smtp_url", f"smtp://u:{SECRET}@mx?tls=required"),
        ("smtp_url", f"smtp://u:{SECRET}@mx:99999"),
        ("smtp_url", f"smtp://u:{SECRET}/2@mx"),
        ("smtp_url", f"smtp://u:{SECRET}]@mx["),
        ("smtp_url", f"smtp://mx,u:{SECRET}@my"),
        ("dkim", "s1:example.fi"),
        ("dkim", "s1:example.fi:/1,s2::/2"),
        ("base_url", "lists.example.fi"),
        ("base_url", "ftp://example.fi"),
        ("base_url", "https://example.fi?x=1"),
        ("base_url", "https://example.fi/#x"),
        ("secret_keys", "short-key"),
        ("secret_keys", f"{SECRET},short-key"),
        ("ban_key", "short-key"),
        ("seal_key", "short-key"),
        ("mail_from", "nobody"),
        ("mail_from", "A <a@example.fi>\r\nBcc: b@example.fi"),
        ("bind", "8000"),
        ("bind", "auto"),
        ("bind", ":8000"),
        ("bind", "127.0.0.1:http"),
        ("bind", "127.0.0.1:65536"),
        ("inbound_bind", "25"),
        ("inbound_imap", f"pop3://u:{SECRET}@mx"),
        ("inbound_imap", f"imaps://:{SECRET}@mx"),
        ("inbound_imap", "imaps://u@mx"),
        ("inbound_imap", f"imaps://u:{SECRET}@mx?every=0"),
        ("inbound_imap", f"imaps://u:{SECRET}@mx?often=1"),
        ("inbound_imap", f"imaps://u:{SECRET}]@mx["),
        ("inbound_imap", f"imap://u:{SECRET}@mx?starttls=never"),
        ("inbound_imap", f"imaps://u:{SECRET}%0d%0a@mx"),
        ("inbound_pipe", "perhaps"),
        ("catcher_bind", "127.0.0.1:1025"),
        ("catcher_bind", "127.0.0.1:1025,8025"),
        ("catcher_bind", "127.0.0.1:1,127.0.0.1:2,127.0.0.1:3"),
        ("trusted_proxies", "-1"),
        ("trusted_proxies", "11"),
        ("confirm_days", "0"),
        ("confirm_days", "61"),
        ("confirm_days", "a week"),
        ("send_rate", "0"),
        ("send_rate", "nan"),
        ("send_rate", "quick"),
        ("smtp_connections", "0"),
        ("smtp_connections", "101"),
    ],
)
def test_what_is_refused_is_named_in_one_line_that_shows_no_secret(name: str, value: str) -> None:
    with pytest.raises(SettingsError) as told:
        load(**{name: value})
    message = str(told.value)
    assert message.startswith(f"MAILINGLIST_{name.upper()}: ")
    assert "\n" not in message
    assert SECRET not in message
    assert "short-key" not in message
    # Nor on the way there: a traceback prints causes.
    assert told.value.__cause__ is None
    assert told.value.__suppress_context__


def test_no_secret_in_a_dump_or_a_repr() -> None:
    url = f"smtps://u:{SECRET}@mx"
    settings = load(
        database_url=f"postgresql://u:{SECRET}@db/x", broker_url=f"redis://:{SECRET}@x:1/0", smtp_url=url,
        secret_keys=SECRET, ban_key=SECRET, seal_key=SECRET, inbound_imap=f"imaps://u:{SECRET}@mx",
    )  # fmt: skip
    for told in (
        repr(settings), str(settings), repr(settings.relays), repr(settings.mailbox), settings.model_dump_json(),
    ):  # fmt: skip
        assert SECRET not in told


def test_the_environment_gives_a_child_these_very_settings(tmp_path: Path) -> None:
    settings = load(
        database_url=f"postgresql://u:{SECRET}@db/x", broker_url="redis://x:1/0", smtp_url="smtps://a%40b:p%2Fw@mx,smtp://b",
        dkim="a:b.fi:/1,c:d.fi:/2", base_url="https://example.fi/posti", secret_keys=f"{SECRET}1,{SECRET}2",
        ban_key=SECRET, seal_key=f"{SECRET}1,{SECRET}2", seal_dir="/seals",
        mail_from='"Väinö, oy" <a@example.fi>', bounce_domain="palaute.example.fi",
        data_dir=str(tmp_path), bind="[::1]:9000", catcher_bind="[::1]:1,localhost:2", inbound_bind="0.0.0.0:25",
        inbound_imap=f"imaps://u:{SECRET}@mx", inbound_pipe="true", inbound_authserv_id="relay.example.fi",
        trusted_proxies="2", confirm_days="3",
        send_rate="0.1", smtp_connections="9", journal_dir="/j", journal_head="/h", backup_dir="/b", backup_every="12",
        backup_keep="7", keep="evidence=1200",
        backup_recipient="age1fp04sp69yn37a2h8ery7zpu2pqq2mt5xz4hj5axs9gcgnfw9r5eqr4xehe",
    )  # fmt: skip
    assert settings.environment().keys() == {f"MAILINGLIST_{name.upper()}" for name in Settings.model_fields}
    assert Settings.load(settings.environment()) == settings
    assert Settings.load(load().environment()) == load()


# ── keys ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "some" / "where"


def test_keys_are_made_once_for_the_owners_eyes_only(data_dir: Path) -> None:
    first = load(data_dir=str(data_dir)).with_keys()
    assert first.signing_keys[0] != first.ban_secret.decode()
    assert min(len(first.signing_keys[0]), len(first.ban_secret)) >= 64
    assert stat.S_IMODE(data_dir.stat().st_mode) == stat.S_IMODE((data_dir / "keys").stat().st_mode) == 0o700
    files = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (data_dir / "keys").iterdir()}
    assert files == {"secret_keys": 0o600, "ban_key": 0o600, "seal_key": 0o600}
    assert load(data_dir=str(data_dir)).with_keys() == first


def test_keys_that_are_given_are_not_kept(data_dir: Path) -> None:
    settings = load(data_dir=str(data_dir), secret_keys=SECRET, ban_key=SECRET, seal_key=SECRET)
    assert settings.with_keys() == settings
    assert not data_dir.exists()


def test_a_kept_key_can_be_rotated_by_hand(data_dir: Path) -> None:
    (old,) = load(data_dir=str(data_dir)).with_keys().signing_keys
    (data_dir / "keys" / "secret_keys").write_text(f"{SECRET},{old}\n")
    assert load(data_dir=str(data_dir)).with_keys().signing_keys == (SECRET, old)


def test_first_starts_at_once_agree_on_one_key(data_dir: Path) -> None:
    """Processes, not threads: a process's id is in the name of the file that it writes first."""
    program = """
import sys
from mailinglist.settings import Settings
sys.stdin.read()  # until all are there
settings = Settings.load().with_keys()
print(settings.signing_keys, settings.ban_secret)
"""
    command = [sys.executable, "-c", program]
    env = environment() | {"MAILINGLIST_DATA_DIR": str(data_dir)}
    starts = [
        subprocess.Popen(command, env=env, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(4)
    ]
    for start in starts:
        assert start.stdin is not None
        start.stdin.close()
        start.stdin = None
    answers = {start.communicate(timeout=30)[0] for start in starts}
    assert len(answers) == 1
    assert "(" in answers.pop()
    assert sorted(path.name for path in (data_dir / "keys").iterdir()) == ["ban_key", "seal_key", "secret_keys"]


@pytest.mark.parametrize("name", ["secret_keys", "ban_key", "seal_key"])
@pytest.mark.parametrize(
    "harm",
    [b"", b"\n", b"short-key", b"\xff\xfe" * 20, b"\0" * 64],
    ids=["empty", "blank", "short", "no-text", "zeros"],
)
def test_a_damaged_key_is_neither_used_nor_replaced(data_dir: Path, name: str, harm: bytes) -> None:
    load(data_dir=str(data_dir)).with_keys()
    path = data_dir / "keys" / name
    path.write_bytes(harm)
    with pytest.raises(SettingsError, match=f"^MAILINGLIST_{name.upper()}: .*damaged") as told:
        load(data_dir=str(data_dir)).with_keys()
    assert "short-key" not in str(told.value)
    assert path.read_bytes() == harm


def test_a_data_directory_that_can_not_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match=r"^MAILINGLIST_SECRET_KEYS: .* none can be kept in the data directory"):
        load(data_dir=str(tmp_path / "file")).with_keys()
    with pytest.raises(SettingsError, match=r"^MAILINGLIST_BAN_KEY: "):
        load(data_dir=str(tmp_path / "file"), secret_keys=SECRET).with_keys()


@pytest.mark.parametrize(
    ("host", "is_one"),
    [
        ("127.0.0.1", True), ("127.8.9.10", True), ("::1", True), ("::1%lo", True), ("::ffff:127.0.0.1", True),
        ("localhost", True), ("LocalHost", True),
        ("0.0.0.0", False), ("::", False), ("192.0.2.1", False), ("::ffff:192.0.2.1", False), ("fe80::1%eth0", False),
        ("localhost.example.fi", False), ("127.0.0.1.example.fi", False), ("", False),
    ],
)  # fmt: skip
def test_what_is_this_machine_and_nothing_else(host: str, is_one: bool) -> None:
    assert is_loopback(host) is is_one
