"""THE LETTERBOX: what comes back.

    reading     pure: a mail as it came, bounded, never raising
    addresses   what our addresses mean: commands, answers, return paths, the desk
    senders     the addresses that the lists' mails are from
    intents     pure: what a mail is and asks for, out of
                  reports (bounces), feedback (complaints), robots (what no person wrote),
                  answers (what a person says: yes, no, or a question; its words are in vocabulary)
    act         does it, once, by the verbs of the register and of delivery
    spool       what came in, kept until it is handled       handle   the worker's verb for it
    hands       what each worker has in hand                 processes   whether a process still lives
    unseen      what waits for a person, until when          crowding   pure: how much of it there may be
    traces      what the relay wrote on top of a mail        whose    who wrote it, and whether they were erased
    server, conversation (pure), envelope   mail over LMTP and SMTP, and by a pipe
    imap        mail that is fetched from a mailbox              bounds   what a mail may cost
    forward     what is for a person is sent on to the list's owner      onward   how far each is

Owns: spool, spool_hands.
Promises: a mail is kept durably before its sender is told so, and handled once, in the transaction that marks it.
Nothing that a program wrote joins, confirms, leaves, forbids or is answered; the one exception is a mail to SLUG-leave@
whose subject holds a valid token, which mail programs make by themselves. Who is meant is said by a signed token, never
by words. No clear yes, no confirmation; what is not understood goes to the list's owner, so that no opt-out is lost.
What waits for a person has bounds and an end, and what goes unread is counted and told. A mail that kills workers is
set aside.
Refuses: addresses that are not ours, while the sender still waits for the answer.
Known limits: a program that says nowhere that it is one is taken for a person: it could confirm with a short friendly
yes, but it gets no more letters than anybody (three a day). Words are understood in Finnish, Swedish and English.
"""
