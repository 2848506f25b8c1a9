"""THE SORTING OFFICE: how mail leaves.

    dispatch       a bulletin on its way: scheduled, sending, paused, sent, cancelled; its account
    handoffs       one row per (kind, about, person): enqueue, claim, mark, settle, take back; shifts
    run            claim → gate → hand over → settle, for whatever desk
    bulletin_desk  one bulletin's mails        letter_desk   the letters' mails
    post           what a worker does when the bell rings
    failures       pure: when a refused mail is tried again
    shift          a worker's beat             addressing, mail_headers   what stands in envelopes and headers
    template       pure: a mail compiled once to bytes with slots (slots, quoted, headers), filled per recipient
    dkim           pure: signatures prepared at compile time
    smtp           the pipelined client, the only mail socket (fleet, connection, opening, conversation, replies,
    offers, relays) parcels        what goes to the client, and what comes back

Owns: dispatches, handoffs, shifts.
Promises: audience = accepted + deferred + rejected + excluded + uncertain + pending, after any crash. Nobody is
mailed twice unasked: a mail whose fate is unknown is `uncertain`, and stays so until a person decides. The gate is
read last. Known limits: `MAILINGLIST_SEND_RATE` and DKIM signing are not applied yet; uncertain mails can be seen in
the counts, not resolved.
"""
