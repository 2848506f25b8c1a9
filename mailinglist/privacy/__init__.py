"""THE RIGHTS OFFICE: what a person may ask of everything we hold about them.

    rights.py      erasure (GDPR 17), through one registry of what each room holds
    retention.py   what goes by itself, daily: unanswered requests after 30 days, the staff's audit after two years

Owns: no table yet.

Promises: every table of the program stands in the registry, with what happens to it at an erasure and why; a test fails
for a table that does not. An erasure is one transaction, and says what it deleted and what is kept.

Refuses: to erase a ban, or the ledger's entries: without the first the next import would mail the person again (GDPR
21(3)), without the second nobody could show that what was sent was allowed (17(3)(e)).

Known limits: what lies outside the database is not reached: backups age out, and the catcher keeps what it caught.
Access, portability and the other periods of retention come with their own issue.
"""
