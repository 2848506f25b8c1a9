"""Fonts, scripts, images: nothing from outside on any page, and nothing that our own policy would have to stop.

The browser is told to report what a page asks for, and to try to load it nevertheless: so a page that wants something
from elsewhere shows, also where the real policy would hide it.
"""

# ruff: noqa: F811 - fixtures are asked for by the very names that they are imported under

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from browsing import Site, site  # noqa: F401
from playwright.sync_api import Browser, Page, Request, Route
from test_accessible import pages as public_pages
from test_console_registry import furnish
from test_console_registry import uploaded as upload
from test_console_sending import gallery
from test_own_page import key, known, unconfirmed
from werkzeug.exceptions import HTTPException
from werkzeug.routing import RequestRedirect

import staffing

pytestmark = [pytest.mark.browser, pytest.mark.long]

_HEARD = """
window.heard = [];
document.addEventListener('securitypolicyviolation', event =>
  window.heard.push(`${event.violatedDirective} ${event.blockedURI || 'inline'} ${event.sample}`));
"""
_LINKS = "() => [...document.querySelectorAll('a[href]')].map(each => each.href)"
_REPORT_ONLY = "default-src 'self'; form-action 'self'; base-uri 'none'"
_DOOR = "another step of signing in: `test_console_door` hears that the policy stops nothing"
_PART = "a part of a page that was seen"
_FILE = "a file"
_NOT_OPENED = {
    "door.again": _DOOR, "door.factor": _DOOR, "door.look_secrecy": _DOOR, "enrolment.factor": _DOOR,
    "enrolment.look": _DOOR, "audience_pages.count": _PART, "preflight_pages.found": _PART, "transfer.progress": _PART,
    "retention_page.counted": _PART, "watching.progress": _PART, "preview.look": _PART, "wording_pages.preview": _PART,
    "files.favicon": _FILE, "files.robots": _FILE, "health.live": _FILE, "health.ready": _FILE, "images.serve": _FILE,
    "looks.stylesheet": _FILE,
}  # fmt: skip
"""What is not opened by itself, and why. Another page that no link leads to has to be given below."""


def reported(route: Route) -> None:
    """The answer, its policy changed into one that only reports. A mail's preview keeps its sandbox: mails carry their
    styles in themselves."""
    answer = route.fetch(max_redirects=0)
    headers = dict(answer.headers)
    policy = headers.pop("content-security-policy", "")
    if "sandbox" in policy:
        headers["content-security-policy"] = policy
    else:
        headers["content-security-policy-report-only"] = _REPORT_ONLY
    route.fulfill(response=answer, headers=headers)


def test_no_page_asks_for_anything_from_elsewhere(site: Site, browser: Browser) -> None:
    walk = public_pages(site)
    number = furnish(site)
    upload(site, "people.csv")
    sending = gallery(site.app)
    known(site, "own@example.fi")
    unconfirmed(site, "slip@example.fi")
    asked: list[str] = []
    wrong: list[str] = []
    with browser.new_context(locale="en") as context:
        context.set_default_timeout(15_000)
        context.add_init_script(_HEARD)
        context.route("**/*", lambda route: route.abort())
        context.route(f"{site.base}/**", reported)  # the later one goes first
        staffing.sign_browser_in(context, site.app, site.base)
        page = context.new_page()
        page.on("request", lambda request: asked.append(_elsewhere(request, site)))

        def look(name: str) -> None:
            wrong.extend(f"{name}: {each}" for each in page.evaluate("window.heard"))
            wrong.extend(f"{name}: {each}" for each in asked if each)
            asked.clear()

        seen: set[str | None] = set()
        for name, go in walk.items():
            go(page, "?lang=en")
            look(name)
            seen.add(_endpoint(site, _path(page.url)))
        given = [
            "/", "/preferences", "/privacy", "/staff/", "/staff/login", f"/staff/persons/{number}",
            "/staff/persons?q=m", "/preferences/check-mail", "/staff/bans/lift?address=own@example.fi",
            f"{sending['new']}/remove", f"{sending['new']}/image?language=fi&place=0", *sending.values(),
            _path(key(site, "own@example.fi")),
            _path(key(site, "slip@example.fi")), _path(key(site, "own@example.fi", hours=2)),
            _path(key(site, "nobody@example.fi")),
        ]  # fmt: skip
        waiting = list(given)
        while waiting:
            path = waiting.pop()
            endpoint = _endpoint(site, path)
            if endpoint is None or (endpoint in seen and path not in given):
                continue  # each page once, and each that was given
            given = [each for each in given if each != path]
            seen.add(endpoint)
            if _opened(page, site.base + path):
                look(path)
                waiting += [_path(url) for url in page.evaluate(_LINKS) if url.startswith(f"{site.base}/")]
        context.unroute_all(behavior="ignoreErrors")  # a page that asks how far something is may be asking just now
    assert wrong == []
    rules = {rule.endpoint for rule in site.app.url_map.iter_rules() if "GET" in (rule.methods or ())}
    assert rules - seen == _NOT_OPENED.keys()


def _elsewhere(request: Request, site: Site) -> str:
    here = request.url.startswith((f"{site.base}/", "data:", "blob:", "about:"))
    return "" if here else request.url


def _path(url: str) -> str:
    found = urlsplit(url)
    return found.path + (f"?{found.query}" if found.query else "")


def _endpoint(site: Site, path: str) -> str | None:
    try:
        endpoint, _values = site.app.url_map.bind("").match(path.partition("?")[0], method="GET")
    except (HTTPException, RequestRedirect):
        return None
    return str(endpoint)


def _opened(page: Page, url: str) -> bool:
    """Whether it is a page, and was opened; files are not."""
    answer = page.context.request.get(url)
    if "text/html" not in answer.headers.get("content-type", ""):
        return False
    page.goto(url)
    return True
