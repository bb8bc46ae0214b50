"""The command line, as ``python -m rayred``."""

import sys

from rayred.cli import main

if __name__ == "__main__":
    sys.exit(main())
