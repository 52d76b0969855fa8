"""`nodegraph` and `python -m nodegraph`."""

from __future__ import annotations

import sys

from nodegraph.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
