"""A real relay: bulletins go out through Postfix, and what it reports comes back by LMTP to the listener.

Debian's Postfix, with a configuration and a queue of the test's own, on loopback. Its master process starts as root
only, and gives that up for each daemon: so the test needs root, and says so where it is not.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import smtplib
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select

import commanding
import servers
from catching import Caught
from coming_back import begun
from listening import listening
from mailinglist import db
from mailinglist.consent.tables import Person
from mailinglist.delivery import post
from mailinglist.delivery.tables import Bounce, Handoff
from mailinglist.inbound import handle
from mailinglist.inbound.tables import Spooled
from mailinglist.settings import Settings
from making import person

DOMAIN = "lists.example.fi"
_MASTER = """\
{port} inet n - n - - smtpd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 1 1 qmgr
rewrite unix - - n - - trivial-rewrite
proxymap unix - - n - - proxymap
verify unix - - n - 1 verify
tlsmgr unix - - n 1000? 1 tlsmgr
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
smtp unix - - n - - smtp
lmtp unix - - n - - lmtp
error unix - - n - - error
retry unix - - n - - error
anvil unix - - n - 1 anvil
postlog unix-dgram n - n - 1 postlogd
# As in docs/operating.md, but for the user and the path.
mailinglist unix - n n - 2 pipe
  flags=R user=nobody argv={folder}/deliver --sender ${{sender}} --recipient ${{original_recipient}}
"""
_MAIN = """\
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
maillog_file_prefixes = {folder}
maillog_file = {folder}/log
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = relay.example.fi
mydestination =
local_recipient_maps =
alias_maps =
alias_database =
smtputf8_enable = yes
mynetworks = 127.0.0.0/8
relayhost = [127.0.0.1]:{sink}
relay_domains = {domain}
relay_recipient_maps = regexp:{folder}/etc/recipients
transport_maps = inline:{{ {{ {domain} = {transport} }} }}
mailinglist_destination_recipient_limit = 1
smtp_tls_security_level = none
queue_run_delay = 1s
minimal_backoff_time = 1s
maximal_backoff_time = 1s
"""
# As in docs/operating.md.
_RECIPIENTS = """\
/^[bc]-[a-z2-7]+@lists\\.example\\.fi$/ ok
/-(join|leave|owner)@lists\\.example\\.fi$/ ok
/^(postmaster|abuse|complaints)@lists\\.example\\.fi$/ ok
"""


@contextmanager
def postfix(*, port: int, sink: int, listener: int = 0, deliver: str = "") -> Iterator[None]:
    """A running Postfix: what comes to `port` goes to `sink`, and for our domain to `listener`, or to the script
    `deliver`."""
    if (program := shutil.which("postfix", path="/usr/sbin:/usr/bin")) is None:
        pytest.skip("no Postfix: apt install postfix")
    if os.geteuid() != 0:
        pytest.skip("Postfix's master process starts as root only")
    folder = Path(tempfile.mkdtemp(prefix="mlpf-", dir="/tmp"))  # the paths of sockets are short
    for inside in ("etc", "queue", "data"):
        (folder / inside).mkdir()
    (folder / "etc" / "master.cf").write_text(_MASTER.format(port=f"127.0.0.1:{port}", folder=folder))
    transport = "mailinglist" if deliver else f"lmtp:inet:127.0.0.1:{listener}"
    (folder / "etc" / "main.cf").write_text(_MAIN.format(folder=folder, sink=sink, transport=transport, domain=DOMAIN))
    (folder / "etc" / "recipients").write_text(_RECIPIENTS)
    # Daemons that have given up root must get through, whatever the umask of who runs this.
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    shutil.chown(folder / "data", "postfix")
    if deliver:
        (folder / "deliver").write_text(deliver)
        (folder / "deliver").chmod(0o755)
    environment = {**os.environ, "MAIL_CONFIG": str(folder / "etc")}
    quiet: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    checked = subprocess.run(
        [program, "-c", str(folder / "etc"), "check"], env=environment, stdin=subprocess.DEVNULL, timeout=30,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if checked.returncode:
        pytest.skip(f"Postfix refuses to start on this machine: {' '.join(checked.stderr.split())}")
    daemons = subprocess.run(
        ["/usr/sbin/postconf", "-c", str(folder / "etc"), "-h", "daemon_directory"], env=environment, check=True,
        capture_output=True, text=True,
    ).stdout.strip()  # fmt: skip
    master = subprocess.Popen(
        [f"{daemons}/master", "-c", str(folder / "etc"), "-d"], env=environment, start_new_session=True,
        preexec_fn=servers.die_with_parent, **quiet,
    )  # fmt: skip
    try:
        servers.wait_for(lambda: servers.listens(port) or master.poll() is not None)
        if master.poll() is not None:
            log = folder / "log"
            pytest.skip(f"Postfix's master ends at once on this machine: {log.read_text() if log.exists() else ''}")
        yield
    finally:
        if master.poll() is None:
            os.killpg(master.pid, signal.SIGTERM)
            master.wait(10)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def relay() -> int:
    return servers.free_port()


@pytest.fixture
def extra_settings(relay: int) -> dict[str, str]:
    return {
        "smtp_url": f"smtp://127.0.0.1:{relay}?starttls=never", "base_url": f"https://{DOMAIN}",
        "bounce_domain": DOMAIN, "mail_from": f"Tector <tiedote@{DOMAIN}>", "inbound_bind": "127.0.0.1:0",
    }  # fmt: skip


@pytest.mark.parametrize("databases", ["sqlite"], indirect=True)
def test_what_postfix_reports_ends_in_the_right_verdict(app: Flask, relay: int, caught: Caught) -> None:
    caught.answers |= {
        "unknown@example.net": "550 5.1.1 <unknown@example.net>: Recipient address rejected: User unknown",
        "full@example.net": "552 5.2.2 <full@example.net>: Mailbox is full",
        "grey@example.net": "450 4.2.0 <grey@example.net>: Recipient address rejected: Greylisted",
    }
    with listening(app) as here, postfix(port=relay, sink=caught.port, listener=here.port):
        with db.transaction() as session:
            for name in ("unknown", "full", "grey", "well"):
                person(session, f"{name}@example.net", now=db.utcnow())
            begun(session, now=db.utcnow())
        post.bulletins(stop=lambda: False)
        with db.reading() as session:
            settled = session.scalars(select(Handoff.state).where(Handoff.kind == "bulletin")).all()
        assert settled == ["accepted"] * 4, "the relay takes them all, and finds out later"

        def came() -> int:
            with db.reading() as session:
                return len(session.scalars(select(Spooled.id)).all())

        servers.wait_for(lambda: came() == 2, seconds=60)
        del caught.answers["grey@example.net"]
        servers.wait_for(lambda: caught.to("grey@example.net"), seconds=60)
        assert handle.handle(stop=lambda: False) == 2
    assert [message["Subject"] for message in caught.to("well@example.net")] == ["Hei"]
    with db.reading() as session:
        noted = session.execute(
            select(Person.mailbox, Bounce.verdict, Bounce.status, Bounce.origin)
            .join(Person, Person.id == Bounce.person_id)
            .order_by(Person.mailbox)
        ).all()
        kept = session.execute(select(Spooled.via, Spooled.sender, Spooled.kind, Spooled.outcome)).all()
    assert [tuple(row) for row in noted] == [
        ("full@example.net", "mailbox", "5.2.2", "report"), ("unknown@example.net", "dead", "5.1.1", "report"),
    ]  # fmt: skip
    assert [tuple(row) for row in kept] == [("lmtp", "", "bounce", "noted")] * 2


def python_of_nobody() -> tuple[str, str]:
    """A Python that somebody without rights can start, and its PYTHONPATH: where this one lies in a home of root's, the
    system's, if it is of the same version."""
    path = os.pathsep.join((str(commanding.ROOT), sysconfig.get_path("purelib")))
    for python in (sys.executable, f"/usr/bin/python3.{sys.version_info.minor}"):
        with contextlib.suppress(OSError):
            tried = subprocess.run(
                [python, "-c", "import mailinglist.app"], env={"PYTHONPATH": path}, cwd="/", user="nobody",
                group="nogroup", extra_groups=[], capture_output=True, check=False,
            )  # fmt: skip
            if tried.returncode == 0:
                return python, path
    pytest.skip("the user nobody can't read this checkout, or finds no Python for it")


@pytest.mark.parametrize("databases", ["postgresql"], indirect=True)
def test_postfix_hands_mail_to_the_pipe(app: Flask, settings: Settings, relay: int, caught: Caught) -> None:
    if os.geteuid() != 0:
        pytest.skip("Postfix's master process starts as root only")
    python, path = python_of_nobody()
    folder = Path(tempfile.mkdtemp(prefix="mlpd-", dir="/tmp"))
    shutil.chown(folder, "nobody")
    environment = settings.environment() | {"MAILINGLIST_DATA_DIR": str(folder), "PYTHONPATH": path}
    exports = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in environment.items())
    script = f'#!/bin/sh\n{exports}exec {python} -m mailinglist inbound deliver "$@"\n'
    owner, forged = f"tector-tiedottaa-owner@{DOMAIN}", f"b-{'a' * 26}@{DOMAIN}"
    mail = "From: Matti <matti@example.fi>\r\nTo: {}\r\nSubject: moi\r\n\r\nMoi!\r\n.alku\r\n"
    try:
        with postfix(port=relay, sink=caught.port, deliver=script):
            with smtplib.SMTP("127.0.0.1", relay) as client:
                for to in (owner, forged):
                    client.sendmail("matti@example.fi", [to], mail.format(to))
            servers.wait_for(lambda: caught.to("matti@example.fi"), seconds=30)

            def kept() -> list[tuple[object, ...]]:
                with db.reading() as session:
                    found = session.execute(select(Spooled.recipient, Spooled.sender, Spooled.via, Spooled.raw)).all()
                return [tuple(row) for row in found]

            servers.wait_for(lambda: kept(), seconds=30)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    [(recipient, sender, via, raw)] = kept()
    assert (recipient, sender, via) == (owner, "matti@example.fi", "pipe")
    assert isinstance(raw, bytes)
    assert raw.startswith(b"Return-Path: <matti@example.fi>\r\n")
    assert raw.endswith(b"\r\n\r\nMoi!\r\n.alku\r\n")
    [bounce] = caught.to("matti@example.fi")
    assert "no address of ours" in bounce.as_string(), "what is nobody's comes back to its sender, with our words"
