"""Incoming mail at home: with MAILINGLIST_INBOUND_BIND=auto, `run` also listens for what is answered in the catcher.

It chooses a free port on loopback, and its roles get that as MAILINGLIST_INBOUND_BIND. Commands in another terminal
find it by a signpost in the data directory, so that `doctor`, and a bulletin that a command sends, know it as well. The
signpost counts only while `run` holds it, so one that a `kill -9` left behind leads nobody astray.

Not where a mail server is set: mail to real addresses would promise answers that nothing brings here.
"""

from __future__ import annotations

import fcntl
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import SettingsError
from ..settings import AUTO, PREFIX, HostPort, Settings

_LOOPBACK = "127.0.0.1"


def wanted(settings: Settings) -> bool:
    """Whether `run` opens a listener of its own. Raises SettingsError where mail goes to a mail server."""
    if settings.inbound_bind == AUTO and not settings.uses_catcher:
        raise SettingsError(f"{PREFIX}INBOUND_BIND: auto is for the mail catcher: name the address to listen on.")
    return settings.inbound_bind == AUTO


@contextmanager
def opened(settings: Settings) -> Iterator[Settings]:
    """These settings, with a free address for the listener where one is `wanted`; `found` knows it for as long."""
    if not wanted(settings):
        yield settings
        return
    bind = HostPort(_LOOPBACK, _free_port())
    signpost = _signpost(settings.data_dir)
    with signpost.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        held.write(str(bind))
        held.flush()
        try:
            yield settings.model_copy(update={"inbound_bind": str(bind)})
        finally:
            signpost.unlink(missing_ok=True)


def found(settings: Settings) -> Settings:
    """These settings, with the address of the listener where `run` keeps one on this data directory now."""
    silent = settings.uses_catcher and settings.inbound_bind in (None, AUTO) and not settings.takes_mail
    bind = _read(settings.data_dir) if silent else None
    return settings.model_copy(update={"inbound_bind": bind}) if bind else settings


def _read(data_dir: Path) -> str | None:
    try:
        with _signpost(data_dir).open() as signpost:
            try:
                fcntl.flock(signpost, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return signpost.read().strip() or None
    except OSError:
        pass
    return None


def _free_port() -> int:
    """A port that nobody listens at now. Whoever opens it next may still be beaten to it, and tries again."""
    with socket.create_server((_LOOPBACK, 0)) as chosen:
        port: int = chosen.getsockname()[1]
    return port


def _signpost(data_dir: Path) -> Path:
    return data_dir / "run.inbound"
