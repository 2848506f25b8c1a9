"""What the worker makes of the spool: each mail once, none holds up another, and what is for a person reaches one."""

from __future__ import annotations

from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import func, select, update
from sqlalchemy.exc import OperationalError

from catching import Caught, text_of
from coming_back import begun, everybody, mailed
from mailinglist import db
from mailinglist.consent import keys, lists, requests
from mailinglist.consent.tables import Subscription
from mailinglist.delivery import bounces, post
from mailinglist.delivery.tables import Bounce
from mailinglist.errors import RegisterUnsound
from mailinglist.inbound import act, forward, handle, intents, reading, spool
from mailinglist.inbound.tables import Spooled
from making import crowd, leave_token, never, person, the_list
from reporting import DOMAIN, report, return_path
from spooled import OWNER, keep, owned, rows


@pytest.fixture
def extra_settings(caught: Caught) -> dict[str, str]:
    return {
        "smtp_url": caught.url, "base_url": f"https://{DOMAIN}", "bounce_domain": DOMAIN, "inbound_pipe": "true",
        "mail_from": f"Tector tiedottaa <tiedote@{DOMAIN}>",
    }  # fmt: skip


def test_reports_are_noted_together_and_once(app: Flask) -> None:
    with db.transaction() as session:
        crowd(session, 4, now=db.utcnow() - timedelta(days=2))
        mine = mailed(session, begun(session, now=db.utcnow()), everybody(session), now=db.utcnow())
    said = [
        ("5.1.1", "550 5.1.1 User unknown"),
        ("5.2.2", "552 5.2.2 Mailbox full"),
        ("5.7.1", "554 5.7.1 Blocked, see x"),
    ]
    for number, (status, words) in zip(mine, said, strict=False):
        for serial in (1, 2):
            keep(report(return_path(number), status=status, words=words, serial=serial), return_path(number), "")
    keep(report(return_path(mine[3]), action="delayed", status="4.4.1"), return_path(mine[3]), "matti@example.fi")
    keep(report(return_path(999_999)), return_path(999_999), "")
    assert handle.handle(stop=never) == 8
    assert handle.handle(stop=never) == 0
    assert [row.outcome for row in rows()] == [
        bounces.NOTED, bounces.AGAIN, bounces.NOTED, bounces.AGAIN, bounces.NOTED, bounces.AGAIN, "nothing-failed",
        bounces.UNKNOWN,
    ]  # fmt: skip
    assert {(row.kind, row.state, row.sender) for row in rows()} == {("bounce", "handled", "")}
    with db.reading() as session:
        noted = session.execute(select(Bounce.handoff_id, Bounce.verdict).order_by(Bounce.handoff_id)).all()
        assert [tuple(row) for row in noted] == list(zip(mine, ("dead", "mailbox", "sender"), strict=False))
        assert session.scalar(select(func.count()).where(Spooled.raw.is_not(None))) == 0


def test_reports_go_one_by_one_where_they_can_not_go_together(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    with db.transaction() as session:
        crowd(session, 2, now=db.utcnow() - timedelta(days=2))
        mine = mailed(session, begun(session, now=db.utcnow()), everybody(session), now=db.utcnow())
    for number in mine:
        keep(report(return_path(number)), return_path(number), "")

    def broken(*_: object, **__: object) -> None:
        raise ValueError

    monkeypatch.setattr(bounces, "note_many", broken)
    monkeypatch.setattr(bounces, "note", lambda *_, **__: bounces.NOTED)
    handle.handle(stop=never)
    assert [row.outcome for row in rows()] == [bounces.NOTED] * 2


def test_a_report_that_can_not_be_read_holds_up_no_other(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    with db.transaction() as session:
        crowd(session, 2, now=db.utcnow() - timedelta(days=2))
        mine = mailed(session, begun(session, now=db.utcnow()), everybody(session), now=db.utcnow())
    for number in mine:
        keep(report(return_path(number)), return_path(number), "")
    original = intents.returned
    raised: list[reading.Mail] = []

    def breaks(mail: reading.Mail) -> intents.Intent | None:
        if not raised:
            raised.append(mail)
            raise RuntimeError("a stranger's mail")
        return original(mail)

    monkeypatch.setattr(intents, "returned", breaks)
    assert handle.handle(stop=never) == 2
    assert {(row.state, row.outcome) for row in rows()} == {("handled", bounces.NOTED)}


def test_a_mail_that_can_not_be_handled_holds_up_no_other(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    for n in range(3):
        keep(b"From: a@example.fi\r\nSubject: %d\r\n\r\nMoi\r\n" % n)
    original = act.act

    def breaks(session: object, row: Spooled, **options: object) -> act.Outcome:
        if b"Subject: 1" in (row.raw or b""):
            raise RuntimeError("a stranger's mail")
        return original(session, row, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(act, "act", breaks)
    handle.handle(stop=never)
    assert [(row.state, row.tries) for row in rows()] == [("owner", 0), ("waiting", 1), ("owner", 0)]
    for _ in range(4):
        assert handle.handle(stop=never) == 0, "it waits for its next try"
        with db.transaction() as session:
            session.execute(update(Spooled).where(Spooled.state == "waiting").values(not_before=db.utcnow()))
        assert handle.handle(stop=never) == 1
    assert [(row.state, row.tries) for row in rows()][1] == ("failed", 5)
    monkeypatch.undo()
    with db.transaction() as session:
        assert spool.again(session, rows()[1].id, now=db.utcnow())
    handle.handle(stop=never)
    assert rows()[1].state == "owner"


def test_a_mail_waits_for_the_register_and_for_the_database(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    keep(b"From: a@example.fi\r\n\r\nMoi\r\n")

    def unsound(*_: object, **__: object) -> None:
        raise RegisterUnsound("The ban key is wrong.")

    with monkeypatch.context() as patch:
        patch.setattr(act, "act", unsound)
        handle.handle(stop=never)
    assert [(row.state, row.tries) for row in rows()] == [("waiting", 0)]
    with db.transaction() as session:
        session.execute(update(Spooled).values(not_before=db.utcnow()))

    def away(*_: object, **__: object) -> None:
        raise OperationalError("", {}, Exception("gone"))

    with monkeypatch.context() as patch:
        patch.setattr(act, "act", away)
        with pytest.raises(OperationalError):
            handle.handle(stop=never)
    assert [(row.state, row.tries) for row in rows()] == [("waiting", 0)]
    handle.handle(stop=never)
    assert [row.state for row in rows()] == ["owner"]


def test_what_is_for_a_person_is_sent_on_while_the_register_is_unsound(
    app: Flask, caught: Caught, monkeypatch: pytest.MonkeyPatch
) -> None:
    owned()
    keep(b"From: a@example.fi\r\n\r\nTake me off\r\n")

    def unsound(**_: object) -> None:
        raise RegisterUnsound("The ban key is wrong.")

    monkeypatch.setattr(post, "weigh_bounces", unsound)
    assert handle.handle(stop=never) == 1
    assert [(row.state, row.forwarded) for row in rows()] == [("owner", "accepted")]


def test_a_register_that_is_held_uses_up_no_try_and_loses_no_opt_out(app: Flask) -> None:
    joined = db.utcnow() - timedelta(days=3)
    with db.transaction() as session:
        matti, liisa = (person(session, f"{name}@example.fi", now=joined) for name in ("matti", "liisa"))
        token = leave_token(session, matti)
        [mailed_to_liisa] = mailed(session, begun(session, now=joined), [liisa.id], now=db.utcnow())
        keys.hold(session)
    leave = "tector-tiedottaa-leave@" + DOMAIN
    keep(f"From: matti@example.fi\r\nSubject: {token}\r\n\r\n".encode(), leave)
    arf = b"From: fbl@example.net\r\nContent-Type: message/feedback-report\r\n\r\nFeedback-Type: abuse\r\n"
    keep(arf, return_path(mailed_to_liisa))
    for _ in range(6):
        handle.handle(stop=never)
        with db.transaction() as session:
            session.execute(update(Spooled).where(Spooled.state == "waiting").values(not_before=db.utcnow()))
    assert [(row.state, row.tries, row.outcome) for row in rows()] == [("handled", 0, "kept"), ("waiting", 0, None)]
    with db.transaction() as session:
        keys.release(session)
    handle.handle(stop=never)
    with db.transaction() as session:
        requests.take(session, now=db.utcnow())
    assert rows()[1].outcome == "noted"
    with db.reading() as session:
        assert set(session.scalars(select(Subscription.state))) == {"left"}


QUESTION = (
    b"From: =?utf-8?q?Liisa_=C3=84ij=C3=A4l=C3=A4?= <liisa@example.fi>\r\nTo: x\r\n"
    b"Subject: =?utf-8?q?P=C3=A4iv=C3=A4=C3=A4?=\r\n"
    b"Content-Type: text/plain; charset=utf-8\r\n\r\nMilloin seuraava tulee?\r\n.\r\n..\r\n\xe2\x80\xaeknat\r\n"
)


def test_what_is_for_a_person_is_sent_on(app: Flask, caught: Caught) -> None:
    owned()
    keep(QUESTION)
    keep(b"From: liisa@example.fi\r\nSubject: Toinen\r\n\r\nLopettakaa jo!\r\n.\r\n.x\r\n")
    handle.handle(stop=never)
    assert [(row.state, row.forwarded) for row in rows()] == [("owner", "accepted")] * 2
    assert [(sender, to) for sender, to, _ in caught.mails] == [("<>", "omistaja@example.org")] * 2
    first, second = (message for _, _, message in caught.mails)
    assert first["Subject"] == "Luettavaksesi: Päivää"
    assert (first["Reply-To"], first["Auto-Submitted"]) == ("liisa@example.fi", "auto-generated")
    text = text_of(first)
    assert f"Tämä viesti tuli osoitteeseen {OWNER}" in text
    assert "> Milloin seuraava tulee?" in text
    assert "> knat" in text
    assert f"https://{DOMAIN}/staff/mail" in text
    [_, attached] = first.iter_parts()
    assert (attached.get_content_type(), attached.get_content()) == ("application/octet-stream", QUESTION)
    [_, attached] = second.iter_parts()
    assert attached.get_content_type() == "message/rfc822"
    assert attached.get_content().get_content().splitlines() == ["Lopettakaa jo!", ".", ".x"]
    handle.handle(stop=never)
    assert len(caught.mails) == 2


def test_a_letter_to_the_owner_is_signed(app: Flask, caught: Caught, tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    import dkim
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(65537, 2048)
    path = tmp_path / "key.pem"
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    from mailinglist.settings import SETTINGS

    app.config[SETTINGS] = app.config[SETTINGS].model_copy(update={"dkim": (f"s1:{DOMAIN}:{path}",)})
    owned()
    keep(QUESTION)
    handle.handle(stop=never)
    public = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    import base64

    record = b"v=DKIM1; k=rsa; p=" + base64.b64encode(public)
    assert dkim.verify(caught.raw[0], dnsfunc=lambda *_, **__: record)


def test_nobody_is_sent_too_much_and_none_of_us_anything(
    app: Flask, caught: Caught, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(b"From: a@example.fi\r\n\r\nno owner yet\r\n")
    handle.handle(stop=never)
    with db.transaction() as session:
        lists.change(session, the_list(session), {"owner": OWNER}, now=db.utcnow())
    keep(b"From: a@example.fi\r\n\r\nthe owner is an address of ours\r\n")
    handle.handle(stop=never)
    owned()
    monkeypatch.setattr(forward, "MOST_A_DAY", 2)
    for n in range(4):
        keep(b"From: a@example.fi\r\nSubject: %d\r\n\r\nMoi\r\n" % n)
    handle.handle(stop=never)
    assert [row.forwarded for row in rows()] == ["withheld"] * 2 + ["accepted"] * 2 + ["withheld"] * 2
    assert len(caught.mails) == 2


def test_a_letter_that_is_put_off_goes_later_and_one_of_unknown_fate_never(app: Flask, caught: Caught) -> None:
    owned()
    caught.answers["omistaja@example.org"] = "451 4.7.1 Come back later"
    keep(QUESTION)
    handle.handle(stop=never)
    assert [(row.forwarded, row.forward_tries) for row in rows()] == [("pending", 1)]
    caught.answers.clear()
    handle.handle(stop=never)
    assert caught.mails == []
    with db.transaction() as session:
        session.execute(update(Spooled).values(forward_at=db.utcnow()))
    handle.handle(stop=never)
    assert [row.forwarded for row in rows()] == ["accepted"]
    with db.transaction() as session:  # a worker died while it handed it over, some time ago
        before = db.utcnow() - timedelta(hours=1)
        session.execute(update(Spooled).values(forwarded="handing", forward_at=before))
    handle.handle(stop=never)
    assert [row.forwarded for row in rows()] == ["uncertain"]
    assert len(caught.mails) == 1


def test_the_owners_day_counts_what_went_today_however_long_it_had_waited(
    app: Flask, caught: Caught, monkeypatch: pytest.MonkeyPatch
) -> None:
    owned()
    monkeypatch.setattr(forward, "MOST_A_DAY", 2)
    for n in range(4):
        keep(b"From: a%d@example.fi\r\n\r\nMoi\r\n" % n)
    with db.transaction() as session:  # the worker was away for some days
        before = db.utcnow() - timedelta(days=4)
        session.execute(update(Spooled).values(received_at=before, not_before=before))
    handle.handle(stop=never)
    assert [row.forwarded for row in rows()] == ["accepted"] * 2 + ["withheld"] * 2
    with db.transaction() as session:
        session.execute(update(Spooled).values(forward_at=db.utcnow() - timedelta(hours=25)))
    keep(b"From: b@example.fi\r\n\r\nMoi\r\n")
    handle.handle(stop=never)
    assert [row.forwarded for row in rows()][-1] == "accepted"
    assert len(caught.mails) == 3
