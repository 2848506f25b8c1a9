"""Structured logs and counters.

Events are static snake_case names with ids. Addresses, tokens and passwords never get here: callers pass ids, and
`redact` drops what looks like an address or a token from values that came from outside (an SMTP server's answer, say).
"""

from __future__ import annotations

import logging
import re
import sys
from collections import Counter
from threading import Lock
from typing import Any

import structlog

# Bounded, and what is long is cut first: strangers decide what is searched here.
_ADDRESS = re.compile(r"(?:\"[^\"]{1,128}\"|[^\s<>\"'(),;:@]{1,128})@[^\s<>\"'(),;:]{1,255}")
_LONGEST = 2000
_TOKEN = re.compile(r"[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_.-]{20,}|[A-Za-z0-9_-]{30,}")
# Control characters would let a value start a line of its own (log injection, ASVS 16.4.1).
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")

_counts: Counter[str] = Counter()
_lock = Lock()


def redact(text: str) -> str:
    """`text` on one line, without anything shaped like a mail address or one of our tokens."""
    return _TOKEN.sub("[token]", _ADDRESS.sub("[address]", _CONTROL.sub(" ", text[:_LONGEST])))


def _redact_values(_logger: Any, _name: str, event: structlog.types.EventDict) -> structlog.types.EventDict:
    return {key: redact(value) if isinstance(value, str) and key != "event" else value for key, value in event.items()}


def _redact_rendered(_logger: Any, _name: str, event: structlog.types.EventDict) -> structlog.types.EventDict:
    for key in ("exception", "event"):
        if isinstance(event.get(key), str):
            event[key] = "\n".join(redact(line) for line in event[key].splitlines())
    return event


def configure(*, role: str, level: int = logging.INFO) -> None:
    """Send this process's logs to stderr, one JSON object a line. `role` (web, worker, …) is on each line."""
    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        _redact_values,
        _redact_rendered,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.EventRenamer("event"),
                structlog.processors.JSONRenderer(),
            ],
            foreign_pre_chain=shared,
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    structlog.contextvars.bind_contextvars(role=role)


def logger(name: str) -> structlog.stdlib.BoundLogger:
    """The logger of one module."""
    bound: structlog.stdlib.BoundLogger = structlog.get_logger(name)
    return bound


def count(name: str, n: int = 1) -> None:
    """Add `n` to the process's counter `name`."""
    with _lock:
        _counts[name] += n


def counts() -> dict[str, int]:
    """A copy of this process's counters."""
    with _lock:
        return dict(_counts)
