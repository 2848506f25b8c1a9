"""The headers of every answer (ASVS 5.0 §3.4): nothing runs, nothing is framed, nothing leaks where one came from."""

from __future__ import annotations

from flask import Flask, Response, request

from ..settings import Settings
from .exchange import Exchange, exchange
from .routes import Guard, guard_of

_YEAR = 365 * 86400

_ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=(), browsing-topics=()",
}


def install(app: Flask, settings: Settings) -> None:
    """Add the headers to every answer of `app`, error pages included."""

    @app.after_request
    def add(response: Response) -> Response:
        for name, value in _ALWAYS.items():
            response.headers.setdefault(name, value)
        response.headers["Content-Security-Policy"] = _policy(exchange())
        if settings.https:
            response.headers["Strict-Transport-Security"] = f"max-age={_YEAR}"
        if guard_of(request.endpoint) is Guard.LINK:
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
    """The Content-Security-Policy; scripts (our own, from files) only where the form asks for a proof of work."""
    parts = [
        "default-src 'none'",
        "style-src 'self'",
        f"img-src 'self' {here.images}" if here.images else "img-src 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
    ]
    if here.scripts:
        parts += ["script-src 'self'", "worker-src 'self'"]
    return "; ".join(parts)
