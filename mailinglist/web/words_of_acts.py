"""What stands in the audit, in words: a sentence for each act that is noted anywhere in the program."""

from __future__ import annotations

from collections.abc import Mapping

from ..consent.own_page import SOURCE
from ..staff import programs
from .pages import say


def acts() -> Mapping[str, str]:
    """Every act by its name, in the language of the page."""
    return {
        "account_made": say("Made an account"),
        "account_renamed": say("Changed the name of an account"),
        "account_end_set": say("Set the end of an account"),
        "account_disabled": say("Disabled an account"),
        "account_enabled": say("Enabled an account again"),
        "levels_set": say("Changed the levels of an account"),
        "link_issued": say("Made a link for enrolment or recovery"),
        "secrecy_accepted": say("Accepted the secrecy statement"),
        "password_set": say("Set a password"),
        "password_shown": say("Gave the right password"),
        "sign_in": say("Signed in"),
        "sign_in_refused": say("Was refused at sign-in"),
        "sign_in_refreshed": say("Showed both factors anew"),
        "sign_out": say("Signed out"),
        "signed_out_everywhere": say("Was signed out everywhere"),
        "totp_set": say("Set up an authenticator app"),
        "passkey_added": say("Added a passkey"),
        "passkey_removed": say("Removed a passkey"),
        "recovery_codes_made": say("Made new recovery codes"),
        "factors_dropped": say("Dropped the second factors of an account"),
        "bulletin_begun": say("Began a bulletin"),
        "bulletin_changed": say("Changed a bulletin"),
        "bulletin_languages": say("Added or removed a language version of a bulletin"),
        "bulletin_audience": say("Changed the audience of a bulletin"),
        "text_put_aside": say("Put a text aside for another's"),
        "bulletin_restored": say("Brought back an earlier version of a bulletin"),
        "bulletin_removed": say("Removed a bulletin"),
        "template_made": say("Made a template"),
        "image_added": say("Added an image"),
        "test_mailed": say("Sent a test mail"),
        "approval_asked": say("Asked for approval"),
        "bulletin_approved": say("Approved a bulletin"),
        "approval_withdrawn": say("Took an approval back"),
        "bulletin_sent": say("Gave a bulletin to be sent"),
        "bulletin_paused": say("Paused a bulletin"),
        "bulletin_resumed": say("Resumed a bulletin"),
        "bulletin_cancelled": say("Cancelled a bulletin"),
        "recipients_seen": say("Looked at recipients of a bulletin"),
        "uncertain_settled": say("Decided about uncertain mails"),
        "persons_seen": say("Searched for persons"),
        "person_seen": say("Looked at a person"),
        "join_entered": say("Entered a join"),
        "leave_entered": say("Entered a leave"),
        "person_restricted": say("Restricted the use of a person's data"),
        "person_unrestricted": say("Ended the restriction of a person's data"),
        "person_corrected": say("Corrected a person's details"),
        "person_restored": say("Let a person who could not be reached be mailed again"),
        "person_exported": say("Exported a person's data"),
        "person_erased": say("Erased a person"),
        "erased_on_own_page": say("Had themselves erased, on their own page"),
        "hold_lifted": say("Let a list's bulletins go on after complaints"),
        "complainants_seen": say("Looked at who complained"),
        "mails_seen": say("Looked at mails to the lists"),
        "mail_dealt_with": say("Dealt with a mail to a list"),
        "mails_dealt_with": say("Dealt with mails of one sender to the lists"),
        "mail_tried_again": say("Had a mail to a list processed again"),
        "tasks_seen": say("Looked at requests of persons"),
        "task_done": say("Answered a person's request"),
        "note_added": say("Added a note"),
        "note_removed": say("Removed a note"),
        "ban_added": say("Entered a ban"),
        "ban_checked": say("Looked whether an address or a name is banned"),
        "ban_lifted": say("Lifted a ban"),
        "bans_seen": say("Looked at the bans in force"),
        "bans_imported": say("Took in a list of bans"),
        "bans_looked_up": say("Looked up which of a list are banned"),
        "proof_seen": say("Looked at the proof of a consent"),
        "proof_exported": say("Made a file that proves a consent"),
        "ledger_sealed": say("Sealed the consent ledger"),
        "import_uploaded": say("Uploaded a file of people"),
        "import_seen": say("Looked at the rows of an uploaded file"),
        "import_rehearsed": say("Had a file looked through"),
        "import_begun": say("Began to import people"),
        "people_imported": say("Imported people"),
        "import_given_up": say("Dropped an uploaded file"),
        "backup_made": say("Made a backup"),
        "database_restored": say("Restored a backup"),
        "opt_outs_replayed": say("Repeated opt-outs after a restore"),
        "lost_opt_outs_accepted": say("Accepted that opt-outs are lost"),
        "journal_loss_accepted": say("Accepted a gap in the journal of opt-outs"),
        "data_disclosed": say("Gave data to somebody outside"),
        "breach_looked_into": say("Looked into a breach"),
        "retention_run": say("Deleted what is past its storage period"),
        "api_token_issued": say("Made a token for another system"),
        "api_token_revoked": say("Revoked a token of another system"),
        "api_people_taken_in": say("Handed over customers"),
        "api_ban_given": say("Handed on a ban"),
        "api_leave_given": say("Handed on a leave"),
        "api_request_written_down": say("Handed on a request to join"),
        "list_exported": say("Exported a list"),
        "list_made": say("Made a list"),
        "list_set": say("Changed the settings of a list"),
    }


def act(name: str) -> str:
    """An act in words. One that an earlier version noted, and no page knows any more, is said by its name."""
    return acts().get(name, name)


def who(name: str) -> str:
    """Who acted: an account's name, another system, or the person on their own page."""
    if (system := programs.named(name)) is not None:
        return say("System %(name)s", name=system)
    return say("The person's own page") if name == SOURCE else name


def who_meant(typed: str) -> str:
    """Whom somebody means who types a name, or what the page calls another system or the person's own page."""
    start, _name, _end = say("System %(name)s", name=_NUMBER).partition(_NUMBER)
    meant = programs.PROGRAM + typed[len(start) :]
    if typed.casefold().startswith(start.casefold()) and programs.named(meant) is not None:
        return meant
    return SOURCE if typed.casefold() == say("The person's own page").casefold() else typed


def about(text: str) -> str:
    """What an act is about, as the audit holds it (`person 3`), in words."""
    kind, _space, number = text.rpartition(" ")
    pattern = _abouts().get(kind)
    return pattern.replace(_NUMBER, number) if pattern and number.isdecimal() else text


def about_meant(typed: str) -> str:
    """What somebody means who types what an act is about: `person 3`, or the same in the page's language."""
    for kind, pattern in _abouts().items():
        start, _number, end = pattern.casefold().partition(_NUMBER.casefold())
        said = typed.casefold()
        number = said.removeprefix(start).removesuffix(end)
        if said.startswith(start) and said.endswith(end) and number.isdecimal():
            return f"{kind} {number}"
    return typed


_NUMBER = "NUMBER"


def _abouts() -> Mapping[str, str]:
    return {
        "account": say("Account %(number)s", number=_NUMBER),
        "bulletin": say("Bulletin %(number)s", number=_NUMBER),
        "image": say("Image %(number)s", number=_NUMBER),
        "list": say("List %(number)s", number=_NUMBER),
        "person": say("Person %(number)s", number=_NUMBER),
        "program": say("Token %(number)s", number=_NUMBER),
    }
