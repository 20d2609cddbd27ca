"""
What goes wrong at the command line, and how it is told. Floor 6; may import: floors 0 to 6.

Rules of this module:

1. Every mistake is one line on stderr: what is wrong, in which option, and what to do. Never a traceback.
2. Exit codes: 0 fine; 1 it was refused; 2 the usage, the settings or the store are wrong; 130 Ctrl-C.
"""

from __future__ import annotations

import json
import sys
from typing import NoReturn

from coatcheck.cli.output import shown
from coatcheck.errors import CoatcheckError, ConfigError
from coatcheck.server.backup import BackupError
from coatcheck.server.problems import Problem

REFUSED, WRONG, INTERRUPTED = 1, 2, 130

_FIELDS = {"username": "NAME"}  # what the server calls otherwise than the command
_SETTINGS = {"store": "--store", "database": "--database", "trusted_proxies": "--trusted-proxy"}


class Mistake(Exception):
    """
    Something the person at the terminal can put right.

    Args:
        code: Stable name, for programs. detail: one sentence for people. exit_code: what the command returns.
    """

    def __init__(self, code: str, detail: str, *, exit_code: int = REFUSED) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.exit_code = exit_code


def refuse(problem: Problem) -> NoReturn:
    """Say what the server's rules say against it."""
    field = f"{_FIELDS.get(problem.field, problem.field)}: " if problem.field else ""
    raise Mistake(problem.code, field + problem.detail)


def nobody(name: str) -> NoReturn:
    """Say that nobody has this name."""
    raise Mistake("not_found", f"NAME: nobody is called {shown(name)}; coatcheck users list shows who there is")


def of_ours(error: CoatcheckError) -> Mistake:
    """Return what to say of an error of the library."""
    detail = str(error)
    if isinstance(error, ConfigError) and error.setting in _SETTINGS:
        detail = _SETTINGS[error.setting] + detail.removeprefix(error.setting)
    return Mistake(error.code, detail, exit_code=REFUSED if isinstance(error, BackupError) else WRONG)


def tell(mistake: Mistake, *, as_json: bool) -> None:
    """Write *mistake* to stderr, in one line."""
    if as_json:
        line = json.dumps({"error": {"code": mistake.code, "detail": mistake.detail}})
    else:
        line = f"error: {shown(mistake.detail)}"
    sys.stderr.write(line + "\n")
