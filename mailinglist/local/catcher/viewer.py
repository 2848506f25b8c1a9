"""The catcher's page, and the same for programs as JSON (SURFACE: the mail catcher's viewer)."""

from __future__ import annotations

import ipaddress
import re
from typing import Any
from urllib.parse import urlsplit

from flask import Blueprint, Flask, Response, abort, current_app, jsonify, redirect, render_template, request, url_for
from flask.json.provider import DefaultJSONProvider
from werkzeug.wrappers import Response as AnyResponse

from ...settings import Settings, is_loopback
from . import handing, message
from .showing import listing, mail_or_404, show_mail, store, when
from .store import Caught, Store
from .writing import LARGEST_FORM, writing

_PAGE_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; frame-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEAD = re.compile(r"<head\b[^>]*>", re.IGNORECASE)

pages = Blueprint("pages", __name__)


def create_viewer(kept: Store, settings: Settings) -> Flask:
    """The viewer's WSGI application."""
    app = Flask(__name__)
    app.json = DefaultJSONProvider(app)
    app.json.sort_keys = app.json.ensure_ascii = False
    app.jinja_options = {"trim_blocks": True, "lstrip_blocks": True}
    app.config["STORE"] = kept
    app.config["MAX_CONTENT_LENGTH"] = app.config["MAX_FORM_MEMORY_SIZE"] = LARGEST_FORM
    smtp, viewer = settings.catcher_binds
    app.config["BIND_HOST"] = viewer.host
    app.config["MAIL_POLICY"] = _mail_policy(settings.base_url)
    app.config["LISTENER"] = handing.listener(settings)
    app.config["LIST_DOMAIN"] = settings.return_domain
    app.jinja_env.globals["smtp_address"] = str(smtp)
    app.jinja_env.globals["console"] = f"{settings.base_url}/staff/"
    app.jinja_env.globals["writes"] = app.config["LISTENER"] is not None
    app.add_template_filter(when, "when")
    app.register_blueprint(pages)
    app.register_blueprint(writing)
    app.before_request(_refuse_strangers)
    app.after_request(_protect)
    return app


# ── who may ask ───────────────────────────────────────────────────────────────────────────────────────────────────────


def _refuse_strangers() -> None:
    """Keep other sites' pages out of the mailbox.

    A page elsewhere may point its own host name at 127.0.0.1 and then read what is here (DNS rebinding), so only names
    that nobody else can own are answered; and it may send a form here, so what changes something must come from our own
    page or a program.
    """
    name = urlsplit(f"//{request.host}").hostname or ""
    if not (name in ("localhost", _host()) or name.endswith(".localhost") or _is_address(name)):
        abort(Response("Refused: this page answers to localhost and to addresses only.\n", 403, mimetype="text/plain"))
    if request.method in ("POST", "DELETE") and request.headers.get("Sec-Fetch-Site", "none") not in (
        "none",
        "same-origin",
    ):
        abort(403)
    origin = request.headers.get("Origin")
    if request.method in ("POST", "DELETE") and origin is not None and urlsplit(origin).netloc != request.host:
        abort(403)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _protect(response: Response) -> Response:
    response.headers.setdefault("Content-Security-Policy", _PAGE_POLICY)
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "same-origin"  # with no-referrer, our own form would come with `Origin: null`
    response.headers.setdefault("Cache-Control", "no-cache" if request.endpoint == "static" else "no-store")
    return response


def _mail_policy(base_url: str) -> str:
    """What a mail's HTML may do: show itself, and open links in new windows. No script, nothing from outside."""
    site = urlsplit(base_url)
    own = f" {site.scheme}://{site.netloc}" if is_loopback(site.hostname or "") else ""
    return (
        f"default-src 'none'; style-src 'unsafe-inline'; img-src data:{own}; "
        "sandbox allow-popups allow-popups-to-escape-sandbox; form-action 'none'; frame-ancestors 'self'"
    )


# ── for people ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pages.get("/")
def index() -> str:
    """The list of mails, newest first; `?q=` searches."""
    return render_template("index.html", mail=None, **listing())


@pages.get("/list")
def fragment() -> AnyResponse:
    """The list alone, for the page to renew itself; 304 while nothing has changed."""
    response = Response()
    response.set_etag(store().version)
    response.headers["Cache-Control"] = "no-cache"
    response.make_conditional(request)
    if response.status_code != 304:
        response.set_data(render_template("_list.html", **listing()))
    return response


@pages.get("/mail/<int:number>")
def mail(number: int) -> str:
    """One mail beside the list; `?tab=` is one of html, text, headers, raw."""
    return show_mail(number)


@pages.get("/messages/<int:number>/html")
def mail_html(number: int) -> Response:
    """The HTML part as it is, for the page's frame: in a sandbox, its links open new windows."""
    _caught, raw = mail_or_404(number)
    html = message.content(raw).html
    if html is None:
        abort(404)
    base = '<base target="_blank">'
    head = _HEAD.search(html)
    html = html[: head.end()] + base + html[head.end() :] if head else base + html
    response = Response(html, mimetype="text/html")
    response.headers["Content-Security-Policy"] = current_app.config["MAIL_POLICY"]
    return response


@pages.post("/clear")
def clear() -> AnyResponse:
    """The page's button."""
    store().clear()
    return redirect(url_for("pages.index"), 303)


@pages.get("/health/live")
def live() -> Response:
    """200 while it runs."""
    return Response("ok\n", mimetype="text/plain")


# ── for programs ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pages.get("/messages")
def messages() -> Response:
    """All mails, newest first; `?q=` searches, `?limit=` cuts."""
    limit = request.args.get("limit", -1, type=int)
    return jsonify([_json(caught) for caught in store().newest(search=request.args.get("q", ""), limit=limit)])


@pages.delete("/messages")
def delete_messages() -> AnyResponse:
    """Forget all."""
    store().clear()
    return Response(status=204)


@pages.get("/messages/<int:number>")
def one_message(number: int) -> Response:
    """One mail, decoded."""
    caught, raw = mail_or_404(number)
    content = message.content(raw)
    return jsonify(
        _json(caught)
        | {
            "envelope": {"from": caught.envelope_from, "to": caught.envelope_to},
            "headers": content.headers,
            "text": content.text,
            "html": content.html,
            "attachments": content.attachments,
        }
    )


@pages.get("/messages/<int:number>/raw")
def raw_message(number: int) -> Response:
    """The octets as they came; `?download` saves them as a file."""
    _caught, raw = mail_or_404(number)
    if "download" not in request.args:
        return Response(raw, content_type="text/plain; charset=utf-8")
    disposition = {"Content-Disposition": f'attachment; filename="mail-{number}.eml"'}
    return Response(raw, content_type="message/rfc822", headers=disposition)


# ── inside ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _host() -> str:
    host: str = current_app.config["BIND_HOST"]
    return host


def _json(caught: Caught) -> dict[str, Any]:
    return {
        "id": caught.id,
        "from": caught.sender,
        "to": caught.to or caught.envelope_to,
        "subject": caught.subject,
        # When it was caught, to the millisecond; what the sender says is in the Date header.
        "date": caught.at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "size": caught.size,
    }
