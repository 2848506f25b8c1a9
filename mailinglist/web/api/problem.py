"""What went wrong, for programs: `application/problem+json` (RFC 9457), in plain English, never a page.

The words say what to do about it. They hold nothing of what was sent but the names of fields, and nothing of what went
wrong inside.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from flask import Response, request
from werkzeug.exceptions import HTTPException

from ...errors import Fault, MailinglistError, OptOutsWait, Refused
from ...observe import count
from ...pace import TooMany

TYPE = "application/problem+json"
ROOT = "/api/"
_SOON, _LATER = 5, 60  # seconds
_NOT_NOW = (
    "The register can't be used at this moment, and nothing of what you sent was taken in. Keep it, and send it again."
)
_WORDS = {
    400: "The request could not be understood.",
    404: "There is nothing at this address.",
    405: "This address does not take this method.",
    413: "What was sent is larger than 1 MB. Send it in parts.",
    500: "Something is wrong at our end. What you sent may have been taken in or not: send it again.",
}


class Wrong(Refused):
    """A call that is refused with a status of its own."""

    def __init__(
        self,
        status: int,
        words: str,
        *,
        errors: Sequence[Mapping[str, str]] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(words)
        self.http_status = status
        self.errors = errors
        """What is wrong with each field: `pointer`, `detail`."""
        self.headers = headers or {}


def is_of_the_api(path: str) -> bool:
    """Whether an address is one for programs, whatever answers there."""
    return path.startswith(ROOT)


def answer(
    status: int,
    words: str,
    *,
    errors: Sequence[Mapping[str, str]] = (),
    headers: Mapping[str, str] | None = None,
    wait: int | None = None,
) -> Response:
    """The answer that says it. `wait`: after how many seconds it may be tried again."""
    count(f"api_{status}")
    told: dict[str, Any] = {"title": HTTPStatus(status).phrase, "status": status, "detail": words}
    if errors:
        told["errors"] = list(errors)
    response = Response(json.dumps(told, ensure_ascii=False), status, content_type=TYPE)
    response.headers["Cache-Control"] = "no-store"
    if wait is not None:
        response.headers["Retry-After"] = str(wait)
    response.headers.update(headers or {})
    return response


def of_http(error: HTTPException) -> Response:
    """What Flask or werkzeug refused."""
    status = error.code or 500
    response = answer(status, _WORDS.get(status, _WORDS[400] if status < 500 else _WORDS[500]))
    if status == 405 and getattr(error, "valid_methods", None):
        response.allow.update(error.valid_methods)  # type: ignore[attr-defined]
    return response


def of(error: MailinglistError) -> Response:
    """What a verb, or the door, refused."""
    if isinstance(error, Wrong):
        return answer(error.http_status, str(error), errors=error.errors, headers=error.headers)
    if isinstance(error, TooMany):
        return answer(429, "Too many calls in a short time. Wait, and go on.", wait=error.wait)
    if isinstance(error, Fault):
        return not_now(_SOON if isinstance(error, OptOutsWait) else _LATER)
    return answer(error.http_status, str(error) if isinstance(error, Refused) else _WORDS[500])


def not_now(wait: int = _LATER) -> Response:
    """The register can't be read or written now: whoever handed something over has to know that it is not in."""
    return answer(503, _NOT_NOW if request.method == "POST" else "No answer can be given now. Try again.", wait=wait)
