"""The tasks: each opens a context and calls one verb."""

from __future__ import annotations

from celery import current_app, shared_task
from celery.worker import state
from flask import Flask

from mailinglist import db
from mailinglist.consent import growth as growth_of_lists
from mailinglist.consent import import_errand, seals_outside
from mailinglist.delivery import owner_mail, post
from mailinglist.inbound import handle
from mailinglist.privacy import disclosures, needs, notice, retention, safekeeping
from mailinglist.settings import SETTINGS


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


@shared_task(name="imports")  # type: ignore[untyped-decorator]
def imports() -> None:
    """Go on with a file that is looked through or taken in, for a second: letters share the queue."""
    with _app().app_context():
        import_errand.go_on(stop=_stopping)


@shared_task(name="inbound")  # type: ignore[untyped-decorator]
def inbound() -> None:
    """Handle the mail that came in, and send on what is for the lists' owners."""
    with _app().app_context():
        handle.handle(stop=_stopping)


@shared_task(name="growth")  # type: ignore[untyped-decorator]
def growth() -> None:
    """Count what is new in the ledger."""
    with _app().app_context():
        growth_of_lists.catch_up(stop=_stopping)


@shared_task(name="owners")  # type: ignore[untyped-decorator]
def owners() -> None:
    """Tell the lists' owners, once a day, what needs a person."""
    with _app().app_context():
        owner_mail.send_due(more=needs.of_list)


@shared_task(name="safekeeping")  # type: ignore[untyped-decorator]
def keep_safe() -> None:
    """What could not be written to the journal of opt-outs, the scheduled backup, and what waits for a wrong date."""
    safekeeping.go_on(_app())


@shared_task(name="tidy")  # type: ignore[untyped-decorator]
def tidy() -> None:
    """Let go what is not needed any more; have the privacy notices say what holds now, and recipients of data told of
    what was corrected by files of people."""
    with _app().app_context():
        with db.transaction() as session:
            notice.refresh_all(session, _app().config[SETTINGS], now=db.utcnow())
            disclosures.tell_of_imports(session, now=db.utcnow())
        retention.run_daily(stop=_stopping)


@shared_task(name="seal")  # type: ignore[untyped-decorator]
def seal() -> None:
    """Seal the ledger, where the last seal is a day old."""
    with _app().app_context():
        seals_outside.seal_due(_app().config[SETTINGS].seals_folder, now=db.utcnow(), stop=_stopping)
