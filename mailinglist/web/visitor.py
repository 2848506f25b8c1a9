"""Who asks: what a request tells about its sender, and the one cookie, of the confirming browser.

The browser that signed up may be confirmed by following the link in the letter, without pressing the button. It is
known by a signed cookie with a fresh nonce, of one shape for everybody; what it opens is written with the request, as
a digest. The cookie is set only when the form was sent from our own page, or from an origin that the list's settings
name: else any site could have its visitors' browsers ask for, and by a mere click confirm, a subscription that they
never meant.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from datetime import timedelta
from functools import wraps
from typing import Any
from urllib.parse import urlsplit

from flask import Request, Response, current_app, request

from ..consent.register import Origin
from ..errors import TokenError
from ..pace import Pace, client_of
from ..tokens import Purpose, Tokens

PACE = "mailinglist_pace"
"""Key of the process's Pace in `app.extensions`."""

_COOKIE = "mailinglist_browser"
_NONCE_BYTES = 16
_LONGEST_AGENT = 300


def origin(request: Request, how: str, *, language: str) -> Origin:
    """What is kept as evidence of an act: `how` it was done, from which client and browser, in which language."""
    return {"how": how, "client": request.remote_addr, "user_agent": agent(), "language": language}


def pace() -> Pace:
    """The process's rate limits."""
    found: Pace = current_app.extensions[PACE]
    return found


def client() -> str:
    """The address that the request came from, for the audit."""
    return (request.remote_addr or "unknown")[:64]


def agent() -> str:
    """What this browser says that it is, fit for keeping."""
    return kept_of_agent(request.user_agent.string)


def kept_of_agent(text: str) -> str:
    """As much as is kept of what a browser says that it is."""
    return "".join(c for c in text if c.isprintable())[:_LONGEST_AGENT]


def spend(what: str) -> None:
    """Count one use of `what` by the present client (behind proxies, ProxyFix has set its address). Raises TooMany."""
    pace().spend(what, client_of(request.remote_addr))


def paced(view: Callable[..., Response], what: str) -> Callable[..., Response]:
    """`view`, limited: looked at before the list, the body or anybody's state, so that the limit tells nothing."""

    @wraps(view)
    def limited(**values: Any) -> Response:
        spend(what)
        return view(**values)

    return limited


def asked_from(request: Request, base_url: str, listed: tuple[str, ...] = ()) -> bool:
    """Whether the browser says that the form was on our own page, or on one of the `listed` origins.

    `Origin` decides where it names one. Pages without a referrer (our own token pages) send `null`, and so does a frame
    in a sandbox: then `Sec-Fetch-Site` tells ours from others'. No page can forge either. With neither: no.
    """
    claimed = request.headers.get("Origin", "null").lower()
    if claimed != "null":
        return claimed == _origin_of(base_url) or claimed in listed
    return request.headers.get("Sec-Fetch-Site") == "same-origin"


def fresh_nonce() -> bytes:
    """What one request's cookie carries."""
    return secrets.token_bytes(_NONCE_BYTES)


def remember(response: Response, tokens: Tokens, nonce: bytes, *, days: int, https: bool) -> None:
    """Set the cookie of the confirming browser."""
    response.set_cookie(
        _cookie(https),
        tokens.issue(Purpose.BROWSER, nonce),
        max_age=timedelta(days=days),
        path="/",
        secure=https,
        httponly=True,
        samesite="Lax",  # Strict would keep it back when the link is followed from a webmail
    )


def nonce_of(request: Request, tokens: Tokens, *, https: bool) -> bytes | None:
    """The nonce that this browser was given last; None: it has no cookie of ours that is still good."""
    try:
        return tokens.read(Purpose.BROWSER, request.cookies.get(_cookie(https), ""))
    except TokenError:
        return None


def follows_a_link(request: Request) -> bool:
    """Whether a person may be behind this request: not HEAD, and no browser fetching ahead of its user."""
    if request.method != "GET" or "Sec-Purpose" in request.headers:
        return False
    if request.headers.get("Sec-Fetch-Mode", "navigate") != "navigate":  # an image of another page, say
        return False
    return not any(request.headers.get(name) for name in ("Purpose", "X-Purpose", "X-Moz"))


def _cookie(https: bool) -> str:
    # The prefix makes browsers refuse the cookie from a subdomain or over plain http (RFC 6265bis §4.1.3.2).
    return f"__Host-{_COOKIE}" if https else _COOKIE


def _origin_of(url: str) -> str:
    parts = urlsplit(url.lower())
    standard = {"http": 80, "https": 443}[parts.scheme]
    host = f"[{parts.hostname}]" if parts.hostname and ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host}" + (f":{parts.port}" if parts.port not in (None, standard) else "")
