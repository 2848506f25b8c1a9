"""The pages by which a bulletin is written: list, editor, saving, conflicts, versions, templates, audience."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask

import making
import staffing
from mailinglist import db, preflight
from mailinglist.bulletins import blocks, drafts
from mailinglist.bulletins.tables import Bulletin
from mailinglist.consent.states import State
from mailinglist.delivery import audience_query
from mailinglist.delivery.audience_query import Count
from mailinglist.delivery.tables import Dispatch
from mailinglist.staff.tables import AuditEntry


def begun(version: blocks.Version | None = None, *, by: drafts.Author | None = None, **more: blocks.Version) -> int:
    """A bulletin of blocks on the default list; its id."""
    with db.transaction() as session:
        draft = blocks.Draft({"fi": version or blocks.Version("Uutisia"), **more})
        author = by or drafts.Author(None, "Kalle")
        return drafts.begin(session, making.the_list(session), draft, by=author, now=db.utcnow()).id


def found(number: int) -> Bulletin:
    with db.reading() as session:
        row = drafts.find(session, number)
        session.expunge(row)
        return row


def version_of(number: int, language: str = "fi") -> blocks.Version:
    return blocks.read(found(number).source).versions[language]


def fields(number: int, *rows: str, language: str = "fi", subject: str = "Uutisia", **values: str) -> dict[str, object]:
    """A form of the editor, begun from the present revision."""
    named = {name.replace("_", "-"): value for name, value in values.items()}
    return {
        "base": str(found(number).revision), "language": language, "subject": subject, "preview": "",
        "block": list(rows), **named,
    }  # fmt: skip


class TestTheList:
    def test_shows_the_newest_first_and_goes_on_by_key(self, app: Flask) -> None:
        numbers = [begun(blocks.Version(f"Numero {n}")) for n in range(52)]
        who = staffing.signed_in(app, "editor")
        page = who.get("/staff/bulletins").text
        assert page.index("Numero 51") < page.index("Numero 50")
        assert "Numero 1<" not in page
        following = re.search(r'rel="next" href="([^"]+)"', page)
        assert following is not None
        rest = who.get(following[1].replace("&amp;", "&")).text
        assert "Numero 1<" in rest
        assert f"/staff/bulletins/{numbers[0]}/edit" in rest
        assert "Numero 2<" not in rest

    def test_is_filtered_by_state_and_list(self, app: Flask) -> None:
        first, second = begun(blocks.Version("Luonnos yksi")), begun(blocks.Version("Menossa"))
        with db.transaction() as session:
            row = making.the_list(session)
            session.add(Dispatch(bulletin_id=second, list_id=row.id, state="sending", due_at=db.utcnow()))
        who = staffing.signed_in(app, "reader")
        sending = who.get("/staff/bulletins?state=sending").text
        assert "Menossa" in sending
        assert "Luonnos yksi" not in sending
        assert "Menossa" not in who.get("/staff/bulletins?state=draft&list=every").text
        assert f"/staff/bulletins/{first}/edit" not in who.get("/staff/bulletins").text

    def test_escapes_a_subject(self, app: Flask) -> None:
        begun(blocks.Version("<script>alert(1)</script>{{ 7*7 }}"))
        page = staffing.signed_in(app, "editor").get("/staff/bulletins").text
        assert "&lt;script&gt;alert(1)&lt;/script&gt;{{ 7*7 }}" in page


class TestBeginning:
    def test_from_nothing_from_ours_and_from_ones_own(self, app: Flask) -> None:
        who = staffing.signed_in(app, "editor")
        slug = "tector-tiedottaa"
        answer = who.post("/staff/bulletins/new", {"list": slug, "start": "news", "languages": ["fi", "sv"]})
        number = int(answer.location.split("/")[3])
        assert list(blocks.read(found(number).source).versions) == ["fi", "sv"]
        who.post(f"/staff/bulletins/{number}/as-template")
        with db.reading() as session:
            [template] = [each.id for each in drafts.templates(session, found(number).list_id)]
        assert f"own-{template}" in who.get("/staff/bulletins/new").text
        assert who.get("/staff/templates").status_code == 200
        again = who.post("/staff/bulletins/new", {"list": slug, "start": f"own-{template}"})
        assert found(int(again.location.split("/")[3])).source == found(number).source
        assert who.post(f"/staff/templates/{template}/begin").status_code == 303
        empty = who.post("/staff/bulletins/new", {"list": slug, "start": "blank"})
        assert version_of(int(empty.location.split("/")[3])) == blocks.Version()
        assert who.post("/staff/bulletins/new", {"list": slug, "start": "nonsense"}).status_code == 404
        assert who.post("/staff/bulletins/new", {"list": slug, "start": f"own-{number}"}).status_code == 409

    def test_a_copy_is_another_bulletin(self, app: Flask) -> None:
        number = begun(blocks.Version("Alkuperäinen"))
        who = staffing.signed_in(app, "editor")
        copy = int(who.post(f"/staff/bulletins/{number}/duplicate").location.split("/")[3])
        assert copy != number
        assert version_of(copy) == version_of(number)

    def test_what_is_removed_is_gone_from_the_pages(self, app: Flask) -> None:
        number = begun(blocks.Version("Pois tämä"))
        who = staffing.signed_in(app, "editor")
        assert "Pois tämä" in who.get(f"/staff/bulletins/{number}/remove").text
        who.post(f"/staff/bulletins/{number}/remove")
        assert "Pois tämä" not in who.get("/staff/bulletins").text
        assert who.get(f"/staff/bulletins/{number}/edit").status_code == 409


class TestTheEditorWithoutScripts:
    def test_shows_every_kind_of_block(self, app: Flask) -> None:
        every = blocks.Version("Aihe", "Esikatselu", (
            blocks.Heading(3, "Otsikko"), blocks.Text("**Teksti** <b>"), blocks.List(("yksi", "kaksi"), ordered=True),
            blocks.Image("", "kuvaus", "https://x.fi"), blocks.Button("Lue", "https://y.fi"), blocks.Divider(),
            blocks.Columns((blocks.Text("vasen"),), (blocks.Heading(2, "oikea"),)),
        ))  # fmt: skip
        number = begun(every)
        who = staffing.signed_in(app, "editor")
        page = who.get(f"/staff/bulletins/{number}/edit").text
        assert "**Teksti** &lt;b&gt;" in page
        form: dict[str, Any] = {"base": "1", "language": "fi", "subject": "Aihe", "preview": "Esikatselu"}
        form["block"] = re.findall(r'name="block" value="(b[^"]+)"', page)
        assert form["block"][-2:] == ["b6l0 text b6 left", "b6r0 heading b6 right"]
        form |= dict(re.findall(r'<input type="(?:text|hidden)"[^>]*name="(b\d\w*-\w+)" value="([^"]*)"', page))
        form |= {"b0-level": "3", "b1-text": "**Teksti** <b>", "b2-items": "yksi\nkaksi", "b2-ordered": "1"}
        form |= {"b6l0-text": "vasen", "b6r0-level": "2"}
        assert who.post(f"/staff/bulletins/{number}/edit", form).status_code == 303
        assert version_of(number) == every
        assert found(number).revision == 1

    def test_buttons_add_move_and_remove(self, app: Flask) -> None:
        number = begun(blocks.Version("Uutisia", "", (blocks.Heading(2, "A"), blocks.Text("B"))))
        who = staffing.signed_in(app, "editor")
        edit = f"/staff/bulletins/{number}/edit"
        rows, values = ["b0 heading", "b1 text"], {"b0_text": "A", "b1_text": "B"}

        def press(act: str) -> list[str]:
            answer = who.post(edit, fields(number, *rows, **values) | {"act": act})
            assert answer.status_code == 303, answer.text
            return [block.type for block in version_of(number).blocks]

        assert press("add button after b0") == ["heading", "button", "text"]
        assert press("add divider") == ["heading", "text", "divider"]
        assert press("down b0") == ["text", "heading"]
        assert press("up b0") == ["heading", "text"]
        assert press("remove b1") == ["heading"]
        assert press("add columns") == ["heading", "text", "columns"]
        rows.append("b2 columns")
        assert press("add image in b2 right") == ["heading", "text", "columns"]
        columns = version_of(number).blocks[2]
        assert isinstance(columns, blocks.Columns)
        assert columns.right == (blocks.Image(""),)

    def test_what_no_button_says_is_refused(self, app: Flask) -> None:
        number = begun()
        who = staffing.signed_in(app, "editor")
        edit = f"/staff/bulletins/{number}/edit"
        for act in ("add columns in b0 left", "add script", "up b9", "remove", "language add xx", "image b0"):
            answer = who.post(edit, fields(number, "b0 columns") | {"act": act})
            assert answer.status_code == 422, act
        for rows in (("b0 script",), ("b0 text b1 left",), ("b0 text", "b0 text"), ("B! text",), ("b0 text x",)):
            assert who.post(edit, fields(number, *rows)).status_code == 422, rows
        assert who.post(edit, fields(number) | {"base": "x"}).status_code == 422
        assert version_of(number).blocks == ()

    def test_languages_are_added_copied_and_removed(self, app: Flask) -> None:
        number = begun(blocks.Version("Uutisia"))
        who = staffing.signed_in(app, "editor")
        edit = f"/staff/bulletins/{number}/edit"
        text = {"b0_text": "Hei"}
        answer = who.post(edit, fields(number, "b0 text", **text) | {"act": "language copy sv"})
        assert "language=sv" in answer.location
        assert (
            version_of(number, "sv") == version_of(number, "fi") == blocks.Version("Uutisia", "", (blocks.Text("Hei"),))
        )
        who.post(edit, fields(number, "b0 text", **text) | {"act": "language add en"})
        assert version_of(number, "en") == blocks.Version()
        who.post(edit, fields(number, language="en", subject="") | {"act": "language remove"})
        assert list(blocks.read(found(number).source).versions) == ["fi", "sv"]


class TestSaving:
    def test_answers_with_the_revision_and_what_is_missing(self, app: Flask) -> None:
        number = begun()
        who = staffing.signed_in(app, "editor")
        form = fields(number, "k1 button", k1_text="Lue", k1_url="javascript:alert(1)", subject="")
        answer = who.post(f"/staff/bulletins/{number}/save", form)
        assert answer.status_code == 200
        told = json.loads(answer.text)
        assert told["revision"] == 2
        assert told["said"].startswith("Saved ")
        assert {each["key"] for each in told["problems"]} == {"", "k1"}
        assert version_of(number).blocks == (blocks.Button("Lue", "javascript:alert(1)"),)

    def test_the_same_again_is_the_same_revision_whatever_its_base(self, app: Flask) -> None:
        number = begun()
        who = staffing.signed_in(app, "editor")
        form = fields(number, "k text", k_text="Hei")
        answers = [json.loads(who.post(f"/staff/bulletins/{number}/save", form).text) for _ in range(2)]
        assert [told["revision"] for told in answers] == [2, 2]

    def test_the_second_of_two_is_told_and_writes_over_nothing(self, app: Flask) -> None:
        number = begun()
        maija = staffing.signed_in(app, "editor", name="Maija")
        pekka = staffing.signed_in(app, "publisher", name="Pekka")
        both = fields(number, "k text", k_text="Maijan")
        maija.post(f"/staff/bulletins/{number}/save", both)
        answer = pekka.post(f"/staff/bulletins/{number}/save", both | {"k-text": "Pekan"})
        assert answer.status_code == 409
        told = json.loads(answer.text)
        assert told["conflict"]
        assert told["said"].startswith("Maija changed this bulletin on ")
        assert version_of(number).blocks == (blocks.Text("Maijan"),)
        page = pekka.post(f"/staff/bulletins/{number}/edit", both | {"k-text": "Pekan"})
        assert page.status_code == 409
        assert re.search(r"<del>.*Maijan.*</del><ins>.*Pekan.*</ins>", page.text, re.S)
        source = json.dumps({"subject": "Uutisia", "preview": "", "blocks": [{"type": "text", "text": "Pekan"}]})
        wanted = {"language": "fi", "base": "2", "source": source}
        copied = pekka.post(f"/staff/bulletins/{number}/take", wanted | {"act": "copy"})
        assert version_of(int(copied.location.split("/")[3])).blocks == (blocks.Text("Pekan"),)
        assert version_of(number).blocks == (blocks.Text("Maijan"),)
        assert pekka.post(f"/staff/bulletins/{number}/take", wanted | {"base": "1"}).status_code == 409
        assert pekka.post(f"/staff/bulletins/{number}/take", wanted).status_code == 303
        assert version_of(number).blocks == (blocks.Text("Pekan"),)
        with db.reading() as session:
            assert [kept.who for kept in drafts.revisions(session, number)] == ["Pekka", "Maija", "Kalle"]

    def test_who_gives_way_finds_their_text_among_the_versions(self, app: Flask) -> None:
        number = begun(by=drafts.Author(None, "Kalle"))
        pekka = staffing.signed_in(app, "publisher", name="Pekka")
        before = found(number).source
        source = json.dumps({"subject": "Pekan", "preview": "", "blocks": [{"type": "text", "text": "Pekan"}]})
        given = {"language": "fi", "base": "1", "source": source, "act": "theirs"}
        answer = pekka.post(f"/staff/bulletins/{number}/take", given)
        assert answer.location == f"/staff/bulletins/{number}/edit?language=fi"
        assert "Yours is among the versions." in pekka.get(answer.location).text
        assert (found(number).source, found(number).revision) == (before, 1)
        versions = pekka.get(f"/staff/bulletins/{number}/versions").text
        assert ">Put aside 1</a>" in versions
        kept = f"/staff/bulletins/{number}/versions/-1"
        assert kept in versions
        assert re.search(r"<del>.*Pekan", pekka.get(kept).text, re.S)
        assert pekka.post(kept, {"base": "1"}).status_code == 303
        assert version_of(number).blocks == (blocks.Text("Pekan"),)
        assert pekka.get(f"/staff/bulletins/{number}/versions/-2").status_code == 404

    def test_is_on_record_once_in_a_while(self, app: Flask) -> None:
        number = begun()
        who = staffing.signed_in(app, "editor")
        for n in range(3):
            who.post(f"/staff/bulletins/{number}/save", fields(number, "k text", k_text=f"Hei {n}"))
        with db.reading() as session:
            lines = [line.about for line in session.query(AuditEntry).filter_by(act="bulletin_changed")]
        assert lines == [f"bulletin {number}"]

    def test_what_was_given_to_be_sent_is_not_written(self, app: Flask) -> None:
        number = begun()
        with db.transaction() as session:
            drafts.find(session, number).given_at = db.utcnow()
        who = staffing.signed_in(app, "editor")
        answer = who.post(f"/staff/bulletins/{number}/save", fields(number, "k text", k_text="Hei"))
        assert answer.status_code == 409
        assert not json.loads(answer.text)["conflict"]
        assert who.get(f"/staff/bulletins/{number}/edit").location == f"/staff/bulletins/{number}/look"

    def test_a_script_that_is_signed_out_is_told_where_to_sign_in(self, app: Flask) -> None:
        number = begun()
        headers = {
            "Origin": staffing.ORIGIN, "Sec-Fetch-Mode": "cors",
            "Referer": f"{staffing.ORIGIN}/staff/bulletins/{number}/edit?language=fi",
        }  # fmt: skip
        answer = app.test_client().post(f"/staff/bulletins/{number}/save", headers=headers)
        assert answer.status_code == 401
        assert f"/staff/bulletins/{number}/edit" in answer.headers["HX-Redirect"]


class TestThePreview:
    def test_is_a_document_in_which_nothing_runs(self, app: Flask) -> None:
        number = begun(blocks.Version("Aihe", "", (blocks.Text("<script>x</script> Hei {name|ystävä} {{ 7*7 }}"),)))
        who = staffing.signed_in(app, "reader")
        answer = who.get(f"/staff/bulletins/{number}/preview?name=without")
        assert "sandbox" in answer.headers["Content-Security-Policy"]
        assert "script-src" not in answer.headers["Content-Security-Policy"]
        assert "<script" not in answer.text
        assert "Hei ystävä {{ 7*7 }}" in answer.text
        assert "Aino" in who.get(f"/staff/bulletins/{number}/preview").text
        text = who.get(f"/staff/bulletins/{number}/preview?view=text").text
        assert "&lt;script&gt;x&lt;/script&gt; Hei Aino" in text
        assert "sandbox=" in who.get(f"/staff/bulletins/{number}/look").text

    def test_is_light_or_dark_as_asked_and_opens_where_one_writes(self, app: Flask) -> None:
        number = begun(blocks.Version("Aihe", "", (blocks.Text("yksi"), blocks.Text("kaksi"))))
        who = staffing.signed_in(app, "reader")
        light = who.get(f"/staff/bulletins/{number}/preview?at=1").text
        dark = who.get(f"/staff/bulletins/{number}/preview?view=dark&at=0").text
        assert "@media not all" in light
        assert "@media all" in dark
        assert re.search(r'yksi</p>\s*<span id="here"></span>\s*<p[^>]*>kaksi', light)
        assert "here-is" not in light + dark
        assert who.get(f"/staff/bulletins/{number}/preview?at=99&language=xx").status_code == 200

    def test_of_markdown_is_shown_and_not_edited(self, app: Flask) -> None:
        with db.transaction() as session:
            row = making.the_list(session)
            number = drafts.add(
                session, row, subject="Vanha", source="Hei *siellä*", form="markdown", now=db.utcnow()
            ).id
        who = staffing.signed_in(app, "editor")
        assert who.get(f"/staff/bulletins/{number}/edit").status_code == 409
        assert who.get(f"/staff/bulletins/{number}/look").status_code == 200
        assert "<em>siellä</em>" in who.get(f"/staff/bulletins/{number}/preview").text


class TestVersions:
    def test_what_changed_is_shown_and_an_old_one_comes_back(self, app: Flask) -> None:
        old = db.utcnow() - timedelta(hours=1)
        with db.transaction() as session:
            draft = blocks.Draft({"fi": blocks.Version("Eka", "", (blocks.Text("Hyvää huomenta"),))})
            made = drafts.begin(session, making.the_list(session), draft, by=drafts.Author(None, "Kalle"), now=old)
            number = made.id
        who = staffing.signed_in(app, "editor")
        who.post(f"/staff/bulletins/{number}/save", fields(number, "k text", subject="Toka", k_text="Hyvää iltaa"))
        index = who.get(f"/staff/bulletins/{number}/versions").text
        assert f"/staff/bulletins/{number}/versions/1" in index
        page = who.get(f"/staff/bulletins/{number}/versions/1").text
        assert re.search(r"<del>.*huomenta.*</del><ins>.*iltaa.*</ins>", page, re.S)
        assert who.post(f"/staff/bulletins/{number}/versions/1", {"base": "1"}).status_code == 409
        assert who.post(f"/staff/bulletins/{number}/versions/1", {"base": "2"}).status_code == 303
        assert version_of(number) == blocks.Version("Eka", "", (blocks.Text("Hyvää huomenta"),))
        assert found(number).revision == 3
        assert who.get(f"/staff/bulletins/{number}/versions/77").status_code == 404


class TestTheAudience:
    def test_counts_whom_it_reaches_and_who_is_left_out(self, app: Flask) -> None:
        with db.transaction() as session:
            now = db.utcnow()
            making.person(session, "a@example.fi", now=now)
            making.person(session, "b@example.fi", now=now)
            making.person(session, "c@example.fi", now=now, state=State.LEFT)
        number = begun()
        who = staffing.signed_in(app, "editor")
        address = f"/staff/bulletins/{number}/audience"
        everybody = who.get(f"{address}/count").text
        assert "<strong>2</strong> recipients" in everybody
        assert "1 left, 0 banned, 0 undeliverable" in everybody
        assert "<strong>0</strong>" in who.get(f"{address}/count?languages=sv").text
        with db.transaction() as session:
            making.person(session, "b@example.fi", now=now, state=State.LEFT)
        assert "<strong>1</strong> recipient</p>" in who.get(f"{address}/count").text
        assert "A day is written like" in who.get(f"{address}/count?joined_after=gestern").text
        form = {"base": "1", "languages": ["fi", "sv"], "joined_before": "2030-01-01", "source": "", "sent": ""}
        assert who.post(address, form).status_code == 303
        assert json.loads(found(number).audience) == {"languages": ["fi", "sv"], "joined_before": "2030-01-01"}
        assert "1 January 2030" in who.get(address).text
        wrong = who.post(address, form | {"base": "2", "joined_after": "2030-01-02"})
        assert wrong.status_code == 422
        assert "Nobody joined both after and before these days." in wrong.text

    def test_says_where_its_numbers_are_estimates(self, app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
        def about(*_: object) -> Count:
            return Count(audience=1_230_000, left=4_560, banned=12, undeliverable=0, about=True)

        monkeypatch.setattr(audience_query, "estimate", about)
        number = begun()
        who = staffing.signed_in(app, "editor")
        for address in (f"/staff/bulletins/{number}/audience", f"/staff/bulletins/{number}/audience/count"):
            page = who.get(address).text
            assert "<strong>About 1,230,000</strong>" in page
            assert "4,560 left, 12 banned, 0 undeliverable" in page
            assert "counted exactly before anything is sent" in page
        assert "<strong>About 1,230,000</strong>" in who.get(f"/staff/bulletins/{number}").text
        found = who.get(f"/staff/bulletins/{number}/preflight").text
        assert "Recipients who read Swedish: about 1230000." in found

    def test_keeps_a_source_that_no_menu_knows(self, app: Flask) -> None:
        number = begun()
        who = staffing.signed_in(app, "editor")
        address = f"/staff/bulletins/{number}/audience"
        assert who.post(address, {"base": "1", "source": "import: rare"}).status_code == 303
        assert '<option value="import: rare" selected>' in who.get(address).text


class TestTheCheck:
    def test_says_what_is_wrong_and_where_it_is_mended(self, app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(preflight.links, "check", lambda addresses, **_: {})
        with db.transaction() as session:
            making.person(session, "a@example.fi", now=db.utcnow())
        columns = blocks.Columns((), (blocks.Image(""),))
        number = begun(blocks.Version("Uutisia", "", (blocks.Text("Hei [Nimi] <b>"), columns)))
        who = staffing.signed_in(app, "editor")
        for address in (f"/staff/bulletins/{number}/preflight", f"/staff/bulletins/{number}/preflight?now=1"):
            page = who.get(address).text
            assert "Must be fixed" in page
            assert f"/staff/bulletins/{number}/edit?language=fi#block-b1r0" in page
            assert "/approve" not in page
        part = who.get(f"/staff/bulletins/{number}/preflight/found").text
        assert "<html" not in part
        assert "No image is chosen here." in part

    def test_asks_a_publisher_to_accept_each_warning(self, app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(preflight.links, "check", lambda addresses, **_: {})
        with db.transaction() as session:
            making.person(session, "a@example.fi", now=db.utcnow())
        version = blocks.Version("Kesän uutisia", "", (blocks.Text("Hei {name}! " + "Hyviä uutisia kesästä. " * 20),))
        number = begun(version)
        address = f"/staff/bulletins/{number}/preflight/found"
        warned = staffing.signed_in(app, "publisher").get(address).text
        assert re.search(
            r'<input type="checkbox"[^>]*name="acknowledged" value="name_without_fallback:fi[^"]*" required', warned
        )
        assert f'action="/staff/bulletins/{number}/approve"' in warned
        assert 'name="acknowledged"' not in staffing.signed_in(app, "editor").get(address).text


class TestWhatIsTakenAwayIsKept:
    def test_a_removed_language_and_what_stood_before_a_restore(self, app: Flask) -> None:
        who = staffing.signed_in(app, "editor")
        start = {"list": "tector-tiedottaa", "start": "blank", "languages": ["fi", "sv"]}
        answer = who.post("/staff/bulletins/new", start)
        number = int(answer.location.split("/")[3])
        form = fields(number, "b0 text", language="sv", subject="Nyheter", b0_text="Svensk text")
        removed = who.post(f"/staff/bulletins/{number}/edit", {**form, "act": "language remove"})
        assert "It is among the versions." in who.get(removed.location).text
        with db.reading() as session:
            kept = {each.number: drafts.revision(session, number, each.number).source
                    for each in drafts.revisions(session, number)}  # fmt: skip
        [with_swedish] = [each for each, source in kept.items() if "Svensk text" in source]
        who.post(f"/staff/bulletins/{number}/versions/{with_swedish}", {"base": str(found(number).revision)})
        with db.reading() as session:
            assert {each.number for each in drafts.revisions(session, number)} > set(kept)
        assert version_of(number, "sv").subject == "Nyheter"

    def test_an_empty_version_offers_another_to_be_copied(self, app: Flask) -> None:
        number = begun(blocks.Version("Uutisia", "", (blocks.Text("Sisältö"),)), sv=blocks.Version())
        who = staffing.signed_in(app, "editor")
        assert 'value="language from fi"' in who.get(f"/staff/bulletins/{number}/edit?language=sv").text
        assert "language from" not in who.get(f"/staff/bulletins/{number}/edit?language=fi").text
        form = fields(number, language="sv", subject="")
        assert who.post(f"/staff/bulletins/{number}/edit", {**form, "act": "language from fi"}).status_code == 303
        assert version_of(number, "sv") == version_of(number, "fi")
