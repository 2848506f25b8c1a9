"""THE EDITORIAL ROOM: what is mailed.

    blocks       pure: a bulletin as the editor keeps it, a column of blocks for each language; its JSON
    setting      pure: such a column → a safe fragment, and all in it that can't be mailed, each with its place
    compose      pure: Markdown, HTML or blocks → safe HTML and text, with the list's look and footer
    templates    pure: bulletins to begin from, in three languages
    audience     pure: who a bulletin is for, as a rule; its JSON
    comparison   pure: what changed between two states of a bulletin
    editions     a draft as it would be mailed now, in its list's look
    imprint      what of a list's settings recipients see
    revisions    what a bulletin was at earlier times, and what was given up
    approvals    approved, frozen, under a digest; void; who may approve
    drafts       begun, saved, copied; conflicts
    images       images for bulletins: taken in, made anew, served under the digest of their content

Owns: bulletins, revisions, approvals, issues, images.
Promises: what is sent is what was approved: any change makes an approval void, also one of the list's settings that
recipients see, and an issue that was altered in the database is not sent. Nobody's text is lost to somebody else's.
What is half written can be saved and looked at. What staff write is data: only `{name}` and `{name|fallback}` mean
anything. No image or link differs between recipients; nothing that a camera wrote into a file goes out.
Refuses: to approve an empty subject, an address that leads nowhere, a bulletin of a list that has no postal address, a
second approval, a change that only its author has seen where the list wants two persons; any change of what was given
to be sent; images that mail programs don't show.
Known limits: approval freezes texts and addresses, and images stay as they are under theirs; an image is never removed,
since mails of years ago show it. The installation's own sender, bounce domain and keys are no settings of a list: a
change of them voids nothing, and the sender stays the one that was approved. A moving GIF becomes its first frame. One
bulletin's revisions are kept for good.
"""
