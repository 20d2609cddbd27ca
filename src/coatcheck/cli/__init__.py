"""
The command ``coatcheck``: serve, and look after what is served. Floor 6; may import: floors 0 to 6.

Here is only the way in; nothing heavy is loaded until :func:`main` is called.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command with *argv*, or with the program's own arguments; return its exit code."""
    try:
        from coatcheck.cli.app import run
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] == "coatcheck":
            raise
        # The library alone needs few packages; the command needs those of the server.
        sys.stderr.write(f"error: the package {error.name} is missing; run: pip install 'coatcheck[server]'\n")
        return 2
    except KeyboardInterrupt:  # loading takes a moment
        sys.stderr.write("error: interrupted\n")
        return 130
    return run(sys.argv[1:] if argv is None else argv)
