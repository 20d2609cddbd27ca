"""``python -m coatcheck.cli`` is the command ``coatcheck``. Floor 6; may import: floors 0 to 6."""

from __future__ import annotations

import sys

from coatcheck.cli import main

if __name__ == "__main__":
    sys.exit(main())
