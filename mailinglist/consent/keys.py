"""The register's keys: keyed digests of addresses and of names, and the MAC of chain heads.

They come from the ban key by HKDF (RFC 5869), each with a label of its own. The ban key can't be exchanged: the
digests of people whose address is no longer known can't be made again (REQUIREMENTS 2.5).
"""

from __future__ import annotations

import hashlib
import hmac

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from ..errors import RegisterUnsound
from .tables import Ban, ChainHead, KeyCheck

_INFO = "keys"
_BAN, _HOLD = "ban", "hold"
_REPLAYING = "mailinglist_replaying"


class Keys:
    """Keyed digests. Hold one per process; in `session.info["keys"]`."""

    def __init__(self, ban_secret: bytes) -> None:
        self._ban = _derive(ban_secret, b"mailinglist ban")
        self._name = _derive(ban_secret, b"mailinglist ban name")
        self._ledger = _derive(ban_secret, b"mailinglist ledger head")
        self._issues = _derive(ban_secret, b"mailinglist frozen issue")
        self._journal = _derive(ban_secret, b"mailinglist journal")
        self._backup = _derive(ban_secret, b"mailinglist backup")
        self._file = _derive(ban_secret, b"mailinglist file of people")
        self._named = _derive(ban_secret, b"mailinglist name kept with a ban")
        self._source = _derive(ban_secret, b"mailinglist source of a ban")
        self.check = hmac.digest(_derive(ban_secret, b"mailinglist key check"), b"check", "sha256")

    def digest(self, address: str) -> bytes:
        """The keyed digest of an address: HMAC of its SHA-256, so that lists of SHA-256 can be taken in as bans."""
        return self.digest_of_sha256(hashlib.sha256(address.encode()).digest())

    def digest_of_sha256(self, sha256: bytes) -> bytes:
        """The keyed digest of an address of which only the SHA-256 is known."""
        return hmac.digest(self._ban, sha256, "sha256")

    def name_digest(self, key: str) -> bytes:
        """The keyed digest of a name, by what it is compared by (`names.key`). With a key of its own, so that what is
        typed as a name never has the digest of an address."""
        return hmac.digest(self._name, key.encode(), "sha256")

    def source(self, words: str) -> bytes:
        """What a ledger entry names of the words that say who gave a ban: they may name a person, and be erased."""
        return hmac.digest(self._source, words.encode(), "sha256")

    def name_kept(self, subject: bytes, name_digest: bytes) -> bytes:
        """What a ledger entry names of the name that is kept with a ban on this address: for each address another, so
        that entries don't tell who bore the same name, also once the ban is lifted and the name gone."""
        return hmac.digest(self._named, subject + name_digest, "sha256")

    def file(self, sha256: bytes) -> bytes:
        """What evidence names of a file that was taken in: of one with few people in it, or of what a program hands
        over, a plain digest would let anybody try who is in it, also once they are erased."""
        return hmac.digest(self._file, sha256, "sha256")

    def seal(self, content: bytes) -> bytes:
        """A MAC of a frozen issue: who can write the database but has no key can't make another that fits."""
        return hmac.digest(self._issues, content, "sha256")

    def journal_mac(self, content: bytes) -> bytes:
        """The MAC of a line of the journal, or of its head."""
        return hmac.digest(self._journal, content, "sha256")

    def backup_mac(self, content: bytes) -> bytes:
        """The MAC of a backup's manifest: who can write where backups lie but has no key can't make one that fits."""
        return hmac.digest(self._backup, content, "sha256")

    def head_mac(self, chain: bytes, count: int, last_hash: bytes) -> bytes:
        """The MAC of a chain's head."""
        return hmac.digest(self._ledger, chain + count.to_bytes(8, "big") + last_hash, "sha256")


def _derive(secret: bytes, label: bytes) -> bytes:
    return HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=label).derive(secret)


def keys_of(session: Session) -> Keys:
    """The keys that the session carries."""
    keys: Keys = session.info[_INFO]
    return keys


def remember(session: Session) -> None:
    """Write down the check value of the present ban key, once, while the register is still empty.

    Raises RegisterUnsound when the register already rests on another key.
    """
    known = session.get(KeyCheck, _BAN)
    if known is None:
        # A register that has bans or chains but no check value has been tampered with: adopting a key would hide it.
        if session.scalar(select(Ban.id).limit(1)) or session.scalar(select(ChainHead.count).limit(1)):
            raise RegisterUnsound("The check value of the ban key is gone from the register.")
        session.add(KeyCheck(name=_BAN, value=keys_of(session).check))
        session.flush()
    assert_key(session)


def assert_key(session: Session) -> None:
    """Raise RegisterUnsound unless the ban key is the one that the register rests on."""
    _assert_key(session, session.scalar(select(KeyCheck.value).where(KeyCheck.name == _BAN)))


def assert_sound(session: Session) -> None:
    """Raise RegisterUnsound unless the ban key is the one that the register rests on, and every opt-out that is known
    of is in it. Every sending begins with this."""
    values = dict(session.execute(select(KeyCheck.name, KeyCheck.value).where(KeyCheck.name.in_((_BAN, _HOLD)))).all())
    _assert_key(session, values.get(_BAN))
    if _HOLD in values and not session.info.get(_REPLAYING):
        raise RegisterUnsound(
            "This database comes from a backup, and the opt-outs given since are not in it yet: nothing is sent. "
            "Run: mailinglist restore --replay"
        )


def _assert_key(session: Session, value: bytes | None) -> None:
    if value is None or not hmac.compare_digest(value, keys_of(session).check):
        raise RegisterUnsound(
            "MAILINGLIST_BAN_KEY is not the key that this register was made with, "
            "so bans can't be read: nothing is sent."
        )


# ── a register that came out of a backup ──────────────────────────────────────────────────────────────────────────────


def hold(session: Session) -> None:
    """From now on the register is unsound for everybody but `replaying`: opt-outs may be missing from it."""
    if not held(session):
        session.add(KeyCheck(name=_HOLD, value=keys_of(session).check))
        session.flush()


def held(session: Session) -> bool:
    """Whether opt-outs may be missing from the register."""
    return session.get(KeyCheck, _HOLD) is not None


def replaying(session: Session) -> None:
    """This session is the one that enters the missing opt-outs: for it the register may be written to."""
    session.info[_REPLAYING] = True


def release(session: Session) -> None:
    """Every opt-out that is known of is in the register."""
    session.execute(delete(KeyCheck).where(KeyCheck.name == _HOLD))
