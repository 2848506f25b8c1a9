"""THE STAFF DOOR: who works here, what each may do, and what each did.

    levels.py      pure: levels, rights, and which level has which
    accounts.py    accounts and their links
    naming.py      pure: what accounts and other systems may be called
    factors.py     second factors: authenticator, passkeys, recovery codes
    sign_ins.py    sign-ins, kept on the server: beginning, both factors, freshness, ending
    audit.py       who did, or looked at, what
    programs.py    tokens of other systems, for the API
    triggers.py    what keeps the audit append-only, on both databases
    passwords.py   pure: Argon2id, and which passwords are refused
    totp.py        pure: codes of authenticator apps (RFC 6238)
    passkeys.py    WebAuthn, as far as it is needed for a second factor
    vault.py       pure: what is encrypted at rest, with the secret keys
    secrecy.py     the secrecy statement and its version

Owns: accounts, passkeys, recovery codes, enrolments, sign-ins, tokens of programs, audit.

Promises: nobody works here without a name, a password, a second factor and the secrecy statement (T8). Account and
levels are read at each request: a demotion or disabling works on the very next one. The secret in the cookie changes
with each factor that is shown, and is over once the sign-in is ended. Each try to sign in, taken or refused, is in the
audit, and so is each change to an account. An unknown address costs the same work as a wrong password. A code of an
authenticator or from the recovery list is good once, also when it is used twice at the same moment.

Refuses: to take away the last administrator; a password that is short, common, or made of what everybody knows about
its owner; to change the audit, or to delete from it what is younger than a year.

Known limits: on SQLite, which has one write lock, others wait for the tenth of a second that a password
costs. Passkeys need a name for a host (`localhost` will do): browsers know none for a bare address such as 127.0.0.1.
Once the key that encrypted an authenticator's secret has left MAILINGLIST_SECRET_KEYS, that factor no longer works, and
an administrator gives a link. Whoever has many clients can keep somebody from signing in by trying all the time.
"""
