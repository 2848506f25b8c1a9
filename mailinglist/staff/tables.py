"""The staff door's tables. Times are UTC. Digests are SHA-256 of random secrets: a copy of the database opens no
door."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, CheckConstraint, ForeignKey, Index, LargeBinary, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from ..db import Base, BigId, Digest, UtcDateTime


class Account(Base):
    """One member of staff, by name."""

    __tablename__ = "accounts"
    __table_args__ = {"sqlite_autoincrement": True}

    id: Mapped[int] = mapped_column(primary_key=True)
    address: Mapped[str] = mapped_column(String(320))
    folded: Mapped[str] = mapped_column(String(320), unique=True)
    """The case-folded address: what one signs in with."""
    name: Mapped[str] = mapped_column(String(200))
    levels: Mapped[list[str]] = mapped_column(JSON)
    """Sorted; see levels.Level."""
    language: Mapped[str] = mapped_column(String(2))
    password: Mapped[str | None] = mapped_column(Text)
    """Argon2id, in the PHC string format; none until enrolment."""
    totp: Mapped[bytes | None] = mapped_column(LargeBinary)
    """The authenticator's shared secret, encrypted."""
    totp_step: Mapped[int | None] = mapped_column(BigInteger)
    """The last time step that was used: a code is good once (RFC 6238 §5.2)."""
    secrecy_version: Mapped[int | None]
    secrecy_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    """When the secrecy statement was accepted (T8)."""
    until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    """The end of an outsider's account; none: it has none."""
    disabled_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    created_by: Mapped[str] = mapped_column(String(200))

    @property
    def enrolled(self) -> bool:
        """Whether its owner has chosen a password."""
        return self.password is not None

    def usable(self, now: datetime) -> bool:
        """Whether its owner may work here: not disabled, and not past its end."""
        return self.disabled_at is None and (self.until is None or now < self.until)


class Passkey(Base):
    """A second factor by WebAuthn."""

    __tablename__ = "passkeys"

    id: Mapped[int] = mapped_column(primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"), index=True)
    credential: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    public_key: Mapped[bytes] = mapped_column(LargeBinary)
    sign_count: Mapped[int]
    name: Mapped[str] = mapped_column(String(100))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    used_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class RecoveryCode(Base):
    """A second factor for once."""

    __tablename__ = "recovery_codes"

    id: Mapped[int] = mapped_column(primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"), index=True)
    digest: Mapped[bytes] = mapped_column(Digest, unique=True)
    used_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class Enrolment(Base):
    """A link, good for a day and for once, by which somebody sets up their account, or sets it up anew."""

    __tablename__ = "enrolments"
    __table_args__ = (CheckConstraint("purpose IN ('enrol', 'password', 'factor')", name="purpose"),)

    digest: Mapped[bytes] = mapped_column(Digest, primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"), index=True)
    purpose: Mapped[str] = mapped_column(String(8))
    issued_at: Mapped[datetime] = mapped_column(UtcDateTime)
    issued_by: Mapped[str] = mapped_column(String(200))
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime)
    used_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class SignIn(Base):
    """One sign-in, kept on the server: ended here, it is over on the next request."""

    __tablename__ = "sign_ins"
    __table_args__ = (CheckConstraint("passed IN ('password', 'both')", name="passed"),)

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    digest: Mapped[bytes] = mapped_column(Digest, unique=True)
    """SHA-256 of the random value in the cookie."""
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"), index=True)
    passed: Mapped[str] = mapped_column(String(8))
    """Which factors have been shown."""
    began_at: Mapped[datetime] = mapped_column(UtcDateTime)
    seen_at: Mapped[datetime] = mapped_column(UtcDateTime)
    fresh_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    """When both factors were last shown: what is grave asks for a recent one."""
    ended_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    challenge: Mapped[bytes | None] = mapped_column(LargeBinary)
    """WebAuthn's, while one is out."""
    client: Mapped[str] = mapped_column(String(64))
    agent: Mapped[str] = mapped_column(String(300))


class ApiToken(Base):
    """What another system calls the API with."""

    __tablename__ = "api_tokens"
    __table_args__ = {"sqlite_autoincrement": True}  # the audit knows it by its number

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(100))
    """Which system it is for, as staff call it."""
    digest: Mapped[bytes] = mapped_column(Digest, unique=True)
    """SHA-256 of the secret."""
    scopes: Mapped[list[str]] = mapped_column(JSON)
    """Sorted; see programs.Scope."""
    list_id: Mapped[int | None] = mapped_column(ForeignKey("lists.id"))
    """The only list that it is good for; none: all of them."""
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    created_by: Mapped[str] = mapped_column(String(200))
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime)
    used_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    """When it was last used, to the hour."""
    revoked_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    revoked_by: Mapped[str | None] = mapped_column(String(200))


class AuditEntry(Base):
    """Who did, or looked at, what. Append-only: triggers refuse a change, and a deletion before its time."""

    __tablename__ = "audit"
    __table_args__ = (
        Index("ix_audit_at", "at", "id"),
        Index("ix_audit_account_id", "account_id", "id"),
        Index("ix_audit_about", "about", "id"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    account_id: Mapped[int | None]
    """None: a command on the machine, another system by its token, or a sign-in with an unknown address."""
    who: Mapped[str] = mapped_column(String(200))
    """The account's name at that time, another system's name and number, or what the command line knows of its
    caller."""
    act: Mapped[str] = mapped_column(String(64))
    """A static name: `sign_in`, `sign_in_refused`, `person_seen`, `bulletin_sent` …"""
    about: Mapped[str] = mapped_column(String(200))
    """What it was about, as kind and number: `person 12`, `bulletin 3`; never an address. Empty: nothing."""
    detail: Mapped[dict[str, Any]] = mapped_column(JSON)
    """What else is worth knowing; no address, token or password."""
    client: Mapped[str] = mapped_column(String(64))
