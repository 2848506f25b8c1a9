"""`create_app`: the single place where things are wired together."""

from __future__ import annotations

from flask import Flask

from . import db, web
from .consent.keys import Keys
from .places import TEMPLATES
from .settings import Settings
from .staff.vault import Vault
from .tokens import Tokens

SETTINGS = "MAILINGLIST"
"""Key of the settings in `app.config`."""


def create_app(settings: Settings, *, ringer: db.Ringer | None = None) -> Flask:
    """The application for `settings` (with keys). Connects to nothing; `ringer` is called after commits that make
    work due."""
    app = Flask("mailinglist", template_folder=str(TEMPLATES), static_folder=None)
    app.config[SETTINGS] = settings
    db.init_app(app, settings)
    db.install(
        app,
        ringer=ringer,
        keys=Keys(settings.ban_secret),
        tokens=Tokens(settings.signing_keys),
        vault=Vault(settings.signing_keys),
        base_url=settings.base_url,
    )
    web.init_app(app, settings)
    return app
