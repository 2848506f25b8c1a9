"""THE REGISTER: who may be mailed, and why. The source of truth.

    address    pure: what an address is, and when two are one person's
    states     pure: states, events, the table of moves
    lists      lists, and their consent texts by version and digest
    intake     what people ask for, written down without looking at who asks
    requests   what the worker makes of it: letters that become due, within limits
    register   persons, subscriptions, confirmations: ask, leave, correct, give up, erase
    confirming what comes of a confirmation letter, by its link or an answer: confirm, decline, disown
    registrar  what staff write down for a person: joins, leaves, bans, corrections, another address
    own_page   the mailed key to one's own page, and what its holder changes; `restriction` (GDPR 18)
    bans       marketing bans, by keyed digest, of all lists or of one; `bans_held` shows staff those in force
    readdressed  whom a ban by an address that was corrected since is about; `pins` locks many in one order
    bans_by_name  read only: for who asks by name; `names` (pure) says when two ways of writing one are one
    journal    each opt-out also in a file outside the database, before it is answered; `journal_file` is that file
    gate       one rule, one SQL expression: may this person be mailed this, now, and if not, why
    people     read only: one person, for show; `search` finds them by address or domain; `notes` about them
    transfer   a list brought along: `sheet` reads CSV (pure), `register_many` admits many; `ban_lists` takes bans in
    import_jobs  files that staff take in, looked through first; `import_errand` is the worker's side
    export     a list as CSV: who would be mailed now
    growth     joins, leaves and bans by day, counted once from the ledger
    ledger     append; `triggers` keep it append-only, `keys` make its MACs
    verification  is it whole, and does the register say the same as it (`chain_state`); `seal_check` looks at the seals
    seals      the whole ledger under one Merkle root (`merkle`, pure) and signature (`signing`); `seals_outside` files
    proof      one person's part of it, for show; `proof_file` makes a file of it that proves itself

Owns: lists, texts, persons, subscriptions, requests, confirmations, bans, ledger, chain heads, seals, evidence,
key checks, notes, imports, daily counts, bookmarks; the journal, with its backlog and marks.

Promises: a state and its ledger entry change in one transaction. Only the person leads out of `left`. A ban is matched
by the address as written and case-folded, and outlives erasure; who asks by name finds it, too. It follows a corrected
address, also when it is given by the old one. With a wrong or lost ban key nothing is sent, nor from a restored
database before the opt-outs given since are in it, nor any marketing while somebody who was told that they have left is
not entered yet.
Refuses: every move that is not in `states.MOVES`; an import over a ban or a leave; a change of the ledger.
Known limits: deleting a person together with all of their ledger entries, their head and their subscriptions shows from
the next seal on, and not before: once a day. Who owns the database and all keys can seal anew; the seals' files, kept
where they can't reach, show it. The ban key can't be exchanged. After an address was corrected the old one is in no row
of this room, but what mail servers said then (handoffs) may quote it; and a ban by the SHA-256 of the old one as it was
written, with capitals, does not follow to the new one. An import that stops at a fault of the program is tried again
each minute, and is not closed by itself.
"""
