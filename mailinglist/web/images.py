"""Images of bulletins, for mailboxes: the same for everybody, and for ever under their address."""

from __future__ import annotations

import re

from flask import Response, request

from .. import db
from ..bulletins import images
from ..errors import Unknown
from ..stationery.sentences import noted as _
from .guards import Guard, Route
from .looks import FOR_EVER

_NAME = re.compile(r"([0-9a-f]{64})\.(jpg|png)")


def serve(name: str) -> Response:
    """GET: an image by the digest of its content. Nothing is set, counted or kept about who asks."""
    match = _NAME.fullmatch(name)
    if match is None:
        raise Unknown(_("There is no such image."))
    with db.reading() as session:
        image = images.find(session, match[1])
        content, media_type, path = image.content, image.media_type, images.path_of(image)
    if not path.endswith(name):
        raise Unknown(_("There is no such image."))
    response = Response(content, content_type=media_type)
    response.headers["Cache-Control"] = FOR_EVER
    # Webmail shows it on pages of its own.
    response.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
    response.set_etag(match[1])
    response.make_conditional(request)
    return response


ROUTES = (Route("GET", "/images/<name>", serve, Guard.ANYONE),)
