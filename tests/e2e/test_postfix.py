"""A real relay: bulletins go out through Postfix, and what it reports comes back by LMTP to the listener.

Debian's Postfix, unchanged, with a configuration and a queue of the test's own, on loopback, started by whoever runs
the test. Its master process insists on being root, so as to give that up for each daemon. Debian's libfakeroot tells
it that it is root, and answers yes to each change of user or owner without making it: so all is done as the one who
runs the test.
"""

from __future__ import annotations

import os
import shlex
import signal
import smtplib
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path

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
# As in docs/operating.md, but for the user, the path, and the shell: some machines start no file that lies in memory.
mailinglist unix - n n - 2 pipe
  flags=R user=nobody argv=/bin/sh {folder}/deliver --sender ${{sender}} --recipient ${{original_recipient}}
"""
# The two accounts are ones that every Debian has, should the package's own be missing.
_MAIN = """\
compatibility_level = 3.6
import_environment = MAIL_CONFIG LANG=C POSTLOG_SERVICE POSTLOG_HOSTNAME LD_PRELOAD
mail_owner = daemon
setgid_group = mail
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
smtp_connection_cache_on_demand = no
queue_run_delay = 1s
minimal_backoff_time = 1s
maximal_backoff_time = 1s
"""
# As in docs/operating.md.
_RECIPIENTS = """\
/^[bc]-[a-z2-7]+@lists\\.example\\.fi$/ ok
/-(join|leave|owner)@lists\\.example\\.fi$/ ok
/^(postmaster|abuse|complaints)@lists\\.example\\.fi$/ ok
/^tiedote@lists\\.example\\.fi$/ ok
"""
_QUEUES = (
    "active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming", "maildrop", "pid", "private",
    "public", "saved", "trace",
)  # fmt: skip
"""What `postfix check` would make; that needs more than these tests: its package's files in /etc, and its accounts."""


def _daemons() -> Path:
    """Where the package's daemons lie."""
    asked = ["/usr/sbin/postconf", "-d", "-h", "daemon_directory"]
    return Path(subprocess.run(asked, check=True, capture_output=True, text=True).stdout.strip())


def _why(environment: Mapping[str, str]) -> str:
    """Postfix's own words when it does not start. It says them to a terminal only, and `script` is one."""
    checked = subprocess.run(
        ["script", "-qec", "/usr/sbin/postfix check", "/dev/null"], env=environment, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    return " ".join(checked.stdout.split()) or "it gives no reason"


@contextmanager
def postfix(*, port: int, sink: int, listener: int = 0, deliver: str = "") -> Iterator[Path]:
    """A running Postfix, and its log: what comes to `port` goes to `sink`, and for our domain to `listener`, or to the
    script `deliver`."""
    if not Path("/usr/sbin/postfix").exists():
        pytest.skip("no Postfix: apt install postfix")
    if (library := next(Path("/usr/lib").glob("*/libfakeroot/libfakeroot-sysv.so"), None)) is None:
        pytest.skip("no libfakeroot, which Postfix needs to start without root: apt install libfakeroot")
    # In /tmp or in memory, not deep in pytest's folder: the paths of sockets are short.
    with tempfile.TemporaryDirectory(prefix="mlpf-", dir=servers.quick_place(), ignore_cleanup_errors=True) as name:
        folder = Path(name)
        for inside in ("etc", "data", *(f"queue/{queue}" for queue in _QUEUES)):
            (folder / inside).mkdir(parents=True)
        transport = "mailinglist" if deliver else f"lmtp:inet:127.0.0.1:{listener}"
        for file, content in {
            "etc/master.cf": _MASTER.format(port=f"127.0.0.1:{port}", folder=folder),
            "etc/main.cf": _MAIN.format(folder=folder, sink=sink, transport=transport, domain=DOMAIN),
            "etc/recipients": _RECIPIENTS,
            "deliver": deliver,
        }.items():
            (folder / file).write_text(content)
            # A file that changed a moment ago is read again and again by each daemon, until it is older: two seconds.
            os.utime(folder / file, (1, 1))
        # The library alone: the command `fakeroot` starts a server besides, which could be left behind.
        environment = {**os.environ, "MAIL_CONFIG": str(folder / "etc"), "LD_PRELOAD": str(library)}
        master = subprocess.Popen(
            [_daemons() / "master", "-c", str(folder / "etc"), "-d"], env=environment,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
            preexec_fn=servers.die_with_parent,
        )  # fmt: skip
        log = folder / "log"
        try:
            servers.wait_for(lambda: servers.listens(port) or master.poll() is not None)
            if master.poll() is not None:
                pytest.skip(f"Postfix refuses to start on this machine: {_why(environment)}")
            yield log
        finally:
            if master.poll() is None:
                os.killpg(master.pid, signal.SIGTERM)
                master.wait(10)
            sys.stdout.write(log.read_text() if log.exists() else "Postfix wrote no log")  # shown when the test fails


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
        for name in ("grey", "well"):
            servers.wait_for(partial(caught.to, f"{name}@example.net"), seconds=60)
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


@pytest.mark.parametrize("databases", ["postgresql"], indirect=True)
def test_postfix_hands_mail_to_the_pipe(app: Flask, settings: Settings, relay: int, caught: Caught) -> None:
    environment = settings.environment() | {"PYTHONPATH": str(commanding.ROOT)}
    exports = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in environment.items())
    script = f'#!/bin/sh\n{exports}exec {sys.executable} -m mailinglist inbound deliver "$@"\n'
    owner, forged = f"tector-tiedottaa-owner@{DOMAIN}", f"b-{'a' * 26}@{DOMAIN}"
    mail = "From: Matti <matti@example.fi>\r\nTo: {}\r\nSubject: moi\r\n\r\nMoi!\r\n.alku\r\n"
    with postfix(port=relay, sink=caught.port, deliver=script) as log:
        with smtplib.SMTP("127.0.0.1", relay) as client:
            for to in (owner, forged):
                client.sendmail("matti@example.fi", [to], mail.format(to))
        servers.wait_for(lambda: caught.to("matti@example.fi"), seconds=60)
        # Not as soon as the mail is kept: then the program still runs.
        servers.wait_for(lambda: "delivered via mailinglist service" in log.read_text(), seconds=60)
    with db.reading() as session:
        kept = session.execute(select(Spooled.recipient, Spooled.sender, Spooled.via, Spooled.raw)).all()
    [(recipient, sender, via, raw)] = kept
    assert (recipient, sender, via) == (owner, "matti@example.fi", "pipe")
    assert isinstance(raw, bytes)
    assert raw.startswith(b"Return-Path: <matti@example.fi>\r\n")
    assert raw.endswith(b"\r\n\r\nMoi!\r\n.alku\r\n")
    [bounce] = caught.to("matti@example.fi")
    assert "no address of ours" in bounce.as_string(), "what is nobody's comes back to its sender, with our words"
