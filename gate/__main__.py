"""`python -m gate`: the command `gate`."""

import sys

from gate.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
