"""
``coatcheck token``: looking at an access token. Floor 6; may import: floors 0 to 6.

Rules of this module:

1. A token comes from stdin, never as an argument: those are in the shell's history and seen by others on the machine.
2. No message repeats what was read. What a token says is shown only once it could be read, as escaped JSON.
3. What was not verified is said to be so, to people and to programs.
"""

from __future__ import annotations

import asyncio
import getpass
import json
import sys
from typing import Annotated, Any

import msgspec
import typer
from typer.core import TyperGroup

from coatcheck.cli.mistakes import REFUSED, WRONG, Mistake
from coatcheck.cli.opened import check_url, quiet
from coatcheck.cli.options import DEFAULT_URL, Json, Store, examples
from coatcheck.cli.output import Output, iso, relative
from coatcheck.cli.users import output
from coatcheck.clock import SystemClock
from coatcheck.errors import ConfigError, InvalidInput
from coatcheck.records import Claims, Reason, Refused
from coatcheck.stores import from_url
from coatcheck.tokens import base64url
from coatcheck.tokens.access_token import LONGEST
from coatcheck.verifier import NONE, Verifier

_NEVER_AN_ARGUMENT = (
    "the token is read from stdin and taken from nowhere else: an argument stays in the shell's history and is seen by "
    "others on this machine; see coatcheck token --help"
)
_TIMES = ("iat", "nbf", "exp", "auth_time")
_YEAR_10000 = 253_402_300_800
_DEEPEST = 50
_WORDS = {
    Reason.MALFORMED: "it is not an access token of ours",
    Reason.REVOKED: "its session, or all before it, was ended",
    Reason.EXPIRED: "its time is over",
    Reason.RENEWED: "its session has moved on",
    Reason.BAD_SIGNATURE: "it is forged or damaged",
    Reason.UNKNOWN_KEY: "no key in use has signed it",
    Reason.WRONG_ISSUER: "another issuer made it",
    Reason.WRONG_AUDIENCE: "it is for others",
    Reason.WRONG_TYPE: "it is another kind of token",
    Reason.NOT_YET_VALID: "its time has not come",
    Reason.UNSURE: "the store cannot be asked now; try again",
}


class _Group(TyperGroup):
    """The two commands. A token in their place is not repeated, as the usual message would."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the command that *args* begin with."""
        if args and args[0] not in self.commands:
            detail = f"there is only token decode and token verify; {_NEVER_AN_ARGUMENT}"
            raise Mistake("usage", detail, exit_code=WRONG)
        return super().resolve_command(ctx, args)


app = typer.Typer(
    cls=_Group, no_args_is_help=True, rich_markup_mode=None, help="Look at an access token, read from stdin."
)
_TAKES_WHATEVER = {"allow_extra_args": True}  # to refuse it in words that do not repeat it


def _refuse_arguments(context: typer.Context) -> None:
    if context.args:
        raise Mistake("usage", _NEVER_AN_ARGUMENT, exit_code=WRONG)


def _read() -> str:
    """Return the token: one line from a pipe, or typed unseen."""
    if sys.stdin.isatty():
        try:
            raw = getpass.getpass("Paste the token, then press Enter (it is not shown): ", stream=sys.stderr).encode(
                "utf-8", "replace"
            )
        except EOFError:
            raw = b""
    else:
        raw = sys.stdin.buffer.read(2 * LONGEST)
    raw = raw.strip()
    if not raw:
        raise Mistake(
            "no_token", "stdin: holds no token; give one, as in: coatcheck token decode < file", exit_code=WRONG
        )
    if len(raw) > LONGEST:
        raise _malformed(f"is longer than {LONGEST} bytes, which no access token is")
    if not raw.isascii() or len(raw.split()) > 1:
        raise _malformed("holds more than a token; give the token alone, in one line")
    return raw.decode("ascii")


def _malformed(problem: str) -> Mistake:
    return Mistake(Reason.MALFORMED.value, f"stdin: {problem}")


# --- decode ---


@app.command(
    "decode",
    epilog=examples("coatcheck token decode < file", "pass show token | coatcheck token decode --json | jq .claims"),
    context_settings=_TAKES_WHATEVER,
)
def decode(context: typer.Context, *, as_json: Json = False) -> None:
    """Show what a token says, without asking whether it is genuine. Reads it from stdin."""
    _refuse_arguments(context)
    header, claims = _decoded(_read())
    out = output(as_json)
    out.say("NOT VERIFIED: anybody can write such a token. coatcheck token verify says whether one counts.\n")
    _show({"header": header, "claims": claims}, out)
    times = _times(claims)
    _show_times(times, out)
    out.document(
        {"verified": False, "header": header, "claims": claims, "times": {name: iso(at) for name, at in times.items()}}
    )


def _decoded(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    parts = token.split(".")
    if len(parts) == 5:
        raise _malformed("is an encrypted token, or none at all; only signed ones can be read")
    if len(parts) != 3:
        raise _malformed("is no JWT: that has three parts with dots between; refresh and session tokens say nothing")
    return _part(parts[0], "header"), _part(parts[1], "claims")


def _part(text: str, name: str) -> dict[str, Any]:
    raw = base64url.decode(text)
    if raw is None:
        raise _malformed(f"is no JWT: {name}: not base64url")
    try:
        found = msgspec.json.decode(raw, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise _malformed(f"is no JWT: {name}: not a JSON object") from None
    if not _is_shallow(found, _DEEPEST):
        raise _malformed(f"is no JWT of any use: {name}: nested deeper than {_DEEPEST} levels")
    return found


def _is_shallow(value: Any, left: int) -> bool:
    if not isinstance(value, dict | list):
        return True
    inner = value.values() if isinstance(value, dict) else value
    return left > 0 and all(_is_shallow(one, left - 1) for one in inner)


def _times(claims: dict[str, Any]) -> dict[str, int]:
    """Return the times in *claims*, as far as they are some."""
    found: dict[str, int] = {}
    for name in _TIMES:
        at = claims.get(name)
        if isinstance(at, int | float) and not isinstance(at, bool) and 0 <= at < _YEAR_10000:
            found[name] = int(at)
    return found


def _show(value: Any, out: Output) -> None:
    """Show JSON to a person. All but ASCII is escaped in it already, and so are controls, except for one."""
    out.say(json.dumps(value, indent=2).replace("\x7f", "\\u007f"))


def _show_times(times: dict[str, int], out: Output) -> None:
    now = SystemClock().now()
    if times:
        out.say("")
    for name, at in times.items():
        out.say(f"{name}: {iso(at)}, {relative(at, now)}")


# --- verify ---


@app.command(
    "verify",
    epilog=examples(
        "coatcheck token verify --issuer https://auth.example.com --audience billing < file",
        "coatcheck token verify --issuer https://auth.example.com --audience billing --jwks < file",
    ),
    context_settings=_TAKES_WHATEVER,
)
def verify(
    context: typer.Context,
    *,
    issuer: Annotated[
        str, typer.Option("--issuer", metavar="URL", help="Who made it: the server's address.", show_default=False)
    ],
    audience: Annotated[str, typer.Option("--audience", metavar="A", help="Whom it is to be for.", show_default=False)],
    jwks: Annotated[
        bool,
        typer.Option("--jwks", help="Get the keys from the issuer, not the store; revocations are not known then."),
    ] = False,
    store: Store = DEFAULT_URL,
    as_json: Json = False,
) -> None:
    """Say whether a token counts, as a service would: exit code 0 or 1. Reads it from stdin."""
    _refuse_arguments(context)
    source = context.get_parameter_source("store")
    if jwks and source is not None and source.name == "COMMANDLINE":
        raise Mistake("usage", "--jwks: goes without --store; give one of them", exit_code=WRONG)
    if not jwks:
        check_url(store, "--store")
        from_url(store)  # refuses what is no store, in its own words
    verifier = _verifier(issuer, audience, NONE if jwks else store)
    answer = asyncio.run(_verify(verifier, _read()))
    if isinstance(answer, Refused):
        reason = answer.reason
        words = f"; {_WORDS[reason]}" if reason in _WORDS else ""
        raise Mistake(
            reason.value, f"refused: {reason.value}{words}", exit_code=WRONG if reason is Reason.UNSURE else REFUSED
        )
    out = output(as_json)
    out.say("accepted; whether it was revoked is not known with --jwks\n" if jwks else "accepted\n")
    claims = dict(answer.all)
    _show(claims, out)
    times = _times(claims)
    _show_times(times, out)
    out.document(
        {
            "verified": True,
            "revocations_known": not jwks,
            "claims": claims,
            "times": {name: iso(at) for name, at in times.items()},
        }
    )


def _verifier(issuer: str, audience: str, feed: str) -> Verifier:
    try:
        return Verifier(issuer, audience=audience, feed=feed)
    except (ConfigError, InvalidInput) as error:
        name = error.setting if isinstance(error, ConfigError) else error.field
        if name not in ("issuer", "audience"):
            raise
        raise Mistake(error.code, f"--{error}", exit_code=WRONG) from None


async def _verify(verifier: Verifier, token: str) -> Claims | Refused:
    quiet()
    async with verifier:
        return verifier.verify(token)
