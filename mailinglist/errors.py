"""What can go wrong, as one tree.

    MailinglistError
    ├── SettingsError        a setting is wrong: the start is stopped (exit 2)
    ├── Refused              the answer is no, and the reason is said (exit 1, HTTP 4xx)
    │   ├── BadInput         what was handed in can't be understood (exit 2 on a command line, HTTP 422)
    │   │   └── BadAddress   … because it is no mail address
    │   ├── Unknown          no such list, person, bulletin (HTTP 404)
    │   ├── NotAllowed       the register's table of moves, or a rule of the law, has no such step (HTTP 409)
    │   └── Banned           the person has forbidden it
    ├── TokenError           a link or reply address that grants nothing
    │   ├── TokenForged      not ours, cut, altered, or of another purpose (HTTP 404)
    │   └── TokenSpent       ours, but expired, used up, or from before a leave (HTTP 410)
    └── Fault                the work failed, nothing is lost (exit 3, HTTP 503)
        └── RegisterUnsound  the register can't be trusted now (ban key lost or wrong): nothing is sent
            └── OptOutsWait  opt-outs that were answered are not in it yet: marketing waits until they are

Messages are one plain sentence for a person; they hold no secret and no token.
"""


class MailinglistError(Exception):
    """Root of every error this program raises on purpose."""

    exit_code = 3
    http_status = 500


class SettingsError(MailinglistError):
    """A setting is wrong. The message names the variable and never prints a secret."""

    exit_code = 2


class Refused(MailinglistError):
    """The answer is no; the message says why."""

    exit_code = 1
    http_status = 400


class BadInput(Refused):
    """What was handed in can't be understood."""

    exit_code = 2
    http_status = 422


class BadAddress(BadInput):
    """Not a mail address we can write to. `reason` is a stable key for the translated sentence."""

    def __init__(self, message: str, *, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


class Unknown(Refused):
    """No such list, person or bulletin."""

    http_status = 404


class NotAllowed(Refused):
    """The step does not exist from where the subject stands, or a rule forbids it."""

    http_status = 409


class Banned(Refused):
    """The person has forbidden this."""

    http_status = 409


class TokenError(MailinglistError):
    """A link or reply address that grants nothing."""

    exit_code = 1
    http_status = 404


class TokenForged(TokenError):
    """Not issued by us for this purpose, or altered on the way."""


class TokenSpent(TokenError):
    """Issued by us, but no longer good: expired, or overtaken by a leave."""

    http_status = 410


class Fault(MailinglistError):
    """The work failed. Nothing is lost; it may be tried again."""

    http_status = 503


class RegisterUnsound(Fault):
    """The register can't be trusted now, so nothing is sent: it fails closed."""


class OptOutsWait(RegisterUnsound):
    """Somebody was told that they have left, and the register does not know it yet. A worker enters it; until then no
    marketing goes."""
