"""THE API, for other systems of the firm: they ask the ban register, hand on bans and leaves, and hand over customers
and requests (T5.1, T5.4). JSON in, JSON out, in English. Parse, call one verb, answer.

    call.py       what a call is: route, schemas, words
    shapes.py     the schemas: what is asked and answered
    door.py       who may call: tokens, scopes, lists, pace
    body.py       strict JSON, held against a schema
    problem.py    what went wrong (RFC 9457)
    openapi.py    the description, made of all of this
    bans.py       the ban register: ask, forbid, leave
    people.py     people handed over, and requests to join
    bulletins.py  how far a bulletin has come

Owns no table. Promises: every call stands behind a token that is good for its scope (`door`), out of the header and
nothing else; the same answer for every token that is not good; what is not taken in is answered with an error, and what
is answered with 200 or 202 has been committed; people who are banned or have left are refused by the same rules as in a
file; the description at /api/v1/openapi.json is made of the schemas that check the calls; no answer is a page, sets a
cookie, or may be read by a script of another site.

Refuses: fields that no schema has, passwords and cards by name; to read out an address, send a bulletin, or lift a ban:
there is no such call (T7.3, REQUIREMENTS 2.1); bodies over 1 MB; more than 600 calls a minute with one token.

Known limits: who has a token that may write people is told which of them are refused, and so that these are banned or
have left, as staff are who import a file. A request that is handed on by a program comes without a proof of work. A
call that asks by names reads the names of all who are banned (docs/benchmarks.md): many names belong into one call.
"""

from __future__ import annotations

import json
from functools import cache

from flask import Response

from .. import pages
from ..guards import Guard, Route
from . import bans, bulletins, openapi, people
from .call import answer

CALLS = (*bans.CALLS, *people.CALLS, *bulletins.CALLS)


def description() -> Response:
    """GET: what there is, for programs that read such descriptions; it holds no secret."""
    return answer(_described(pages.settings().base_url))


@cache
def _described(base_url: str) -> str:
    # Anybody may ask for it, and it takes some milliseconds to make.
    return json.dumps(openapi.described(CALLS, base_url), ensure_ascii=False)


ROUTES = (Route("GET", openapi.PATH, description, Guard.ANYONE), *(call.route() for call in CALLS))
