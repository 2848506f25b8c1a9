"""The headers of every answer (ASVS 5.0 §3.4): scripts and frames are our own at most, and no other site learns where
one came from."""

from __future__ import annotations

from flask import Flask, Response, request

from ..settings import Settings
from .exchange import Exchange, exchange
from .guards import Guard
from .routes import guard_of

_YEAR = 365 * 86400

_ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=(), browsing-topics=()",
}

# A mail carries its styles in itself. The sandbox takes scripts, forms and our origin away from it.
_PREVIEW = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src {images}; form-action 'none'; "
    "frame-ancestors 'self'; base-uri 'none'; sandbox allow-popups allow-popups-to-escape-sandbox"
)


def install(app: Flask, settings: Settings) -> None:
    """Add the headers to every answer of `app`, error pages included."""

    @app.after_request
    def add(response: Response) -> Response:
        for name, value in _ALWAYS.items():
            response.headers.setdefault(name, value)
        response.headers["Content-Security-Policy"] = _policy(exchange())
        if settings.https:
            response.headers["Strict-Transport-Security"] = f"max-age={_YEAR}"
        if exchange().console:
            # What staff see is of persons, or not public yet.
            # Where the address holds a secret, not even requests to ourselves name it. The request for the page itself
            # does: our own server writes no log of addresses, and a proxy in front must not either (see operating.md).
            kept_back = "secret" in (request.view_args or {})
            response.headers["Referrer-Policy"] = "no-referrer" if kept_back else "same-origin"
            response.headers.setdefault("Cache-Control", "no-store")
            response.headers["X-Robots-Tag"] = "noindex"
        elif guard_of(request.endpoint) is Guard.LINK:
            # The address is the key: it must reach no log of another site, no cache and no index.
            response.headers["Referrer-Policy"] = "no-referrer"
            response.headers["Cache-Control"] = "no-store"
            response.headers["X-Robots-Tag"] = "noindex"
        else:
            # Not no-referrer: browsers would then send `Origin: null` with our own form; the cookie rests on Origin.
            response.headers.setdefault("Referrer-Policy", "same-origin")
            response.headers.setdefault("Cache-Control", "no-cache, private")
        return response


def _policy(here: Exchange) -> str:
    """The Content-Security-Policy. Scripts are our own, from files: on pages for staff, and where the form asks for a
    proof of work."""
    images = f"'self' {here.images}" if here.images else "'self'"
    if here.preview:
        return _PREVIEW.format(images=images)
    parts = [
        "default-src 'none'",
        "style-src 'self'",
        f"img-src {images}",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
    ]
    if here.console:
        parts += ["script-src 'self'", "connect-src 'self'"]
    elif here.scripts:
        parts += ["script-src 'self'", "worker-src 'self'"]
    if here.frames:
        parts += ["frame-src 'self'"]
    return "; ".join(parts)
