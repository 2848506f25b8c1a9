"""The part of a form that says what an entry by staff rests on: how the person told us, when, in what words (T6)."""

from __future__ import annotations

from datetime import date

from flask import request

from ... import db
from ...consent.registrar import HOW, Told
from ..pages import say
from . import days, frame


def today() -> date:
    """The day it is where the lists are."""
    return db.utcnow().astimezone(days.ZONE).date()


def blank() -> dict[str, str]:
    """What the fields hold at first. How they told us is never guessed: it is evidence."""
    return {"how": "", "on": today().isoformat(), "words": ""}


def typed() -> dict[str, str]:
    """What the fields of the form that was sent hold."""
    return {name: request.form.get(name, "").strip() for name in ("how", "on", "words")}


def read(values: dict[str, str], errors: dict[str, str]) -> Told:
    """What `values` say; what is wrong with them is put into `errors`, and then the answer is not to be used."""
    on = day(values["on"], "on", errors)
    if values["how"] not in HOW:
        errors["how"] = say("Say how the person told us.")
    if not values["words"]:
        errors["words"] = say("Write down what was said or signed, and where that is found.")
    return Told(values["how"], values["words"], on, frame.standing().account.name)


def day(text: str, field: str, errors: dict[str, str]) -> date:
    """The day that was chosen; today, and an error, where it is none or has not come yet."""
    found = days.day_of(text)
    if found is None:
        errors[field] = say("That is not a day.")
        return today()
    if found > today():
        errors[field] = say("That day has not come yet.")
    return found
