"""The API's description in OpenAPI 3.1, made of the calls themselves and of the schemas that check what comes in: so it
can't tell anything else than what happens."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from ... import __version__
from ..guards import SLUG
from .call import BASE, Call
from .problem import TYPE, WORDS
from .shapes import Fault, Problem

PATH = f"{BASE}/openapi.json"
_VARIABLE = re.compile(r"<(\w+):(\w+)>")
_KINDS: dict[str, tuple[dict[str, Any], str]] = {
    "slug": ({"type": "string", "pattern": f"^{SLUG}$"}, "The list's short name."),
    "int": ({"type": "integer", "minimum": 0}, "The bulletin's number."),
}
_REFERENCE = "#/components/schemas/{model}"
_ABOUT = (
    "For other systems of the firm: they ask who has forbidden marketing, hand on what they were told, and hand over "
    "customers. Nothing here reads addresses out, sends mail or lifts a ban. A method that an address does not take is "
    "answered with 405, and with the methods that it takes."
)
_ANY, _WITH_BODY = (401, 403, 404, 429, 500, 503), (400, 413, 415, 422)
_HEADERS = {
    401: {"WWW-Authenticate": "`Bearer`, always the same (RFC 6750)."},
    403: {"WWW-Authenticate": "`Bearer` with `insufficient_scope` (RFC 6750)."},
    429: {"Retry-After": "Seconds."},
    503: {"Retry-After": "Seconds."},
}


def described(calls: Iterable[Call], base_url: str) -> dict[str, Any]:
    """The description of these calls, at the site `base_url`."""
    calls = tuple(calls)
    paths: dict[str, dict[str, Any]] = {}
    for call in calls:
        paths.setdefault(path_of(call), {})[call.method.lower()] = _operation(call)
    return {
        "openapi": "3.1.0",
        "info": {"title": "mailinglist", "version": __version__, "summary": "The mailing list", "description": _ABOUT},
        "servers": [{"url": base_url.rstrip("/") + BASE}],
        "paths": paths,
        "components": {
            "schemas": _schemas(calls),
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "A token that staff made."}
            },
        },
        "security": [{"token": []}],
    }


def path_of(call: Call) -> str:
    """A call's address, below the server's, as OpenAPI writes it."""
    return _VARIABLE.sub(r"{\2}", call.rule)


def _operation(call: Call) -> dict[str, Any]:
    statuses = sorted({*_ANY, *(_WITH_BODY if call.asks else ())})
    told: dict[str, Any] = {
        "operationId": f"{call.verb.__module__.rpartition('.')[2]}_{call.verb.__name__}",
        "summary": call.says.partition(". ")[0].rstrip(".") + ".",
        "description": f"{call.says} The token has to be good for `{call.scope}`.",
        "security": [{"token": [call.scope.value]}],
        "parameters": [_parameter(*found) for found in _VARIABLE.findall(call.rule)],
        "responses": {
            str(call.status): {"description": HTTPStatus(call.status).phrase, "content": _content(call.answers)},
            **{str(status): _refusal(status) for status in statuses},
        },
    }
    if call.asks is not None:
        told["requestBody"] = {"required": True, "content": _content(call.asks)}
    return told


def _parameter(kind: str, name: str) -> dict[str, Any]:
    schema, words = _KINDS[kind]
    return {"name": name, "in": "path", "required": True, "description": words, "schema": schema}


def _refusal(status: int) -> dict[str, Any]:
    told: dict[str, Any] = {"description": WORDS[status], "content": _content(Problem, TYPE)}
    if headers := _HEADERS.get(status):
        told["headers"] = {
            name: {"description": words, "schema": {"type": "string"}} for name, words in headers.items()
        }
    return told


def _content(shape: type[BaseModel], kind: str = "application/json") -> dict[str, Any]:
    return {kind: {"schema": {"$ref": _REFERENCE.format(model=shape.__name__)}}}


def _schemas(calls: Iterable[Call]) -> Mapping[str, Any]:
    asked = [(call.asks, "validation") for call in calls if call.asks is not None]
    told = [(shape, "serialization") for shape in (*(call.answers for call in calls), Problem, Fault)]
    wanted: Any = list(dict.fromkeys([*asked, *told]))
    _names, made = models_json_schema(wanted, ref_template=_REFERENCE)
    found: Mapping[str, Any] = made["$defs"]
    return found
