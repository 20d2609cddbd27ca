"""
The options that several commands share. Floor 6; may import: floors 0 to 6.

Passwords are no options and no arguments: other people on the machine can read those.
"""

from __future__ import annotations

from typing import Annotated

import typer

DEFAULT_URL = "sqlite:///coatcheck.db"

Store = Annotated[
    str,
    typer.Option("--store", metavar="URL", envvar="COATCHECK_STORE", help="Where sessions are kept."),
]
DatabaseUrl = Annotated[
    str,
    typer.Option(
        "--database",
        metavar="URL",
        envvar="COATCHECK_DATABASE",
        help="Where accounts and the audit trail are kept.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document, for programs; errors too.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask whether it is meant.")]
Name = Annotated[str, typer.Argument(metavar="NAME", help="The name of the account.", show_default=False)]
PasswordStdin = Annotated[
    bool, typer.Option("--password-stdin", help="Read the password from stdin, one line, instead of asking.")
]


def examples(*lines: str) -> str:
    """Return the examples at the end of a command's help, laid out as they are."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)
