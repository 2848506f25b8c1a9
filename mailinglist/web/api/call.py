"""What a call is: its route, the schema of what it asks and of what it answers, and its words in the description."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any

from flask import Response
from pydantic import BaseModel

from ...staff.programs import Scope
from ..guards import Guard, Route
from . import body

BASE = "/api/v1"


@dataclass(frozen=True, slots=True)
class Call:
    """One thing that a program may do. `verb` gets what was asked, if there is a body, and what the address names."""

    method: str
    rule: str
    """Below BASE."""
    verb: Callable[..., BaseModel]
    scope: Scope
    says: str
    """What it does. The first sentence is its summary."""
    answers: type[BaseModel]
    asks: type[BaseModel] | None = None
    status: int = 200

    def route(self) -> Route:
        """The way in."""
        return Route(self.method, BASE + self.rule, self._view(), Guard.PROGRAM, scope=self.scope)

    def _view(self) -> Callable[..., Response]:
        asks, verb = self.asks, self.verb

        @wraps(verb)
        def view(**values: Any) -> Response:
            told = verb(**values) if asks is None else verb(body.read(asks), **values)
            return answer(told.model_dump_json(), self.status)

        return view


def answer(text: str, status: int = 200) -> Response:
    """An answer in JSON, that no cache keeps."""
    response = Response(text, status, content_type="application/json")
    response.headers["Cache-Control"] = "no-store"
    return response
