"""THE RIGHTS OFFICE: what a person may ask of everything we hold about them.

    registry.py     what is held, why, for how long, and what becomes of it: a line for each table and folder; pure
    rooms.py        what each room exports of a person, and what it forgets
    access.py       everything about one person, as one document (GDPR 15, 20)
    rights.py       erasure (17)
    leftovers.py    what an erasure leaves outside the tables: caught mails, SQLite's log
    retention.py    what goes by itself, daily, by a rule for each kind
    disclosures.py  who outside was given data, on what ground; whom to tell of a correction or erasure (19)
    tasks.py        what a person of ours has to do by a date (12(3))
    notice.py       the privacy notice (13, 14)
    record.py       the record of processing (30)
    breach.py       what could have been reached, and who looked at it (33)
    needs.py        what of all this needs a person, for the first page and the owner's mail
    backup.py       copies of the database: `snapshot` takes it, `archive` is the file
    restore.py      coming back without losing an opt-out; `replay` does again what the journal tells of
    alarms.py       opt-outs at risk, backups that are missing; `safekeeping` is the worker's side
    wrong_clock.py  what a clock that was ahead left behind: put right, and told

Owns: disclosures, tasks, what retention let go, backups and restorations.

Promises: every table and every folder stands in the registry; a test fails for one that does not. An erasure is one
transaction, and says what it deleted, what is kept, whom to tell, and when the last backup is gone. No data leave for
somebody outside without a legal basis on record. A restored backup proves to be ours, or stands on record as one that
does not; it sends nothing before every leave, ban and erasure given since is in it, or a person has said which are
lost.

Refuses: to erase a ban, or the ledger's entries: without the first the next import would mail the person again (GDPR
21(3)), without the second nobody could show that what was sent was allowed (17(3)(e)).

Known limits: what left the program can't be called back. What staff write into bulletins and sources of imports is not
searched. PostgreSQL overwrites deleted rows in its own time.
"""
