"""THE WORKBENCH: everything on one machine.

`mailinglist run` is one process, the supervisor, that keeps all the others:

    supervisor ─┬─ broker      embedded Valkey on a private unix socket, while no MAILINGLIST_BROKER_URL is set
                ├─ catcher     takes every mail and shows it, while no MAILINGLIST_SMTP_URL is set
                ├─ web · worker · scheduler
                ├─ inbound     takes mail that comes in, where MAILINGLIST_INBOUND_BIND or _IMAP is set
                └─ (first, and once) db upgrade

    supervisor.py   what is started, in which order, and what the terminal says
    children.py     keeping processes: restart with back-off, stop in order; `mailinglist worker` uses it as well
    tether.py       the program that ties a child to its parent's life
    broker.py       the embedded broker's folder, command line and URL
    first_sign_in.py  the link for the first member of staff, while nobody has set up an account
    own_listener.py    incoming mail, while the catcher takes what is sent
    ports.py        opening a listening address, or saying in one line why not
    logs.py         tails and caps of the children's log files
    catcher/        the mail catcher: SMTP in, web page and JSON out; answers that go back in

Owns: `broker/`, `catcher/`, `log/`, `run.lock` and `run.inbound` in the data directory. No table.

Promises: a child that dies is started again; whatever way the supervisor ends, nothing that it started outlives it; one
`run` for a data directory; the last lines on the terminal are addresses that answer.

Refuses: to start where an address is taken; a second `run` on the same data directory.

Known limits: Linux and macOS only. Where the kernel has no tether (macOS), a child notices its parent's death within
0.2 s, not at once. The embedded broker keeps nothing over a restart: it only rings the bell, and the sweep finds the
work.
"""
