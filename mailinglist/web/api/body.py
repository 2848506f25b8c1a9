"""A call's body: strict JSON (RFC 8259), held against the schema that the description of the API shows, too.

What two readers could understand in two ways is refused: a name that stands twice, NaN, another encoding. So is a NUL,
which no database takes, and half a character.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import quote

from flask import request
from pydantic import BaseModel, ValidationError
from werkzeug.exceptions import RequestEntityTooLarge

from ...consent import sheet
from .problem import Wrong
from .shapes import WRITTEN, Fault

LARGEST = 2**20
"""Octets."""
_SHOWN = 40

Asked = TypeVar("Asked", bound=BaseModel)


def read(shape: type[Asked]) -> Asked:
    """What the call asks, as `shape` has it. Raises Wrong (400, 415, 422); werkzeug raises 413."""
    if request.mimetype != "application/json" or _charset() not in ("", "utf-8", "utf8"):
        raise Wrong(415, "The body has to be JSON: Content-Type: application/json, in UTF-8.")
    if request.headers.get("Content-Encoding", "identity").strip().lower() != "identity":
        raise Wrong(415, "The body has to be sent as it is, not compressed.")
    # One more than is taken: of a body that does not say its length, werkzeug cuts off what is beyond, without a word.
    request.max_content_length = LARGEST + 1
    if len(data := request.get_data()) > LARGEST:
        raise RequestEntityTooLarge
    told = _parsed(data)
    if odd := [
        Fault(pointer=_pointer(way), detail="This holds characters that can't be kept.") for way in _unkept(told)
    ]:
        raise Wrong.about(odd)
    try:
        return shape.model_validate(told)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_input=False)
        raise Wrong.about([Fault(pointer=_pointer(_way(each, told)), detail=_words(each)) for each in faults]) from None


def _charset() -> str:
    return request.mimetype_params.get("charset", "").lower()


def _parsed(data: bytes) -> Any:
    try:
        return json.loads(data.decode("utf-8"), object_pairs_hook=_once, parse_constant=_no_number)
    except json.JSONDecodeError as error:
        raise Wrong(400, f"The body is not JSON (line {error.lineno}, column {error.colno}).") from None
    except UnicodeDecodeError:
        raise Wrong(400, "The body is not in UTF-8.") from None
    except RecursionError:
        raise Wrong(400, "The body is nested too deeply.") from None
    except ValueError as error:
        raise Wrong(400, str(error) if isinstance(error, _Ambiguous) else "The body holds a number too long.") from None


class _Ambiguous(ValueError):
    """JSON that not every reader understands alike."""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise _Ambiguous("A field stands twice in one object.")
    return found


def _no_number(_name: str) -> float:
    raise _Ambiguous("NaN and Infinity are no JSON.")


def _unkept(told: Any) -> Iterator[tuple[str | int, ...]]:
    """Where text stands, as a name or as a value, that can't be stored."""
    waiting: list[tuple[tuple[str | int, ...], Any]] = [((), told)]
    while waiting:
        way, value = waiting.pop()
        if isinstance(value, str):
            if not _keepable(value):
                yield way
        elif isinstance(value, dict):
            waiting += [((*way, name), each) for name, each in value.items()]
            if not all(map(_keepable, value)):
                yield way
        elif isinstance(value, list):
            waiting += [((*way, place), each) for place, each in enumerate(value)]


def _keepable(text: str) -> bool:
    return "\0" not in text and not any("\ud800" <= c <= "\udfff" for c in text)


def _way(fault: Mapping[str, Any], told: Any) -> tuple[str | int, ...]:
    """The way to a fault: pydantic also names which of several kinds it tried, and no body has such a field."""
    way: list[str | int] = []
    for part in fault["loc"]:
        inside = isinstance(told, dict) and part in told
        if inside or (isinstance(told, list) and isinstance(part, int) and part < len(told)):
            told = told[part]
            way.append(part)
    return (*way, fault["loc"][-1]) if fault["type"] == "missing" else tuple(way)


def _pointer(way: Sequence[str | int]) -> str:
    """As a JSON pointer in a URI fragment (RFC 6901 §6), as in RFC 9457's example."""
    parts = [str(part)[:_SHOWN].encode(errors="replace").decode() for part in way]
    return "#" + "".join("/" + quote(part.replace("~", "~0").replace("/", "~1"), safe="~") for part in parts)


def _words(fault: Mapping[str, Any]) -> str:
    context = fault.get("ctx", {})
    match fault["type"]:
        case "missing":
            return "This field is needed."
        case "extra_forbidden":
            why = sheet.why_foreign(sheet.column_name(str(fault["loc"][-1])))
            return f"This field {why}. Leave it out." if why else "There is no such field."
        case "string_type":
            return "This has to be text."
        case "list_type" | "is_instance_of" | "sequence_str":
            return "This has to be a list."
        case "model_type" | "model_attributes_type" | "dict_type":
            return "This has to be an object."
        case "too_short":
            return f"This has to hold at least {context['min_length']}."
        case "too_long":
            return f"This may hold at most {context['max_length']:,}."
        case "string_too_short":
            return "This may not be empty."
        case "string_too_long":
            return f"This may have at most {context['max_length']:,} characters."
        case "string_pattern_mismatch":
            return WRITTEN[context["pattern"]]
        case "enum" | "literal_error":
            return f"This has to be {context['expected']}."
        case _:
            words = str(fault["msg"]).rstrip(".")
            return f"{words[:1].upper()}{words[1:]}."
