"""Images of bulletins: taken in, chosen, served to everybody alike; files that are none are refused with a way out."""

from __future__ import annotations

import io
import json
import re

from flask import Flask
from PIL import Image as Pillow

import making
import staffing
from mailinglist import db
from mailinglist.bulletins import blocks, drafts
from mailinglist.bulletins.tables import Image


def photo(colour: str = "teal", size: tuple[int, int] = (64, 48)) -> bytes:
    out = io.BytesIO()
    Pillow.new("RGB", size, colour).save(out, "JPEG")
    return out.getvalue()


def begun(*column: blocks.Block) -> int:
    with db.transaction() as session:
        draft = blocks.Draft({"fi": blocks.Version("Kuvia", "", column or (blocks.Image(""),))})
        by = drafts.Author(None, "Kalle")
        return drafts.begin(session, making.the_list(session), draft, by=by, now=db.utcnow()).id


def blocks_of(number: int) -> tuple[blocks.Block, ...]:
    with db.reading() as session:
        return blocks.read(drafts.find(session, number).source).versions["fi"].blocks


def put(number: int, **fields: object) -> dict[str, object]:
    with db.reading() as session:
        base = drafts.find(session, number).revision
    return {"base": str(base), "language": "fi", "place": "0", **fields}


def test_an_upload_takes_its_place_and_is_served_for_ever(app: Flask) -> None:
    number = begun(blocks.Columns((blocks.Image("", "", "https://x.fi"),), ()))
    who = staffing.signed_in(app, "editor")
    form = put(number, place="0.0.0", alt="Sininen talo", file=(io.BytesIO(photo()), "talo <b>.jpg"))
    answer = who.post(f"/staff/bulletins/{number}/image", form)
    assert answer.status_code == 303, answer.text
    [columns] = blocks_of(number)
    assert isinstance(columns, blocks.Columns)
    [image] = columns.left
    assert isinstance(image, blocks.Image)
    assert (image.alt, image.link) == ("Sininen talo", "https://x.fi")
    page = who.get(f"/staff/bulletins/{number}/edit").text
    address = re.search(r'src="(/images/[^"]+)"', page)
    assert address is not None
    anybody = app.test_client()
    served = anybody.get(address[1])
    assert served.status_code == 200
    assert served.content_type == "image/jpeg"
    assert "immutable" in served.headers["Cache-Control"]
    assert served.headers["X-Content-Type-Options"] == "nosniff"
    assert served.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
    assert "Set-Cookie" not in served.headers
    assert anybody.get(address[1], headers={"If-None-Match": served.headers["ETag"]}).status_code == 304
    other = address[1][:-3] + ("png" if address[1].endswith("jpg") else "jpg")
    for nothing in (other, "/images/x.jpg", "/images/" + "0" * 64 + ".jpg", address[1] + "x"):
        assert anybody.get(nothing).status_code == 404
    assert "talo &lt;b&gt;.jpg" in who.get(f"/staff/bulletins/{number}/image?language=fi&place=0.0.0").text
    assert "Sininen talo" in who.get("/staff/images").text


def test_an_image_that_is_kept_is_used_again(app: Flask) -> None:
    number = begun()
    who = staffing.signed_in(app, "editor")
    slug = "tector-tiedottaa"
    who.post("/staff/images", {"list": slug, "alt": "Kuva", "file": (io.BytesIO(photo()), "a.jpg")})
    with db.reading() as session:
        digest = session.query(Image).one().digest
    assert digest in who.get(f"/staff/bulletins/{number}/image?language=fi&place=0").text
    who.post(f"/staff/bulletins/{number}/image", put(number, image=digest))
    assert blocks_of(number) == (blocks.Image(digest, "Kuva"),)


def test_the_script_uploads_and_is_answered_in_words(app: Flask) -> None:
    number = begun()
    who = staffing.signed_in(app, "editor")
    good = who.post(f"/staff/bulletins/{number}/upload", {"file": (io.BytesIO(photo()), "a.jpg")})
    assert good.status_code == 200
    told = json.loads(good.text)
    assert told["address"].startswith("/images/" + told["image"])
    svg = b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>'
    for data, name in ((svg, "x.svg"), (svg, "x.png"), (b"%PDF-1.7", "x.jpg"), (b"", "x.png")):
        bad = who.post(f"/staff/bulletins/{number}/upload", {"file": (io.BytesIO(data), name)})
        assert bad.status_code == 422, name
        assert json.loads(bad.text)["said"]
    assert who.post(f"/staff/bulletins/{number}/upload").status_code == 422
    with db.reading() as session:
        assert session.query(Image).count() == 1


def test_an_attachment_is_refused_with_the_reason_and_a_button_offered(app: Flask) -> None:
    number = begun()
    who = staffing.signed_in(app, "editor")
    form = put(number, file=(io.BytesIO(b"%PDF-1.7"), "hinnasto.pdf", "application/pdf"))
    answer = who.post(f"/staff/bulletins/{number}/image", form)
    assert answer.status_code == 422
    assert "Files are not attached to bulletins" in answer.text
    assert 'value="link"' in answer.text
    assert who.post(f"/staff/bulletins/{number}/image", put(number, act="link")).status_code == 303
    assert blocks_of(number) == (blocks.Button("", ""),)


def test_what_has_no_place_is_refused(app: Flask) -> None:
    number = begun(blocks.Text("Hei"))
    who = staffing.signed_in(app, "editor")
    for place in ("0", "1", "0.0.0", "x", ""):
        assert who.get(f"/staff/bulletins/{number}/image?language=fi&place={place}").status_code == 422


def test_more_than_ten_megabytes_are_refused(app: Flask) -> None:
    number = begun()
    who = staffing.signed_in(app, "editor")
    large = {"file": (io.BytesIO(bytes(10_050_000)), "a.jpg")}
    assert "10 MB" in who.post(f"/staff/bulletins/{number}/upload", large).text
    larger = {"file": (io.BytesIO(bytes(10_500_000)), "a.jpg")}
    refused = who.post(f"/staff/bulletins/{number}/upload", larger)
    assert refused.status_code == 413
    assert "This file is larger than 10 MB." in refused.text
