"""`python -m mailinglist`: the same as the script `mailinglist`."""

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
