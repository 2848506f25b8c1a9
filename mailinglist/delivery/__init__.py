"""THE SORTING OFFICE: how mail leaves.

    dispatch       a bulletin on its way: scheduled, sending, paused, sent, cancelled; its account
    handoffs       one row per (kind, about, person): enqueue, claim, settle, take back; shifts
    account        how many of an audience are in which state; what a person decides about the uncertain
    server_words   what mail servers said of somebody's mail: until it is erased
    run            claim → gate → hand over → settle, for whatever desk
    bulletin_desk  one bulletin's mails        letter_desk   the letters' mails
    post           what a worker does when the bell rings
    failures       pure: when a refused mail is tried again, and who can't be reached any more
    verdicts       pure: what a refusal or a report says of the address, of the mailbox, or of us
    bounces        mails that failed, and what that means for persons and bulletins
    complaints     mails reported as unwanted, and the holds that too many of them put on a list
    returned       what came back, counted for the console and for a person
    pacing         the shared rate, and a step back when servers throttle
    proofs         a test mail to a colleague        alone         one mail to the mail server, on its own
    outcomes       what became of a bulletin, counted from its rows
    attention      what needs a person      owner_mail    the same, mailed to the list's owner once a day at most
    shift          a worker's beat             addressing, mail_headers   what stands in envelopes and headers
    template       pure: a mail compiled once to bytes with slots (slots, quoted, headers), filled per recipient
    dkim           pure: signatures prepared at compile time
    smtp           the pipelined client, the only mail socket (fleet, connection, opening, conversation, replies,
                   offers, relays); parcels: what goes to it, and what comes back

Owns: dispatches, the parts of their audiences, handoffs, shifts, owner mails, bounces, complaints, holds.
Promises: audience = accepted + deferred + rejected + excluded + uncertain + pending, after any crash. Nobody is
mailed twice unasked: a mail whose fate is unknown is `uncertain`, and stays so until a person decides. The gate is
read last. Entrances: `post` opens the transactions, as the tasks' two verbs; `run` too, beside
the sockets. Nobody is given up for one failure, nor for what is about us; who complains has left at once. Known
limits: one worker sends one bulletin after the other, and gives up those who can't be reached in between.
"""
