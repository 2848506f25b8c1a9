"""Error pages: in words, in the visitor's language, and with the right status. No page shows what went wrong inside.

Programs get no page: `api.problem`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from flask import Flask, Response, make_response, request
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.exceptions import HTTPException

from .. import db
from ..consent import lists
from ..errors import Fault, MailinglistError, OptOutsWait, Refused, TokenSpent
from ..observe import count, logger
from ..pace import TooMany
from .api import problem as api_problem
from .exchange import exchange
from .looks import Brand, brand_of
from .pages import page, reason, say, settings
from .staff import frame

log = logger(__name__)

_SOON = 5
"""After so many seconds it is worth trying again where a worker only has to enter something."""
_OF_MAILS = ("/confirm/", "/not-me/", "/unsubscribe/", "/preferences/")
"""Where the links of mails lead; mail programs break long ones."""


@dataclass(frozen=True, slots=True)
class Problem:
    """A title and a sentence."""

    title: str
    words: str


def _problem(status: int) -> Problem:
    match status:
        case 404:
            words = say("The link may have been cut or mistyped on its way.")
            if request.path.startswith(_OF_MAILS):
                words += " " + say("Copy the whole link from the message.")
            return Problem(say("There is no such page"), words)
        case 405:
            return Problem(say("This can't be done here"), say("The page does not take this kind of request."))
        case 413:
            return Problem(say("That was too large"), _too_large())
        case 429:
            return Problem(
                say("Please wait a moment"),
                say("Many requests have come from your network in a short time. Nothing is wrong with your address."),
            )
        case status if status < 500:
            return Problem(say("That did not work"), say("The request could not be understood. Please try again."))
        case _:
            return Problem(
                say("Something is wrong at our end"),
                say("It is not your fault, and nothing you did before is lost. Please try again in a few minutes."),
            )


def _too_large() -> str:
    if most := exchange().megabytes:
        return say("This file is larger than %(number)s MB. Make it smaller, or split it, and try again.", number=most)
    return say("What was sent is larger than any form of ours could be.")


def install(app: Flask) -> None:
    """Answer errors with pages."""

    @app.errorhandler(HTTPException)
    def on_http(error: HTTPException) -> Response:
        if error.code is None or error.code < 400:
            return make_response(error.get_response())  # a redirect to the right spelling of an address
        if api_problem.is_of_the_api(request.path):
            return api_problem.of_http(error)
        response = _answer(error.code)
        if error.code == 405 and getattr(error, "valid_methods", None):
            response.allow.update(error.valid_methods)  # type: ignore[attr-defined]
        return response

    @app.errorhandler(TokenSpent)
    def on_spent(error: TokenSpent) -> Response:
        if frame.is_of_the_console(request.path):
            return frame.problem(
                say("This link is used up"),
                say("It was good for a day, and for once. An administrator can give you a fresh one."),
                error.http_status,
            )
        return page("gone", error.http_status, brand=_brand())

    @app.errorhandler(MailinglistError)
    def on_ours(error: MailinglistError) -> Response:
        if isinstance(error, Fault):
            log.error("page_failed", why=type(error).__name__)
        if api_problem.is_of_the_api(request.path):
            return api_problem.of(error)
        if isinstance(error, Refused) and not isinstance(error, TooMany) and frame.is_of_the_console(request.path):
            # To staff, a verb's own words: they tell what to do about it.
            return frame.problem(say("That can't be done now"), reason(error), error.http_status)
        if isinstance(error, OptOutsWait) and frame.is_of_the_console(request.path):
            response = frame.problem(say("That can't be done now"), reason(error), error.http_status)
            response.headers["Retry-After"] = str(_SOON)  # the words say it, too; in minutes it would be one
            return response
        return _answer(error.http_status, wait=error.wait if isinstance(error, TooMany) else None)

    @app.errorhandler(SQLAlchemyError)
    def on_database(error: SQLAlchemyError) -> Response:
        # Its message holds the statement and its values: an address may be among them.
        log.error("page_failed", why=type(error).__name__, code=error.code)
        return api_problem.of_the_database() if api_problem.is_of_the_api(request.path) else _answer(503)


def _brand() -> Brand | None:
    """The looks of the only list, so that the page says whose it is; None: there are several, or none can be read.

    Without its logo: whatever address was asked for, nothing is fetched from elsewhere.
    """
    try:
        with db.reading() as session:
            rows = lists.every(session)
            return replace(brand_of(rows[0], settings()), logo="") if len(rows) == 1 else None
    except (MailinglistError, SQLAlchemyError):
        return None


def _answer(status: int, *, wait: int | None = None) -> Response:
    """`wait`: after how many seconds it may be tried again."""
    wait = 60 if status == 503 else wait
    what = _problem(status)
    if frame.is_of_the_console(request.path):
        response = frame.problem(what.title, what.words, status, wait=wait)
    else:
        count(f"pages_{status}")
        response = page("problem", status, brand=_brand() if status < 500 else None, problem=what, wait=wait)
    response.headers["Cache-Control"] = "no-store"
    if wait:
        response.headers["Retry-After"] = str(wait)
    return response
