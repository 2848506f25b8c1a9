"""The settings: one frozen object, the only reader of the environment.

`Settings.load()` reads and checks everything at once; a wrong value raises `SettingsError` with one line that names the
variable and never shows a secret. `Settings.with_keys()` adds the keys that are made on first start.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from email.utils import parseaddr
from ipaddress import IPv6Address, ip_address
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import parse_qs, unquote, urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from . import periods
from .errors import SettingsError

PREFIX = "MAILINGLIST_"
SETTINGS = "MAILINGLIST"
"""Key of the settings in `app.config`."""
AUTO = "auto"
"""What MAILINGLIST_INBOUND_BIND may say instead of an address: `run` takes a free port, while there is a catcher."""
BACKUPS_STEADY = timedelta(days=7)
"""For so long backups must have followed each other before all old ones are deleted, and not only one for each that is
made. A clock that leaps ahead looks like a pause, and makes old what is not; by then somebody has seen it."""
_SHORTEST_KEY = 16  # characters
_SERVER = re.compile(
    r"[^:]+://([^:/]*(:[^@]*)?@)?"  # user and password
    r"(\[[^/?\]]+\]|[^/:?\[\]]*)(:[0-9]*)?([/?].*)?"
)
"""A database server's URL, as SQLAlchemy divides it: a password may hold a slash or a colon."""
_NO_HOST = "its host or port can't be read; an IPv6 address stands in brackets: [::1]"

Tls = Literal["none", "if-offered", "required", "implicit"]


@dataclass(frozen=True, slots=True)
class HostPort:
    """An address to listen on or connect to."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def is_loopback(host: str) -> bool:
    """Whether a host, an IP address or a name, is this machine and nothing else. An IPv6 address may be of IPv4
    (`::ffff:127.0.0.1`), and have a zone. No name is looked up: of names only `localhost` is (RFC 6761 §6.3)."""
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return host.lower() == "localhost"
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (mapped or address).is_loopback


@dataclass(frozen=True, slots=True)
class Relay:
    """One mail server that takes our mail. `tls`: none, if-offered (STARTTLS where the server has it), required,
    implicit."""

    host: str
    port: int
    tls: Tls
    user: str | None = None
    password: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class DkimKey:
    """One signing key: RFC 6376 s= and d=, and the file of the private key (PEM)."""

    selector: str
    domain: str
    path: Path


@dataclass(frozen=True, slots=True)
class Mailbox:
    """A folder on a mail server that is read by IMAP (RFC 9051). `tls`: implicit, required (STARTTLS), none."""

    host: str
    port: int
    tls: Tls
    user: str
    password: str = field(repr=False)
    folder: str = "INBOX"
    every: int = 60
    """Seconds between two looks."""


def _host_port(text: str) -> HostPort:
    host, colon, port = text.strip().rpartition(":")
    if not colon or not host or not port.isdigit() or not 0 <= int(port) <= 65535:
        raise ValueError("expected host:port")
    return HostPort(host.strip("[]"), int(port))


def _relay(text: str) -> Relay:
    try:
        parts = urlsplit(text.strip())
        port = parts.port
    except ValueError:  # its own words would quote a part of the password
        raise ValueError("expected smtp://host:port or smtps://host:port; / in a password is written %2F") from None
    if parts.scheme not in ("smtp", "smtps") or not parts.hostname:
        raise ValueError("expected smtp://host:port or smtps://host:port")
    tls: Tls = "implicit" if parts.scheme == "smtps" else "if-offered"
    query = parse_qs(parts.query, strict_parsing=bool(parts.query))
    starttls = query.pop("starttls", [])
    if query or starttls not in ([], ["required"], ["never"]):
        raise ValueError("only ?starttls=required or ?starttls=never is understood")
    if starttls and tls != "implicit":
        tls = "required" if starttls == ["required"] else "none"
    return Relay(
        host=parts.hostname,
        port=port or (465 if tls == "implicit" else 25),
        tls=tls,
        user=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
    )


def _mailbox(text: str) -> Mailbox:
    shape = "expected imaps://user:password@host/INBOX?every=60; special characters are written %40, %2F and so on"
    try:
        parts = urlsplit(text.strip())
        port = parts.port
        query = parse_qs(parts.query, strict_parsing=bool(parts.query))
    except ValueError:  # its own words would quote a part of the password
        raise ValueError(shape) from None
    if parts.scheme not in ("imap", "imaps") or not (parts.hostname and parts.username and parts.password):
        raise ValueError(shape)
    tls: Tls = "implicit" if parts.scheme == "imaps" else "required"
    every, starttls = query.pop("every", ["60"]), query.pop("starttls", ["required"])
    if query or not every[0].isascii() or not every[0].isdigit() or not 1 <= int(every[0]) <= 86400:
        raise ValueError("only ?every=SECONDS, from 1 to 86400, and ?starttls=never are understood")
    if starttls == ["never"] and tls == "required":
        if parts.hostname not in ("localhost", "127.0.0.1", "::1"):
            raise ValueError("a password does not go over the net without encryption: write imaps://")
        tls = "none"
    elif starttls != ["required"]:
        raise ValueError("only ?every=SECONDS, from 1 to 86400, and ?starttls=never are understood")
    folder = unquote(parts.path.lstrip("/")) or "INBOX"
    user, password = unquote(parts.username), unquote(parts.password)
    if any(ord(c) < 32 for c in folder + user + password):
        raise ValueError(shape)
    return Mailbox(
        parts.hostname, port or (993 if tls == "implicit" else 143), tls, user, password, folder, int(every[0])
    )


def _dkim_key(text: str) -> DkimKey:
    selector, _, rest = text.strip().partition(":")
    domain, _, path = rest.partition(":")
    if not (selector and domain and path):
        raise ValueError("expected selector:domain:/path/to/private.pem")
    return DkimKey(selector, domain.lower(), Path(path))


def _split(value: Any) -> Any:
    return [item for item in value.split(",") if item.strip()] if isinstance(value, str) else value


class Settings(BaseSettings):
    """Every setting of the program, checked. See the table in the README for what each means."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid", env_ignore_empty=True)

    database_url: SecretStr | None = None
    broker_url: SecretStr | None = None
    smtp_url: SecretStr | None = None
    dkim: Annotated[tuple[str, ...], NoDecode] = ()
    base_url: str = "http://127.0.0.1:8000"
    secret_keys: Annotated[tuple[SecretStr, ...], NoDecode] = ()
    ban_key: SecretStr | None = None
    seal_key: Annotated[tuple[SecretStr, ...], NoDecode] = ()
    seal_dir: Path | None = None
    mail_from: str = "Tector tiedottaa <tiedote@localhost.localdomain>"
    bounce_domain: str | None = None
    data_dir: Path = Path("./var")
    bind: str = "127.0.0.1:8000"
    catcher_bind: str = "127.0.0.1:1025,127.0.0.1:8025"
    inbound_bind: str | None = None
    inbound_imap: SecretStr | None = None
    inbound_pipe: bool = False
    inbound_authserv_id: str | None = None
    trusted_proxies: int = Field(default=0, ge=0, le=10)
    confirm_days: int = Field(default=7, ge=1, le=60)
    send_rate: float | None = Field(default=None, gt=0)
    smtp_connections: int = Field(default=4, ge=1, le=100)
    journal_dir: Path | None = None
    journal_head: Path | None = None
    backup_dir: Path | None = None
    backup_every: int = Field(default=24, ge=1, le=24 * 31)
    backup_keep: int = Field(default=30, ge=1, le=3660)
    backup_recipient: str | None = None
    keep: Annotated[tuple[str, ...], NoDecode] = ()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        # `load` hands in what it read, so that a test's settings never depend on the machine's environment.
        return (init_settings,)

    @classmethod
    def load(cls, environ: Mapping[str, str] | None = None) -> Self:
        """The settings of this process. Raises SettingsError."""
        environ = os.environ if environ is None else environ
        known = {f"{PREFIX}{name.upper()}": name for name in cls.model_fields}
        unknown = sorted(name for name in environ if name.startswith(PREFIX) and name not in known)
        if unknown:
            raise SettingsError(f"{unknown[0]}: there is no such setting; see the table of settings in the README")
        values = {
            name: environ[variable].strip() for variable, name in known.items() if environ.get(variable, "").strip()
        }
        return cls.of(**values)

    @classmethod
    def of(cls, **values: Any) -> Self:
        """Settings from values by field name. Raises SettingsError."""
        try:
            return cls(**values)
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            name = str(first["loc"][0]) if first["loc"] else ""
            reason = first["msg"].removeprefix("Value error, ")
            raise SettingsError(f"{PREFIX}{name.upper()}: {reason}") from None

    @model_validator(mode="before")
    @classmethod
    def _links_lead_here(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Without a base URL, links lead to where the web server listens."""
        if values.get("bind") and not values.get("base_url"):
            try:
                bind = _host_port(str(values["bind"]))
            except ValueError:
                return values  # its own validator names it
            here = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(bind.host, bind.host)  # noqa: S104 - read, not bound
            values = {**values, "base_url": f"http://{HostPort(here, bind.port)}"}
        return values

    @field_validator("dkim", "secret_keys", "seal_key", "keep", mode="before")
    @classmethod
    def _split_lists(cls, value: Any) -> Any:
        return _split(value)

    @field_validator("secret_keys", "seal_key")
    @classmethod
    def _long_keys(cls, value: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        if any(len(key.get_secret_value()) < _SHORTEST_KEY for key in value):
            raise ValueError("each key needs at least 16 characters")
        return value

    @field_validator("ban_key")
    @classmethod
    def _long_key(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and len(value.get_secret_value()) < _SHORTEST_KEY:
            raise ValueError("the key needs at least 16 characters")
        return value

    @field_validator("database_url")
    @classmethod
    def _known_database(cls, value: SecretStr | None) -> SecretStr | None:
        scheme = value.get_secret_value().partition(":")[0] if value else "sqlite"
        if scheme not in ("sqlite", "postgresql", "postgresql+psycopg", "postgres"):
            raise ValueError("expected postgresql://user:password@host/name or sqlite:///file")
        if value and scheme != "sqlite" and not _SERVER.fullmatch(value.get_secret_value()):
            raise ValueError(_NO_HOST)
        return value

    @field_validator("broker_url")
    @classmethod
    def _known_broker(cls, value: SecretStr | None) -> SecretStr | None:
        if value and value.get_secret_value().partition(":")[0] not in ("redis", "rediss", "redis+socket", "memory"):
            raise ValueError("expected redis://host:port/number")
        try:
            _ = urlsplit(value.get_secret_value()).port if value else None
        except ValueError:
            raise ValueError(_NO_HOST) from None
        return value

    @field_validator("smtp_url")
    @classmethod
    def _known_relays(cls, value: SecretStr | None) -> SecretStr | None:
        if value:
            for item in _split(value.get_secret_value()):
                _relay(item)
        return value

    @field_validator("inbound_imap")
    @classmethod
    def _known_mailbox(cls, value: SecretStr | None) -> SecretStr | None:
        if value:
            _mailbox(value.get_secret_value())
        return value

    @field_validator("dkim")
    @classmethod
    def _known_dkim(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for item in value:
            _dkim_key(item)
        return value

    @field_validator("keep")
    @classmethod
    def _known_periods(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        periods.days_of(value)
        return value

    @field_validator("base_url")
    @classmethod
    def _plain_base(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise ValueError("expected https://host, with nothing after it but an optional path")
        _ = parts.port  # raises ValueError unless it is a number
        return value.rstrip("/")

    @field_validator("mail_from")
    @classmethod
    def _one_mailbox(cls, value: str) -> str:
        _, address = parseaddr(value)
        if "@" not in address or any(c in value for c in "\r\n\0"):
            raise ValueError("expected Name <address@domain>")
        return value

    @field_validator("bind")
    @classmethod
    def _one_bind(cls, value: str) -> str:
        _host_port(value)
        return value

    @field_validator("inbound_bind")
    @classmethod
    def _one_bind_or_none(cls, value: str | None) -> str | None:
        if value and value != AUTO:
            _host_port(value)
        return value

    @field_validator("catcher_bind")
    @classmethod
    def _two_binds(cls, value: str) -> str:
        if len([_host_port(item) for item in value.split(",")]) != 2:
            raise ValueError("expected two addresses, SMTP and viewer: host:port,host:port")
        return value

    @field_validator("backup_recipient")
    @classmethod
    def _known_recipient(cls, value: str | None) -> str | None:
        if value is not None:
            from pyrage import RecipientError, x25519

            try:
                x25519.Recipient.from_str(value)
            except RecipientError:
                raise ValueError("expected a recipient of age: age1…, as `age-keygen` prints it") from None
        return value

    # ── what the values mean ──────────────────────────────────────────────────────────────────────────────────────

    @property
    def sqlalchemy_url(self) -> str:
        """The database, as SQLAlchemy wants it (contains the password: never log it)."""
        if self.database_url is None:
            return f"sqlite:///{(self.data_dir / 'mailinglist.db').absolute()}"
        url = self.database_url.get_secret_value()
        scheme, _, rest = url.partition(":")
        return f"postgresql+psycopg:{rest}" if scheme.startswith("postgres") else url

    @property
    def uses_catcher(self) -> bool:
        """True while no SMTP URL is set: mail goes to the built-in catcher."""
        return self.smtp_url is None

    @property
    def relays(self) -> tuple[Relay, ...]:
        """The mail servers, by priority."""
        if self.smtp_url is None:
            smtp, _viewer = self.catcher_binds
            return (Relay(smtp.host, smtp.port, "none"),)
        return tuple(_relay(item) for item in _split(self.smtp_url.get_secret_value()))

    @property
    def dkim_keys(self) -> tuple[DkimKey, ...]:
        """The signing keys; empty while signing is off."""
        return tuple(_dkim_key(item) for item in self.dkim)

    @property
    def backups_kept(self) -> timedelta | None:
        """After this time at the latest a scheduled backup is deleted: the next one does that. None: none are
        scheduled.

        It counts the week more for which old ones may stay after a time without backups (`BACKUPS_STEADY`), but not
        that time itself, in which one for each period is deleted at most.
        """
        if self.backup_dir is None:
            return None
        return timedelta(days=self.backup_keep, hours=self.backup_every) + BACKUPS_STEADY

    @property
    def keep_days(self) -> dict[str, int]:
        """How long things are kept, in days, by the names of `periods.PERIODS`."""
        return periods.days_of(self.keep)

    @property
    def web_bind(self) -> HostPort:
        """Where the web server listens."""
        return _host_port(self.bind)

    @property
    def catcher_binds(self) -> tuple[HostPort, HostPort]:
        """Where the catcher listens: SMTP, viewer."""
        smtp, viewer = (_host_port(item) for item in self.catcher_bind.split(","))
        return smtp, viewer

    @property
    def inbound_address(self) -> HostPort | None:
        """Where the listener for incoming mail listens; None: there is none."""
        return _host_port(self.inbound_bind) if self.inbound_bind and self.inbound_bind != AUTO else None

    @property
    def mailbox(self) -> Mailbox | None:
        """The mailbox that incoming mail is fetched from; None: there is none."""
        return _mailbox(self.inbound_imap.get_secret_value()) if self.inbound_imap else None

    @property
    def takes_mail(self) -> bool:
        """True where mail to our addresses reaches us in any way: then letters may be answered, and one can leave by
        mail."""
        return bool(self.inbound_address or self.inbound_imap or self.inbound_pipe)

    @property
    def return_domain(self) -> str:
        """The domain of return paths and command addresses."""
        return self.bounce_domain or parseaddr(self.mail_from)[1].rpartition("@")[2]

    @property
    def journal_folder(self) -> Path:
        """Where the journal of opt-outs lies."""
        return self.journal_dir or self.data_dir / "journal"

    @property
    def journal_head_file(self) -> Path:
        """The file that says how long the journal is."""
        return self.journal_head or self.data_dir / "journal.head"

    @property
    def https(self) -> bool:
        """True where links begin with https: then cookies are Secure and HSTS is sent."""
        return self.base_url.startswith("https:")

    @property
    def signing_keys(self) -> tuple[str, ...]:
        """The keys of tokens and cookies, newest first. Empty until `with_keys`."""
        return tuple(key.get_secret_value() for key in self.secret_keys)

    @property
    def ban_secret(self) -> bytes:
        """The key of the ban hashes. Raises SettingsError before `with_keys`."""
        if self.ban_key is None:
            raise SettingsError(f"{PREFIX}BAN_KEY: not set")
        return self.ban_key.get_secret_value().encode()

    @property
    def seal_secrets(self) -> tuple[str, ...]:
        """The secrets of the keys of seals and proofs, newest first. Empty until `with_keys`."""
        return tuple(key.get_secret_value() for key in self.seal_key)

    @property
    def seals_folder(self) -> Path:
        """Where each seal is also written, outside the database."""
        return self.seal_dir or self.data_dir / "seals"

    def with_keys(self) -> Self:
        """These settings with the keys that were not given: read from the data directory, made there on the first
        start.

        Raises SettingsError when the data directory can't be written.
        """
        update: dict[str, Any] = {}
        if not self.secret_keys:
            update["secret_keys"] = _kept_keys(self.data_dir / "keys" / "secret_keys", f"{PREFIX}SECRET_KEYS")
        if self.ban_key is None:
            update["ban_key"] = SecretStr(_kept_key(self.data_dir / "keys" / "ban_key", f"{PREFIX}BAN_KEY"))
        if not self.seal_key:
            update["seal_key"] = _kept_keys(self.data_dir / "keys" / "seal_key", f"{PREFIX}SEAL_KEY")
        return self.model_copy(update=update)

    def environment(self) -> dict[str, str]:
        """The variables that give a child process these very settings."""
        values: dict[str, str] = {}
        for name in type(self).model_fields:
            value = getattr(self, name)
            if value is None or value == ():
                continue
            items = value if isinstance(value, tuple) else (value,)
            plain = [item.get_secret_value() if isinstance(item, SecretStr) else str(item) for item in items]
            values[f"{PREFIX}{name.upper()}"] = ",".join(plain)
        return values


def _kept_keys(path: Path, variable: str) -> tuple[SecretStr, ...]:
    """The keys kept at `path`, comma-separated, newest first; one is made now if there is none."""
    keys = [key.strip() for key in _kept_key(path, variable).split(",") if key.strip()]
    if not keys or any(len(key) < _SHORTEST_KEY for key in keys):
        raise SettingsError(f"{variable}: the key kept in the data directory is damaged")
    return tuple(SecretStr(key) for key in keys)


def _kept_key(path: Path, variable: str) -> str:
    """The key kept at `path`; made now, readable by its owner only, if there is none. Safe when several processes
    start at once."""
    try:
        # In two steps: `parents` would make the data directory with the usual mode, open to others.
        path.parent.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.parent.mkdir(mode=0o700, exist_ok=True)
        fresh = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
        if not path.exists():
            descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(secrets.token_urlsafe(48))
                file.flush()
                os.fsync(file.fileno())
            try:
                os.link(fresh, path)  # atomic, and never replaces a key that another process has just made
            except FileExistsError:
                pass
            finally:
                fresh.unlink()
        key = path.read_bytes().decode("ascii", "replace").strip()
    except OSError as error:
        reason = error.strerror or "unreadable"
        raise SettingsError(
            f"{variable}: no key is set, and none can be kept in the data directory ({reason})"
        ) from error
    # A file of NULs is what a power cut can leave.
    if len(key) < _SHORTEST_KEY or not key.isprintable() or "\ufffd" in key:
        raise SettingsError(f"{variable}: the key kept in the data directory is damaged")
    return key
