"""How every page is made: its language, its list's looks, its template.

The language is the one that the address asks for (`?lang=`), else one that the view knows better (the person's own),
else what the browser prefers, else Finnish.
"""

from __future__ import annotations

from datetime import timedelta
from email.utils import parseaddr
from functools import partial
from typing import Any

from babel import dates, units
from flask import Flask, Response, current_app, make_response, redirect, render_template, request, url_for
from jinja2 import StrictUndefined

from .. import i18n
from ..errors import MailinglistError
from ..settings import Settings
from ..stationery.sentences import Sentence
from .exchange import exchange
from .files import static_url
from .looks import Brand

NAMES = {"fi": "Suomi", "sv": "Svenska", "en": "English"}
_EXTENSION = "mailinglist_web"


def install(app: Flask, settings: Settings) -> None:
    """Give `app`'s templates the languages and the names that they use."""
    app.extensions[_EXTENSION] = settings
    environment = app.jinja_env
    environment.undefined = StrictUndefined
    environment.trim_blocks = environment.lstrip_blocks = True
    environment.add_extension("jinja2.ext.i18n")
    environment.install_gettext_callables(say, _no_plurals, newstyle=True)  # type: ignore[attr-defined]
    environment.globals.update(static=static_url, lasting=_lasting, ahead=_ahead, site=parseaddr(settings.mail_from)[0])


def settings() -> Settings:
    """The settings of the present application."""
    found: Settings = current_app.extensions[_EXTENSION]
    return found


def say(message: str, /, **values: object) -> str:
    """`message` in the language of the page."""
    return i18n.gettext(language(), message, **values)


def reason(error: MailinglistError) -> str:
    """What a verb refused, in the language of the page."""
    sentence = getattr(error, "sentence", None)
    return say(sentence.words, **sentence.values) if isinstance(sentence, Sentence) else say(str(error))


def language() -> str:
    """The language of the page."""
    here = exchange()
    if here.language is None:
        here.language = i18n.choose(asked=_asked(), accepted=list(request.accept_languages.values()))
    return here.language


def speak(preferred: str | None) -> None:
    """Let the page be in the language `preferred`, unless its address asks for one."""
    if _asked() is None and preferred in i18n.LANGUAGES:
        here = exchange()
        here.language, here.chosen = preferred, True


def prefer(preferred: str) -> None:
    """Let the page be in the language of who is signed in, unless its address asks for one."""
    if _asked() is None and preferred in i18n.LANGUAGES:
        exchange().language = preferred


def page(template: str, status: int = 200, /, *, brand: Brand | None = None, **values: Any) -> Response:
    """The answer made of `templates/public/TEMPLATE.html`; `brand` is of the list that it is about."""
    exchange().images = brand.logo_origin if brand else None
    html = render_template(f"public/{template}.html", brand=brand, language=language(), languages=languages(), **values)
    response = make_response(html, status)
    response.content_language = [language()]
    response.vary.add("Accept-Language")
    return response


def shown_again(value: str) -> str:
    """What somebody typed, for showing it in the form again: without what can't be shown."""
    return "".join(c for c in value if c.isprintable())


def text(words: str, status: int = 200, *, mimetype: str = "text/plain") -> Response:
    """A short answer that is no page."""
    return Response(words + "\n", status, content_type=f"{mimetype}; charset=utf-8")


def go_to(endpoint: str, code: int = 303, /, **values: str) -> Response:
    """Send the visitor on. The language goes along, unless it is only what the browser prefers anyway."""
    if _asked() or exchange().chosen:
        values["lang"] = language()
    return make_response(redirect(url_for(endpoint, **values), code))  # type: ignore[arg-type]


def _asked() -> str | None:
    asked = request.args.get("lang")
    return asked if asked in i18n.LANGUAGES else None


def languages() -> list[tuple[str, str, str]]:
    """Code, name and address of this page, for each language."""
    if request.endpoint:
        here = partial(url_for, request.endpoint, **(request.view_args or {}))
    else:
        here = partial(url_for, "front.index")
    return [(code, NAMES[code], here(lang=code)) for code in i18n.LANGUAGES]


def _lasting(days: int) -> str:
    """How long so many days last, as a part of a sentence: "7 days"."""
    # One is 24 hours: Finnish inflects a single day by its place in the sentence.
    number, unit = (24, "duration-hour") if days == 1 else (days, "duration-day")
    return units.format_unit(number, unit, "long", locale=i18n.locale(language()))


def _ahead(seconds: int) -> str:
    """When so many seconds will have passed, as a part of a sentence: "in 3 minutes"."""
    return dates.format_timedelta(
        timedelta(seconds=seconds), granularity="minute", add_direction=True, locale=i18n.locale(language())
    )


def _no_plurals(*_: object) -> str:
    raise NotImplementedError("message ids with a number in them say it without a plural")
