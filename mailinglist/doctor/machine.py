"""Settings that do not go together, and the data directory."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from ..settings import PREFIX, Settings, is_loopback
from .findings import Finding, Level

_LITTLE_ROOM = 500 * 2**20


def check_settings(settings: Settings) -> Iterator[Finding]:
    """What each value can't see by itself."""
    public = not _is_local(urlsplit(settings.base_url).hostname or "")
    found = []
    if public and not settings.https:
        found.append((
            f"links begin with {settings.base_url}, so tokens travel in the clear",
            f"put the site behind a proxy with TLS, and set {PREFIX}BASE_URL to https://…",
        ))  # fmt: skip
    if settings.https and settings.trusted_proxies == 0:
        found.append((
            "links begin with https, so there is a proxy, but none is trusted: all visitors look like one client",
            f"set {PREFIX}TRUSTED_PROXIES to the number of proxies (mostly 1)",
        ))  # fmt: skip
    if public and settings.uses_catcher:
        found.append((
            "the pages are public, but mail goes to the built-in catcher and to nobody else",
            f"set {PREFIX}SMTP_URL to the mail server",
        ))  # fmt: skip
    for words, mend in found:
        yield Finding("settings", Level.WARNING, words, mend)
    if not found:
        yield Finding("settings", Level.OK, "they go together")


def check_data_dir(settings: Settings) -> Iterator[Finding]:
    """Writable, with room, and its keys closed to others."""
    folder = settings.data_dir
    if not folder.exists():
        yield Finding("data directory", Level.WARNING, f"{folder} is not there yet", "mailinglist db upgrade makes it")
        return
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        words, mend = f"{folder} can't be written ({error.strerror})", f"give it to this user, or set {PREFIX}DATA_DIR"
        yield Finding("data directory", Level.FAILURE, words, mend)
        return
    free = shutil.disk_usage(folder).free
    if free < _LITTLE_ROOM:
        yield Finding("data directory", Level.WARNING, f"only {free // 2**20} MB are free on its disk", "make room")
    else:
        yield Finding("data directory", Level.OK, f"{folder} can be written")
    for path in _open_to_others(settings):
        words = f"{path} can be read by others on this machine"
        yield Finding("data directory", Level.FAILURE, words, f"chmod go= {path}")


def _open_to_others(settings: Settings) -> Iterator[Path]:
    """What must be its owner's alone: keys, and a database that is a file here. A closed folder closes its content."""
    folder = settings.data_dir
    if not folder.stat().st_mode & 0o007:
        return
    kept = [folder / "keys", *(folder.glob("*.db") if settings.database_url is None else ())]
    for path in kept:
        if path.exists() and path.stat().st_mode & 0o077:
            yield path


def _is_local(host: str) -> bool:
    """Whether a host is this machine, or a name that stands for none."""
    return is_loopback(host) or host.endswith((".localhost", ".localdomain", ".test", ".invalid"))
