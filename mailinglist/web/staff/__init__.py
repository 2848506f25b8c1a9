"""THE CONSOLE: the pages by which staff do their day's work, each by name. Parse, call one verb, render.

Owns no table. Promises: every page stands behind a guard (`frame.guarded`), which looks at the sign-in, the secrecy
statement and the right on each request, so that a demotion or a disabling works on the very next one; every form
carries a token and must come from a page of ours; GET and HEAD change nothing that staff can see; no page is kept by a
cache, framed by another site, or runs a script that is not a file of ours; everything but passkeys and what moves works
without scripts. What is grave (`Route.fresh`) asks for both factors anew after ten minutes.

Refuses: being sent on to anywhere but a page of the console; a form of another sign-in.

Known limits: a secret of a sign-in that was stolen opens what its owner may open, until it ends by idling, by its age,
by signing out or by being revoked.
"""

from . import (
    account,
    approving,
    audience_pages,
    audit_page,
    bans_pages,
    bulletins,
    colleagues,
    complaint_pages,
    disclosure_pages,
    door,
    editor,
    enrolment,
    exports,
    home,
    images_pages,
    incoming_pages,
    list_settings,
    person,
    person_acts,
    person_rights,
    persons,
    preflight_pages,
    preview,
    program_pages,
    proof_mail,
    proofs_pages,
    recipients,
    report,
    retention_page,
    returned_pages,
    revisions,
    sending,
    task_pages,
    templates,
    transfer,
    watching,
    wording_pages,
)

ROUTES = (
    *door.ROUTES,
    *enrolment.ROUTES,
    *home.ROUTES,
    *account.ROUTES,
    *colleagues.ROUTES,
    *program_pages.ROUTES,
    *audit_page.ROUTES,
    *bulletins.ROUTES,
    *editor.ROUTES,
    *preview.ROUTES,
    *preflight_pages.ROUTES,
    *images_pages.ROUTES,
    *audience_pages.ROUTES,
    *revisions.ROUTES,
    *templates.ROUTES,
    *persons.ROUTES,
    *person.ROUTES,
    *person_acts.ROUTES,
    *person_rights.ROUTES,
    *proofs_pages.ROUTES,
    *bans_pages.ROUTES,
    *task_pages.ROUTES,
    *disclosure_pages.ROUTES,
    *retention_page.ROUTES,
    *transfer.ROUTES,
    *exports.ROUTES,
    *sending.ROUTES,
    *approving.ROUTES,
    *proof_mail.ROUTES,
    *watching.ROUTES,
    *recipients.ROUTES,
    *report.ROUTES,
    *returned_pages.ROUTES,
    *complaint_pages.ROUTES,
    *incoming_pages.ROUTES,
    *list_settings.ROUTES,
    *wording_pages.ROUTES,
)
