"""The pages where one answers a mail, writes one, or returns one as a mail server would. Plain forms, no script.

Only where there is a listener on this machine to hand them to: else there are no such pages (404). They go to that
listener and to nothing else, so nobody can send mail through here.
"""

from __future__ import annotations

from datetime import UTC, datetime

from flask import Blueprint, abort, current_app, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from ...consent.lists import DEFAULT_SLUG
from ...settings import HostPort
from . import handing, outgoing
from .handing import Answer
from .outgoing import Draft, NoAddress
from .showing import listing, mail_or_404, show_mail

writing = Blueprint("writing", __name__)

LARGEST_FORM = 12 * outgoing.LONGEST_TEXT + 20_000
"""Octets: a character takes up to four, and each of them three in a form."""
_COMMANDS = (("join", "to join"), ("leave", "to leave"), ("owner", "to reach a person"))
_NO_ADDRESS = "This is no mail address."


@writing.get("/write")
def write() -> str:
    """An empty mail; `?to=` fills in for whom."""
    _listener()
    return _form(Draft(to=request.args.get("to", "")), number=None)


@writing.post("/write")
def send() -> AnyResponse | tuple[str, int]:
    """Hand the mail of the form in."""
    return _send(None)


@writing.get("/mail/<int:number>/answer")
def answer(number: int) -> str:
    """The answer to a caught mail, begun as a mail program does."""
    _listener()
    return _form(outgoing.answer_to(*mail_or_404(number)), number=number)


@writing.post("/mail/<int:number>/answer")
def send_answer(number: int) -> AnyResponse | tuple[str, int]:
    """Hand the answer in."""
    return _send(number)


@writing.post("/mail/<int:number>/return")
def give_back(number: int) -> AnyResponse | tuple[str, int]:
    """Report that the mail's recipient does not exist."""
    at = _listener()
    caught, raw = mail_or_404(number)
    if not caught.envelope_from:
        abort(404)  # RFC 5321 §4.5.5: nothing is returned to the null return path
    said = handing.hand_in(outgoing.returned(caught, raw, now=datetime.now(UTC)), at)
    if not said.taken:
        return show_mail(number, trouble=said), 422
    return redirect(url_for("pages.mail", number=number, taken="report"), 303)


def _send(number: int | None) -> AnyResponse | tuple[str, int]:
    at = _listener()
    raw = mail_or_404(number)[1] if number is not None else None
    draft = Draft(
        **{name: request.form.get(name, "").replace("\r\n", "\n") for name in ("sender", "to", "subject", "text")}
    )
    try:
        mail = outgoing.compose(draft, answers=raw, now=datetime.now(UTC))
    except NoAddress as error:
        return _form(draft, number=number, wrong=str(error)), 422
    said = handing.hand_in(mail, at)
    if not said.taken:
        return _form(draft, number=number, trouble=said), 422
    if number is None:
        return redirect(url_for("pages.index", taken="mail"), 303)
    return redirect(url_for("pages.mail", number=number, taken="answer"), 303)


def _form(draft: Draft, *, number: int | None, wrong: str = "", trouble: Answer | None = None) -> str:
    shown = listing() | {"selected": number}
    addresses = [(f"{DEFAULT_SLUG}-{word}@{current_app.config['LIST_DOMAIN']}", does) for word, does in _COMMANDS]
    return render_template(
        "write.html",
        mail=None,
        draft=draft,
        number=number,
        wrong={wrong: _NO_ADDRESS},
        trouble=trouble,
        addresses=addresses,
        **shown,
    )


def _listener() -> HostPort:
    at: HostPort | None = current_app.config["LISTENER"]
    return at or abort(404)
