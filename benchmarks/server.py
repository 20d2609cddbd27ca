"""
What the ready-made server costs: a look at one's session beside a bare route, a sign-in beside bare argon2.

    python benchmarks/server.py            # about two minutes
    python benchmarks/server.py --quick    # about half a minute

Both halves are measured in the same run, turn by turn, under the same uvicorn with one worker. Figures are ratios; the
rates beside them say only what this machine did in this minute.
"""

import argparse
import asyncio
import json
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from _measure import progress
from argon2 import PasswordHasher
from check import free_port, serve

from coatcheck import Coatcheck
from coatcheck.server import database
from coatcheck.server.passwords import AT_ONCE
from coatcheck.server.site import Site

PASSWORD = "correct horse battery"
CALLERS = 8

# Two applications for uvicorn: the server as it is, and the barest route that sends as many bytes.
SERVED = """
import os
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route
from coatcheck import Coatcheck, Policy
from coatcheck.server import database
from coatcheck.server.app import build_app
from coatcheck.server.site import Site

async def session(request):
    return Response(b"x" * 512, media_type="application/json")

bare = Starlette(routes=[Route("/api/session", session)])
policy = Policy(origins=(os.environ.get("ORIGIN", "http://localhost"),))
ours = build_app(Site(Coatcheck(os.environ["STORE"], policy=policy), database.from_url(os.environ["STORE"])))
"""


async def people(store, count):
    """Make accounts, and return the token of the first one's session."""
    site = Site(Coatcheck(store), database.from_url(store))
    async with site.lifespan():
        for number in range(count):
            await site.accounts.add(f"user {number}", PASSWORD, is_admin=False, by=None)
        user = await site.database.user_named("user 0")
        signed_in = await site.auth.sign_in(user.id, claims={"name": user.name, "roles": []}, amr=("pwd",))
        return signed_in.token.reveal()


def looks(ports, token, *, pairs, seconds):
    """GET /api/session of both applications, turn by turn."""
    found = {name: [] for name in ports}
    pin = ["taskset", "-c", "1"] if shutil.which("taskset") else []
    for number in range(pairs):
        progress(number + 1, pairs)
        order = list(ports.items())
        for name, port in order if number % 2 else reversed(order):
            command = ["wrk", "-t1", "-c16", f"-d{seconds}s", "-H", f"Cookie: __Host-session={token}"]
            said = subprocess.run(
                [*pin, *command, f"http://localhost:{port}/api/session"], capture_output=True, text=True, check=True
            ).stdout
            assert "Non-2xx" not in said, said
            found[name].append(float(re.search(r"Requests/sec:\s+([\d.]+)", said)[1]))
    print("\nGET /api/session under uvicorn and wrk (16 connections, keep-alive, one worker), requests per second")
    show(found)
    ratio("the server beside the bare route", found["ours"], found["bare"])


async def sign_ins(port, *, each):
    """Sign-ins per second that :data:`CALLERS` clients at once get, each as somebody else."""

    async def caller(number):
        body = json.dumps({"username": f"user {number}", "password": PASSWORD}).encode()
        head = (
            f"POST /api/sign-in HTTP/1.1\r\nHost: localhost:{port}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(each):
            writer.write(head.encode() + body)
            answer = await reader.readuntil(b"\r\n\r\n")
            assert answer.startswith(b"HTTP/1.1 200"), answer
            await reader.readexactly(int(re.search(rb"content-length: (\d+)", answer)[1]))
        writer.close()
        await writer.wait_closed()

    started = time.perf_counter()
    await asyncio.gather(*(caller(number) for number in range(CALLERS)))
    return CALLERS * each / (time.perf_counter() - started)


def bare_checks(pool, hasher, known, *, count):
    """Checks of a password per second, in as many threads as the server uses, and nothing else."""
    started = time.perf_counter()
    assert all(pool.map(lambda _: hasher.verify(known, PASSWORD), range(count)))
    return count / (time.perf_counter() - started)


def entries(port, *, rounds, each):
    """Sign-ins beside bare argon2 with the same settings, turn by turn."""
    hasher = PasswordHasher()
    known = hasher.hash(PASSWORD)
    found = {"sign-ins": [], "bare argon2": []}
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for number in range(rounds):
            progress(number + 1, rounds)
            found["sign-ins"].append(asyncio.run(sign_ins(port, each=each)))
            found["bare argon2"].append(bare_checks(pool, hasher, known, count=CALLERS * each))
    print(f"\nSign-ins per second, {CALLERS} clients at once, beside bare argon2 in {AT_ONCE} threads")
    show(found)
    return ratio("sign-ins beside bare argon2", found["sign-ins"], found["bare argon2"])


def show(found):
    """Print one line a name."""
    for name, rates in found.items():
        print(f"  {name:<44}{statistics.median(rates):>9.1f}   from {min(rates):.1f} to {max(rates):.1f}")


def ratio(text, ours, bare):
    """Print the median of the pairs' ratios."""
    ratios = [one / other for one, other in zip(ours, bare, strict=True)]
    print(f"  {text}, median of the pairs: {statistics.median(ratios):.2f}")
    print(f"        pairs from {min(ratios):.3f} to {max(ratios):.3f}")
    return statistics.median(ratios)


def main():
    """Run both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    parser.add_argument("--only", choices=["look", "sign-in"], help="one part only")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the ratio of sign-ins there, too")
    options = parser.parse_args()
    print(f"$ python {' '.join([os.path.relpath(__file__), *sys.argv[1:]])}")
    print(f"Python {platform.python_version()}, {platform.machine()}, {os.cpu_count()} cores")
    with tempfile.TemporaryDirectory() as folder:
        store = f"sqlite:///{folder}/server.db"
        token = asyncio.run(people(store, CALLERS))
        Path(folder, "served.py").write_text(SERVED)
        ports = {name: free_port() for name in ("bare", "ours")}
        os.environ["ORIGIN"] = f"http://localhost:{ports['ours']}"
        servers = [serve(folder, name, port, store) for name, port in ports.items()]
        try:
            if options.only in (None, "look"):
                if shutil.which("wrk"):
                    looks(ports, token, pairs=4 if options.quick else 10, seconds=2)
                else:
                    print("\nGET /api/session: wrk is not on this machine, left out")
            if options.only in (None, "sign-in"):
                # On both cores, as argon2 beside it: the server was pinned for the comparison above.
                if shutil.which("taskset"):
                    all_cores = f"0-{(os.cpu_count() or 1) - 1}"
                    for server in servers:
                        pin = ["taskset", "-a", "-cp", all_cores, str(server.pid)]
                        subprocess.run(pin, check=True, capture_output=True)
                found = entries(ports["ours"], rounds=3 if options.quick else 9, each=4)
                if options.json:
                    options.json.write_text(json.dumps({"sign_ins_of_argon2": found}) + "\n", encoding="utf-8")
        finally:
            for server in servers:
                server.terminate()
                server.wait()


if __name__ == "__main__":
    main()
