"""THE REGISTRY DESK: which letters are due, asked of the register; their texts in three languages.

    desk    what is due, which rule of the gate each letter goes by, what it is about
    texts   the wording: one Markdown file per letter and language, in templates/mail
    wordings   the same in words of a list's own

Owns no table: what is due stands in the register (`requests.letter_due`, `confirmations.welcome_due`), what is on its
way in delivery's handoffs.
Promises: each letter is enqueued once. Nothing in our wording advertises. A list's own words are data: of what is in
braces only the places that the letter has mean anything, and the link it is sent for, the consent's words and the
footer stay in it.
Known limits: nobody reads a list's own words for advertising; the welcome letter can be switched off (`welcome`).
"""
