"""Images: what comes in, and what goes out."""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask
from PIL import Image as Pillow
from PIL.PngImagePlugin import PngInfo
from sqlalchemy.orm import Session

from conftest import NOW
from mailinglist import db
from mailinglist.bulletins import blocks, drafts, images
from mailinglist.bulletins.drafts import Author
from mailinglist.bulletins.tables import Image
from mailinglist.errors import BadInput, Unknown
from making import the_list

# What is tested here does not come to the database, or would be the same on another.
on_sqlite = pytest.mark.parametrize("databases", ["sqlite"], indirect=True)

MAIJA = Author(1, "Maija")
BASE = "https://tiedote.example.fi"


@pytest.fixture
def session(app: Flask) -> Iterator[Session]:
    db.install(app, base_url=BASE)
    with db.transaction() as session:
        yield session


def encoded(image: Pillow.Image, form: str, **more: object) -> bytes:
    out = io.BytesIO()
    image.save(out, form, **more)
    return out.getvalue()


def photo(width: int, height: int) -> Pillow.Image:
    return Pillow.effect_noise((width, height), 80).convert("RGB")


def take(session: Session, data: bytes, *, file_name: str = "kuva.jpg", alt: str = "") -> Image:
    return images.take_in(session, the_list(session), data, file_name=file_name, alt=alt, by=MAIJA, now=NOW)


def opened(image: Image) -> Pillow.Image:
    return Pillow.open(io.BytesIO(image.content))


@on_sqlite
def test_a_large_photo_is_made_small_upright_and_says_nothing_of_its_camera(session: Session):
    exif = Pillow.Exif()
    exif[0x0112] = 6  # lies on its side
    exif[0x010F] = "SecretCamera"
    exif.get_ifd(0x8825)[1] = "N"
    kept = take(session, encoded(photo(3000, 2000), "JPEG", exif=exif, comment=b"SecretComment"), alt=" Näkymä ")
    assert (kept.width, kept.height, kept.media_type, kept.alt) == (1200, 1800, "image/jpeg", "Näkymä")
    found = opened(kept)
    assert (found.format, found.size) == ("JPEG", (1200, 1800))
    assert not found.getexif()
    assert b"Secret" not in kept.content
    assert images.path_of(kept) == f"/images/{kept.digest}.jpg"


@on_sqlite
@pytest.mark.parametrize(
    ("form", "mode", "becomes"),
    [
        ("PNG", "RGBA", "image/png"), ("PNG", "LA", "image/png"), ("GIF", "P", "image/png"),
        ("WEBP", "RGBA", "image/png"), ("JPEG", "CMYK", "image/jpeg"), ("JPEG", "L", "image/jpeg"),
        ("PNG", "1", "image/png"), ("PNG", "I;16", "image/png"),
    ],
)  # fmt: skip
def test_every_kind_comes_out_as_one_that_every_mail_program_shows(
    session: Session, form: str, mode: str, becomes: str
):
    colour = {"RGBA": (200, 0, 0, 90), "LA": (9, 90), "CMYK": (1, 2, 3, 4)}.get(mode, 1)
    kept = take(session, encoded(Pillow.new(mode, (40, 30), colour), form))
    assert (kept.media_type, kept.width, kept.height) == (becomes, 40, 30)
    assert opened(kept).mode in ("RGB", "RGBA")


@on_sqlite
def test_text_in_a_png_and_frames_of_a_gif_are_gone(session: Session):
    notes = PngInfo()
    notes.add_text("Comment", "SecretComment")
    assert b"Secret" not in take(session, encoded(photo(20, 20), "PNG", pnginfo=notes)).content
    frames = [Pillow.new("P", (8, 8), n) for n in range(3)]
    moving = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:], comment=b"SecretComment")
    kept = take(session, moving)
    assert getattr(opened(kept), "n_frames", 1) == 1
    assert b"Secret" not in kept.content


def bomb() -> bytes:
    """A PNG of 60,000 × 60,000 pixels in a few hundred bytes."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + name + data + zlib.crc32(name + data).to_bytes(4, "big")

    size = (60_000).to_bytes(4, "big")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size + size + b"\x08\x02\0\0\0") + chunk(
        b"IDAT", zlib.compress(bytes(100_000))
    ) + chunk(b"IEND", b"")  # fmt: skip


@on_sqlite
@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "can't be used"),
        (b"GIF89a", "can't be used"),
        (b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>', "can't be used"),
        (b"%PDF-1.7", "can't be used"),
        (b"<html>", "can't be used"),
        (encoded(Pillow.new("RGB", (9, 9)), "BMP"), "can't be used"),
        (encoded(Pillow.new("RGB", (9, 9)), "TIFF"), "can't be used"),
        (encoded(photo(300, 300), "JPEG")[:2000], "can't be used"),
        (encoded(photo(300, 300), "PNG")[:9000], "can't be used"),
        (bomb(), "too many pixels"),
        (b"\xff\xd8" + bytes(10_000_000), "10 MB"),
    ],
    ids=lambda value: f"{len(value)} bytes" if isinstance(value, bytes) else value,  # an id goes wherever a result goes
)  # fmt: skip
def test_what_is_no_image_for_mails_is_refused_in_words(session: Session, data: bytes, words: str):
    with pytest.raises(BadInput, match=words):
        take(session, data)


@on_sqlite
def test_just_above_the_limit_of_pixels(session: Session):
    with pytest.raises(BadInput, match="too many pixels"):
        take(session, encoded(Pillow.new("1", (10_000, 2_001)), "PNG"))


@on_sqlite
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_large_drawing_is_reduced_before_it_is_converted(
    session: Session, mode: str, monkeypatch: pytest.MonkeyPatch
):
    whole: list[tuple[int, int]] = []
    convert = Pillow.Image.convert

    def seen(image: Pillow.Image, *arguments: Any, **more: Any) -> Pillow.Image:
        whole.append(image.size)
        return convert(image, *arguments, **more)

    data = encoded(Pillow.new(mode, (5_000, 4_000)), "PNG")
    monkeypatch.setattr(Pillow.Image, "convert", seen)
    kept = take(session, data)
    assert (kept.width, kept.height) == (1200, 960)
    assert whole
    assert max(width for width, _ in whole) <= 2_500


@on_sqlite
def test_one_image_is_decoded_at_a_time(session: Session, monkeypatch: pytest.MonkeyPatch):
    made_anew = images._made_anew
    taken: list[bool] = []

    def watched(data: bytes) -> tuple[bytes, str, tuple[int, int]]:
        taken.append(images._decoding.locked())
        return made_anew(data)

    monkeypatch.setattr(images, "_made_anew", watched)
    take(session, encoded(photo(20, 20), "PNG"))
    assert taken == [True]
    assert not images._decoding.locked()


@on_sqlite
def test_a_file_that_is_two_things_is_only_the_image(session: Session):
    kept = take(session, encoded(photo(30, 30), "JPEG") + b"<script>alert(1)</script>PK\x03\x04")
    assert b"script" not in kept.content


def test_the_same_image_is_kept_once_under_one_address(session: Session):
    data = encoded(photo(50, 50), "PNG")
    one, two = take(session, data, file_name='<img src=x>"\n.png'), take(session, data, file_name="b.png")
    assert one.id == two.id
    assert one.file_name == '<img src=x>" .png', "data, on one line: pages escape it"
    assert images.page(session, one.list_id) == [one]
    assert images.page(session, one.list_id, before_id=one.id) == []
    with pytest.raises(Unknown):
        images.find(session, "0" * 64)


def test_a_bulletin_shows_it_by_one_address_for_everybody(session: Session):
    kept = take(session, encoded(photo(800, 400), "JPEG"))
    version = blocks.Version("Aihe", "", (blocks.Image(kept.digest, "Näkymä"),))
    bulletin = drafts.begin(session, the_list(session), blocks.Draft({"fi": version}), by=MAIJA, now=NOW)
    html = drafts.composed(session, bulletin).html
    assert f'src="{BASE}/images/{kept.digest}.jpg" width="520" height="260" alt="Näkymä"' in html
    missing = blocks.Version("Aihe", "", (blocks.Image("0" * 64, "Näkymä"),))
    [problem] = drafts.proofs(session, the_list(session), blocks.Draft({"fi": missing}))["fi"].problems
    assert "not kept" in str(problem.sentence)
