"""Pure: what a mail that comes in may cost, whichever way it comes."""

from __future__ import annotations

LARGEST = 10 * 1024 * 1024
"""Octets of a mail that is taken. Answers and reports are small; a report may hold the mail that it is about."""
RECIPIENTS = 50
"""Of one mail, each of which is kept with a copy of its own."""
TOGETHER = 2 * LARGEST
"""Octets of all copies of one mail. Who writes to many of our addresses at once writes little."""
