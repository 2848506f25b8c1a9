"""The stationery: what every mail of ours is written on.

Pure files, below the rooms that write mails, so that bulletins and letters share one look, one sanitiser and one way of
making the text part:

    slots        places in a text that are filled later, and the braces by which people ask for them
    safehtml     Markdown or HTML from people → an HTML fragment that can do no harm
    plaintext    such a fragment → a text part that reads well
    colour       a list's colour → colours one can read
    layout       fragment and footer → the whole mail, HTML and text (templates/mail/layout.html)
    sentences    sentences for people that pages translate
    wording      our own sentences, one Markdown file per text and language (templates/mail/fi, sv, en)

Promises: the same input gives the same bytes; nothing is fetched; no text that was handed in is ever run as a template.
Known limits: clipped by Gmail over 102 KB (the layout itself takes about 8 KB); the CSS of pasted HTML documents is
dropped, only safe inline styles stay; classic Outlook knows no `max-width`, so that images there want a `width`.
"""
