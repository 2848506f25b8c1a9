"""THE REGISTRY DESK: which letters are due, asked of the register; their texts in three languages.

    desk    what is due, which rule of the gate each letter goes by, what it is about
    texts   the wording: one Markdown file per letter and language, in templates/mail

Owns no table: what is due stands in the register (`requests.letter_due`, `confirmations.welcome_due`), what is on its
way in delivery's handoffs.
Promises: each letter is enqueued once. Nothing in a letter advertises.
Known limits: no letter of a list is worded by its staff yet; the welcome letter can be switched off (`welcome`).
"""
