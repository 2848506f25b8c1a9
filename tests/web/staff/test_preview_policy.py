"""From where a preview may show images: ours, the list's logo, and what a bulletin from outside the editor names."""

from __future__ import annotations

from flask import Flask

import making
import staffing
from mailinglist import db
from mailinglist.bulletins import blocks, drafts
from mailinglist.consent import lists


def images_of(who: staffing.Signed, path: str) -> str:
    policy = who.get(path).headers["Content-Security-Policy"]
    [images] = [part for part in policy.split("; ") if part.startswith("img-src")]
    return images


def test_images_are_ours_and_the_logo(app: Flask) -> None:
    with db.transaction() as session:
        row, now = making.the_list(session), db.utcnow()
        draft = blocks.Draft({"fi": blocks.Version("Aihe", "", (blocks.Text("![x](https://other.example/a.png)"),))})
        number = drafts.begin(session, row, draft, by=drafts.Author(None, "Kalle"), now=now).id
        source = "Hei ![kuva](https://pictures.example/a.png) ![kuva](https://pictures.example:8443/b.png)"
        outside = drafts.add(session, row, subject="Vanha", source=source, form="markdown", now=now).id
        slug = row.slug
    who = staffing.signed_in(app, "reader", "administrator")
    letter = f"/staff/lists/{slug}/letters/confirm/fi/preview"
    paths = (f"/staff/bulletins/{number}/preview", letter)
    assert [images_of(who, path) for path in paths] == ["img-src 'self'"] * 2
    with db.transaction() as session:
        lists.set_value(session, making.the_list(session), "logo", "https://img.example/logo.png", now=db.utcnow())
    assert [images_of(who, path) for path in paths] == ["img-src 'self' https://img.example"] * 2
    assert images_of(who, f"/staff/bulletins/{outside}/preview") == (
        "img-src 'self' https://img.example https://pictures.example https://pictures.example:8443"
    )


def test_the_mark_of_where_one_writes_is_never_shown(app: Flask) -> None:
    with db.transaction() as session:
        draft = blocks.Draft({"fi": blocks.Version("Aihe", "", (blocks.Text("Yksi"), blocks.Text("Kaksi")))})
        author = drafts.Author(None, "Kalle")
        number = drafts.begin(session, making.the_list(session), draft, by=author, now=db.utcnow()).id
    who = staffing.signed_in(app, "reader")
    for view in ("desktop", "text"):
        page = who.get(f"/staff/bulletins/{number}/preview?view={view}&at=1").text
        assert "Kaksi" in page
        assert "here-is" not in page
