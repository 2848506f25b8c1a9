"""THE EDITORIAL ROOM: what is mailed.

    compose   pure: Markdown or HTML from staff → safe HTML and text, with the list's look and footer
    drafts    draft → approved: frozen, under a digest

Owns: bulletins, issues.
Promises: what is sent is what was approved; an issue that was altered in the database is not sent. What staff write
is data: only `{name}` and `{name|fallback}` mean anything. No image or link differs between recipients.
Refuses: an empty subject, a bulletin of a list that has no postal address, a second approval.
Known limits: one language a bulletin; no images of our own; the audience is everybody who is active on the list.
"""
