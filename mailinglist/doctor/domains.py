"""What the DNS says of the domains that we send as: SPF (RFC 7208), DKIM (RFC 6376), DMARC (RFC 7489).

Gmail, Yahoo and Microsoft want all three of who sends much, and take no bulk mail without (REQUIREMENTS 4). And which
names and addresses are of the open Internet at all.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from email.utils import parseaddr
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from urllib.parse import urlsplit

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from dns.exception import DNSException
from dns.resolver import NXDOMAIN, NoAnswer, Resolver

from .. import db
from ..consent import lists
from ..settings import PREFIX, DkimKey, Settings
from .findings import Finding, Level, reason

_SECONDS = 4.0
# Names that no public DNS has (RFC 2606, 6761, 6762, 8375, and ICANN's reservation of `internal`).
_NEAR = ("localhost", "localdomain", "local", "internal", "home.arpa", "test", "example", "invalid")
# Addresses in which an IPv4 address is hidden that a gateway would go to (RFC 6052).
_TRANSLATED = ip_network("64:ff9b::/96")


def check(settings: Settings, resolver: Resolver) -> Iterator[Finding]:
    """SPF of the return paths' domain, DKIM of the keys, DMARC of every From."""
    return _check(settings, resolver, _from_domains(settings))


def check_sender(settings: Settings, resolver: Resolver, sender: str) -> Iterator[Finding]:
    """The same for mails with this From only. The database is not asked."""
    return _check(settings, resolver, {domain_of(sender)})


def domain_of(sender: str) -> str:
    """The domain of a From."""
    return parseaddr(sender)[1].rpartition("@")[2].lower()


def is_public(domain: str) -> bool:
    """Whether a domain can be found from everywhere: its end is none of those that are kept for tests and networks of
    one's own."""
    return not f".{domain}".endswith(tuple(f".{each}" for each in _NEAR))


def is_open(address: str) -> bool:
    """Whether an IP address is one of the open Internet."""
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(found, IPv6Address):
        hidden = found.ipv4_mapped or found.sixtofour or (found.teredo and found.teredo[1])
        if found in _TRANSLATED:
            hidden = IPv4Address(int(found) & 0xFFFFFFFF)
        if hidden:
            return is_open(str(hidden))
        if found.is_site_local:
            return False
    return found.is_global and not (found.is_multicast or found.is_reserved or found.is_unspecified)


def is_nearby(address: str) -> bool:
    """Whether an address of the web itself says that it opens only on this machine, or in a network of its own. Asks
    nobody."""
    try:
        host = (urlsplit(address.strip()).hostname or "").rstrip(".").lower()
    except ValueError:
        return False
    try:
        ip_address(host.partition("%")[0])
    except ValueError:
        return bool(host) and ("." not in host or not is_public(host))
    return not is_open(host)


def _check(settings: Settings, resolver: Resolver, senders: set[str]) -> Iterator[Finding]:
    for domain in sorted({settings.return_domain.lower(), *senders}):
        if not is_public(domain):
            words = f"{domain} is no public domain, so nothing can be said of SPF, DKIM and DMARC"
            yield Finding("DNS", Level.WARNING, words, f"set {PREFIX}MAIL_FROM before mail goes to real people")
            return
    try:
        yield _spf(resolver, settings.return_domain.lower())
        for key in settings.dkim_keys:
            yield _dkim(resolver, key)
        yield from _alignment(settings, senders)
        for domain in sorted(senders):
            yield _dmarc(resolver, domain)
    except DNSException as error:
        yield Finding("DNS", Level.WARNING, f"it could not be asked: {reason(error)}", "see /etc/resolv.conf")


def _from_domains(settings: Settings) -> set[str]:
    senders = {settings.mail_from}
    try:
        with db.reading() as session:
            senders.update(lists.settings_of(row).sender or settings.mail_from for row in lists.every(session))
    except Exception:  # noqa: S110 - the database has a finding of its own
        pass
    return {domain_of(sender) for sender in senders}


def _texts(resolver: Resolver, name: str) -> list[str]:
    """The TXT records of a name; none where there is no such name. Raises DNSException."""
    try:
        answer = resolver.resolve(f"{name}.", "TXT", lifetime=_SECONDS)
    except (NXDOMAIN, NoAnswer):
        return []
    return [b"".join(record.strings).decode("utf-8", "replace") for record in answer]


def _spf(resolver: Resolver, domain: str) -> Finding:
    found = [text for text in _texts(resolver, domain) if text.lower().split(" ")[0] == "v=spf1"]
    if not found:
        mend = f"publish at {domain}: v=spf1 …, naming the servers that send for it, -all"
        return Finding("SPF", Level.FAILURE, f"{domain} has no SPF record", mend)
    if len(found) > 1:
        return Finding("SPF", Level.FAILURE, f"{domain} has {len(found)} SPF records, so none counts", "leave one")
    if found[0].lower().split()[-1] in ("+all", "all"):
        return Finding("SPF", Level.WARNING, f"{domain} lets everybody send in its name", "end its record with -all")
    return Finding("SPF", Level.OK, f"{domain}: {found[0]}")


def _dkim(resolver: Resolver, key: DkimKey) -> Finding:
    name = f"{key.selector}._domainkey.{key.domain}"
    ours = _public(key)
    published = [_tags(text).get("p", "").replace(" ", "") for text in _texts(resolver, name)]
    if not published:
        mend = f"publish there: v=DKIM1; {'k=ed25519; ' if len(ours) < 50 else ''}p={ours}"
        return Finding("DKIM", Level.FAILURE, f"{name} has no record", mend)
    if ours not in published:
        mend = f"publish p={ours}, or sign with the key that is published"
        return Finding("DKIM", Level.FAILURE, f"{name} does not hold the key that we sign with", mend)
    return Finding("DKIM", Level.OK, f"{name} holds our key")


def _public(key: DkimKey) -> str:
    """Our public key as a record has it: RSA as SubjectPublicKeyInfo (RFC 6376 §3.6.1), Ed25519 bare (RFC 8463 §4)."""
    private = serialization.load_pem_private_key(key.path.read_bytes(), password=None)
    public = private.public_key()
    if isinstance(public, Ed25519PublicKey):
        return base64.b64encode(public.public_bytes_raw()).decode()
    der = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(der).decode()


def _alignment(settings: Settings, senders: set[str]) -> Iterator[Finding]:
    """DMARC passes by a signature, or an SPF pass, of the From domain's own organisation."""
    signed = {key.domain for key in settings.dkim_keys}
    if not signed:
        words = "mails are not signed here"
        yield Finding("DKIM", Level.WARNING, words, f"set {PREFIX}DKIM, unless the mail server signs")
        return
    for domain in sorted(senders):
        if not any(_related(domain, other) for other in signed):
            words = f"no key signs for {domain}, which is the domain of a From"
            yield Finding("DKIM", Level.WARNING, words, f"add a key of {domain} to {PREFIX}DKIM")


def _related(one: str, other: str) -> bool:
    return one == other or one.endswith(f".{other}") or other.endswith(f".{one}")


def _dmarc(resolver: Resolver, domain: str) -> Finding:
    labels = domain.split(".")
    for start in range(len(labels) - 1):
        at = ".".join(labels[start:])
        for text in _texts(resolver, f"_dmarc.{at}"):
            tags = _tags(text)
            if tags.get("v") == "DMARC1":
                return Finding("DMARC", Level.OK, f"{domain}: p={tags.get('p', 'none')} (at _dmarc.{at})")
    mend = f"publish at _dmarc.{domain}: v=DMARC1; p=none; rua=mailto:…, and tighten it later"
    return Finding("DMARC", Level.FAILURE, f"{domain} has no DMARC record", mend)


def _tags(text: str) -> dict[str, str]:
    pairs = (part.partition("=") for part in text.split(";"))
    return {name.strip().lower(): value.strip() for name, _, value in pairs}
