"""What a test process compiles once, though it makes thousands of applications: routes, templates, SQL.

Each application still has its own routes, environment and engine. Programs that tests start know nothing of this.

Routes and SQL are kept by way of methods that Werkzeug and Flask-SQLAlchemy don't promise to keep: neither has a public
place for it. An application costs 5 ms so, and 40 without; the suite makes four thousand. Should a new version of
either fail here, `once` may be left out: then it is slower, and finds the same.
"""

from __future__ import annotations

from typing import Any

from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from jinja2 import BytecodeCache
from jinja2.bccache import Bucket
from sqlalchemy import Dialect, Engine
from sqlalchemy.util import LRUCache
from werkzeug.routing import Rule


def once() -> None:
    """From now on, in this process."""
    Flask.jinja_options = {**Flask.jinja_options, "bytecode_cache": _Templates()}
    Rule.compile = _compile  # type: ignore[assignment]
    SQLAlchemy._make_engine = _make_engine


class _Templates(BytecodeCache):
    """Compiled templates, by their names and the digest of their text."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str], bytes] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        if found := self._kept.get((bucket.key, bucket.checksum)):
            bucket.bytecode_from_string(found)

    def dump_bytecode(self, bucket: Bucket) -> None:
        self._kept[bucket.key, bucket.checksum] = bucket.bytecode_to_string()


_compile_anew = Rule.compile
_rules: dict[tuple[str, bool | None], Rule] = {}


def _compile(rule: Rule) -> None:
    """Werkzeug writes and compiles two functions for each rule: 40 ms for all of ours."""
    known = _rules.setdefault((rule.rule, rule.merge_slashes), rule)
    if known is rule or rule.defaults or rule.subdomain or rule.host:
        _compile_anew(rule)
        return
    rule._parts, rule._trace, rule._converters = known._parts, known._trace, known._converters
    rule.arguments = known.arguments
    rule._build = known._build.__func__.__get__(rule)  # type: ignore[attr-defined]
    rule._build_unknown = known._build_unknown.__func__.__get__(rule)  # type: ignore[attr-defined]


_make_engine_anew = SQLAlchemy._make_engine
_dialects: dict[str, Dialect] = {}
_statements = LRUCache[Any, Any](5000)


def _make_engine(self: SQLAlchemy, bind_key: str | None, options: dict[str, Any], app: Flask) -> Engine:
    """SQLAlchemy keeps the SQL of a statement, or of a flush, for a dialect object: with one for all engines of a kind,
    a test compiles only what no test before it did."""
    engine = _make_engine_anew(self, bind_key, options, app)
    known = _dialects.get(engine.dialect.name)
    if known is None or known.server_version_info is None:  # never connected: it does not yet know its server
        _dialects[engine.dialect.name] = engine.dialect
    else:
        engine.dialect, engine._compiled_cache = known, _statements
    return engine
