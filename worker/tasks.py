"""The tasks: each opens a context and calls one verb."""

from __future__ import annotations

from celery import current_app, shared_task
from celery.worker import state
from flask import Flask

from mailinglist import db
from mailinglist.delivery import post
from mailinglist.privacy import retention


def _app() -> Flask:
    app: Flask = current_app.conf["mailinglist_app"]
    return app


def _stopping() -> bool:
    # Set by Celery's own signal handlers; the verb then finishes its group, settles and returns.
    return state.should_stop is not None or state.should_terminate is not None


@shared_task(name="letters")  # type: ignore[untyped-decorator]
def letters() -> None:
    """Take requests, and hand over the letters that are due."""
    with _app().app_context():
        post.letters(stop=_stopping)


@shared_task(name="bulletins")  # type: ignore[untyped-decorator]
def bulletins() -> None:
    """Begin what is scheduled, and hand over what is being sent."""
    with _app().app_context():
        post.bulletins(stop=_stopping)


@shared_task(name="tidy")  # type: ignore[untyped-decorator]
def tidy() -> None:
    """Let go what is not needed any more."""
    with _app().app_context():
        while not _stopping():
            with db.transaction() as session:
                if not retention.tidy(session, now=db.utcnow()):
                    break
