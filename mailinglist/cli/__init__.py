"""THE COMMANDS: `mailinglist …`, the entrance for people at a terminal and for scripts.

    entry.py      the table of commands; errors and exit codes, in one place
    opening.py    settings → application → database, for a command that needs them
    output.py     JSON, tables, progress
    people.py bans.py lists.py ledger.py bulletins.py staff.py    one group of commands each
    upkeep.py     db upgrade, doctor
    roles.py      run, and what it is made of: web, worker, scheduler, catcher

Promises: exit code 0 for done, 1 when the answer is no, 2 for a wrong call, 3 when the work failed, 130 after Ctrl-C.
An error is one line on stderr; with `--json`, one JSON document is on stdout, times in RFC 3339 and UTC. A command
parses, calls one verb in one transaction, and prints after the commit: a reader that goes away undoes nothing.

Refuses: to work on a database of another revision (`db upgrade` first).

Known limits: who gives a command is known, in the audit too, by their account on this machine. What goes wrong
unforeseen is told in `log/commands.log` in the data directory, without addresses; it is not rotated, since it hardly
grows.
"""

from .entry import main

__all__ = ["main"]
