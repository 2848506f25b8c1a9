"""`mailinglist run`, whole, as a program of its own: the real roles on free ports, in a data directory of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

from keeping import ROOT, alive
from servers import free_port, wait_for

ROLES = {"broker", "catcher", "web", "worker", "scheduler"}


class Run:
    """One `run` after another on the same data directory and ports."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.data_dir = folder / "var"
        web, smtp, self.viewer_port = free_port(), free_port(), free_port()
        self.web = f"http://127.0.0.1:{web}"
        self.viewer = f"http://127.0.0.1:{self.viewer_port}"
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("MAILINGLIST_")},
            "PYTHONPATH": str(ROOT),
            "MAILINGLIST_DATA_DIR": str(self.data_dir),
            "MAILINGLIST_BIND": f"127.0.0.1:{web}",
            "MAILINGLIST_BASE_URL": self.web,
            "MAILINGLIST_CATCHER_BIND": f"127.0.0.1:{smtp},127.0.0.1:{self.viewer_port}",
            **settings,
        }
        self.process: subprocess.Popen[str] | None = None
        self.printed: list[str] = []
        self.lines = 5 if settings.get("MAILINGLIST_INBOUND_BIND", "auto") != "auto" else 4
        """How many lines it prints: the last is the first sign-in's link, while nobody has set up an account."""

    def start(self) -> None:
        """Start, and wait for its last line."""
        self.process = self.call(wait=False)
        assert self.process.stdout is not None
        self.printed = [self.process.stdout.readline() for _ in range(self.lines)]

    def call(self, *, wait: bool = True, **changed: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "mailinglist", "run"], cwd=self.data_dir.parent, env=self.environment | changed,
            text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        if wait:
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:  # it must not stay, and take over when the first one ends
                process.kill()
                raise
        return process

    def below(self) -> dict[str, int]:
        """The children by what they are, with their process ids."""
        assert self.process is not None
        return {_role(pid): pid for pid in children(self.process.pid)}

    def everybody(self) -> list[int]:
        """Process ids of the supervisor and of all below it, however deep."""
        assert self.process is not None
        found, fresh = [self.process.pid], [self.process.pid]
        while fresh:
            fresh = [child for parent in fresh for child in children(parent)]
            found += fresh
        return found

    def stop(self) -> None:
        """Ctrl-C: exit code 0, the promised last word, and nobody left."""
        assert self.process is not None
        everybody = self.everybody()
        assert len(everybody) > len(ROLES)
        self.process.send_signal(signal.SIGINT)
        _, errors = self.process.communicate(timeout=40)
        assert (self.process.returncode, errors.splitlines()[-1]) == (0, "Stopping. Ctrl-C again hurries.")
        assert not any(map(alive, everybody))

    def join(self, address: str) -> None:
        """Sign up by the form, and wait for the letter."""
        form = urllib.parse.urlencode({"email": address, "website": ""}).encode()
        answer = urllib.request.urlopen(f"{self.web}/lists/tector-tiedottaa", form, timeout=5)
        assert answer.status == 200  # the check-your-mail page, where the 303 leads
        wait_for(lambda: [address] in self.caught())

    def caught(self) -> list[list[str]]:
        """To whom the caught mails go, newest first."""
        return [mail["to"] for mail in json.loads(get(f"{self.viewer}/messages")[1])]

    def messages(self) -> list[dict[str, Any]]:
        """The caught mails, newest first."""
        found: list[dict[str, Any]] = json.loads(get(f"{self.viewer}/messages?limit=10000")[1])
        return found

    def fields(self, number: int) -> dict[str, str]:
        """The header of a caught mail; of a field that is there twice, the last."""
        return dict(json.loads(get(f"{self.viewer}/messages/{number}")[1])["headers"])

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        """A command of the program on the same data."""
        return subprocess.run(
            [sys.executable, "-m", "mailinglist", *words], cwd=self.data_dir.parent, env=self.environment, text=True,
            capture_output=True, check=False, timeout=60,
        )  # fmt: skip

    def end(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.communicate()


def children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def _role(pid: int) -> str:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
    except OSError:
        return ""
    return (
        "broker"
        if "valkey-server" in words[0]
        else words[words.index("mailinglist") + 1]
        if "mailinglist" in words
        else ""
    )


def get(url: str) -> tuple[int, bytes]:
    with urllib.request.urlopen(url, timeout=5) as answer:
        return answer.status, answer.read()
