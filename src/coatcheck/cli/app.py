"""
All commands together, and what becomes of their mistakes. Floor 6; may import: floors 0 to 6.

Rules of this module:

1. Whatever happens is an exit code and at most one line on stderr (:mod:`coatcheck.cli.mistakes`).
2. A fault of ours shows its kind only: its text might hold what must not be shown. ``COATCHECK_DEBUG=1`` shows all.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence
from importlib.metadata import version
from typing import Annotated

import typer

from coatcheck.cli.audit import EXAMPLES as AUDIT_EXAMPLES
from coatcheck.cli.audit import audit
from coatcheck.cli.choose import EXAMPLES as CHOOSE_EXAMPLES
from coatcheck.cli.choose import choose
from coatcheck.cli.clients import app as clients
from coatcheck.cli.compare.command import EXAMPLES as COMPARE_EXAMPLES
from coatcheck.cli.compare.command import compare
from coatcheck.cli.doctor.command import EXAMPLES as DOCTOR_EXAMPLES
from coatcheck.cli.doctor.command import doctor
from coatcheck.cli.fleet import EXAMPLES as FLEET_EXAMPLES
from coatcheck.cli.fleet import fleet
from coatcheck.cli.keys import app as keys
from coatcheck.cli.migrate import EXAMPLES as MIGRATE_EXAMPLES
from coatcheck.cli.migrate import migrate
from coatcheck.cli.mistakes import INTERRUPTED, WRONG, Mistake, of_ours, tell
from coatcheck.cli.options import examples
from coatcheck.cli.panic import EXAMPLES as PANIC_EXAMPLES
from coatcheck.cli.panic import panic
from coatcheck.cli.serve import EXAMPLES as SERVE_EXAMPLES
from coatcheck.cli.serve import serve
from coatcheck.cli.sessions import app as sessions
from coatcheck.cli.token import app as token
from coatcheck.cli.tools import EXAMPLES as TOOLS_EXAMPLES
from coatcheck.cli.tools import tools
from coatcheck.cli.upkeep import BACKUP_EXAMPLES, RESTORE_EXAMPLES, SWEEP_EXAMPLES, backup, restore, sweep
from coatcheck.cli.users import app as users
from coatcheck.errors import CoatcheckError

app = typer.Typer(name="coatcheck", add_completion=False, no_args_is_help=True, rich_markup_mode=None)
app.command("serve", epilog=SERVE_EXAMPLES, short_help="Serve sign-in pages and the JSON interface.")(serve)
app.add_typer(users, name="users")
app.add_typer(sessions, name="sessions")
app.add_typer(clients, name="clients")
app.add_typer(keys, name="keys")
app.add_typer(token, name="token")
app.command("choose", epilog=CHOOSE_EXAMPLES, short_help="Cookie, JWT or both? A handful of questions.")(choose)
app.command("tools", epilog=TOOLS_EXAMPLES, short_help="Write the pages for debugging, as files.")(tools)
app.command("fleet", epilog=FLEET_EXAMPLES, short_help="Show who answers from memory.")(fleet)
app.command("migrate", epilog=MIGRATE_EXAMPLES, short_help="Make or update tables; change the lease.")(migrate)
app.command("audit", epilog=AUDIT_EXAMPLES)(audit)
app.command("compare", epilog=COMPARE_EXAMPLES, short_help="Measure cookie, JWT and both, here.")(compare)
app.command("doctor", epilog=DOCTOR_EXAMPLES, short_help="Look for what is unsafe, at a site or in our own.")(doctor)
app.command("sweep", epilog=SWEEP_EXAMPLES, short_help="Remove what is past its time.")(sweep)
app.command("backup", epilog=BACKUP_EXAMPLES, short_help="Write accounts and the audit trail to a file.")(backup)
app.command("restore", epilog=RESTORE_EXAMPLES, short_help="Replace all accounts by a backup.")(restore)
app.command("panic", epilog=PANIC_EXAMPLES, short_help="Everybody out, and a new secret: after a breach.")(panic)


def _show_version(is_asked: bool) -> None:
    if is_asked:
        typer.echo(f"coatcheck {version('coatcheck')}")
        raise typer.Exit


@app.callback(
    epilog=examples("coatcheck serve", "coatcheck users add maria --admin", "coatcheck sessions revoke --user maria")
)
def _root(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Serve sign-ins and sessions, and look after accounts, sessions and the audit trail."""


def run(argv: Sequence[str]) -> int:
    """Run the command; return its exit code."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a name that the locale cannot write is no reason to fail
    try:
        code = _run(argv)
        sys.stdout.flush()  # here, where a full disk can still be told
    except BrokenPipeError:
        # Whoever read has gone, as head does. The rest, and what Python writes at its end, goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        mistake = Mistake("output", f"stdout: cannot be written: {error.strerror}", exit_code=WRONG)
    except Mistake as told:
        mistake = told
    else:
        return code
    tell(mistake, as_json="--json" in argv)
    return mistake.exit_code


def _run(argv: Sequence[str]) -> int:
    """Run the command; whatever is wrong comes out as a :class:`Mistake`."""
    # Not app(): that has ways of its own to end the process.
    command = typer.main.get_command(app)
    try:
        with command.make_context("coatcheck", list(argv)) as context:
            command.invoke(context)
        code = 0
    except typer.Exit as done:
        code = done.exit_code
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except (Mistake, OSError):
        raise
    except CoatcheckError as error:
        raise of_ours(error) from None
    except Exception as error:
        if not hasattr(error, "format_message"):
            raise _fault(error) from error
        # A usage error. It has no class that can be named for all versions of typer: some bring a click of their own.
        code = _tell_usage(error)
    if code == INTERRUPTED:
        raise Mistake("interrupted", "interrupted", exit_code=INTERRUPTED)
    return code


def _tell_usage(error: Exception) -> int:
    context = getattr(error, "ctx", None)
    if type(error).__name__ == "NoArgsIsHelpError":
        sys.stderr.write(f"{context.get_help() if context else error}\n")
        return WRONG
    text = " ".join(str(getattr(error, "format_message")()).split()).rstrip(".")  # noqa: B009  see above
    path = context.command_path if context else "coatcheck"
    raise Mistake("usage", f"{text[:1].lower()}{text[1:]}; see {path} --help", exit_code=WRONG)


def _fault(error: Exception) -> Mistake:
    if os.environ.get("COATCHECK_DEBUG"):
        raise error
    detail = f"a fault in coatcheck itself ({type(error).__name__}); COATCHECK_DEBUG=1 shows where"
    return Mistake("fault", detail, exit_code=WRONG)
