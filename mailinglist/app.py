"""`create_app`: the single place where things are wired together."""

from __future__ import annotations

from flask import Flask

from . import db, web
from .consent import journal, journal_file
from .consent.keys import Keys
from .consent.signing import Signing
from .places import TEMPLATES
from .settings import SETTINGS, Settings
from .staff.vault import Vault
from .tokens import Tokens


def create_app(settings: Settings, *, ringer: db.Ringer | None = None) -> Flask:
    """The application for `settings` (with keys). Connects to nothing; `ringer` is called after commits that make
    work due."""
    app = Flask("mailinglist", template_folder=str(TEMPLATES), static_folder=None)
    app.config[SETTINGS] = settings
    db.init_app(app, settings)
    keys = Keys(settings.ban_secret)
    db.install(
        app,
        ringer=ringer,
        last_act=journal.write,
        keys=keys,
        journal=journal_file.Journal(settings.journal_folder, settings.journal_head_file, keys),
        tokens=Tokens(settings.signing_keys),
        vault=Vault(settings.signing_keys),
        signing=Signing(settings.seal_secrets),
        base_url=settings.base_url,
        keep_days=settings.keep_days,
        data_dir=settings.data_dir,
        backups_kept=settings.backups_kept,
    )
    web.init_app(app, settings)
    return app
