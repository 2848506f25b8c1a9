"""What went wrong, for programs: `application/problem+json` (RFC 9457), in plain English, never a page.

The words say what to do about it. They hold nothing of what was sent but the names of fields, and nothing of what went
wrong inside.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Self

from flask import Response, request
from werkzeug.exceptions import HTTPException

from ... import errors
from ...errors import MailinglistError, OptOutsWait, Refused
from ...observe import count
from ...pace import TooMany
from . import shapes

TYPE = "application/problem+json"
ROOT = "/api"
WORDS = {
    400: "The request could not be understood: its body is no JSON, or JSON that could be read in two ways.",
    401: "A good token is needed, in the header: Authorization: Bearer TOKEN.",
    403: "The token is not good for this call, or not for this list.",
    404: "There is nothing at this address: no such call, list or bulletin.",
    405: "This address does not take this method.",
    413: "What was sent is larger than 1 MB. Send it in parts.",
    415: "The body has to be JSON, in UTF-8 and not compressed: Content-Type: application/json.",
    422: "A field is missing, unknown, or not as it has to be. Nothing was taken in.",
    429: "Too many calls in a short time. Wait as long as Retry-After says, and go on.",
    500: "Something is wrong at our end. What you sent may have been taken in or not: keep it, and send it again.",
    503: "The register can't be used at this moment.",
}
"""Each status, in words: in the description, and in an answer where there are none that say more."""
_OTHER = "The request could not be understood."
_NOT_IN = " Nothing of what you sent was taken in: keep it, and send it again."
_IN_OR_NOT = " What you sent may have been taken in or not: keep it, and send it again."
_SOON, _LATER = 5, 60  # seconds
_MOST_FAULTS = 20


class Wrong(Refused):
    """A call that is refused with a status of its own."""

    def __init__(
        self,
        status: int,
        words: str = "",
        *,
        faults: Sequence[shapes.Fault] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(words or WORDS[status])
        self.http_status = status
        self.faults = faults
        """What is wrong with each field."""
        self.headers = headers or {}

    @classmethod
    def about(cls, faults: Sequence[shapes.Fault]) -> Self:
        """A call that is refused for these fields; so many are told that a program can be mended by them."""
        words = f"{len(faults):,} fields are not as they have to be. Nothing was taken in."
        if len(faults) == 1:
            words = f"{faults[0].pointer}: {faults[0].detail}"
        return cls(422, words, faults=faults[:_MOST_FAULTS])


def is_of_the_api(path: str) -> bool:
    """Whether an address is one for programs, whatever answers there."""
    return path == ROOT or path.startswith(f"{ROOT}/")


def answer(
    status: int,
    words: str,
    *,
    faults: Sequence[shapes.Fault] = (),
    headers: Mapping[str, str] | None = None,
    wait: int | None = None,
) -> Response:
    """The answer that says it. `wait`: after how many seconds it may be tried again."""
    count(f"api_{status}")
    title = HTTPStatus(status).phrase
    told = shapes.Problem(title=title, status=status, detail=words, errors=list(faults) or None)
    response = Response(told.model_dump_json(exclude_none=True), status, content_type=TYPE)
    response.headers["Cache-Control"] = "no-store"
    if wait is not None:
        response.headers["Retry-After"] = str(wait)
    response.headers.update(headers or {})
    return response


def of_http(error: HTTPException) -> Response:
    """What Flask or werkzeug refused."""
    status = error.code or 500
    response = answer(status, WORDS.get(status, _OTHER if status < 500 else WORDS[500]))
    if status == 405 and getattr(error, "valid_methods", None):
        response.allow.update(error.valid_methods)  # type: ignore[attr-defined]
    return response


def of(error: MailinglistError) -> Response:
    """What a verb, or the door, refused."""
    if isinstance(error, Wrong):
        return answer(error.http_status, str(error), faults=error.faults, headers=error.headers)
    if isinstance(error, TooMany):
        return answer(429, WORDS[429], wait=error.wait)
    if isinstance(error, errors.Fault):
        return _not_now(_NOT_IN, _SOON if isinstance(error, OptOutsWait) else _LATER)
    return answer(error.http_status, str(error) if isinstance(error, Refused) else WORDS[500])


def of_the_database() -> Response:
    """The database failed: if that was at the commit, nobody knows whether it has been done."""
    return _not_now(_IN_OR_NOT)


def _not_now(what_you_sent: str, wait: int = _LATER) -> Response:
    """The register can't be read or written now: whoever handed something over has to know what became of it."""
    return answer(503, WORDS[503] + (what_you_sent if request.method == "POST" else " Try again."), wait=wait)
