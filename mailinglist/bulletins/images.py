"""Images for bulletins: taken in, resized, served. The only writer of images.

What comes in is decoded and written anew: so nothing that a camera (place, time, person) or an attacker put into the
file goes out. The address is the digest of the content: the same for everybody, and good for ever.
"""

from __future__ import annotations

import hashlib
import io
import threading
import unicodedata
import warnings
from collections.abc import Collection
from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy import select
from sqlalchemy.orm import Session, defer

from ..consent.tables import MailingList
from ..db import insert_new
from ..errors import BadInput, Fault, Unknown
from ..stationery.sentences import SaidBadInput
from ..stationery.sentences import noted as _
from .setting import Picture
from .tables import Image

if TYPE_CHECKING:
    from PIL.Image import Image as Raster

    from .revisions import Author

MAX_BYTES = 10_000_000
MAX_WIDTH = 1200
"""Pixels: twice the width at which a mail shows it, for screens of high density."""
MAX_HEIGHT = 4000
MAX_PIXELS = 20_000_000
"""What is larger is not decoded: 80 MB of memory for each copy."""

_FORMATS = ("JPEG", "PNG", "GIF", "WEBP")
_ENDINGS = {"image/jpeg": "jpg", "image/png": "png"}
_FEW_COLOURS = 256
# Those that can be made smaller as they are: a palette and two colours can't be blended.
_REDUCIBLE = ("L", "LA", "RGB", "RGBA", "CMYK")
# One at a time: several large images at once would take the memory of everything else on the machine.
_decoding = threading.Lock()


def take_in(
    session: Session, row: MailingList, data: bytes, *, file_name: str, alt: str = "", by: Author, now: datetime
) -> Image:
    """Keep an image for bulletins, as it will be served: JPEG, or PNG where it is transparent or a drawing.

    The very same image is kept once. Raises BadInput, in words, for what is no JPEG, PNG, GIF or WebP, or too large.
    """
    with _decoding:
        content, media_type, (width, height) = _made_anew(data)
    digest = hashlib.sha256(content).hexdigest()
    session.execute(
        insert_new(session, Image)
        .values(
            digest=digest, list_id=row.id, media_type=media_type, width=width, height=height,
            file_name=_one_line(file_name, 200), alt=_one_line(alt, 300), content=content, created_at=now,
            created_by=by.who[:200],
        )
        .on_conflict_do_nothing()
    )  # fmt: skip
    return find(session, digest)


def find(session: Session, digest: str) -> Image:
    """The image with this digest. Raises Unknown."""
    found = session.scalar(select(Image).where(Image.digest == digest))
    if found is None:
        raise Unknown(_("There is no such image."))
    return found


def page(session: Session, list_id: int, *, before_id: int | None = None, limit: int = 50) -> list[Image]:
    """A list's images, newest first, below an id; without their content."""
    wanted = select(Image).where(Image.list_id == list_id)
    if before_id is not None:
        wanted = wanted.where(Image.id < before_id)
    return list(session.scalars(wanted.order_by(Image.id.desc()).limit(limit).options(defer(Image.content))))


def path_of(image: Image) -> str:
    """Where the image is served, below the base URL."""
    return f"/images/{image.digest}.{_ENDINGS[image.media_type]}"


def pictures(session: Session, digests: Collection[str]) -> dict[str, Picture]:
    """Those of `digests` that are kept, as mails show them. Raises Fault where no base URL is known."""
    if not digests:
        return {}
    base: str | None = session.info.get("base_url")
    if base is None:
        raise Fault("Images have no address: the session carries no base URL.")
    wanted = select(Image).where(Image.digest.in_(sorted(digests))).options(defer(Image.content))
    return {each.digest: Picture(base + path_of(each), each.width, each.height) for each in session.scalars(wanted)}


def _made_anew(data: bytes) -> tuple[bytes, str, tuple[int, int]]:
    if len(data) > MAX_BYTES:
        raise SaidBadInput(_("An image is at most 10 MB. Make it smaller first."))
    # Loaded when there is an image: Pillow and its codecs take a tenth of a second, which no other page should wait.
    from PIL import Image as Pillow
    from PIL import ImageOps, UnidentifiedImageError

    unreadable = SaidBadInput(
        _("This file can't be used as an image. Use a JPEG, PNG, GIF or WebP file: mail programs show no others.")
    )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Pillow.DecompressionBombWarning)
            with Pillow.open(io.BytesIO(data), formats=_FORMATS) as opened:
                if opened.width * opened.height > MAX_PIXELS:
                    raise SaidBadInput(_("This image has too many pixels. Make it smaller first."))
                if opened.format == "JPEG":
                    opened.draft("RGB", (2 * MAX_WIDTH, 2 * MAX_HEIGHT))  # decodes a large photo at a fraction
                opened.seek(0)
                ImageOps.exif_transpose(opened, in_place=True)  # else it would be copied whole
                return _written(_resized(opened), photo=opened.format in ("JPEG", "WEBP"))
    except (Pillow.DecompressionBombError, Pillow.DecompressionBombWarning):
        raise SaidBadInput(_("This image has too many pixels. Make it smaller first.")) from None
    except BadInput:
        raise
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, EOFError, MemoryError, IndexError, TypeError):
        raise unreadable from None


def _resized(image: Raster) -> Raster:
    from PIL import Image as Pillow

    clear = image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info
    # By whole numbers first, to no less than twice what is wanted: everything after works on a fraction.
    by = int(max(image.width / MAX_WIDTH, image.height / MAX_HEIGHT) / 2)
    if by > 1 and image.mode in _REDUCIBLE and "transparency" not in image.info:
        image = image.reduce(by)
    plain = image.convert("RGBA" if clear else "RGB")
    if plain.width > MAX_WIDTH or plain.height > MAX_HEIGHT:
        share = min(MAX_WIDTH / plain.width, MAX_HEIGHT / plain.height)
        size = (max(1, round(plain.width * share)), max(1, round(plain.height * share)))
        plain = plain.resize(size, Pillow.Resampling.LANCZOS)
    return plain


def _written(image: Raster, *, photo: bool) -> tuple[bytes, str, tuple[int, int]]:
    from PIL import Image as Pillow

    # A fresh canvas carries nothing of the old file's: no EXIF, no comments, no profile, no text.
    fresh = Pillow.new(image.mode, image.size)
    fresh.paste(image)
    clear = image.mode == "RGBA" and image.getchannel("A").getextrema() != (255, 255)
    out = io.BytesIO()
    if clear:
        fresh.save(out, "PNG", optimize=True)
        return out.getvalue(), "image/png", image.size
    opaque = fresh.convert("RGB")
    # Drawings, logos and screenshots have few colours, and blur as JPEG.
    if not photo and opaque.getcolors(_FEW_COLOURS) is not None:
        opaque.save(out, "PNG", optimize=True)
        return out.getvalue(), "image/png", image.size
    opaque.save(out, "JPEG", quality=82, optimize=True, progressive=True)
    return out.getvalue(), "image/jpeg", image.size


def _one_line(text: str, longest: int) -> str:
    kept = "".join(" " if unicodedata.category(each) in ("Cc", "Cs", "Zl", "Zp") else each for each in text)
    return " ".join(kept.split())[:longest]
