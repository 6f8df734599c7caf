"""`python -m stacserve`: the same as the command `stacserve`."""

from __future__ import annotations

from stacserve.cli import main

if __name__ == "__main__":
    main()
