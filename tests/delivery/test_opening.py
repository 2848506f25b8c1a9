"""Greeting, TLS and signing in, over real sockets and real certificates."""

from __future__ import annotations

import socket
from collections.abc import Callable

import pytest
from aiosmtpd.smtp import AuthResult, LoginPassword
from posting import Posting, parcel, post, relay

from mailinglist.delivery.offers import Offers
from mailinglist.delivery.opening import Ask, Opening, Secure, Unusable
from mailinglist.delivery.parcels import Outcome, Timeouts
from mailinglist.settings import Relay, Tls
from mailservers import ALL, Answer, Authority, MailServer, Moment, aiosmtpd_server, authority, says


@pytest.fixture(scope="session")
def ca(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return authority(tmp_path_factory.mktemp("ca"))


def nothing_went(posting: Posting, server: MailServer, *words: str) -> None:
    """The parcels came back, the reason is said, and no envelope was sent."""
    assert set(posting.outcomes) == {Outcome.UNSENT}
    for word in words:
        assert word in posting.results[0].text
    assert "MAIL" not in server.verbs()


# ── TLS ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("split", [False, True], ids=["at-once", "by-octets"])
@pytest.mark.parametrize("offers", [ALL, ("SIZE 9000000",)], ids=["pipelining", "no-pipelining"])
@pytest.mark.parametrize("tls", ["required", "implicit", "if-offered"])
def test_mail_under_tls(tls: Tls, offers: tuple[str, ...], split: bool, ca: Authority) -> None:
    with MailServer(tls=ca.server, implicit=tls == "implicit", offers=offers, split=split) as server:
        posting = post(12, relay(server.port, tls), connections=2, tls=ca.trusting)
    assert posting.outcomes == {Outcome.ACCEPTED: 12}
    assert len(server.stored) == 12
    assert server.violations == []
    verbs = server.verbs()
    if tls != "implicit":
        assert verbs[:3] == ["EHLO", "STARTTLS", "EHLO"], "what was offered in the clear is forgotten (RFC 3207 §4.2)"


def test_a_large_content_under_tls(ca: Authority) -> None:
    """Writes that block, of records that OpenSSL wants repeated as they were."""
    content = b"Subject: large\r\n\r\n" + (b"x" * 76 + b"\r\n") * 60_000
    with MailServer(tls=ca.server, implicit=True, offers=("PIPELINING",)) as server:
        posting = post([parcel(key, content) for key in range(3)], relay(server.port, "implicit"), tls=ca.trusting)
    assert posting.outcomes == {Outcome.ACCEPTED: 3}
    assert all(each.content == content for each in server.stored)


def test_aiosmtpd_under_starttls_with_a_password(ca: Authority) -> None:
    class Inbox:
        kept = 0

        async def handle_DATA(self, *_: object) -> str:
            self.kept += 1
            return "250 2.0.0 kept"

    def check(server: object, session: object, envelope: object, mechanism: str, data: LoginPassword) -> AuthResult:
        return AuthResult(success=(data.login, data.password) == (b"user", b"s3cret"))

    inbox = Inbox()
    options = {"tls_context": ca.server, "require_starttls": True, "authenticator": check, "auth_required": True}
    with aiosmtpd_server(inbox, hostname="mail.example", **options) as port:
        posting = post(3, relay(port, "required", user="user", password="s3cret"), tls=ca.trusting)
    assert posting.outcomes == {Outcome.ACCEPTED: 3}
    assert inbox.kept == 3


@pytest.mark.parametrize("tls", ["required", "implicit"])
def test_a_certificate_nobody_vouches_for_is_not_believed(tls: Tls, ca: Authority) -> None:
    with MailServer(tls=ca.server, implicit=tls == "implicit") as server:
        posting = post(1, relay(server.port, tls))
    nothing_went(posting, server, "can't prove that it is 127.0.0.1")


def test_a_certificate_for_another_name_is_not_believed(ca: Authority) -> None:
    with MailServer(tls=ca.stranger) as server:
        nothing_went(
            post(1, relay(server.port, "required"), tls=ca.trusting), server, "can't prove that it is 127.0.0.1"
        )


def test_required_tls_that_is_not_offered() -> None:
    with MailServer() as server:
        nothing_went(post(1, relay(server.port, "required")), server, "offers no STARTTLS")


def test_no_tls_where_none_is_wanted(ca: Authority) -> None:
    with MailServer(tls=ca.server) as server:
        assert post(1, relay(server.port, "none")).outcomes == {Outcome.ACCEPTED: 1}
    assert "STARTTLS" not in server.verbs()


@pytest.mark.parametrize(("tls", "outcome"), [("if-offered", Outcome.ACCEPTED), ("required", Outcome.UNSENT)])
def test_starttls_refused(tls: Tls, outcome: Outcome, ca: Authority) -> None:
    def refuse(moment: Moment) -> Answer | None:
        return says("454 4.7.0 TLS not available") if moment.at == "STARTTLS" else None

    with MailServer(refuse, tls=ca.server) as server:
        assert post(1, relay(server.port, tls), tls=ca.trusting).outcomes == {outcome: 1}


@pytest.mark.parametrize("tls", ["required", "if-offered"])
def test_words_put_in_behind_starttls_are_not_believed(tls: Tls, ca: Authority) -> None:
    """CVE-2011-0411."""

    def inject(moment: Moment) -> Answer | None:
        return Answer(b"220 go\r\n250-evil\r\n250 AUTH PLAIN\r\n") if moment.at == "STARTTLS" else None

    with MailServer(inject, tls=ca.server) as server:
        posting = post(1, relay(server.port, tls, user="user", password="s3cret"), tls=ca.trusting)
    nothing_went(posting, server, "more than it was asked")
    assert "AUTH" not in server.verbs()


@pytest.mark.parametrize(
    ("flags", "words"),
    [(0, "can't agree on TLS"), (socket.MSG_PEEK, "broke the connection off")],
    ids=["closed", "reset"],
)
def test_a_handshake_that_fails(flags: int, words: str, ca: Authority) -> None:
    """A server that closes when the ClientHello has come: where that lies unread, the close is a reset."""

    def give_up(moment: Moment) -> Answer | None:
        if moment.at != "STARTTLS":
            return None
        return Answer(b"220 go\r\n", drop=True, after=lambda sock: sock.recv(1 << 16, flags))

    with MailServer(give_up, tls=ca.server) as server:
        nothing_went(post(1, relay(server.port, "if-offered")), server, words, "?starttls=never")
    with MailServer(give_up, tls=ca.server) as server:
        posting = post(1, relay(server.port, "required"))
        nothing_went(posting, server, words)
    assert "never" not in posting.results[0].text, "who requires TLS isn't told to go without"


# ── signing in ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("offers", [ALL, (*ALL, "LOGIN-ONLY")], ids=["PLAIN", "LOGIN"])
def test_signing_in(offers: tuple[str, ...], ca: Authority) -> None:
    with MailServer(tls=ca.server, users={"päivi": "s3cret ä"}, offers=offers) as server:
        posting = post(2, relay(server.port, "required", user="päivi", password="s3cret ä"), tls=ca.trusting)
    assert posting.outcomes == {Outcome.ACCEPTED: 2}
    [spoken] = [line.split()[1] for line in server.lines if line.startswith("AUTH")]
    assert spoken == ("LOGIN" if "LOGIN-ONLY" in offers else "PLAIN")


def test_a_password_goes_to_this_machine_without_tls() -> None:
    with MailServer(users={"user": "s3cret"}) as server:
        assert post(2, relay(server.port, user="user", password="s3cret")).outcomes == {Outcome.ACCEPTED: 2}


def test_a_wrong_password_is_the_operators_concern_and_is_not_shown() -> None:
    with MailServer(users={"user": "s3cret"}) as server:
        posting = post(2, relay(server.port, user="user", password="wrong-s3cret"))
    nothing_went(posting, server, "refuses the sign-in: 535 Not you")
    assert "s3cret" not in posting.results[0].text


def test_no_way_to_sign_in() -> None:
    with MailServer() as server:
        nothing_went(post(1, relay(server.port, user="user", password="x")), server, "no way to sign in")


# ── the dialogue itself: what a server on another machine is told ───────────────────────────────────────────────────


def opening(tls: Tls, *, user: str | None = "user", loopback: bool = False) -> Opening:
    relay = Relay("mail.example", 25, tls, user, "s3cret")
    return Opening(relay, "client.example", Timeouts(), loopback=loopback)


@pytest.mark.parametrize("tls", ["none", "if-offered"])
def test_a_password_never_goes_in_the_clear(tls: Tls) -> None:
    """RFC 4954 §4."""
    talk = opening(tls)
    talk.receive(b"220 hello\r\n")
    with pytest.raises(Unusable, match="not sent in the clear"):
        talk.receive(b"250-mail.example\r\n250 AUTH PLAIN LOGIN\r\n")
    assert b"AUTH" not in talk.outgoing


@pytest.mark.parametrize(
    ("tls", "user", "loopback", "verify"),
    [
        ("required", None, False, True),
        ("required", None, True, True),
        ("if-offered", None, False, False),
        ("if-offered", "user", False, True),
        ("if-offered", "user", True, False),
    ],
)
def test_whose_certificate_is_verified(tls: Tls, user: str | None, loopback: bool, verify: bool) -> None:
    talk = opening(tls, user=user, loopback=loopback)
    talk.receive(b"220 hello\r\n")
    talk.receive(b"250-mail.example\r\n250 STARTTLS\r\n")
    talk.receive(b"220 go\r\n")
    assert talk.step == Secure(verify=verify)


def test_implicit_tls_is_verified_before_anything_is_said() -> None:
    talk = opening("implicit")
    assert talk.step == Secure(verify=True)
    assert talk.outgoing == b""


def test_what_was_offered_in_the_clear_is_forgotten() -> None:
    talk = opening("required", user=None)
    talk.receive(b"220 hello\r\n")
    talk.receive(b"250-mail.example\r\n250-PIPELINING\r\n250 STARTTLS\r\n")
    talk.receive(b"220 go\r\n")
    talk.secured()
    talk.receive(b"250 mail.example\r\n")
    assert talk.offers == Offers()


def test_each_question_has_its_limit() -> None:
    talk = opening("none", user=None)
    assert talk.step == Ask(b"", 300.0, "a greeting")
    talk.receive(b"220-hello\r\n")
    assert talk.step == Ask(b"", 300.0, "a greeting")


def _send(*lines: bytes) -> Callable[[Opening], None]:
    def run(talk: Opening) -> None:
        for line in lines:
            talk.receive(line)

    return run


@pytest.mark.parametrize(
    ("run", "words"),
    [
        (_send(b"554 go away\r\n"), "greets with 554 go away"),
        (_send(b"421 busy\r\n"), "greets with 421 busy"),
        (_send(b"SSH-2.0-OpenSSH\r\n"), "can't be understood"),
        (_send(b"220 hello\r\n250 hello\r\n"), "more than it was asked"),
        (_send(b"220 hello\r\n250-he"), "more than it was asked"),
        (_send(b"220 hello\r\n", b"421 busy\r\n"), "answers EHLO with 421 busy"),
        (_send(b"220 hello\r\n", b"502 what\r\n", b"550 no\r\n"), "answers EHLO with 550 no"),
    ],
)
def test_servers_that_are_of_no_use(run: Callable[[Opening], None], words: str) -> None:
    with pytest.raises(Unusable, match=words):
        run(opening("none", user=None))
