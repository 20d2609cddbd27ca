"""
Questions to the person at the terminal. Floor 6; may import: floors 0 to 6.

Rules of this module:

1. A question is asked outside of any event loop, which would swallow the Ctrl-C.
2. Without a terminal nothing is asked: it is said which option answers instead.
3. Questions go to stderr or to the terminal itself, so stdout holds answers only.
"""

from __future__ import annotations

import getpass
import sys

from coatcheck.cli.mistakes import REFUSED, WRONG, Mistake

_LINE_LONGEST = 65_536


def password(name: str, *, from_stdin: bool) -> str:
    """Return the new password of *name*: asked for twice and unseen, or one line from a pipe."""
    if from_stdin:
        return _password_line()
    if not sys.stdin.isatty():
        raise Mistake(
            "no_terminal", "--password-stdin: there is no terminal to ask at; add this option", exit_code=WRONG
        )
    try:
        typed = getpass.getpass(f"New password of {name}: ")
        again = getpass.getpass("Once more: ")
    except EOFError:
        raise Mistake("no_password", "password: none was given; nothing was changed", exit_code=WRONG) from None
    if typed != again:
        raise Mistake("not_the_same", "password: the two are not the same; nothing was changed")
    return typed


def _password_line() -> str:
    """Read one line, as it is but for its end."""
    line = sys.stdin.buffer.readline(_LINE_LONGEST)
    if not line:
        raise Mistake("no_password", "--password-stdin: stdin holds no line; nothing was changed", exit_code=WRONG)
    try:
        return line.removesuffix(b"\n").removesuffix(b"\r").decode()
    except UnicodeDecodeError:
        raise Mistake("no_password", "--password-stdin: the line is not UTF-8; nothing was changed") from None


def confirm(what: str, *, yes: bool, as_json: bool) -> None:
    """Go on only if it is meant."""
    if yes:
        return
    if as_json or not sys.stdin.isatty():
        raise Mistake("not_confirmed", "--yes: this needs a yes, and nobody can be asked; add it", exit_code=WRONG)
    sys.stderr.write(f"{what}\nType yes to go on: ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() != "yes":
        raise Mistake("not_confirmed", "that was not a yes; nothing was changed", exit_code=REFUSED)
