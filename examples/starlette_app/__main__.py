"""
The command: read the arguments, look after the users file, serve.

Every mistake in the arguments or the files is one line and exit code 2, never a traceback.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import errno
import getpass
import os
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

import uvicorn

from coatcheck import Coatcheck, CoatcheckError, Policy
from coatcheck.clock import SystemClock
from examples.starlette_app.app import build_app
from examples.starlette_app.people import PASSWORD_LONGEST, People, UsersFileError, why_not

LOOPBACK = {"localhost": "127.0.0.1", "127.0.0.1": "127.0.0.1", "::1": "::1"}
WRONG, INTERRUPTED = 2, 130


class Mistake(Exception):
    """Something the person at the terminal can put right; the text says how."""


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m examples.starlette_app",
        description="A small web application with sign-in and a list of devices. Ctrl-C stops it.",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=8000, help="port to listen on; 0: any free (default: %(default)s)")
    parser.add_argument(
        "--store",
        metavar="URL",
        default="sqlite:///coatcheck.db",
        help="where sessions are kept; memory:// forgets them at the end (default: %(default)s)",
    )
    parser.add_argument(
        "--users",
        metavar="FILE",
        type=Path,
        default=Path("users.txt"),
        help="file with a line name:argon2id-hash for each person; made if it is not there (default: %(default)s)",
    )
    parser.add_argument(
        "--public-url",
        metavar="URL",
        help="the https:// address that browsers use, when a proxy with TLS stands in front; "
        "needed with any --host that other machines can reach",
    )
    parser.add_argument(
        "--add-user",
        metavar="NAME",
        help="add this person, or change their password and end their sessions; asks for the password "
        "(or reads one line from a pipe), and does not serve",
    )
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    args = arguments(argv)
    try:
        if args.add_user is not None:
            return add_user(args)
        return serve(args)
    except (Mistake, UsersFileError, CoatcheckError) as error:
        print(f"error: {error}", file=sys.stderr)
        return WRONG
    except KeyboardInterrupt:
        print()
        return 0 if args.add_user is None else INTERRUPTED


def serve(args: argparse.Namespace) -> int:
    """Serve until Ctrl-C."""
    host = LOOPBACK.get(args.host, args.host)
    if args.host not in LOOPBACK and args.public_url is None:
        raise Mistake(
            f"--host {args.host} can be reached from other machines, where passwords would travel in the clear; "
            "put a proxy with TLS in front and add --public-url https://…"
        )
    if args.public_url is not None and not args.public_url.startswith("https://"):
        raise Mistake("--public-url starts with https://")
    with listen(host, args.port) as listening:
        port = listening.getsockname()[1]
        policy = Policy(origins=origins(args, port))
        # Open the store once before serving, so that a wrong --store is one line here and not a fault of the server.
        asyncio.run(try_out(Coatcheck(args.store, policy=policy)))
        people = People(args.users)
        introduce(people, policy.origins[0])

        clock = SystemClock()
        app = build_app(Coatcheck(args.store, policy=policy, clock=clock), people, clock)
        config = uvicorn.Config(
            app,
            log_level="warning",
            lifespan="on",
            # Whoever wants the client's address from a proxy names the proxy: SessionMiddleware(trusted_proxies=…).
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=5,
        )
        server = uvicorn.Server(config)
        with contextlib.suppress(KeyboardInterrupt):  # uvicorn has shut down in good order and passes the Ctrl-C on
            server.run(sockets=[listening])
        print("\nStopped.")
        return 0 if server.started else 1


def listen(host: str, port: int) -> socket.socket:
    """Take the address, so that nobody else can between this check and the serving."""
    if not 0 <= port <= 65535:
        raise Mistake(f"--port {port} is not a port; ports go from 1 to 65535")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise Mistake(f"port {port} is in use; choose another with --port, such as --port {port + 1}") from None
        raise Mistake(f"cannot listen on {host}, port {port}: {os.strerror(error.errno or 0)}") from None


def origins(args: argparse.Namespace, port: int) -> tuple[str, ...]:
    """Return the origins under which browsers see this application."""
    if args.public_url is not None:
        return (str(args.public_url).removesuffix("/"),)
    end = "" if port == 80 else f":{port}"
    return (f"http://localhost{end}", f"http://127.0.0.1{end}", f"http://[::1]{end}")


async def try_out(auth: Coatcheck) -> None:
    """Open and close the engine."""
    async with auth:
        pass


def introduce(people: People, url: str) -> None:
    """Say where to go and who may sign in. Without a users file, make one and show the passwords, this once."""
    if not people.path.exists():
        made = people.create_with_passwords("maria", "bob")
        print("Two people may sign in. Their passwords are shown only now:\n")
        for name, password in made.items():
            print(f"    {name:<8} {password}")
        print()
    elif not people.load():
        raise Mistake(f"nobody can sign in: {people.path} is empty; add somebody with --add-user NAME")
    print(f"Password hashes are in {people.path}. --add-user NAME adds somebody, or sets a new password.")
    print(f"\nListening on {url} (Ctrl-C stops)", flush=True)


def add_user(args: argparse.Namespace) -> int:
    """Add a person, or give them another password and sign them out everywhere."""
    name = args.add_user
    problem = why_not(name)
    if problem is not None:
        raise Mistake(problem)
    password = ask_password(name)
    if not 8 <= len(password) <= PASSWORD_LONGEST or not password.isprintable():
        raise Mistake(f"a password has 8 to {PASSWORD_LONGEST} printable characters; nothing was changed")
    asyncio.run(change_password(Coatcheck(args.store), People(args.users), name, password))
    print(f"{name} can sign in with that password.")
    return 0


def ask_password(name: str) -> str:
    """Ask at the terminal, twice and unseen; or read one line from a pipe."""
    if not sys.stdin.isatty():
        return sys.stdin.readline().removesuffix("\n").removesuffix("\r")
    try:
        password = getpass.getpass(f"Password for {name}: ")
        again = getpass.getpass("Once more: ")
    except EOFError:
        raise Mistake("no password was given; nothing was changed") from None
    if password != again:
        raise Mistake("the two are not the same; nothing was changed")
    return password


async def change_password(auth: Coatcheck, people: People, name: str, password: str) -> None:
    """Write the new hash, then end all sessions of *name*: a server on the same store refuses them from now on."""
    async with auth:
        people.set_password(name, password)
        # Afterwards, not before: a sign-in with the old password that is under way now is refused (app.sign_in).
        await auth.revoke_user(name, reason="new password")


if __name__ == "__main__":
    sys.exit(main())
