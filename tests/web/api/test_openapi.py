"""The API's description: it is made of the calls, and says of each what it really asks and answers."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

import making
from calling import BASE, program
from mailinglist import db
from mailinglist.consent import lists
from mailinglist.staff.programs import Scope
from mailinglist.web.api import CALLS, door
from mailinglist.web.guards import Guard
from mailinglist.web.routes import ROUTES

pytestmark = pytest.mark.parametrize("databases", ["sqlite"], indirect=True)

EXAMPLES: dict[str, Any] = {
    "BansAsked": {
        "items": [{"email": "matti@example.fi"}, {"sha256": "0" * 64}, {"email": "x"}, {"name": "M"}],
        "channel": "email",
    },
    "BanGiven": {"email": "matti@example.fi", "channels": ["email"], "source": "call"},
    "LeaveGiven": {"email": "matti@example.fi", "source": "call"},
    "PeopleGiven": {
        "basis": "customer", "source": "shop",
        "people": [{"email": "a@example.fi", "name": "A", "language": "x", "sale_reference": "1"}, {"email": ""}],
    },
    "RequestGiven": {"email": "matti@example.fi", "name": "M", "language": "sv", "client": "2001:db8::1", "agent": "x"},
}  # fmt: skip
"""A body of each schema that is asked."""


@pytest.fixture
def told(client: FlaskClient) -> dict[str, Any]:
    answer = client.get(f"{BASE}/openapi.json")
    assert (answer.status_code, answer.content_type) == (200, "application/json")
    assert answer.headers["Cache-Control"] == "no-store"
    return json.loads(answer.data)


def operations(told: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in told["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


def walk(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        for each in value.values():
            yield from walk(each)
    elif isinstance(value, list):
        for each in value:
            yield from walk(each)


def fits(value: Any, schema: dict[str, Any], told: dict[str, Any]) -> bool:
    """Whether a value is as a schema says: as much of JSON Schema as the description uses, and no keyword besides."""
    known = {
        "$ref", "anyOf", "oneOf", "type", "properties", "required", "additionalProperties", "items", "enum", "const",
        "pattern", "minLength", "maxLength", "minItems", "maxItems", "minimum", "format", "title", "description",
        "default", "examples",
    }  # fmt: skip
    assert schema.keys() <= known, schema.keys() - known
    if "$ref" in schema:
        return fits(value, told["components"]["schemas"][schema["$ref"].rpartition("/")[2]], told)
    kinds = {"object": dict, "array": list, "string": str, "integer": int, "boolean": bool, "null": type(None)}
    if "type" in schema and (type(value) is not kinds[schema["type"]]):
        return False
    if "anyOf" in schema and not any(fits(value, each, told) for each in schema["anyOf"]):
        return False
    if "oneOf" in schema and sum(fits(value, each, told) for each in schema["oneOf"]) != 1:
        return False
    if value not in schema.get("enum", [value]) or value != schema.get("const", value):
        return False
    if isinstance(value, str):
        return bool(re.search(schema.get("pattern", ""), value)) and (
            schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", len(value))
        )
    if isinstance(value, list):
        return schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value)) and all(
            fits(each, schema.get("items", {}), told) for each in value
        )
    if isinstance(value, dict):
        own = schema.get("properties", {})
        if not set(schema.get("required", ())) <= value.keys():
            return False
        if schema.get("additionalProperties") is False and not value.keys() <= own.keys():
            return False
        return all(fits(each, own[name], told) for name, each in value.items() if name in own)
    return True


def test_describes_every_route_of_programs_and_no_other(told: dict[str, Any]) -> None:
    assert told["openapi"] == "3.1.0"
    [server] = told["servers"]
    assert server["url"] == "http://127.0.0.1:8000/api/v1"
    described = {(method, path): operation["security"] for method, path, operation in operations(told)}
    spelt = {
        (route.method, re.sub(r"<\w+:(\w+)>", r"{\1}", route.rule.removeprefix(BASE))): [{"token": [route.scope]}]
        for route in ROUTES
        if route.guard is Guard.PROGRAM
    }
    assert described == spelt
    assert {scope for [need] in described.values() for scope in need["token"]} == set(Scope)
    for _method, path, operation in operations(told):
        named = {each["name"] for each in operation["parameters"] if each["in"] == "path"}
        assert named == set(re.findall(r"{(\w+)}", path))
        assert operation["summary"].endswith(".")
        assert "“" not in operation["summary"]
    names = [operation["operationId"] for _method, _path, operation in operations(told)]
    assert len(set(names)) == len(names)


def test_points_only_to_what_is_in_it(told: dict[str, Any]) -> None:
    schemas = told["components"]["schemas"]
    pointed = {each["$ref"] for each in walk(told) if "$ref" in each}
    assert pointed == {f"#/components/schemas/{name}" for name in schemas}
    for name, schema in schemas.items():
        assert schema.get("description") or "enum" in schema, name


def test_the_door_of_each_is_the_door_of_programs(app: Flask) -> None:
    """The route, not only its description: without the guard the view would answer without a token."""
    for route in ROUTES:
        if route.guard is Guard.PROGRAM:
            view = app.view_functions[route.endpoint]
            assert view.__code__.co_filename == door.__file__
            path = route.rule.replace("<slug:slug>", lists.DEFAULT_SLUG).replace("<int:number>", "1")
            assert app.test_client().open(path, method=route.method).status_code == 401


def test_says_of_each_what_it_asks_and_answers(app: Flask, told: dict[str, Any]) -> None:
    one = program(app)
    with db.transaction() as session:
        making.written(session, now=db.utcnow())
    for call, (method, path, operation) in zip(CALLS, operations(told), strict=True):
        where = BASE + path.replace("{slug}", lists.DEFAULT_SLUG).replace("{number}", "1")
        options: dict[str, Any] = {}
        if call.asks is not None:
            body = EXAMPLES[call.asks.__name__]
            schema = operation["requestBody"]["content"]["application/json"]["schema"]
            assert fits(body, schema, told), path
            for wrong in ({}, {**body, "password": "x"}):
                assert not fits(wrong, schema, told), path
                answer = one.client.open(where, method=method, json=wrong, headers=one.headers)
                assert answer.status_code == 422
                refusal = operation["responses"]["422"]["content"]["application/problem+json"]["schema"]
                assert fits(answer.get_json(force=True), refusal, told)
            options = {"json": body}
        answer = one.client.open(where, method=method, headers=one.headers, **options)
        [promised] = [status for status in operation["responses"] if status < "300"]
        assert str(answer.status_code) == promised, answer.text
        schema = operation["responses"][promised]["content"]["application/json"]["schema"]
        assert fits(json.loads(answer.data), schema, told), path
        assert not fits({**json.loads(answer.data), "more": 1}, schema, told), path
        statuses = {"401", "403", "404", "429", "500", "503"} | ({"400", "413", "415", "422"} if call.asks else set())
        assert operation["responses"].keys() == statuses | {promised}
